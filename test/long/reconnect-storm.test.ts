// F-12, F-1: a relay that dies has two thousand tunnels. All of them are back soon after it is, jittered,
// within its own bounds, and a visitor of one device hardly notices the storm of the others.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { BACK_OFF } from '../../device-client/back-off.ts';
import type { FleetMessage, RelayTold } from '../world/fleet.ts';
import { Installation, ZONE } from '../world/installation.ts';
import { within } from '../world/program-process.ts';
import { untilStatus } from '../world/visits.ts';
import { startWorkspace } from '../world/workspaces.ts';

const DEVICES = 1_000;
const WITHIN_MS = 120_000;
/** All of them come from one address here. */
const SETTINGS = 'accessLog: false\nlimits: { connectionsPerAddress: 10000 }\n';

async function told<Event extends FleetMessage['event']>(
  fleet: ChildProcess,
  event: Event,
): Promise<Extract<FleetMessage, { event: Event }>> {
  const wait = async () => {
    for (;;) {
      const [message]: Extract<FleetMessage, { event: Event }>[] = await once(fleet, 'message');
      if (message?.event === event) return message;
    }
  };
  return await within(wait(), WITHIN_MS, `${event} from the fleet`);
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
}

describe('a storm', { timeout: 400_000 }, () => {
  it(`F-12 has ${2 * DEVICES} tunnels back after the death of their relay`, async () => {
    await using vendor = await Installation.make({ more: SETTINGS });
    await using workspace = await startWorkspace('here');
    const witness = await vendor.device('witness', { code: workspace.target });
    const registry = `${vendor.folder}/relay/registry.sqlite`;
    const fleet = spawn(
      process.execPath,
      [resolve('test/world/fleet.ts'), String(DEVICES), registry],
      { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
    );
    try {
      await told(fleet, 'enrolled');
      let relay = await vendor.relay();
      await witness.start();
      const relayTold: RelayTold = {
        url: `wss://tunnel.${ZONE}:${vendor.port}/`,
        vendorKey: vendor.vendorKey.text,
        caPem: vendor.caPem,
        address: vendor.address,
      };
      fleet.send(relayTold);
      const { tookMs } = await told(fleet, 'up');
      const figures = [`first: all tunnels up after ${Math.round(tookMs)} ms`];
      for (let round = 0; round < 3; round++) {
        await pause(BACK_OFF.stableMs + 2_000);
        const back = told(fleet, 'back');
        const killedAtMs = performance.now();
        await relay.end('SIGKILL');
        relay = await vendor.relay();
        const servesMs = performance.now() - killedAtMs;
        const url = `https://code.witness.${ZONE}:${vendor.port}/`;
        const witnessMs = await untilStatus(vendor, url, 200, 60_000);
        const { devicesMs, tunnelsMs } = await back;
        expect(devicesMs).toHaveLength(DEVICES);
        const [p50, p99, max] = [0.5, 0.99, 1].map((share) => percentile(devicesMs, share));
        figures.push(
          `relay serves after ${Math.round(servesMs)} ms; devices back after p50 ${p50}, ` +
            `p99 ${p99}, max ${max} ms; all tunnels after ${Math.round(tunnelsMs)} ms; ` +
            `the witness after ${Math.round(servesMs + witnessMs)} ms`,
        );
        // F-1 wants 5 s for a relay with a machine of its own; here the fleet has half of it.
        expect(p99, figures.join('\n')).toBeLessThan(10_000);
        expect(tunnelsMs, figures.join('\n')).toBeLessThan(20_000);
        expect(relay.log.filter(({ level }) => level >= 50)).toEqual([]);
      }
      process.stderr.write(`${figures.join('\n')}\n`);
    } finally {
      fleet.kill('SIGKILL');
    }
  });
});
