// A customer lets his own domains lead to his device: from nothing to a certificate that verifies and a
// workspace that answers, and to the end of it. Everything is real: relay, name server and device, the
// certificate authority, the customer's DNS, a resolver between them, and a browser.
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connect, type PeerCertificate } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OwnDomain } from '../../device-client/own-domains.ts';
import { type Sample, startSample } from '../../device-client/sample.ts';
import { ACME_VENDOR_PROGRAMS, AcmeVendor } from '../world/acme-vendor.ts';
import { BROWSER_PROGRAMS, Browser, type Page } from '../world/browser.ts';
import type { CustomerRecord } from '../world/customer-zone.ts';
import { ZONE } from '../world/installation.ts';
import { SignedInOwner } from '../world/owner.ts';
import { type ProgramProcess, within } from '../world/program-process.ts';
import { requires } from '../world/requires.ts';
import { jsonOf, runVerb, Verb } from '../world/verb.ts';
import { ask, begin, echo, openWebSocket, until, untilStatus } from '../world/visits.ts';
import { startWorkspace, type Workspace } from '../world/workspaces.ts';

const need = requires(...ACME_VENDOR_PROGRAMS);
const needBrowser = requires(...BROWSER_PROGRAMS);
/** An order and two looks five seconds apart take ten; a loaded machine may take many. */
const WAIT_MS = 60_000;
const ALICE = 'alice@example.com';
const MALLORY = 'mallory@example.com';
/** People are not faster. */
const PRESSES_MS = 1_000;
/** Nobody is there (RFC 5737). */
const ELSEWHERE = '192.0.2.1';

/** A CNAME has no CAA record beside it, so what is above it counts. */
const GUARDED = 'shop.guarded.example.org';
const ABOVE = 'guarded.example.org';

let vendor: AcmeVendor;
let sample: Sample;
let web: Workspace;

beforeAll(async () => {
  if (need.skip) return;
  sample = await startSample();
  web = await startWorkspace('the workspace web');
  vendor = await AcmeVendor.start(
    { owner: ALICE, name: 'alice' },
    { code: sample.url, web: web.target },
  );
}, 120_000);
afterAll(async () => {
  await vendor?.[Symbol.asyncDispose]();
  await web?.[Symbol.asyncDispose]();
  await sample?.stop();
});

type Entry = Pick<OwnDomain['entries'][number], 'type' | 'owner' | 'value'>;

const domain = (...words: readonly string[]) => [
  ...['device', 'domain', ...words],
  ...['--config', vendor.device.configFile],
];
const url = (host: string, target = '/') => `https://${host}:${vendor.port}${target}`;

/** As they are typed into a provider's form. */
function typed(entries: readonly Entry[]): CustomerRecord[] {
  return entries.map(({ type, owner, value }): CustomerRecord => {
    if (type === 'TXT') return [owner, type, `"${value}"`];
    return [owner, type, type === 'CNAME' ? `${value}.` : value];
  });
}

/** What a visitor's handshake ends with: a certificate that verifies, or the code of its failure. */
async function handshake(servername: string): Promise<PeerCertificate | string> {
  const { address: host, port, caPem: ca } = vendor;
  const socket = connect({ host, port, servername, ca });
  try {
    await within(once(socket, 'secureConnect'), WAIT_MS, `a handshake with ${servername}`);
    return socket.getPeerCertificate();
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  } finally {
    socket.destroy();
  }
}

const UNKNOWN_NAME = 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME';

/** A question by plain HTTP. */
async function plain(host: string, path: string) {
  const asked = request({ host: vendor.address, port: vendor.httpPort, path, headers: { host } });
  asked.end();
  const [response] = await within(once(asked, 'response'), WAIT_MS, `plain HTTP of ${host}`);
  response.resume();
  return { status: response.statusCode, location: response.headers.location };
}

/** How far a domain is; the relay looks if nobody has for some seconds. */
async function check(name: string): Promise<OwnDomain> {
  const { stdout, stderr } = await runVerb(...domain('check', name, '--json'));
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}

/** What is said of a step once it is `state`. */
async function untilStep(name: string, step: string, state: string): Promise<string> {
  let found: OwnDomain['steps'][number] | undefined;
  const reached = async () => {
    if (found !== undefined) await pause(PRESSES_MS);
    found = (await check(name)).steps.find((each) => each.step === step);
    return found?.state === state;
  };
  await until(reached, WAIT_MS, `${step} of ${name} to be ${state}`);
  return `${found?.found} ${found?.next}`;
}

/** How often authorities have looked by plain HTTP, after the first `from` lines of Pebble's log. */
function looksByHttp(name: string, from = 0): number {
  const line = `Attempting to validate w/ HTTP: http://${name}:${vendor.httpPort}/`;
  return vendor.pebble.log.slice(from).filter((each) => each.includes(line)).length;
}

/** Of all certificates that a domain has had. */
function keysOf(subject: string): Promise<(string | null)[]> {
  return vendor.installation.withRegistry((registry) =>
    registry.read(async (db) => {
      const all = db.selectFrom('certificates').select('key').where('subject', '=', subject);
      return (await all.orderBy('id').execute()).map(({ key }) => key);
    }),
  );
}

function serialOf(found: PeerCertificate | string): string {
  if (typeof found === 'string') throw new Error(`no certificate: ${found}`);
  return found.serialNumber;
}

describe.skipIf(need.skip)('a domain of his own', { timeout: 300_000 }, () => {
  it('is added, with a CAA record above it that forbids certificates', async () => {
    const add = domain('add', GUARDED, '--workspace', 'web', '--no-wait');
    const { entries, state } = (await jsonOf(...add)) as OwnDomain;
    expect(state).toBe('pending');
    const records = typed(entries.filter(({ type }) => type !== 'A'));
    await vendor.enter(GUARDED, [...records, [ABOVE, 'CAA', '0 issue ";"']]);
  });

  it('leads to a workspace when what the command line prints was entered', async () => {
    expect(await handshake('app.example.org')).toBe(UNKNOWN_NAME);
    await using verb = new Verb(domain('add', 'app.example.org', '--workspace', 'code'));
    const [table = ''] = await verb.printed(/^ {2}TYPE(.*\n)+\n/m);
    const rows = table.matchAll(/^ {2}(TXT|CNAME|A) +(\S+) +(\S+)/gm);
    const entries = [...rows].map(([, type = '', owner = '', value = '']) => ({
      type,
      owner,
      value,
    }));
    expect(entries.map(({ type, owner }) => `${type} ${owner}`)).toEqual([
      ...['TXT _waygate.app.example.org', 'CNAME app.example.org', 'A app.example.org'],
    ]);
    await verb.printed(/^ {2}wrong +proof +There is no TXT record/m);
    await vendor.enter('app.example.org', typed(entries.filter(({ type }) => type !== 'A')));
    const { code, stdout } = await within(verb.outcome(), WAIT_MS, 'the domain to be live');
    const done = [...stdout.matchAll(/^ {2}ok +(\w+)/gm)].map(([, step]) => step);
    // Nobody has forbidden anything, so that one is right from the start.
    expect(done).toEqual(['CAA', 'proof', 'routing', 'certificate', 'live']);
    expect(stdout).toContain(`\nlive at ${url('app.example.org')}\n`);
    expect(code).toBe(0);
    expect(await handshake('app.example.org')).toMatchObject({
      subjectaltname: 'DNS:app.example.org',
      issuer: { CN: expect.stringContaining('Pebble') },
    });
    // By TLS, then: nothing of it is in his DNS.
    expect(looksByHttp('app.example.org')).toBe(0);
  });

  it('is all that the workspace sees: what visitors ask for, WebSockets and event streams', async () => {
    const { body } = await ask(vendor, url('app.example.org', '/headers'));
    expect(JSON.parse(body).headers).toMatchObject({
      host: `app.example.org:${vendor.port}`,
      'x-forwarded-host': `app.example.org:${vendor.port}`,
      'x-forwarded-proto': 'https',
    });
    const socket = await openWebSocket(vendor, url('app.example.org', '/ws'));
    expect(await echo(socket, 'a message', WAIT_MS)).toBe('a message');
    socket.terminate();
    const events = await begin(vendor, url('app.example.org', '/events'));
    const [first] = await within(once(events, 'data'), WAIT_MS, 'an event');
    expect(String(first)).toBe('id: 0\ndata: {"count":0}\n\n');
    events.destroy();
  });

  it('is no way for a workspace to answer a certificate authority', async () => {
    const path = '/.well-known/acme-challenge/x';
    const { status, body } = await ask(vendor, url('app.example.org', path));
    expect(status).toBe(404);
    expect(body).toContain('the relay answers here itself, and no workspace does');
    expect(await plain('app.example.org', path)).toMatchObject({ status: 404 });
  });

  it('is told to visitors of plain HTTP by HTTPS, as a stranger is not', async () => {
    const location = url('app.example.org', '/a?b=c');
    expect(await plain('app.example.org', '/a?b=c')).toEqual({ status: 308, location });
    expect(await plain('other.example.org', '/')).toMatchObject({ status: 421 });
  });

  it('is renewed by plain HTTP when TLS has not got through, without a break', async () => {
    const [before, from] = [serialOf(await handshake('app.example.org')), vendor.pebble.log.length];
    await vendor.installation.withRegistry((registry) =>
      registry.write(async (db) => {
        const failed = { due_at: 0, attempts: 1 };
        const work = db.updateTable('certificate_work').set(failed);
        await work.where('subject', '=', 'app.example.org').execute();
      }),
    );
    const another = async () => serialOf(await handshake('app.example.org')) !== before;
    await until(another, WAIT_MS, 'another certificate');
    expect(looksByHttp('app.example.org', from)).toBeGreaterThan(0);
  });

  it('waits while that CAA record forbids it, and is told which', async () => {
    expect(await untilStep(GUARDED, 'caa', 'wrong')).toBe(
      'The CAA record 0 issue ";" at guarded.example.org forbids it: it does not name any authority. ' +
        'Remove it, or ask the operator of the service which authority to name, and add that one at ' +
        'guarded.example.org. Then it goes on by itself.',
    );
    await untilStep(GUARDED, 'proof', 'ok');
    expect(await handshake(GUARDED)).toBe(UNKNOWN_NAME);
    const records = vendor.recordsOf(GUARDED).filter(([, type]) => type !== 'CAA');
    await vendor.enter(GUARDED, [...records, [ABOVE, 'CAA', '0 issue "ca.example"']]);
  });

  it.skipIf(needBrowser.skip)(
    'is added by its page, at the top of a domain and with all below it',
    async () => {
      const { relay, installation } = vendor;
      await using browser = await Browser.open(installation.ca, { here: '*' });
      const { page, wrongs } = await browser.tab();
      await signIn(page, relay);
      const apex = await addByPage(page, 'example.org', { workspace: 'web' });
      const apps = await addByPage(page, 'apps.example.org', { wildcard: true });
      await vendor.enter('example.org', typed(apex.filter(({ type }) => type !== 'CNAME')));
      await vendor.enter('apps.example.org', typed(apps.filter(({ type }) => type !== 'A')));
      await untilWork(page, ['example.org', 'apps.example.org']);
      const shown = async (host: string) => {
        await page.goto(url(host), { timeout: WAIT_MS });
        return String(await page.evaluate('document.body.innerText'));
      };
      expect(await shown('example.org')).toBe('the workspace web');
      expect(await shown('web.apps.example.org')).toBe('the workspace web');
      expect(await shown('code.apps.example.org')).toContain(
        `code.apps.example.org:${vendor.port}`,
      );
      expect(wrongs).toEqual([]);
      expect(await handshake('code.apps.example.org')).toMatchObject({
        subjectaltname: 'DNS:*.apps.example.org, DNS:apps.example.org',
      });
      // By the DNS that he has delegated, then.
      expect(looksByHttp('apps.example.org')).toBe(0);
    },
  );

  it('goes on by itself when the CAA record is gone', async () => {
    await untilStatus(vendor, url(GUARDED), 200, WAIT_MS);
    expect((await ask(vendor, url(GUARDED))).body).toBe('the workspace web');
  });

  it.skipIf(needBrowser.skip)(
    'that leads elsewhere is warned of at the next look, and served still',
    async () => {
      const proof = vendor.recordsOf('example.org').filter(([, type]) => type === 'TXT');
      await vendor.enter('example.org', [...proof, ['example.org', 'A', ELSEWHERE]]);
      expect(await untilStep('example.org', 'routing', 'wrong')).toBe(
        `example.org leads elsewhere, to ${ELSEWHERE}. Enter what is told here in the place of that.`,
      );
      await vendor.relay.said(/^a letter to alice@example\.com: example\.org fails/, WAIT_MS);
      expect((await ask(vendor, url('example.org'))).body).toBe('the workspace web');
    },
  );

  it('is gone at once when it is removed, with its key and whoever was there', async () => {
    const socket = await openWebSocket(vendor, url('app.example.org', '/ws'));
    const closed = once(socket, 'close');
    await jsonOf(...domain('remove', 'app.example.org', '--yes'));
    expect(await handshake('app.example.org')).toBe(UNKNOWN_NAME);
    await within(closed, WAIT_MS, 'the end of a WebSocket');
    expect(await keysOf('app.example.org')).toEqual([null, null]);
    const copies = () => readdirSync(join(vendor.installation.folder, 'relay', 'certificates'));
    const gone = () => copies().every((file) => !file.includes('app.example.org'));
    await until(gone, WAIT_MS, 'the end of the copy');
    expect(copies().filter((file) => file.includes('example.org'))).not.toEqual([]);
  });

  it("is somebody else's when he proves it, and not by what the first one has left", async () => {
    await vendor.stranger(MALLORY, 'mallory');
    const mallory = await SignedInOwner.make(vendor.installation, MALLORY);
    const wanted = { name: 'mallory', domain: 'app.example.org', workspace: 'code' };
    const { status, json } = await mallory.post('/v1/domains', wanted);
    expect([status, json['state']]).toEqual([201, 'pending']);
    const look = async () => (await mallory.post('/v1/domains/app.example.org/check', {})).json;
    const [proof] = (await look())['steps'] as OwnDomain['steps'];
    expect(proof).toMatchObject({ step: 'proof', state: 'wrong' });
    expect(proof?.found).toContain('_waygate.app.example.org has other TXT records');
    expect(await handshake('app.example.org')).toBe(UNKNOWN_NAME);
    const entries = json['entries'] as Entry[];
    await vendor.enter('app.example.org', typed(entries.filter(({ type }) => type !== 'A')));
    const proven = async () => {
      await pause(PRESSES_MS);
      return (await look())['state'] === 'proven';
    };
    await until(proven, WAIT_MS, 'the proof of another');
    // His device is off; that of the first one is not.
    await untilStatus(vendor, url('app.example.org'), 503, WAIT_MS);
    expect((await keysOf('app.example.org')).map((key) => key !== null)).toEqual([
      false,
      false,
      true,
    ]);
  });

  it('has left nothing in the log of the relay that is a fault of it, or a key', () => {
    const { log } = vendor.relay;
    expect(log.filter(({ level }) => level >= 50)).toEqual([]);
    expect(JSON.stringify(log)).not.toMatch(/PRIVATE KEY|waygate-sealed/);
  });
});

/** By the link of the letter, which this relay prints. */
async function signIn(page: Page, relay: ProgramProcess): Promise<void> {
  await page.goto(`https://my.${ZONE}:${vendor.port}/domains`, { timeout: WAIT_MS });
  await page.locator('#email').fill(ALICE);
  await page.locator('main button', { hasText: 'Send me a link' }).click();
  // The letter may be there before the page that tells of it.
  await page.locator('h1', { hasText: 'Look into your mail' }).waitFor({ timeout: WAIT_MS });
  const letter = () => relay.log.find((line) => typeof line['signInLink'] === 'string');
  await until(() => letter() !== undefined, WAIT_MS, 'the letter');
  await page.goto(String(letter()?.['signInLink']), { timeout: WAIT_MS });
  await page.locator('main button', { hasText: 'Sign in' }).click();
  await page.locator('nav').first().waitFor({ timeout: WAIT_MS });
}

/** Fills the form; what the page tells to enter. */
async function addByPage(
  page: Page,
  name: string,
  { workspace = '', wildcard = false },
): Promise<Entry[]> {
  await page.goto(`https://my.${ZONE}:${vendor.port}/domains`, { timeout: WAIT_MS });
  await page.locator('#domain').fill(name);
  await page.locator('#workspace').fill(workspace);
  if (wildcard) await page.locator('[name=wildcard]').check();
  await page.locator('main button', { hasText: 'Add the domain' }).click();
  await page.locator('h1', { hasText: name }).waitFor({ timeout: WAIT_MS });
  const read = `[...document.querySelectorAll('.entries li')].map((entry) => {
    const [type, owner, value] = [...entry.querySelectorAll('dd')].map((each) => each.innerText);
    return { type, owner, value };
  })`;
  return (await page.evaluate(read)) as Entry[];
}

/** Presses the button of each page every now and then, as people do. */
async function untilWork(page: Page, names: readonly string[]): Promise<void> {
  const open = new Set(names);
  const allWork = async () => {
    for (const name of open) {
      await page.goto(`https://my.${ZONE}:${vendor.port}/domains/${name}`, { timeout: WAIT_MS });
      await page.locator('main button', { hasText: 'Check now' }).click();
      await page
        .locator('.notice', { hasText: /^(Checked|Somebody had just looked)\./ })
        .waitFor({ timeout: WAIT_MS });
      const title = await page.evaluate(`document.querySelector('main h2').innerText`);
      if (title === 'It works') open.delete(name);
    }
    if (open.size > 0) await pause(PRESSES_MS);
    return open.size === 0;
  };
  await until(allWork, WAIT_MS, `${names.join(' and ')} to work`);
}
