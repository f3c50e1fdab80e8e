// The wish to stop: SIGTERM, SIGINT, or the end of a parent that holds an IPC channel to us.

/** The terminal and npm both deliver one Ctrl-C: what comes so soon after is the same wish. */
const SAME_WISH_MS = 1_000;

/**
 * Listens from the moment it is called, and settles with what asked for the stop. `atOnce` is called
 * when a second signal says that it takes too long.
 */
export function stopRequest(atOnce: () => void): Promise<string> {
  let askedAtMs: number | undefined;
  return new Promise((settle) => {
    const ask = (by: string) => {
      if (askedAtMs === undefined) {
        askedAtMs = performance.now();
        settle(by);
        return;
      }
      if (by !== 'disconnect' && performance.now() - askedAtMs > SAME_WISH_MS) atOnce();
    };
    process.on('SIGTERM', () => ask('SIGTERM'));
    process.on('SIGINT', () => ask('SIGINT'));
    if (process.send === undefined) return;
    process.on('disconnect', () => ask('disconnect'));
    // It may have gone before we could listen.
    if (!process.connected) ask('disconnect');
  });
}
