// How a device comes by a name, and what becomes of it: claimed by a short code, ordered before its
// first boot, changed, defended, given up. Real programs; the owner acts by the portal's API.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sample, startSample } from '../../device-client/sample.ts';
import { DeviceFiles, Installation, ZONE } from '../world/installation.ts';
import { SignedInOwner } from '../world/owner.ts';
import type { ProgramProcess } from '../world/program-process.ts';
import { jsonOf, runVerb, Verb } from '../world/verb.ts';
import { ask, echo, openWebSocket, until, untilStatus } from '../world/visits.ts';
import { startWorkspace, type Workspace } from '../world/workspaces.ts';

const WAIT_MS = 40_000;

let vendor: Installation;
let relay: ProgramProcess;
let workspace: Workspace;
let sample: Sample;

beforeAll(async () => {
  vendor = await Installation.make();
  workspace = await startWorkspace('hello from home');
  sample = await startSample();
  relay = await vendor.relay();
}, 90_000);
afterAll(async () => {
  await vendor[Symbol.asyncDispose]();
  await workspace[Symbol.asyncDispose]();
  await sample.stop();
});

/** The files of a device that the vendor does not know. */
function stranger(name: string, more = ''): DeviceFiles {
  const files = new DeviceFiles(vendor, name);
  files.write({ workspaces: { code: workspace.target, echo: sample.url }, more });
  return files;
}

/** A running device that has claimed this name for this owner. */
async function claimed(owner: SignedInOwner, name: string): Promise<[DeviceFiles, ProgramProcess]> {
  const files = stranger(name);
  await using claim = new Verb(['device', 'claim', '--config', files.configFile, '--json']);
  const { code } = await claim.event('opened');
  expect(await owner.approve(code, name)).toMatchObject({ status: 200, json: { state: 'bound' } });
  await claim.event('approved');
  return [files, await files.start()];
}

const url = (hostname: string, target = '/') =>
  `https://${hostname}.${ZONE}:${vendor.port}${target}`;
/** The head of the answer over HTTP/2. */
async function askHttp2(address: string): Promise<IncomingHttpHeaders> {
  const { hostname, origin, pathname, search } = new URL(address);
  const { address: host, port, caPem: ca } = vendor;
  const session = connectHttp2(origin, {
    createConnection: () =>
      connectTls({ host, port, ca, servername: hostname, ALPNProtocols: ['h2'] }),
  });
  const stream = session.request({ ':path': pathname + search });
  const [head] = await once(stream, 'response');
  session.destroy();
  return head;
}

const config = (files: DeviceFiles) => ['--config', files.configFile];

describe('a device is claimed', { timeout: 120_000 }, () => {
  it('by a short code that its owner confirms, over a restart of the relay; it comes up by itself', async () => {
    const owner = await SignedInOwner.make(vendor, 'alice@example.org');
    const files = stranger('alice');
    const device = files.run();
    const { msg } = await device.said(/^This device key is not enrolled/, WAIT_MS);
    expect(msg).toContain('waygate device claim');
    await using claim = new Verb([
      'device',
      'claim',
      ...config(files),
      '--json',
      '--name',
      'alice',
    ]);
    const opened = await claim.event('opened');
    expect(opened).toEqual({
      event: 'opened',
      code: expect.stringMatching(/^[0-9A-Z]{4}-[0-9A-Z]{4}$/),
      url: `https://my.${ZONE}:${vendor.port}/claim?code=${opened['code']}`,
      thumbprint: expect.stringMatching(/^[\w-]{43}$/),
      expiresInSeconds: expect.any(Number),
    });
    await relay.end('SIGKILL');
    await claim.said(/Nothing listens at .* Waiting\./);
    relay = await vendor.relay();
    expect(await owner.approve(opened['code'], 'alice')).toEqual({
      status: 200,
      json: { state: 'bound', name: 'alice' },
    });
    expect(await claim.event('approved')).toEqual({
      event: 'approved',
      name: 'alice',
      names: ['alice'],
    });
    expect((await claim.outcome()).code).toBe(0);
    await untilStatus(vendor, url('code.alice'), 200, WAIT_MS);
    expect((await ask(vendor, url('code.alice'))).body).toBe('hello from home');
    expect(device.count(/^This device key is not enrolled/)).toBe(1);
    const names = await jsonOf('relay', 'names', '--config', vendor.relayConfig, '--name', 'alice');
    expect(names).toMatchObject([{ name: 'alice', state: 'held', owner: owner.id }]);
  });

  it('not with a code that is wrong, and not after somebody has said no', async () => {
    const owner = await SignedInOwner.make(vendor, 'nora@example.org');
    const files = stranger('nora');
    await using claim = new Verb(['device', 'claim', ...config(files)]);
    const [, code] = await claim.printed(/^code (\S+)$/m);
    await claim.printed(/^url https:\S+$/m);
    const [, shown] = await claim.printed(/^key (\S+)$/m);
    expect((await owner.post('/v1/claims/look', { code })).json).toMatchObject({ device: shown });
    expect((await owner.approve('0000-0000', 'nora')).status).toBe(404);
    expect((await owner.post('/v1/claims/deny', { code })).status).toBe(204);
    const { code: exit, stdout, stderr } = await claim.outcome();
    expect([exit, stdout.includes('name ')]).toEqual([1, false]);
    expect(stderr).toContain('The claim was refused on the portal.');
  });
});

describe('a device that was ordered', { timeout: 120_000 }, () => {
  const orderOf = (...words: string[]) =>
    jsonOf('relay', 'order', '--config', vendor.relayConfig, ...words);

  it('has its name at its first boot, without a person, and keeps it at the next', async () => {
    const ordered = await orderOf('--name', 'olga', '--serial', 'SN-7', '--expires-days', '30');
    expect(ordered).toMatchObject({ name: 'olga', serial: 'SN-7' });
    const { code, expiresAt } = ordered as Readonly<Record<string, string>>;
    expect(code).toMatch(/^WG(-[0-9A-Z]{5}){4}$/);
    expect(Date.parse(expiresAt ?? '') - Date.now()).toBeLessThan(31 * 86_400_000);
    const codeFile = join(vendor.folder, 'olga.code');
    writeFileSync(codeFile, `${code}\n`);
    const files = stranger('olga', `claim: { codeFile: "${codeFile}", serial: SN-7 }\n`);
    const device = await files.start();
    await untilStatus(vendor, url('code.olga'), 200, WAIT_MS);
    expect(device.count(/not enrolled/)).toBe(0);
    await device.end('SIGTERM');
    const again = await files.start();
    await untilStatus(vendor, url('code.olga'), 200, WAIT_MS);
    expect(again.count(/first boot/)).toBe(0);
  });

  it('says once that its code is wrong, goes on waiting, and comes up with the right one', async () => {
    const codeFile = join(vendor.folder, 'otto.code');
    writeFileSync(codeFile, 'WG-00000-00000-00000-00000');
    const device = stranger('otto', `claim: { codeFile: "${codeFile}" }\n`).run();
    const { msg } = await device.said(/^The code in .* was not redeemed/, WAIT_MS);
    expect(msg).toMatch(/mistyped, used, expired.*ask the vendor for another one/);
    await device.said(/^tunnel: connecting again/, WAIT_MS);
    const { code } = (await orderOf('--name', 'otto')) as Readonly<Record<string, string>>;
    writeFileSync(codeFile, code ?? '');
    await untilStatus(vendor, url('code.otto'), 200, WAIT_MS);
    expect(device.count(/was not redeemed/)).toBe(1);
    expect(device.running).toBe(true);
  });
});

describe('a name', { timeout: 120_000 }, () => {
  it('is changed: the old one leads to it, whatever is asked; running streams are unharmed', async () => {
    const owner = await SignedInOwner.make(vendor, 'rita@example.org');
    const [files, device] = await claimed(owner, 'rita');
    const socket = await openWebSocket(vendor, url('echo.rita', '/ws'));
    expect(await echo(socket, 'before', WAIT_MS)).toBe('before');
    const renamed = await jsonOf('device', 'rename', 'roberta', ...config(files));
    expect(renamed).toMatchObject({ name: 'roberta', former: 'rita' });
    await untilStatus(vendor, url('code.roberta'), 200, WAIT_MS);
    expect(await echo(socket, 'after', WAIT_MS)).toBe('after');
    const target = '/a/b?c=d&e=%2F';
    for (const method of ['GET', 'POST', 'HEAD']) {
      const { status, headers } = await ask(vendor, url('code.rita', target), { method });
      expect([method, status, headers.location]).toEqual([
        method,
        308,
        url('code.roberta', target),
      ]);
      expect(headers['cache-control']).toBe('max-age=60');
    }
    const upgrade = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
    const asked = { ...upgrade, 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' };
    const refused = await ask(vendor, url('echo.rita', '/ws'), { headers: asked });
    expect([refused.status, refused.headers.location]).toEqual([308, url('echo.roberta', '/ws')]);
    expect((await ask(vendor, url('rita'))).headers.location).toBe(url('roberta'));
    expect(await askHttp2(url('code.rita', target))).toMatchObject({
      ':status': 308,
      location: url('code.roberta', target),
    });
    // By the tunnel that is up: nothing was connected anew.
    await device.said(/^the names of this device have changed$/, WAIT_MS);
    expect(device.count(/^tunnel: (ended|connecting again)/)).toBe(0);
    expect(await jsonOf('device', 'status', ...config(files))).toMatchObject({
      enrolled: true,
      names: [
        { name: 'roberta', state: 'held' },
        { name: 'rita', state: 'former', successor: 'roberta', until: expect.any(String) },
      ],
      recoveries: [],
    });
    expect(await echo(socket, 'still', WAIT_MS)).toBe('still');
    socket.terminate();
  });

  it('is kept by a veto of the device that has it', async () => {
    const owner = await SignedInOwner.make(vendor, 'vera@example.org');
    const [files, device] = await claimed(owner, 'vera');
    const other = stranger('vera-other');
    await using claim = new Verb(['device', 'claim', ...config(other), '--json']);
    const { code } = await claim.event('opened');
    const begun = await owner.approve(code, 'vera');
    expect(begun).toMatchObject({ status: 200, json: { state: 'recovering' } });
    expect(await claim.event('recovering')).toMatchObject({ name: 'vera', names: [] });
    const { msg } = await device.said(/^Another device is to get the name vera/, WAIT_MS);
    const [, id = ''] = /waygate device veto (\w+) /.exec(msg) ?? [];
    const { ops } = await device.ready();
    const waiting = async () =>
      /^waygate_device_recoveries (\d)$/m.exec(
        await (await fetch(`${ops.url}/metrics`)).text(),
      )?.[1];
    expect(await waiting()).toBe('1');
    expect(await jsonOf('device', 'status', ...config(files))).toMatchObject({
      recoveries: [{ id, name: 'vera' }],
    });
    expect(await jsonOf('device', 'veto', ...config(files))).toEqual({ id, outcome: 'vetoed' });
    await device.said(/^The recovery of vera is over\.$/, WAIT_MS);
    expect(await waiting()).toBe('0');
    expect(device.count(/^tunnel: (ended|connecting again)/)).toBe(0);
    const again = await runVerb('device', 'veto', ...config(files));
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('nothing to veto')]);
  });

  it('is given up: no visitor gets there, and the device says what to do', async () => {
    const owner = await SignedInOwner.make(vendor, 'rosa@example.org');
    const [files, device] = await claimed(owner, 'rosa');
    await untilStatus(vendor, url('code.rosa'), 200, WAIT_MS);
    const asked = await runVerb('device', 'release', 'rosa', ...config(files));
    expect([asked.code, asked.stderr]).toEqual([2, expect.stringContaining('--yes')]);
    expect((await ask(vendor, url('code.rosa'))).status).toBe(200);
    expect(await jsonOf('device', 'release', 'rosa', '--yes', ...config(files))).toEqual({
      name: 'rosa',
      outcome: 'released',
    });
    await device.said(/^This device has no name, .* waygate device claim/, WAIT_MS);
    const gone = () =>
      ask(vendor, url('code.rosa')).then(
        ({ status }) => status === 404,
        () => true,
      );
    await until(gone, WAIT_MS, 'the name to be gone');
    expect(device.running).toBe(true);
  });
});
