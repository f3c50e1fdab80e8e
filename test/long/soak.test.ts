// A vendor under mixed use for a while: short requests, kept connections, downloads that are given up,
// WebSockets, workspaces and devices that restart. Nothing may pile up: memory, descriptors, streams.
// WAYGATE_SOAK_MINUTES says for how long; ten minutes unless told.
import { readdirSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { startSample } from '../../device-client/sample.ts';
import { Installation, ZONE } from '../world/installation.ts';
import type { ProgramProcess } from '../world/program-process.ts';
import { SteadyVisitors, tally } from '../world/steady-visitors.ts';
import { begin, echo, openWebSocket, until, untilStatus } from '../world/visits.ts';
import { startWorkspace } from '../world/workspaces.ts';

const MINUTES = Number(process.env['WAYGATE_SOAK_MINUTES'] ?? 10);
const ROUND_MS = 5_000;
/** The heap needs rounds to find its size. */
const WARM_UP_SHARE = 0.4;

/** What stays may grow by so much: noise of the collector and of the allocator. */
const GROWTH_MAX = { heldMib: 10, residentMib: 40, descriptors: 2 } as const;

type Sample = Readonly<Record<keyof typeof GROWTH_MAX, number>>;

async function sampleOf(program: ProgramProcess): Promise<Sample> {
  const figures = await metrics(program);
  const mib = (name: string) => (figures.get(name) ?? Number.NaN) / 1_048_576;
  return {
    heldMib: mib('nodejs_heap_size_used_bytes') + mib('nodejs_external_memory_bytes'),
    residentMib: mib('process_resident_memory_bytes'),
    descriptors: readdirSync(`/proc/${program.pid}/fd`).length,
  };
}

/** The least of each: what stays when the garbage is gone. */
function floorOf(samples: readonly Sample[]): Sample {
  const least = (name: keyof Sample) => Math.min(...samples.map((sample) => sample[name]));
  return {
    heldMib: least('heldMib'),
    residentMib: least('residentMib'),
    descriptors: least('descriptors'),
  };
}

async function metrics(program: ProgramProcess): Promise<ReadonlyMap<string, number>> {
  const { ops } = await program.ready();
  const text = await (await fetch(`${ops.url}/metrics`)).text();
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  return new Map(lines.map((line) => [line.split(' ')[0] ?? '', Number(line.split(' ')[1])]));
}

describe('a soak', { timeout: (MINUTES + 5) * 60_000 }, () => {
  it(`F-13 F-14 grows nothing in ${MINUTES} minutes of mixed use`, async () => {
    const sample = await startSample();
    await using vendor = await Installation.make({ more: 'accessLog: false\n' });
    await using quick = await startWorkspace('quick');
    const files = await vendor.device('alice', { quick: quick.target, hello: sample.url });
    const restless = await vendor.device('bob', { quick: quick.target });
    const relay = await vendor.relay();
    const device = await files.start();
    let other = await restless.start();
    const at = (host: string) => `https://${host}.${ZONE}:${vendor.port}/`;
    await untilStatus(vendor, at('quick.alice'), 200, 10_000);
    const fresh = new SteadyVisitors(vendor, at('quick.alice'), { visitors: 3 });
    const kept = new SteadyVisitors(vendor, at('quick.alice'), { visitors: 3, keepAlive: true });
    const elsewhere = new SteadyVisitors(vendor, at('quick.bob'), { visitors: 1 });
    const samples: Record<'relay' | 'device', Sample[]> = { relay: [], device: [] };
    const endMs = performance.now() + MINUTES * 60_000;
    for (let round = 0; performance.now() < endMs; round++) {
      const socket = await openWebSocket(vendor, `${at('hello.alice')}ws`);
      await echo(socket, 'x'.repeat(100_000), 10_000);
      const download = await begin(vendor, `${at('hello.alice')}download?bytes=2000000000`);
      download.on('error', () => undefined);
      download.resume();
      await pause(ROUND_MS);
      download.destroy();
      socket.terminate();
      if (round % 6 === 5) {
        await other.end(round % 12 === 5 ? 'SIGKILL' : 'SIGTERM');
        other = await restless.start();
      }
      samples.relay.push(await sampleOf(relay));
      samples.device.push(await sampleOf(device));
    }
    const outcomes = [...(await fresh.stop()), ...(await kept.stop())];
    await elsewhere.stop();
    const streams = async () => (await metrics(relay)).get('waygate_streams');
    await until(async () => (await streams()) === 0, 30_000, 'no streams');
    expect((await metrics(device)).get('waygate_device_streams')).toBe(0);
    expect(Object.keys(tally(outcomes))).toEqual(['200']);
    const figures: string[] = [`${outcomes.length} requests`];
    for (const [name, all] of Object.entries(samples)) {
      const warm = all.slice(Math.floor(all.length * WARM_UP_SHARE));
      const half = Math.floor(warm.length / 2);
      const [early, late] = [floorOf(warm.slice(0, half)), floorOf(warm.slice(half))];
      figures.push(`${name}: ${JSON.stringify(early)} then ${JSON.stringify(late)}`);
      for (const key of ['heldMib', 'residentMib', 'descriptors'] as const) {
        expect(late[key] - early[key], figures.join('\n')).toBeLessThanOrEqual(GROWTH_MAX[key]);
      }
    }
    process.stderr.write(`${figures.join('\n')}\n`);
    expect([relay, device].flatMap(({ log }) => log.filter(({ level }) => level >= 50))).toEqual(
      [],
    );
    await sample.stop();
  });
});
