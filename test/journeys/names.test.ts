// The life of a name, from its order to the day when somebody else can have it: real programs, real
// verbs, dig, visitors over TLS, an owner who signs in by a link in a letter. On each database.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sample, startSample } from '../../device-client/sample.ts';
import { freePort } from '../world/free-port.ts';
import { DeviceFiles, Installation, ZONE } from '../world/installation.ts';
import { TestNameServer } from '../world/name-server.ts';
import { type PortalAnswer, PortalVisitor } from '../world/portal-visitor.ts';
import { Postbox } from '../world/postbox.ts';
import { PostgresServer } from '../world/postgres.ts';
import type { ProgramProcess } from '../world/program-process.ts';
import { requires } from '../world/requires.ts';
import { jsonOf, runVerb, Verb } from '../world/verb.ts';
import { ask, echo, openWebSocket, until, untilStatus } from '../world/visits.ts';
import { startWorkspace, type Workspace } from '../world/workspaces.ts';

const WAIT_MS = 30_000;
const ALICE = 'alice@example.org';
const MALLORY = 'mallory@example.org';

let sample: Sample;
let first: Workspace;
let second: Workspace;

beforeAll(async () => {
  sample = await startSample();
  first = await startWorkspace('the first device');
  second = await startWorkspace('the second device');
});
afterAll(async () => {
  await sample.stop();
  await first[Symbol.asyncDispose]();
  await second[Symbol.asyncDispose]();
});

/** What the chapters have in common. */
interface Life {
  readonly vendor: Installation;
  readonly dns: TestNameServer;
  readonly postbox: Postbox;
  readonly owner: PortalVisitor;
  readonly old: DeviceFiles;
  readonly young: DeviceFiles;
  relay: ProgramProcess;
}

const EDGE = ['127.0.0.1', `edge.${ZONE}.`];
const config = (files: DeviceFiles) => ['--config', files.configFile];
const url = ({ vendor }: Life, host: string, target = '/') =>
  `https://${host}.${ZONE}:${vendor.port}${target}`;

async function wholeLife(postgresUrl?: string): Promise<void> {
  await using postbox = new Postbox();
  const port = await freePort();
  await postbox.listen(port);
  const smtp = `{ host: 127.0.0.1, port: ${port}, from: names@${ZONE} }`;
  await using vendor = await Installation.make({
    drainSeconds: 0,
    more: `portal: { mail: { smtp: ${smtp} } }\nnames: { recoveryDelay: 1h, quarantine: 8s }\n`,
    ...(postgresUrl === undefined ? {} : { postgresUrl }),
  });
  await using dns = await TestNameServer.make(vendor);
  const relay = await vendor.relay();
  await dns.start();
  const [old, young] = [new DeviceFiles(vendor, 'old'), new DeviceFiles(vendor, 'young')];
  const owner = somebody(vendor);
  const life: Life = { vendor, dns, postbox, owner, old, young, relay };
  const device = await firstBoot(life, await ordered(life));
  await ownersOwn(life);
  await renamed(life, device);
  const back = await vetoed(life, device);
  await recovered(life, back);
  await released(life);
  await remembered(life);
}

async function ordered({ vendor, dns }: Life): Promise<string> {
  const order = ['relay', 'order', '--config', vendor.relayConfig, '--name', 'alice'];
  const { code } = (await jsonOf(...order)) as { code: string };
  const { code: exit, stderr } = await runVerb(...order);
  expect([exit, stderr]).toEqual([1, expect.stringContaining('The name alice is taken.')]);
  expect(await dns.rcode(`alice.${ZONE}`)).toBe('NXDOMAIN');
  return code;
}

/** The device has its name without a person, and is in the world. */
async function firstBoot(life: Life, code: string): Promise<ProgramProcess> {
  const { vendor, dns, old } = life;
  const codeFile = join(vendor.folder, 'order.code');
  writeFileSync(codeFile, code);
  const workspaces = { code: first.target, echo: sample.url };
  old.write({ workspaces, more: `claim: { codeFile: "${codeFile}" }\n` });
  const device = await old.start();
  await untilStatus(vendor, url(life, 'code.alice'), 200, WAIT_MS);
  expect((await ask(vendor, url(life, 'code.alice'))).body).toBe('the first device');
  for (const name of ['alice', 'code.alice']) {
    expect(await dns.short(`${name}.${ZONE}`, 'A')).toEqual(EDGE);
  }
  return device;
}

/** The name was ordered for nobody in particular; who has the device makes it his. */
async function ownersOwn({ owner, old, postbox }: Life): Promise<void> {
  await signIn(owner, postbox, ALICE);
  const answer = await owner.api('POST', '/v1/claims/approve', await claimOf(old, 'alice'));
  expect([answer.status, answer.json()]).toEqual([200, { state: 'bound', name: 'alice' }]);
}

/** The old name leads to the new one, and what is open goes on. */
async function renamed(life: Life, device: ProgramProcess): Promise<void> {
  const { vendor, dns, old, owner } = life;
  const socket = await openWebSocket(vendor, url(life, 'echo.alice', '/ws'));
  expect(await echo(socket, 'before', WAIT_MS)).toBe('before');
  const done = await jsonOf('device', 'rename', 'wonder', ...config(old));
  expect(done).toMatchObject({ name: 'wonder', former: 'alice' });
  await untilStatus(vendor, url(life, 'code.wonder'), 200, WAIT_MS);
  const { status, headers } = await ask(vendor, url(life, 'code.alice', '/a?b'));
  expect([status, headers.location]).toEqual([308, url(life, 'code.wonder', '/a?b')]);
  expect(await echo(socket, 'after', WAIT_MS)).toBe('after');
  socket.terminate();
  expect(device.count(/^tunnel: ended/)).toBe(0);
  for (const name of ['alice', 'wonder', 'code.wonder']) {
    expect(await dns.short(`${name}.${ZONE}`, 'A')).toEqual(EDGE);
  }
  await life.postbox.letter(ALICE, /alice\.vendor\.test is called wonder/);
  const { names } = (await owner.api('GET', '/v1/names')).json();
  expect(names).toMatchObject([
    { name: 'alice', state: 'former', successor: 'wonder' },
    { name: 'wonder', state: 'held' },
  ]);
}

/** The device seems lost, the owner wants its name for another; but it comes back and objects. */
async function vetoed(life: Life, device: ProgramProcess): Promise<ProgramProcess> {
  const { vendor, old, young, owner, postbox } = life;
  await device.end('SIGKILL');
  await untilStatus(vendor, url(life, 'code.wonder'), 503, WAIT_MS);
  young.write({ workspaces: { code: second.target } });
  const begun = await owner.api('POST', '/v1/claims/approve', await claimOf(young, 'wonder'));
  expect([begun.status, begun.json()]).toMatchObject([200, { state: 'recovering' }]);
  await postbox.letter(ALICE, /A new device asks for the name wonder\.vendor\.test/);
  const back = await old.start();
  await back.said(/^Another device is to get the name wonder/, WAIT_MS);
  const veto = await jsonOf('device', 'veto', ...config(old));
  expect(veto).toMatchObject({ outcome: 'vetoed' });
  await postbox.letter(ALICE, /wonder\.vendor\.test to another device was stopped/);
  await untilStatus(vendor, url(life, 'code.wonder'), 200, WAIT_MS);
  expect((await ask(vendor, url(life, 'code.wonder'))).body).toBe('the first device');
  expect(await jsonOf('device', 'status', ...config(young))).toMatchObject({
    enrolled: false,
    names: [],
  });
  return back;
}

/** Nobody objects the second time. The vendor has shortened the delay meanwhile. */
async function recovered(life: Life, device: ProgramProcess): Promise<void> {
  const { vendor, dns, young, owner, postbox } = life;
  await device.end('SIGKILL');
  const asked = await claimOf(young, 'wonder');
  const cooling = await owner.api('POST', '/v1/claims/approve', asked);
  expect([cooling.status, cooling.json()]).toMatchObject([
    409,
    { type: 'urn:waygate:problem:recovery-cooling' },
  ]);
  await life.relay.end('SIGTERM');
  const settings = readFileSync(vendor.relayConfig, 'utf8');
  writeFileSync(vendor.relayConfig, settings.replace('recoveryDelay: 1h', 'recoveryDelay: 1s'));
  life.relay = await vendor.relay();
  const still = await owner.api('POST', '/v1/claims/approve', asked);
  if (still.status === 409) await pause(coolDownOf(still));
  // A browser may say it twice.
  const begun = await owner.api('POST', '/v1/claims/approve', asked);
  expect([begun.status, begun.json()]).toMatchObject([200, { state: 'recovering' }]);
  await young.start();
  await untilStatus(vendor, url(life, 'code.wonder'), 200, WAIT_MS);
  expect((await ask(vendor, url(life, 'code.wonder'))).body).toBe('the second device');
  expect((await ask(vendor, url(life, 'code.alice'))).status).toBe(308);
  expect(await dns.short(`code.wonder.${ZONE}`, 'A')).toEqual(EDGE);
  await postbox.letter(ALICE, /wonder\.vendor\.test belongs to the new device now/);
  const lost = life.old.run();
  await lost.said(/^This device has no name/, WAIT_MS);
  await lost.end('SIGKILL');
}

/** What the answer says of when it is over, on this machine's clock. */
function coolDownOf(answer: PortalAnswer): number {
  const [, until = ''] = /from (\S+) on/.exec(String(answer.json()['next'])) ?? [];
  return Math.max(0, Date.parse(until) - Date.now());
}

/** It is gone at once, is nobody's for a while, and then anybody's. */
async function released(life: Life): Promise<void> {
  const { vendor, dns, owner, postbox } = life;
  const mallory = somebody(vendor);
  await signIn(mallory, postbox, MALLORY);
  const other = new DeviceFiles(vendor, 'other');
  other.write({ workspaces: { code: first.target } });
  const wanted = await claimOf(other, 'wonder');
  const approve = () => mallory.api('POST', '/v1/claims/approve', wanted);
  const order = (name: string) =>
    runVerb('relay', 'order', '--config', vendor.relayConfig, '--name', name);
  expect((await approve()).json()['type']).toBe('urn:waygate:problem:name-taken');
  const gone = await owner.api('POST', '/v1/names/wonder/release', { confirm: 'wonder' });
  expect(gone.status).toBe(204);
  const [claim, ordering] = await Promise.all([approve(), order('wonder')]);
  expect([claim.status, claim.json()]).toMatchObject([
    409,
    { type: 'urn:waygate:problem:name-quarantined', next: 'Choose another name, or wait.' },
  ]);
  expect([ordering.code, ordering.stderr]).toEqual([
    1,
    expect.stringMatching(/wonder was released by somebody else.*Choose another name, or wait/),
  ]);
  for (const name of ['wonder', 'code.wonder', 'alice']) {
    await dns.msUntil(`${name}.${ZONE}`, 'NXDOMAIN');
  }
  // No certificate is shown for a name that nobody has.
  await expect(ask(vendor, url(life, 'code.wonder'))).rejects.toThrow();
  const isFreed = () =>
    life.relay.log.some(({ kind, name }) => kind === 'freed' && name === 'wonder');
  await until(isFreed, WAIT_MS, 'the end of the quarantine');
  expect((await approve()).status).toBe(200);
  await other.start();
  await untilStatus(vendor, url(life, 'code.wonder'), 200, WAIT_MS);
  expect(await dns.short(`code.wonder.${ZONE}`, 'A')).toEqual(EDGE);
  expect(await order('alice')).toMatchObject({ code: 0 });
}

/** Who did what is told for ever. */
async function remembered({ vendor }: Life): Promise<void> {
  const history = ['relay', 'history', '--config', vendor.relayConfig, '--name', 'wonder'];
  const deeds = (await jsonOf(...history)) as { what: string; actor: string }[];
  expect(deeds.map(({ what, actor }) => `${what} by ${actor.split(':')[0]}`)).toEqual([
    'enrolled by owner',
    'freed by clock',
    'released by owner',
    'recovered by owner',
    'recovery-told by clock',
    'recovery-begun by owner',
    'recovery-vetoed by device',
    'recovery-told by clock',
    'recovery-begun by owner',
    'renamed by device',
  ]);
}

/** A device shows a code and waits; what its owner answers. */
async function claimOf(files: DeviceFiles, name: string): Promise<object> {
  await using claim = new Verb(['device', 'claim', ...config(files), '--json']);
  const { code } = await claim.event('opened');
  return { code, name };
}

function somebody(vendor: Installation): PortalVisitor {
  return new PortalVisitor(`https://my.${ZONE}:${vendor.port}`, vendor);
}

async function signIn(visitor: PortalVisitor, postbox: Postbox, email: string): Promise<void> {
  expect((await visitor.form('/sign-in/mail', { email })).status).toBe(303);
  const letter = await postbox.letter(email, /sign in/);
  const [link = ''] = /https:\/\/\S+/.exec(letter) ?? [];
  const { pathname, search, searchParams } = new URL(link);
  expect((await visitor.get(pathname + search)).body).toContain(email);
  const token = searchParams.get('token') ?? '';
  expect((await visitor.form('/sign-in/link', { token })).status).toBe(303);
}

const need = requires('dig', 'initdb', 'setpriv');

// Side by side, for most of a life is waiting.
describe.skipIf(need.skip)('the life of a name', { timeout: 120_000, concurrent: true }, () => {
  it('on SQLite', () => wholeLife());

  it('on PostgreSQL', async () => {
    await using server = await PostgresServer.start();
    await wholeLife(await server.createDatabase());
  });
});
