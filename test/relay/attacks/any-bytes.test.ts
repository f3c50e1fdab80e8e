// H1-2: request bleeding. Whatever bytes a visitor sends, a workspace gets whole requests in canonical
// framing, each of which was judged, and all on one connection of that visitor's own.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AttackedVendor } from './attacked-vendor.ts';
import { bombard } from './bombardment.ts';

/** A few seconds with a machine to itself; the long suite has 50,000. */
const VISITS = 400;

let vendor: AttackedVendor;

beforeAll(async () => {
  vendor = await AttackedVendor.start();
}, 90_000);
afterAll(async () => {
  await vendor?.[Symbol.asyncDispose]();
});

describe('any bytes over a live relay', { timeout: 120_000 }, () => {
  it('H1-2 become nothing, or the requests that were judged, from one visitor', async () => {
    const damage = await bombard(vendor, { seed: 20_261_121, visits: VISITS, atATime: 24 });
    expect(damage.requests).toBeGreaterThan(VISITS / 4);
    expect(damage.bodies).toBeGreaterThan(VISITS / 10);
    expect(damage.refused).toBeGreaterThan(VISITS / 10);
    expect(await vendor.alive()).toBe(true);
    expect(await vendor.figure('relay', 'waygate_entrance_open_requests')).toBe(0);
  });
});
