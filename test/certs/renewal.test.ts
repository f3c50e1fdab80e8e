import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  isSaneWindow,
  RENEWAL_LIMITS,
  type RenewalWindow,
  renewAtMs,
  windowCheckMs,
} from '../../certs/renewal.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const START_MS = Date.UTC(2026, 10, 1);
const NINETY_DAYS = { notBeforeMs: START_MS, notAfterMs: START_MS + 90 * DAY_MS };
const SHORT = { notBeforeMs: START_MS, notAfterMs: START_MS + 160 * HOUR_MS };

function window(startDays: number, endDays: number, retryAfterMs = 6 * HOUR_MS): RenewalWindow {
  return {
    startMs: START_MS + startDays * DAY_MS,
    endMs: START_MS + endDays * DAY_MS,
    retryAfterMs,
  };
}

function days(ms: number): number {
  return Math.round(((ms - START_MS) / DAY_MS) * 100) / 100;
}

describe('the time of a renewal', () => {
  test('without a window is two thirds of the life, half of a short one, spread by the seed', () => {
    expect(
      [0, 0.5, 0.999_999].map((seed) => days(renewAtMs(NINETY_DAYS, undefined, seed))),
    ).toEqual([59.1, 60, 60.9]);
    expect(renewAtMs(SHORT, undefined, 0.5)).toBe(START_MS + 80 * HOUR_MS);
  });

  test('is within the window where there is one', () => {
    expect(
      [0, 0.25, 0.5].map((seed) => days(renewAtMs(NINETY_DAYS, window(40, 44), seed))),
    ).toEqual([40, 41, 42]);
  });

  test('is over already when the window is: renew now', () => {
    const revoked = renewAtMs(NINETY_DAYS, window(-3, 1), 0.5);
    expect(revoked).toBeLessThan(START_MS + DAY_MS);
  });

  test('attack: windows that are always over make no certificate younger than two hours renew', () => {
    expect(renewAtMs(NINETY_DAYS, window(-3, -2), 0.5)).toBe(START_MS + 2 * HOUR_MS);
  });

  test('attack: a window at the end of the life, or beyond it, keeps nobody waiting for it', () => {
    expect(days(renewAtMs(NINETY_DAYS, window(89, 200), 0.9))).toBe(81);
  });

  test('lies within the life for every window and seed, and is the same each time', () => {
    const far = fc.integer({ min: -1_000, max: 1_000 });
    const seeds = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(
        far,
        far,
        fc.integer({ min: 1, max: 400_000 }),
        seeds,
        (start, length, minutes, seed) => {
          const life = { notBeforeMs: START_MS, notAfterMs: START_MS + minutes * 60_000 };
          for (const each of [undefined, window(start, start + Math.abs(length) + 1)]) {
            const atMs = renewAtMs(life, each, seed);
            expect(atMs).toBeGreaterThanOrEqual(life.notBeforeMs);
            expect(atMs).toBeLessThan(life.notAfterMs);
            expect(renewAtMs(life, each, seed)).toBe(atMs);
          }
        },
      ),
    );
  });
});

describe('a window', () => {
  test('is asked for again when the authority says so, not without end, and at least twice a day', () => {
    expect(windowCheckMs(window(1, 2, 3 * HOUR_MS), 0)).toBe(3 * HOUR_MS);
    expect(windowCheckMs(window(1, 2, 3 * HOUR_MS), 0.5)).toBe(3.15 * HOUR_MS);
    expect(windowCheckMs(window(1, 2, 0), 0)).toBe(RENEWAL_LIMITS.checkMsMin);
    expect(windowCheckMs(window(1, 2, 30 * DAY_MS), 0.9)).toBe(12 * HOUR_MS);
    expect(windowCheckMs(undefined, 0)).toBe(6 * HOUR_MS);
  });

  test('is sane when it ends after it starts, and starts before the certificate ends', () => {
    expect(isSaneWindow(window(60, 61), NINETY_DAYS)).toBe(true);
    expect(isSaneWindow(window(-60, -59), NINETY_DAYS)).toBe(true);
    expect(isSaneWindow(window(61, 60), NINETY_DAYS)).toBe(false);
    expect(isSaneWindow(window(60, 60), NINETY_DAYS)).toBe(false);
    expect(isSaneWindow(window(90, 91), NINETY_DAYS)).toBe(false);
  });
});
