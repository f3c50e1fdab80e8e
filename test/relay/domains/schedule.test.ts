import { expect, test } from 'vitest';
import { DAY, nextLookMs } from '../../../relay/domains/schedule.ts';

const HOUR = 3_600_000;
const settled = { added_at: 0, proven_at: 0, failing_since: null, settled: true };

test('a domain that is as it should be is looked at daily, none at the same time as another', () => {
  expect(nextLookMs(settled, 0, 0.5)).toBe(DAY);
  expect(nextLookMs(settled, 0, 0)).toBe((DAY / 10) * 9);
  expect(nextLookMs(settled, 0, 1)).toBe((DAY / 10) * 11);
});

test.each([
  [0, 20_000],
  [10 * 60_000, 120_000],
  [HOUR, 900_000],
  [DAY, HOUR],
  [8 * DAY, DAY],
])('one that misses something for %d ms is looked at again after %d ms', (ageMs, pauseMs) => {
  const since = 1_000_000;
  const row = { ...settled, settled: false, added_at: since, proven_at: null };
  expect(nextLookMs(row, since + ageMs, 0.5)).toBe(since + ageMs + pauseMs);
  // What counts is when it began: here it failed.
  const failing = { ...row, added_at: 0, proven_at: 0, failing_since: since };
  expect(nextLookMs(failing, since + ageMs, 0.5)).toBe(since + ageMs + pauseMs);
});
