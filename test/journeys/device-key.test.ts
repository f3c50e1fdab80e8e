// A device takes a new key, whatever ends the program that does it and whenever; and a device whose
// software the vendor does not admit any more.
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DeviceApi } from '../../device-client/api.ts';
import { nextKeyFile } from '../../device-client/rotation.ts';
import { parseHostname } from '../../dns/name.ts';
import { loadOrCreateKey } from '../../relay/protocol/key.ts';
import { signKeyRotation } from '../../relay/protocol/key-rotation.ts';
import { type DeviceFiles, Installation, ZONE } from '../world/installation.ts';
import type { ProgramProcess } from '../world/program-process.ts';
import { jsonOf, runVerb, Verb } from '../world/verb.ts';
import { ask, until, untilStatus } from '../world/visits.ts';
import { startWorkspace, type Workspace } from '../world/workspaces.ts';

const WAIT_MS = 40_000;

let vendor: Installation;
let workspace: Workspace;

beforeAll(async () => {
  vendor = await Installation.make();
  workspace = await startWorkspace('hello from home');
  await vendor.relay();
}, 90_000);
afterAll(async () => {
  await vendor[Symbol.asyncDispose]();
  await workspace[Symbol.asyncDispose]();
});

const url = (name: string) => `https://code.${name}.${ZONE}:${vendor.port}/`;
const config = (files: DeviceFiles) => ['--config', files.configFile];
const device = (name: string) => vendor.device(name, { code: workspace.target });

async function keyOf(files: DeviceFiles): Promise<string> {
  return (await loadOrCreateKey(files.keyFile, 'device')).publicKey.text;
}

/** The device has one key, which is not the old one, and serves with it. */
async function expectRotated(files: DeviceFiles, before: string): Promise<void> {
  await until(() => !existsSync(nextKeyFile(files.keyFile)), WAIT_MS, 'one key file');
  const key = await keyOf(files);
  expect(key).not.toBe(before);
  expect(await jsonOf('device', 'status', ...config(files))).toMatchObject({
    deviceKey: key,
    enrolled: true,
    names: [{ name: files.name, state: 'held' }],
  });
}

/** What `rotate-key` has done when it is killed before its last step. */
async function tellRelay(files: DeviceFiles): Promise<void> {
  const host = parseHostname(`tunnel.${ZONE}`);
  if (host === undefined) throw new Error('unreachable');
  const deviceKey = await loadOrCreateKey(files.keyFile, 'device');
  const next = await loadOrCreateKey(nextKeyFile(files.keyFile), 'device');
  const { vendorKey, address, caPem: ca, port } = vendor;
  const relay = { url: new URL(`wss://tunnel.${ZONE}:${port}/`), vendorKey, address, ca };
  const api = new DeviceApi({ relay, deviceKey, software: 'test/1' });
  const oldThumbprint = deviceKey.publicKey.thumbprint;
  const proof = await signKeyRotation({ host, oldThumbprint }, next);
  await api.ask('POST', '/v1/device/key', { newKey: next.publicKey.text, proof });
}

describe('a device takes a new key', { timeout: 120_000 }, () => {
  it('while it runs, and goes on with it by itself; the old key is barred', async () => {
    const files = await device('karin');
    const program = await files.start();
    await untilStatus(vendor, url('karin'), 200, WAIT_MS);
    const before = await keyOf(files);
    const oldPem = readFileSync(files.keyFile, 'utf8');
    expect(await jsonOf('device', 'rotate-key', ...config(files))).toEqual({
      deviceKey: expect.stringMatching(/^waygate-device:/),
    });
    await program.said(/^this device has a new key$/, WAIT_MS);
    await untilStatus(vendor, url('karin'), 200, WAIT_MS);
    await expectRotated(files, before);
    expect(readFileSync(files.keyFile, 'utf8')).not.toBe(oldPem);
    expect(program.running).toBe(true);
    expect(program.count(/revoked the key of this device, for ever/)).toBe(0);
    const history = await jsonOf(
      ...['relay', 'history', '--config', vendor.relayConfig, '--name', 'karin'],
    );
    expect(history).toMatchObject([{ what: 'key-rotated' }, { what: 'enrolled' }]);
  });

  it('when the power fails before the relay was told', async () => {
    const files = await device('klara');
    const before = await keyOf(files);
    await loadOrCreateKey(nextKeyFile(files.keyFile), 'device');
    await files.start();
    await untilStatus(vendor, url('klara'), 200, WAIT_MS);
    await expectRotated(files, before);
  });

  it('when the power fails after the relay was told', async () => {
    const files = await device('knut');
    const before = await keyOf(files);
    await tellRelay(files);
    await files.start();
    await untilStatus(vendor, url('knut'), 200, WAIT_MS);
    await expectRotated(files, before);
  });

  it('after the power failed, with the relay away at the next start', async () => {
    const files = await device('kuno');
    const before = await keyOf(files);
    await tellRelay(files);
    files.write({ workspaces: { code: workspace.target }, address: '127.0.0.9' });
    const lost = files.run();
    await lost.said(/^A rotation of the key is not finished\./, WAIT_MS);
    await lost.end('SIGKILL');
    files.write({ workspaces: { code: workspace.target } });
    await files.start();
    await expectRotated(files, before);
  });

  it('killed at any moment: the same command finishes it', async () => {
    const files = await device('kai');
    const command = ['device', 'rotate-key', ...config(files)];
    const startedAtMs = performance.now();
    let before = await keyOf(files);
    await using whole = new Verb(command);
    expect((await whole.outcome()).code).toBe(0);
    const wholeMs = performance.now() - startedAtMs;
    await expectRotated(files, before);
    for (const share of [0.6, 0.8, 0.95]) {
      before = await keyOf(files);
      const verb = new Verb(command);
      await pause(share * wholeMs);
      verb.child.kill('SIGKILL');
      await verb.ended;
      const { code, stderr } = await runVerb(...command);
      expect([share, code, stderr]).toEqual([share, 0, '']);
      await expectRotated(files, before);
    }
  });

  it('not when the relay does not know it', async () => {
    const files = await device('kira');
    files.write({ workspaces: { code: workspace.target }, key: `${files.keyFile}.stranger` });
    const { code, stderr } = await runVerb('device', 'rotate-key', ...config(files));
    expect([code, stderr]).toEqual([1, expect.stringContaining('Claim a name first')]);
    expect(existsSync(nextKeyFile(`${files.keyFile}.stranger`))).toBe(false);
  });
});

describe('a device with software that is refused', { timeout: 120_000 }, () => {
  it('says what it has, what it needs and where that is found, and waits', async () => {
    const more =
      'devices: { minimumVersion: 99.1.0, refused: ["acme/<2.0.0"], updateUrl: "https://vendor.dev/new" }\n';
    await using strict = await Installation.make({ more });
    const relay = await strict.relay();
    const files = await strict.device('sven', { code: workspace.target });
    const program: ProgramProcess = files.run();
    const { msg } = await program.said(/^The relay refuses this version of the software/, WAIT_MS);
    expect(msg).toMatch(/ It is \d+\.\d+\.\d+\. At least 99\.1\.0 is needed\./);
    expect(msg).toContain('https://vendor.dev/new');
    await relay.said(/^a device runs software that is refused/, WAIT_MS);
    await program.said(/^tunnel: connecting again$/, WAIT_MS);
    const waits = program.log.filter(({ waitMs }) => typeof waitMs === 'number');
    for (const { waitMs } of waits) expect(waitMs).toBeGreaterThan(600_000);
    expect(program.running).toBe(true);
    const { ops } = await relay.ready();
    const metrics = await (await fetch(`${ops.url}/metrics`)).text();
    expect(metrics).toMatch(/waygate_hellos\{outcome="ERR_HELLO_SOFTWARE"\} [1-9]/);
    const status = await runVerb('device', 'status', ...config(files));
    expect([status.code, status.stderr]).toEqual([1, expect.stringContaining('99.1.0')]);
  });

  it('is known to the relay by what it last ran', async () => {
    const files = await device('sonja');
    await files.start();
    await untilStatus(vendor, url('sonja'), 200, WAIT_MS);
    expect((await ask(vendor, url('sonja'))).status).toBe(200);
    const names = () => jsonOf('relay', 'names', '--config', vendor.relayConfig, '--name', 'sonja');
    const told = async () => JSON.stringify(await names()).includes('"software":"waygate/');
    await until(told, WAIT_MS, 'the software to be known');
  });
});
