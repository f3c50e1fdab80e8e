// The disk of the registry is full while names are wanted: whoever asks for a change is told, nothing is
// half-done, and what exists is served by relay and name server. With room, all goes on by itself.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DeviceFiles, Installation, ZONE } from '../../world/installation.ts';
import { TestNameServer } from '../../world/name-server.ts';
import { SignedInOwner } from '../../world/owner.ts';
import type { ProgramProcess } from '../../world/program-process.ts';
import { requires } from '../../world/requires.ts';
import { SmallDisk } from '../../world/small-disk.ts';
import { runVerb, Verb } from '../../world/verb.ts';
import type { VerbOutcome } from '../../world/verb-host.ts';
import { ask, until, untilStatus } from '../../world/visits.ts';
import { startWorkspace, type Workspace } from '../../world/workspaces.ts';

const need = requires('dig', 'root', 'unshare', 'mount', 'nsenter');

/** Above the 4 MB that SQLite's log grows to by itself. */
const DISK_BYTES = 16_777_216;
const WAIT_MS = 20_000;

let workspace: Workspace;
beforeAll(async () => {
  workspace = await startWorkspace('here');
});
afterAll(() => workspace[Symbol.asyncDispose]());

interface Scene {
  readonly vendor: Installation;
  readonly disk: SmallDisk;
  readonly dns: TestNameServer;
  readonly owner: SignedInOwner;
  readonly alice: DeviceFiles;
  readonly bob: DeviceFiles;
}

const url = ({ vendor }: Scene, name: string) => `https://code.${name}.${ZONE}:${vendor.port}/`;
const config = (files: DeviceFiles) => ['--config', files.configFile];

/** A verb of the vendor, who sees the disk. */
function vendorSays({ vendor, disk }: Scene, ...words: readonly string[]): Promise<VerbOutcome> {
  const [verb = '', ...more] = words;
  const command = ['relay', verb, '--config', vendor.relayConfig, '--json', ...more];
  return new Verb(command, disk.enter).outcome();
}

function stranger(vendor: Installation, name: string, more = ''): DeviceFiles {
  const files = new DeviceFiles(vendor, name);
  files.write({ workspaces: { code: workspace.target }, more });
  return files;
}

/** All that is told of names, and the zone. */
async function state(scene: Scene): Promise<unknown> {
  const listings = ['names', 'history'].map(async (listing) => {
    const { code, stdout } = await vendorSays(scene, listing);
    expect(code).toBe(0);
    // When a device was seen last is no change of a name.
    return JSON.parse(stdout, (key, value) => (key.includes('een') ? undefined : value));
  });
  return Promise.all([...listings, scene.dns.transfer('AXFR', '+noall', '+answer')]);
}

async function expectRefused(scene: Scene, code: string): Promise<void> {
  const { vendor, owner, alice } = scene;
  const key = await stranger(vendor, 'carol').makeKey();
  const refused = await Promise.all([
    vendorSays(scene, 'order', '--name', 'carol'),
    vendorSays(scene, 'rename', 'alicia', '--name', 'alice'),
    vendorSays(scene, 'enroll', '--name', 'carol', '--device-key', key.text),
  ]);
  const file = join(vendor.folder, 'relay/registry.sqlite');
  for (const { code: exit, stderr, stdout } of refused) {
    expect([exit, stdout]).toEqual([1, '']);
    expect(stderr).toContain(`There is no room on the disk for the registry ${file}. Make room.`);
  }
  const approved = await owner.approve(code, 'dave');
  expect(approved).toMatchObject({
    status: 503,
    json: { type: 'urn:waygate:problem:registry-unavailable', next: 'Try again in a minute.' },
  });
  const verbs = [['rename', 'alicia'], ['claim'], ['release', 'alice', '--yes']];
  const said = /Nothing about names can be changed.*Try again in a minute/;
  for (const each of await Promise.all(
    verbs.map((words) => runVerb('device', ...words, ...config(alice))),
  )) {
    expect(each).toMatchObject({ code: 1, stderr: expect.stringMatching(said) });
  }
}

async function expectServed(scene: Scene, relay: ProgramProcess): Promise<void> {
  expect((await ask(scene.vendor, url(scene, 'alice'))).status).toBe(200);
  expect(await scene.dns.short(`code.alice.${ZONE}`, 'A')).toEqual(['127.0.0.1', `edge.${ZONE}.`]);
  const { ops } = await relay.ready();
  expect((await fetch(`${ops.url}/readyz`)).status).toBe(200);
}

describe.skipIf(need.skip)('a registry whose disk is full', { timeout: 120_000 }, () => {
  it('F-6 refuses every change of names and says why; the rest goes on, and so does all with room', async () => {
    await using vendor = await Installation.make();
    await using dns = await TestNameServer.make(vendor);
    const disk = new SmallDisk(join(vendor.folder, 'relay'), DISK_BYTES);
    const scene: Scene = {
      ...{ vendor, disk, dns },
      alice: await vendor.device('alice', { code: workspace.target }),
      bob: await vendor.device('bob', { code: workspace.target }),
      owner: await SignedInOwner.make(vendor, 'dave@example.org'),
    };
    const relay = await vendor.relay(disk.make);
    disk.belongsTo(relay);
    const nameServer = await dns.start(disk.enter);
    const [alice, bob] = [await scene.alice.start(), await scene.bob.start()];
    for (const name of ['alice', 'bob']) await untilStatus(vendor, url(scene, name), 200, WAIT_MS);
    const { stdout: ordered } = await vendorSays(scene, 'order', '--name', 'eve');
    const codeFile = join(vendor.folder, 'eve.code');
    writeFileSync(codeFile, JSON.parse(ordered).code);
    const dave = stranger(vendor, 'dave');
    await using claim = new Verb(['device', 'claim', ...config(dave), '--json']);
    const code = String((await claim.event('opened'))['code']);
    const before = await state(scene);

    disk.fill();
    await expectRefused(scene, code);
    await expectServed(scene, relay);
    await bob.end('SIGKILL');
    await scene.bob.start();
    await untilStatus(vendor, url(scene, 'bob'), 200, WAIT_MS);
    const eve = stranger(vendor, 'eve', `claim: { codeFile: "${codeFile}" }\n`).run();
    await eve.said(/was not redeemed\. Nothing about names can be changed/, WAIT_MS);
    expect(await state(scene)).toEqual(before);
    expect(claim.child.exitCode).toBe(null);
    const told = await relay.said(/^the registry has a fault/, WAIT_MS);
    expect(JSON.stringify(told)).toContain('There is no room on the disk');

    disk.makeRoom();
    await relay.said(/^the registry is well again$/, WAIT_MS);
    const done = { status: 200, json: { state: 'bound', name: 'dave' } };
    expect(await scene.owner.approve(code, 'dave')).toEqual(done);
    expect(await claim.event('approved')).toMatchObject({ name: 'dave' });
    expect(await runVerb('device', 'rename', 'alicia', ...config(scene.alice))).toMatchObject({
      code: 0,
    });
    expect(await vendorSays(scene, 'order', '--name', 'carol')).toMatchObject({ code: 0 });
    for (const name of ['eve', 'alicia']) await untilStatus(vendor, url(scene, name), 200, WAIT_MS);
    for (const name of ['dave', 'eve', 'alicia']) {
      const served = async () => (await dns.rcode(`code.${name}.${ZONE}`)) === 'NOERROR';
      await until(served, WAIT_MS, `${name} in the zone`);
    }
    for (const program of [relay, nameServer, alice]) {
      expect(program.running).toBe(true);
      expect(program.log.filter(({ level }) => level >= 60)).toEqual([]);
    }
    expect(alice.count(/^tunnel: ended/)).toBe(0);
  });
});
