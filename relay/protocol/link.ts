// A link is one byte pipe to a workspace, in both directions, with half-close and back-pressure.
// On the relay it is a stream in a tunnel; on the device it is a socket (see entrance/socket-link.ts).
// The entrance knows nothing else of how a workspace is reached.
import type { ResetReason } from './reset-reason.ts';

/** What a link tells the one who holds it. Calls come in the order in which the bytes arrived. */
export interface LinkEvents {
  /** Bytes from the workspace. Report them with `link.taken()` once they have found room. */
  data(bytes: Buffer): void;
  /** The workspace has ended its half cleanly; nothing more comes, writing may go on. */
  end(): void;
  /** The link is dead, in both directions. Called once; nothing follows. */
  broken(reason: ResetReason, detail: string): void;
  /** There is room again after `write()` returned false. */
  drain(): void;
  /** The other side is about to stop: what is under way may finish, nothing else should begin. */
  stopping?(): void;
}

export interface Link {
  /** Set by the holder before it writes; may be replaced at any time. */
  events: LinkEvents;
  /**
   * Queues bytes (a string is latin1), which must not change afterwards. False: stop, and wait for
   * `drain()`. Never throws after a break.
   */
  write(bytes: Buffer | string): boolean;
  /** Ends our half, after what was written. */
  end(): void;
  /** Breaks both halves at once. `broken()` is not called back. */
  reset(reason: ResetReason, detail?: string): void;
  /** Gives back credit for bytes that `data()` delivered; never for more than these. */
  taken(bytes: number): void;
}
