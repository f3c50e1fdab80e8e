// When a domain is looked at next. Somebody who has just entered his records waits for them; what has
// been as it should be for long is looked at once a day.
import type { DomainRow } from '../registry/deeds/own-domain.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** While something is missing: so often, for so long after it began. */
const LADDER = [
  { untilMs: 10 * MINUTE, everyMs: 20_000 },
  { untilMs: HOUR, everyMs: 2 * MINUTE },
  { untilMs: DAY, everyMs: 15 * MINUTE },
  { untilMs: 7 * DAY, everyMs: HOUR },
] as const;

/** Those that became due together do not stay together. */
const JITTER = 0.1;

export interface ScheduledDomain
  extends Pick<DomainRow, 'added_at' | 'proven_at' | 'failing_since'> {
  /** All is as it should be. */
  readonly settled: boolean;
}

/** `random` is in [0, 1). */
export function nextLookMs(row: ScheduledDomain, nowMs: number, random: number): number {
  const spread = 1 + JITTER * (2 * random - 1);
  return Math.round(nowMs + pauseMs(row, nowMs) * spread);
}

function pauseMs({ settled, added_at, proven_at, failing_since }: ScheduledDomain, nowMs: number) {
  if (settled) return DAY;
  const begunMs = failing_since ?? proven_at ?? added_at;
  return LADDER.find(({ untilMs }) => nowMs - begunMs < untilMs)?.everyMs ?? DAY;
}
