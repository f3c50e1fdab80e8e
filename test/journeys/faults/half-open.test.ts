// The line between home and vendor goes dead without a word (F-4), or only for a moment (F-3), or a device
// sleeps (F-21). TCP alone would notice after a quarter of an hour. All of it in real time, side by side.

import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../relay/protocol/limits.ts';
import { Installation, ZONE } from '../../world/installation.ts';
import type { ProgramProcess } from '../../world/program-process.ts';
import { requires } from '../../world/requires.ts';
import { NETWORK_PROGRAMS, RELAY_ADDRESS, TwoNetworks } from '../../world/two-networks.ts';
import { epochOf, readiness, SUPERSEDED, twoPlaces } from '../../world/two-places.ts';
import { ask, begin, type Door, until, untilStatus } from '../../world/visits.ts';
import { startWorkspace } from '../../world/workspaces.ts';

const need = requires(...NETWORK_PROGRAMS);

/** A beat looks every `pulseMs`, and a busy machine is late. */
const NOTICED_WITHIN_MS = 30_000;

interface Apart extends AsyncDisposable {
  readonly networks: TwoNetworks;
  readonly relay: ProgramProcess;
  readonly device: ProgramProcess;
  readonly door: Door;
  readonly url: string;
}

/** A vendor in one network and a home in the other; both know only the line between them. */
async function apart(): Promise<Apart> {
  await using open = new AsyncDisposableStack();
  const vendor = open.use(await Installation.make({ address: RELAY_ADDRESS }));
  const networks = open.use(await TwoNetworks.make(vendor.folder));
  const workspace = open.use(
    await startWorkspace((request, response) => {
      response.write('first\n');
      const timer = setInterval(() => response.write('more\n'), 100);
      request.on('close', () => clearInterval(timer));
      if (request.url === '/') response.end();
    }, `${vendor.folder}/workspace.sock`),
  );
  const files = await vendor.device('alice', { code: workspace.target });
  const relay = await vendor.relay({ under: networks.inVendor });
  const device = await files.start({ under: networks.inHome });
  const door = { address: RELAY_ADDRESS, port: 443, path: networks.door, caPem: vendor.caPem };
  const url = `https://code.alice.${ZONE}/`;
  await untilStatus(door, url, 200, 10_000);
  const all = open.move();
  return { networks, relay, device, door, url, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

describe.skipIf(need.skip).concurrent('a line that goes dead', { timeout: 120_000 }, () => {
  it('F-4 both ends notice within 30 s, visitors are told, and it is mended within seconds', async () => {
    await using home = await apart();
    const { networks, relay, device, door, url } = home;
    networks.cut();
    const cutAtMs = performance.now();
    const since = (line: Promise<unknown>) => line.then(() => performance.now() - cutAtMs);
    const [relayMs, deviceMs] = await Promise.all([
      since(until(() => relay.count(/^tunnel: ended$/) === 2, NOTICED_WITHIN_MS, 'the relay')),
      since(until(() => device.count(/^tunnel: ended$/) === 2, NOTICED_WITHIN_MS, 'the device')),
    ]);
    for (const ms of [relayMs, deviceMs]) expect(ms).toBeGreaterThan(LIMITS.deadAfterMs / 2);
    const page = await ask(door, url, { headers: { accept: 'text/html' } });
    expect([page.status, page.body]).toEqual([503, expect.stringContaining('away since')]);
    expect(relay.log.filter(({ msg }) => msg === 'tunnel: ended').map(({ code }) => code)).toEqual([
      4004, 4004,
    ]);
    networks.mend();
    const mendedMs = await untilStatus(door, url, 200, 20_000);
    // The device is dialling or about to; a SYN that was lost is repeated after 1, 3 and 7 s.
    expect(mendedMs, `noticed ${relayMs}, ${deviceMs}; mended ${mendedMs}`).toBeLessThan(10_000);
  });

  it('F-3 gaps of 1, 5 and 10 s without a packet cost neither tunnel nor streams', async () => {
    await using home = await apart();
    const { networks, relay, device, door, url } = home;
    const stream = await begin(door, `${url}stream`);
    let bytes = 0;
    let broken = false;
    stream.on('data', (piece: Buffer) => {
      bytes += piece.length;
    });
    stream.on('error', () => {
      broken = true;
    });
    await until(() => bytes > 20, 5_000, 'the stream to flow');
    for (const gapMs of [1_000, 5_000, 10_000]) {
      networks.cut();
      await pause(gapMs);
      networks.mend();
      const before = bytes;
      const flowsMs = await until(() => bytes > before + 20, 20_000, 'the stream to flow again');
      expect([gapMs, broken]).toEqual([gapMs, false]);
      const ended = [relay, device].map((program) => program.count(/^tunnel: ended$/));
      expect([gapMs, ended]).toEqual([gapMs, [0, 0]]);
      expect((await ask(door, url)).status).toBe(200);
      // TCP repeats what was lost after at most as long as the line was dead, and a bit.
      expect(flowsMs).toBeLessThan(gapMs + 3_000);
    }
    stream.destroy();
  });
});

describe.concurrent('a device that sleeps', { timeout: 120_000 }, () => {
  const asleep = (relay: ProgramProcess): Promise<number> =>
    until(() => relay.count(/^tunnel: ended$/) === 2, NOTICED_WITHIN_MS + 5_000, 'its silence');

  it('F-21 is back within 5 s after it wakes up, as the same instance', async () => {
    await using vendor = await Installation.make();
    await using places = await twoPlaces(vendor);
    const relay = await vendor.relay();
    const device = await places.original.start();
    await until(async () => (await places.whoAnswers()) === 'original', 10_000, 'the original');
    device.signal('SIGSTOP');
    await asleep(relay);
    expect(await places.whoAnswers()).toBe('');
    device.signal('SIGCONT');
    const back = async () => (await places.whoAnswers()) === 'original';
    expect(await until(back, 20_000, 'the original again')).toBeLessThan(5_000);
    expect(epochOf(device)).toBe(1);
  });

  it('F-21 F-22 does not take over from a newer instance when it wakes up', async () => {
    await using vendor = await Installation.make();
    await using places = await twoPlaces(vendor);
    const relay = await vendor.relay();
    const first = await places.original.start();
    await until(async () => (await places.whoAnswers()) === 'original', 10_000, 'the original');
    first.signal('SIGSTOP');
    // The relay has found it silent: nothing can tell the sleeper any more that it was superseded.
    await asleep(relay);
    const second = await places.copy.start();
    await until(async () => (await places.whoAnswers()) === 'copy', 5_000, 'the copy');
    first.signal('SIGCONT');
    await first.said(SUPERSEDED, 20_000);
    expect(await places.whoAnswers()).toBe('copy');
    expect(second.count(SUPERSEDED)).toBe(0);
    expect(await readiness(first)).toMatch(SUPERSEDED);
  });
});
