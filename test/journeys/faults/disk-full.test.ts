// The disk of the relay's state is full (F-6): tunnels and visitors go on, devices come back, a name that
// was never visited gets its certificate; and when there is room again, all is well without a restart.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Installation, ZONE } from '../../world/installation.ts';
import type { ProgramProcess } from '../../world/program-process.ts';
import { requires } from '../../world/requires.ts';
import { SmallDisk } from '../../world/small-disk.ts';
import { ask, until, untilStatus } from '../../world/visits.ts';
import { startWorkspace } from '../../world/workspaces.ts';

const need = requires('root', 'unshare', 'mount');

const DISK_BYTES = 2_097_152;

async function readiness(program: ProgramProcess): Promise<number> {
  const { ops } = await program.ready();
  return (await fetch(`${ops.url}/readyz`)).status;
}

describe.skipIf(need.skip)('a relay whose disk is full', { timeout: 60_000 }, () => {
  it('F-6 serves on, and is well again within 5 s of there being room', async () => {
    await using workspace = await startWorkspace('here');
    await using vendor = await Installation.make();
    const alice = await vendor.device('alice', { code: workspace.target });
    const bob = await vendor.device('bob', { code: workspace.target });
    const disk = new SmallDisk(join(vendor.folder, 'relay'), DISK_BYTES);
    const relay = await vendor.relay(disk.make);
    disk.belongsTo(relay);
    const device = await alice.start();
    const url = (name: string) => `https://code.${name}.${ZONE}:${vendor.port}/`;
    await untilStatus(vendor, url('alice'), 200, 10_000);

    disk.fill();
    expect((await ask(vendor, url('alice'))).status).toBe(200);
    // Another device of which there is no certificate yet, and one that comes back: a new epoch each.
    await bob.start();
    await untilStatus(vendor, url('bob'), 200, 10_000);
    await device.end('SIGKILL');
    await alice.start();
    await untilStatus(vendor, url('alice'), 200, 10_000);
    await relay.said(/^the registry has a fault; the last good snapshot goes on serving$/, 5_000);
    expect(relay.count(/could not be stored/)).toBeGreaterThan(0);
    expect([relay.running, await readiness(relay)]).toEqual([true, 200]);

    disk.makeRoom();
    await relay.said(/^the registry is well again$/, 5_000);
    await until(async () => (await ask(vendor, url('alice'))).status === 200, 5_000, 'an answer');
    expect(relay.log.filter(({ level }) => level >= 60)).toEqual([]);
    expect(await relay.end('SIGTERM')).toBe(0);
  });
});
