// One key in two places (U-10, F-22): the newest instance serves, the older one is closed, says so, and
// does not fight back. One that slept through it is in half-open.test.ts.
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { BACK_OFF } from '../../../device-client/back-off.ts';
import { CLOSE } from '../../../relay/protocol/wire.ts';
import { Installation } from '../../world/installation.ts';
import { epochOf, readiness, SUPERSEDED, twoPlaces } from '../../world/two-places.ts';
import { until } from '../../world/visits.ts';

describe('two devices with one key', { timeout: 60_000 }, () => {
  it('U-10 F-22 the newer one serves within 5 s; the older one says so and stays away', async () => {
    await using vendor = await Installation.make();
    await using places = await twoPlaces(vendor);
    const { original, copy, whoAnswers } = places;
    const relay = await vendor.relay();
    const first = await original.start();
    await until(async () => (await whoAnswers()) === 'original', 10_000, 'the original');

    const second = copy.run();
    await second.said(/^tunnel: up$/, 20_000);
    const upAtMs = performance.now();
    await until(async () => (await whoAnswers()) === 'copy', 5_000, 'the copy');
    await first.said(SUPERSEDED, 5_000);
    expect(performance.now() - upAtMs).toBeLessThan(5_000);
    expect(epochOf(second)).toBeGreaterThan(epochOf(first));

    const closes = relay.log.flatMap(({ msg, code }) => (msg === 'tunnel: ended' ? [code] : []));
    expect(closes).toEqual([CLOSE.superseded, CLOSE.superseded]);
    expect(await readiness(first)).toMatch(/^503 Another device has connected with a copy/);
    expect(await readiness(second)).toMatch(/^200/);
    expect(relay.count(/Another instance of this device key has taken over/)).toBe(1);

    // Longer than the older one would wait before it dials again.
    await pause(3 * BACK_OFF.firstMs);
    expect(await whoAnswers()).toBe('copy');
    expect([first, second].map((device) => device.count(SUPERSEDED))).toEqual([1, 0]);
    expect(first.count(/^tunnel: connecting again$/)).toBe(0);
    expect(relay.count(/^tunnel: up$/)).toBe(4);

    // Its owner starts it again: that is the newest instance now, and the copy gives way.
    await first.end('SIGTERM');
    await original.start();
    await until(async () => (await whoAnswers()) === 'original', 5_000, 'the original again');
    await second.said(SUPERSEDED, 5_000);
  });
});
