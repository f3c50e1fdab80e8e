import { describe, expect, it } from 'vitest';
import { fuzzFrames } from '../world/frame-fuzz.ts';

/** WAYGATE_FUZZ_INPUTS shortens or lengthens it. */
const INPUTS = Number(process.env['WAYGATE_FUZZ_INPUTS'] ?? 10_000_000);
const SEED = Number(process.env['WAYGATE_FUZZ_SEED'] ?? Math.floor(Math.random() * 0x1_0000_0000));
const ROUNDS = 10;
const GROWTH_BYTES_MAX = 67_108_864;

describe('a session', () => {
  it(`U-13 survives ${INPUTS} mutated messages with a flat RSS, seed ${SEED}`, async () => {
    const rss: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const totals = await fuzzFrames(SEED + round, INPUTS / ROUNDS);
      expect(totals.inputs).toBe(INPUTS / ROUNDS);
      rss.push(process.memoryUsage.rss());
    }
    // The heap takes its final size in the first million.
    const warm = Math.max(...rss.slice(0, ROUNDS / 2));
    const last = Math.min(...rss.slice(-3));
    expect(
      last - warm,
      `RSS by round: ${rss.map((bytes) => bytes >> 20).join(', ')} MiB`,
    ).toBeLessThan(GROWTH_BYTES_MAX);
  }, 3_600_000);
});
