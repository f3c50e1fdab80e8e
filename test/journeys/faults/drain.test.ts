// A relay that is told to stop (F-2): what it has accepted it finishes, new visitors and the devices go
// to the process that takes its place, and nobody who was let in is turned away.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sample, startSample } from '../../../device-client/sample.ts';
import { Installation, ZONE } from '../../world/installation.ts';
import { within } from '../../world/program-process.ts';
import { SteadyVisitors, tally } from '../../world/steady-visitors.ts';
import {
  ask,
  begin,
  echo,
  keptConnection,
  openWebSocket,
  untilStatus,
} from '../../world/visits.ts';
import { startWorkspace } from '../../world/workspaces.ts';

let sample: Sample;
beforeAll(async () => {
  sample = await startSample();
});
afterAll(() => sample.stop());

async function served(drainSeconds: number, target: string) {
  const vendor = await Installation.make({ drainSeconds, more: 'accessLog: false\n' });
  const files = await vendor.device('alice', { code: target });
  const relay = await vendor.relay();
  const device = await files.start();
  const url = `https://code.alice.${ZONE}:${vendor.port}/`;
  await untilStatus(vendor, url, 200, 10_000);
  return { vendor, relay, device, url };
}

/** Responses of 1.5 s in 15 pieces, with and without a length; `/` answers at once. */
async function slowWorkspace() {
  return await startWorkspace((request, response) => {
    if (request.url === '/') response.end('quick');
    else void answerSlowly(response, request.url === '/sized');
  });
}

async function answerSlowly(response: ServerResponse, sized: boolean): Promise<void> {
  const pieces = Array.from({ length: 15 }, (_, index) => `piece ${index}\n`);
  if (sized) response.setHeader('content-length', pieces.join('').length);
  for (const piece of pieces) {
    response.write(piece);
    await pause(100);
  }
  response.end();
}

describe.concurrent('a relay that is told to stop', { timeout: 60_000 }, () => {
  it('F-2 is gone within a second when nobody is there', async () => {
    const { vendor, relay } = await served(30, sample.url);
    await using _ = vendor;
    const startedAtMs = performance.now();
    expect(await relay.end('SIGTERM')).toBe(0);
    // 0.5 s, and what a busy machine adds.
    expect(performance.now() - startedAtMs).toBeLessThan(2_000);
  });

  it('F-2 finishes every response that is under way, and ends each connection with it', async () => {
    await using workspace = await slowWorkspace();
    const { vendor, relay, url } = await served(20, workspace.target);
    await using _ = vendor;
    const slow = ['sized', 'chunked', 'sized', 'chunked'].map((path) => ask(vendor, url + path));
    const agent = keptConnection();
    expect((await ask(vendor, url, { agent })).headers.connection).not.toBe('close');
    const kept = ask(vendor, `${url}sized`, { agent });
    await pause(300);
    const startedAtMs = performance.now();
    const ended = relay.end('SIGTERM');
    const seen = await Promise.all([...slow, kept]);
    for (const { status, body } of seen) {
      expect([status, body.trim().split('\n').length]).toEqual([200, 15]);
    }
    expect(await ended).toBe(0);
    // Well before the 20 s that it may take: it waits for visitors, not for the clock.
    expect(performance.now() - startedAtMs).toBeLessThan(6_000);
  });

  it('F-2 says Connection: close on a kept connection, and lets it ask once more', async () => {
    const { vendor, relay, url } = await served(10, sample.url);
    await using _ = vendor;
    const agent = keptConnection();
    await ask(vendor, url, { agent });
    const ended = relay.end('SIGTERM');
    await relay.said(/^stopping$/, 5_000);
    const { status, headers } = await ask(vendor, url, { agent });
    expect([status, headers.connection]).toEqual([200, 'close']);
    expect(await ended).toBe(0);
  });

  it('F-2 lets WebSockets and event streams live until the deadline, and not longer', async () => {
    const { vendor, relay, url } = await served(4, sample.url);
    await using _ = vendor;
    const socket = await openWebSocket(vendor, `${url}ws`);
    const events = await begin(vendor, `${url}events`);
    events.on('error', () => undefined);
    const broken = once(events, 'aborted');
    await echo(socket, 'before', 5_000);
    const startedAtMs = performance.now();
    const closed = once(socket, 'close').then(() => performance.now() - startedAtMs);
    const ended = relay.end('SIGTERM');
    for (const text of ['one', 'two', 'three']) {
      await pause(700);
      expect(await echo(socket, text, 2_000)).toBe(text);
    }
    await within(broken, 10_000, 'the event stream to be cut');
    expect(await within(closed, 10_000, 'the close')).toBeGreaterThan(3_900);
    expect(await ended).toBe(0);
    expect(performance.now() - startedAtMs).toBeLessThan(8_000);
  });

  it('F-2 hands over to the process that takes its port: nobody who was let in is failed', async () => {
    await using workspace = await slowWorkspace();
    const { vendor, relay, device, url } = await served(20, workspace.target);
    await using _ = vendor;
    const fresh = new SteadyVisitors(vendor, url, { visitors: 6 });
    const kept = new SteadyVisitors(vendor, url, { visitors: 6, keepAlive: true });
    await pause(1_000);
    const long = [begin(vendor, `${url}chunked`), begin(vendor, `${url}sized`)];
    for (const each of await Promise.all(long)) each.resume().on('error', () => undefined);
    const stoppedAtMs = performance.now();
    const ended = relay.end('SIGTERM');
    const next = await vendor.relay();
    const servesMs = performance.now();
    const backMs = await untilStatus(vendor, url, 200, 10_000);
    expect(await ended).toBe(0);
    await pause(500);
    const outcomes = [...(await fresh.stop()), ...(await kept.stop())];
    const old = outcomes.filter(({ startedAtMs: at }) => at < stoppedAtMs);
    const meanwhile = outcomes.filter(({ startedAtMs: at }) => at >= stoppedAtMs && at < servesMs);
    // The old one answers all that it has accepted; when it takes no more, that is seen at once.
    expect(Object.keys(tally(old)).filter((key) => key !== '200' && key !== 'refused')).toEqual([]);
    expect(tally(old)['200']).toBeGreaterThan(50);
    expect(tally(meanwhile)['failed']).toBeUndefined();
    expect(tally(outcomes)['failed']).toBeUndefined();
    expect(backMs, `the new one serves after ${servesMs - stoppedAtMs}`).toBeLessThan(5_000);
    expect(next.count(/^tunnel: up$/)).toBeGreaterThan(0);
    expect(device.count(/about to stop, connecting elsewhere/)).toBe(2);
  });
});
