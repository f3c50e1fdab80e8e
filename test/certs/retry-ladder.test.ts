import { describe, expect, test } from 'vitest';
import { nextAuthority, retryDelayMs } from '../../certs/retry-ladder.ts';

const MINUTE_MS = 60_000;

describe('what has failed', () => {
  test('is tried again ever more rarely, and for ever', () => {
    const minutes = Array.from({ length: 15 }, (_, i) => retryDelayMs(i + 1, 0.5) / MINUTE_MS);
    expect(minutes).toEqual([1, 2, 2, 5, 10, 10, 10, 20, 30, 60, 120, 180, 360, 360, 360]);
    expect(retryDelayMs(100_000, 0.5)).toBe(360 * MINUTE_MS);
    expect(retryDelayMs(0, 0.5)).toBe(MINUTE_MS);
  });

  test('is tried up to a tenth earlier or later', () => {
    expect(retryDelayMs(5, 0)).toBe(9 * MINUTE_MS);
    expect(retryDelayMs(5, 0.999_999_999)).toBe(11 * MINUTE_MS);
  });

  test('goes to the second authority after three failures, and back after three there', () => {
    const turns = Array.from({ length: 10 }, (_, attempts) => nextAuthority(attempts, 2));
    expect(turns).toEqual([0, 0, 0, 1, 1, 1, 0, 0, 0, 1]);
    expect(nextAuthority(7, 3)).toBe(2);
    expect(nextAuthority(7, 1)).toBe(0);
    expect(nextAuthority(7, 0)).toBe(0);
  });
});
