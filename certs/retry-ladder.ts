// After how long what has failed is tried again, and at which authority. It goes on for ever, rarely.

const MINUTE_MS = 60_000;

const LADDER_MINUTES = [1, 2, 2, 5, 10, 10, 10, 20, 30, 60, 120, 180, 360] as const;

const LADDER_LIMITS = {
  /** To both sides, so that what failed together is not tried together. */
  jitterPart: 0.1,
  /** As many attempts in a row at one authority, before it is another's turn. */
  attemptsEach: 3,
} as const;

/** The wait after that many failures in a row, at least one. `random` is 0 to below 1. */
export function retryDelayMs(attempts: number, random: number): number {
  const step = Math.min(Math.max(attempts, 1), LADDER_MINUTES.length) - 1;
  const minutes = LADDER_MINUTES[step] ?? 0;
  return Math.round(minutes * MINUTE_MS * (1 + LADDER_LIMITS.jitterPart * (2 * random - 1)));
}

/** Which of the authorities the next attempt goes to, after that many failures in a row. */
export function nextAuthority(attempts: number, count: number): number {
  return count < 1 ? 0 : Math.floor(Math.max(attempts, 0) / LADDER_LIMITS.attemptsEach) % count;
}
