// One key in two places (U-10, F-22): the newest instance serves, the older one is closed, says so, and
// does not fight back, not even when it slept through it (F-21).
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { BACK_OFF } from '../../../device-client/back-off.ts';
import { LIMITS } from '../../../relay/protocol/limits.ts';
import { CLOSE } from '../../../relay/protocol/wire.ts';
import { DeviceFiles, Installation, ZONE } from '../../world/installation.ts';
import type { ProgramProcess } from '../../world/program-process.ts';
import { ask, until, untilStatus } from '../../world/visits.ts';
import { startWorkspace } from '../../world/workspaces.ts';

const SUPERSEDED = /copy of this key, and the relay serves that one now/;

/** A device, and somewhere else another one with its key. */
async function twoPlaces(vendor: Installation, targets: readonly [string, string]) {
  const original = await vendor.device('alice', { code: targets[0] });
  const copy = new DeviceFiles(vendor, 'copy');
  copy.write({ workspaces: { code: targets[1] }, key: original.keyFile });
  return { original, copy, url: `https://code.alice.${ZONE}:${vendor.port}/` };
}

async function bodyAt(vendor: Installation, url: string): Promise<string> {
  return (await ask(vendor, url).catch(() => ({ body: '' }))).body;
}

async function readiness(device: ProgramProcess): Promise<string> {
  const { ops } = await device.ready();
  const response = await fetch(`${ops.url}/readyz`);
  return `${response.status} ${await response.text()}`;
}

function epochOf(device: ProgramProcess): number {
  return Number(device.log.findLast(({ msg }) => msg === 'tunnel: up')?.['epoch']);
}

describe.concurrent('two devices with one key', { timeout: 90_000 }, () => {
  it('U-10 F-22 the newer one serves within 5 s; the older one says so and stays away', async () => {
    await using vendor = await Installation.make();
    await using one = await startWorkspace('original');
    await using other = await startWorkspace('copy');
    const { original, copy, url } = await twoPlaces(vendor, [one.target, other.target]);
    const relay = await vendor.relay();
    const first = await original.start();
    await until(async () => (await bodyAt(vendor, url)) === 'original', 10_000, 'the original');

    const startedAtMs = performance.now();
    const second = copy.run();
    await second.said(/^tunnel: up$/, 20_000);
    const upAtMs = performance.now();
    await until(async () => (await bodyAt(vendor, url)) === 'copy', 5_000, 'the copy');
    await first.said(SUPERSEDED, 5_000);
    expect(performance.now() - upAtMs, `from its start ${upAtMs - startedAtMs}`).toBeLessThan(
      5_000,
    );
    expect(epochOf(second)).toBeGreaterThan(epochOf(first));

    const closes = relay.log.flatMap(({ msg, code }) => (msg === 'tunnel: ended' ? [code] : []));
    expect(closes).toEqual([CLOSE.superseded, CLOSE.superseded]);
    expect(await readiness(first)).toMatch(SUPERSEDED);
    expect(await readiness(first)).toMatch(/^503/);
    expect(await readiness(second)).toMatch(/^200/);
    expect(relay.count(/Another instance of this device key has taken over/)).toBe(1);

    // Longer than the older one would wait before it dials again.
    await pause(3 * BACK_OFF.firstMs);
    expect(await bodyAt(vendor, url)).toBe('copy');
    expect(second.count(SUPERSEDED)).toBe(0);
    expect(relay.count(/^tunnel: up$/)).toBe(4);

    // Its owner starts it again: that is the newest instance now, and the copy gives way.
    await first.end('SIGTERM');
    await original.start();
    await until(
      async () => (await bodyAt(vendor, url)) === 'original',
      5_000,
      'the original again',
    );
    await second.said(SUPERSEDED, 5_000);
  });

  it('F-21 an older instance that slept through it does not take over when it wakes up', async () => {
    await using vendor = await Installation.make();
    await using one = await startWorkspace('original');
    await using other = await startWorkspace('copy');
    const { original, copy, url } = await twoPlaces(vendor, [one.target, other.target]);
    const relay = await vendor.relay();
    const first = await original.start();
    await until(async () => (await bodyAt(vendor, url)) === 'original', 10_000, 'the original');

    first.signal('SIGSTOP');
    // The relay has found it silent: nothing can tell the sleeper any more that it was superseded.
    await until(
      () => relay.count(/^tunnel: ended$/) === 2,
      LIMITS.deadAfterMs + 8_000,
      'the relay to find both tunnels silent',
    );
    const second = await copy.start();
    await until(async () => (await bodyAt(vendor, url)) === 'copy', 5_000, 'the copy');
    first.signal('SIGCONT');
    await first.said(SUPERSEDED, 20_000);
    expect(await bodyAt(vendor, url)).toBe('copy');
    expect(second.count(SUPERSEDED)).toBe(0);
    expect(await readiness(first)).toMatch(SUPERSEDED);
  });

  it('F-21 a device that slept alone is back within 5 s after it wakes up', async () => {
    await using vendor = await Installation.make();
    await using one = await startWorkspace('original');
    const { original, url } = await twoPlaces(vendor, [one.target, one.target]);
    const relay = await vendor.relay();
    const device = await original.start();
    await untilStatus(vendor, url, 200, 10_000);
    device.signal('SIGSTOP');
    await until(
      () => relay.count(/^tunnel: ended$/) === 2,
      LIMITS.deadAfterMs + 8_000,
      'the relay to find both tunnels silent',
    );
    expect((await ask(vendor, url)).status).toBe(503);
    device.signal('SIGCONT');
    expect(await untilStatus(vendor, url, 200, 20_000)).toBeLessThan(5_000);
    expect(epochOf(device)).toBe(1);
  });
});
