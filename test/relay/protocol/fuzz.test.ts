import { describe, expect, it } from 'vitest';
import { CLOSE } from '../../../relay/protocol/wire.ts';
import { fuzzFrames } from '../../world/frame-fuzz.ts';

const INPUTS = 120_000;
/** WAYGATE_FUZZ_SEED runs one that has failed, or another. */
const SEED = Number(process.env['WAYGATE_FUZZ_SEED'] ?? 20_261_115);

describe('a session', () => {
  it(`U-13 survives ${INPUTS} mutated messages in both roles, seed ${SEED}`, async () => {
    const totals = await fuzzFrames(SEED, INPUTS);
    // The fuzz is worth something: streams lived, and sessions died of many causes.
    expect(totals.inputs).toBe(INPUTS);
    expect(totals.streams).toBeGreaterThan(INPUTS / 20);
    expect(totals.sessions).toBeLessThan(INPUTS / 4);
    for (const code of [CLOSE.done, CLOSE.protocol, CLOSE.policy]) {
      expect(totals.closes.get(code) ?? 0, `sessions closed by ${code}`).toBeGreaterThan(0);
    }
  }, 60_000);
});
