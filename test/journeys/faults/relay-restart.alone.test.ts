// F-1 with one relay: it dies without a word and is started again. The device comes back by itself, and
// what was under way is seen to be broken.

import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BACK_OFF } from '../../../device-client/back-off.ts';
import { type Sample, startSample } from '../../../device-client/sample.ts';
import { Installation, ZONE } from '../../world/installation.ts';
import { type ProgramProcess, within } from '../../world/program-process.ts';
import { readyLine, startTrial } from '../../world/trial.ts';
import { ask, begin, echo, openWebSocket, untilStatus } from '../../world/visits.ts';

/** From a relay that serves again to the first answer of a workspace (F-1). */
const BACK_WITHIN_MS = 5_000;

let sample: Sample;
beforeAll(async () => {
  sample = await startSample();
});
afterAll(() => sample.stop());

/** How a response ended: `whole`, or the code of the error. */
async function endOf(response: IncomingMessage): Promise<string> {
  try {
    for await (const _ of response);
    return 'whole';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}

function epochs(device: ProgramProcess): number[] {
  return device.log.flatMap(({ msg, epoch }) => (msg === 'tunnel: up' ? [Number(epoch)] : []));
}

describe.concurrent('a relay that is killed and started again', { timeout: 60_000 }, () => {
  it('F-1 has all its devices back within 5 s, with their names, keys and higher epochs', async () => {
    await using vendor = await Installation.make();
    const names = ['alice', 'bob', 'carol', 'dave', 'erin'];
    const devices = await Promise.all(
      names.map((name) => vendor.device(name, { hello: sample.url })),
    );
    const relay = await vendor.relay();
    const running = await Promise.all(devices.map((device) => device.start()));
    // A tunnel that breaks sooner is one that keeps breaking.
    await pause(BACK_OFF.stableMs + 500);
    const before = running.map((device) => Math.max(...epochs(device)));
    await relay.end('SIGKILL');
    await vendor.relay();
    const waits = names.map((name) =>
      untilStatus(vendor, `https://hello.${name}.${ZONE}:${vendor.port}/`, 200, 20_000),
    );
    const tookMs = (await Promise.all(waits)).map(Math.round);
    for (const [index, device] of running.entries()) {
      expect(Math.max(...epochs(device))).toBeGreaterThan(before[index] ?? 0);
    }
    expect(Math.max(...tookMs), `${tookMs} ms`).toBeLessThan(BACK_WITHIN_MS);
    expect(running.map((device) => device.running)).toEqual(names.map(() => true));
    expect(running.flatMap(({ log }) => log.filter(({ level }) => level >= 50))).toEqual([]);
  });

  it('H1-16 breaks what is under way so that everybody sees it', async () => {
    await using vendor = await Installation.make();
    const files = await vendor.device('alice', { hello: sample.url });
    const relay = await vendor.relay();
    await files.start();
    const url = `https://hello.alice.${ZONE}:${vendor.port}/`;
    const [sized, chunked] = [
      await begin(vendor, `${url}download?bytes=10000000000`),
      await begin(vendor, `${url}events`),
    ];
    const socket = await openWebSocket(vendor, `${url}ws`);
    await echo(socket, 'here', 5_000);
    await Promise.all([once(sized, 'readable'), once(chunked, 'readable')]);
    const closed = once(socket, 'close');
    await relay.end('SIGKILL');
    const ends = [endOf(sized), endOf(chunked)].map((end) => within(end, 5_000, 'the break'));
    expect(await Promise.all(ends)).toEqual(['ECONNRESET', 'ECONNRESET']);
    expect((await within(closed, 5_000, 'the close'))[0]).toBe(1006);
  });

  it('F-1 is started again by `waygate try`, and the device comes back', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'waygate-restart-'));
    const trial = startTrial(folder, '--port', '0', '--json');
    try {
      const ready = await readyLine(trial);
      const url = ready.workspaces['hello'] ?? '';
      const door = { ...ready.relay, caPem: readFileSync(ready.ca, 'utf8') };
      expect((await ask(door, url)).status).toBe(200);
      const running = await begin(door, `${url}download?bytes=10000000000`);
      const killedAtMs = performance.now();
      process.kill(ready.relay.pid, 'SIGKILL');
      expect(await endOf(running)).toBe('ECONNRESET');
      await untilStatus(door, url, 200, 20_000);
      expect(performance.now() - killedAtMs).toBeLessThan(BACK_WITHIN_MS);
    } finally {
      trial.child.kill('SIGTERM');
      await trial.ended;
      rmSync(folder, { recursive: true });
    }
  });
});
