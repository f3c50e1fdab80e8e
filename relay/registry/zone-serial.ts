// The zone's serial: 32 bits that only ever grow in the sense of RFC 1982, because a secondary that has
// seen a later one ignores all earlier ones. It follows the clock (seconds since 1970) whenever the
// clock is ahead, and counts when it is not. So a registry that was restored from a backup continues
// above what it had published since, unless it had published more than one change a second since; and
// the age of a serial can be told from the serial.
import { nextSerial } from '../../dns/zone-source.ts';

/** A greater leap is a wrong clock: half of what RFC 1982 takes for "later" (34 years). */
const LEAP_MAX = 2 ** 30;

/** The first serial after the stored one. */
export function serialAfter(stored: number, nowMs: number): number {
  const next = nextSerial(stored);
  const clock = clockSerial(nowMs);
  const leap = (clock - next) >>> 0;
  return stored === 0 || leap <= LEAP_MAX ? clock : next;
}

/** Whether the first serial is later than the second (RFC 1982, section 3.2). */
export function isLaterSerial(serial: number, than: number): boolean {
  const distance = (serial - than) >>> 0;
  return distance > 0 && distance < 2 ** 31;
}

/** The serial that the clock stands for; never 0, which some software takes for "none". */
export function clockSerial(nowMs: number): number {
  return Math.floor(nowMs / 1_000) >>> 0 || 1;
}
