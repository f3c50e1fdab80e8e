// How long a device waits before it dials again: soon at first, never in step with others, and no
// sooner because of a relay that takes tunnels only to drop them.
import { describe, expect, it } from 'vitest';
import { BACK_OFF, BackOff } from '../../device-client/back-off.ts';

function waits(backOff: BackOff, count: number): number[] {
  return Array.from({ length: count }, () => backOff.next());
}

describe('BackOff', () => {
  it('F-1 dials again soon enough for a relay that takes 3 s to restart', () => {
    const latest = waits(new BackOff(() => 1), 10);
    for (const upAtMs of [500, 1_000, 2_000, 3_000]) {
      let dialMs = 0;
      for (const wait of latest) {
        dialMs += wait;
        if (dialMs >= upAtMs) break;
      }
      expect(dialMs - upAtMs).toBeLessThan(2_500);
    }
  });

  it('F-12 spreads a fleet over half of each step, up to 30 s', () => {
    const [early, late] = [waits(new BackOff(() => 0), 20), waits(new BackOff(() => 1), 20)];
    expect(late.map((wait, step) => wait / (early[step] ?? 0))).toEqual(Array(20).fill(2));
    expect(late.at(-1)).toBe(BACK_OFF.longestMs);
  });

  it('begins anew only after a tunnel that was up for long enough', () => {
    const backOff = new BackOff(() => 1);
    waits(backOff, 5);
    backOff.lived(BACK_OFF.stableMs - 1);
    expect(backOff.next()).toBeGreaterThan(BACK_OFF.firstMs);
    backOff.lived(BACK_OFF.stableMs);
    expect(backOff.next()).toBe(BACK_OFF.firstMs);
  });
});
