import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type SecureContext, connect as tlsConnect } from 'node:tls';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Authority, createAuthority } from '../../certs/authority.ts';
import { CHOOSER_LIMITS, Chooser, type ChooserOptions } from '../../certs/chooser.ts';
import { openStore, type Store } from '../../certs/store.ts';
import { type DeviceName, type Hostname, parseHostname } from '../../dns/name.ts';

const ZONE = hostname('vendor.localhost');
const DAY_MS = 86_400_000;
const authority = await createAuthority(ZONE);
const lines: string[] = [];
const log = pino({}, { write: (line) => void lines.push(line) });
const known = new Set<string>(['alice', 'bob']);
let directory: string;
let store: Store;
let issue: ReturnType<typeof vi.fn<Authority['issue']>>;

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`not a hostname: ${text}`);
  return parsed;
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'waygate-chooser-'));
  store = await openStore(directory);
  issue = vi.fn(authority.issue);
  lines.length = 0;
});

afterEach(async () => {
  vi.useRealTimers();
  await rm(directory, { recursive: true });
});

function chooser(change: Partial<ChooserOptions> = {}): Chooser {
  return new Chooser({
    zone: ZONE,
    store,
    authority: { issue, signed: authority.signed },
    known: (name: DeviceName) => known.has(name),
    settings: () => ({ minVersion: 'TLSv1.2' }),
    log,
    ...change,
  });
}

const chosen = (from: Chooser, text: string) => from.choose(hostname(text));

/** The certificate inside a context, as it goes to a visitor. */
function certificateOf(context: SecureContext | undefined): X509Certificate {
  const native: unknown = Object(context).context;
  const der: unknown = Object(native).getCertificate();
  if (!Buffer.isBuffer(der)) throw new Error('the context has no certificate');
  return new X509Certificate(der);
}

async function serialOf(from: Chooser, text: string): Promise<string> {
  return certificateOf(await chosen(from, text)).serialNumber;
}

describe('the choice', () => {
  test.each([
    ['vendor.localhost', 'DNS:vendor.localhost, DNS:*.vendor.localhost'],
    ['alice.vendor.localhost', 'DNS:vendor.localhost, DNS:*.vendor.localhost'],
    ['nobody.vendor.localhost', 'DNS:vendor.localhost, DNS:*.vendor.localhost'],
    ['my.vendor.localhost', 'DNS:vendor.localhost, DNS:*.vendor.localhost'],
    ['code.alice.vendor.localhost', 'DNS:alice.vendor.localhost, DNS:*.alice.vendor.localhost'],
    [
      '8080--code.alice.vendor.localhost',
      'DNS:alice.vendor.localhost, DNS:*.alice.vendor.localhost',
    ],
    ['lan.bob.vendor.localhost', 'DNS:bob.vendor.localhost, DNS:*.bob.vendor.localhost'],
  ])('for %s is the certificate of %s', async (text, names) => {
    const certificate = certificateOf(await chosen(chooser(), text));
    expect(certificate.subjectAltName).toBe(names);
    expect(certificate.checkHost(text)).toBeDefined();
  });

  test.each([
    'localhost',
    'bank.example',
    'evilvendor.localhost',
    'alice.vendor.localhost.evil.example',
    'code.nobody.vendor.localhost',
    'x.tunnel.vendor.localhost',
    'a.code.alice.vendor.localhost',
    'wpad.alice.vendor.localhost',
  ])('for %s is refused at once, and nothing is issued', async (text) => {
    expect(chosen(chooser(), text)).toBeUndefined();
    expect(issue).not.toHaveBeenCalled();
    expect(await store.list()).toEqual([]);
  });

  test('is made once however many ask, comes from memory then, and from the disk after a start', async () => {
    const first = chooser();
    const serials = await Promise.all(
      Array.from({ length: 50 }, (_, at) => serialOf(first, `w${at}.alice.vendor.localhost`)),
    );
    expect(new Set(serials).size).toBe(1);
    expect(chosen(first, 'code.alice.vendor.localhost')).not.toBeInstanceOf(Promise);
    const second = chooser();
    expect(await serialOf(second, 'code.alice.vendor.localhost')).toBe(serials[0]);
    expect(issue).toHaveBeenCalledTimes(1);
    expect(await store.list()).toEqual(['cert-alice.vendor.localhost.pem']);
  });

  test('forgets a released name', async () => {
    const one = chooser();
    await chosen(one, 'code.alice.vendor.localhost');
    known.delete('alice');
    expect(chosen(one, 'code.alice.vendor.localhost')).toBeUndefined();
    known.add('alice');
    const place = [...known].find((name): name is DeviceName => name === 'alice');
    if (place !== undefined) await one.forget(place);
    expect(one.size).toBe(0);
    expect(await store.list()).toEqual([]);
  });

  test('keeps at most so many contexts, and drops the least recently used', async () => {
    const one = chooser({ contextsMax: 2 });
    await chosen(one, 'code.alice.vendor.localhost');
    await chosen(one, 'code.bob.vendor.localhost');
    await chosen(one, 'code.alice.vendor.localhost');
    await chosen(one, 'vendor.localhost');
    expect(one.size).toBe(2);
    expect(chosen(one, 'code.alice.vendor.localhost')).not.toBeInstanceOf(Promise);
    expect(chosen(one, 'code.bob.vendor.localhost')).toBeInstanceOf(Promise);
  });
});

describe('renewal', () => {
  test('happens in the background after two thirds of the life, and nobody waits', async () => {
    let nowMs = Date.now();
    const one = chooser({ wallClockMs: () => nowMs });
    const text = 'code.alice.vendor.localhost';
    const before = await serialOf(one, text);
    nowMs += 59 * DAY_MS;
    expect(await serialOf(one, text)).toBe(before);
    expect(issue).toHaveBeenCalledTimes(1);
    nowMs += 2 * DAY_MS;
    vi.useFakeTimers({ now: nowMs, toFake: ['Date'] });
    const meanwhile = chosen(one, text);
    expect(meanwhile).not.toBeInstanceOf(Promise);
    expect(certificateOf(await meanwhile).serialNumber).toBe(before);
    await vi.waitFor(async () => expect(await serialOf(one, text)).not.toBe(before));
    expect(issue).toHaveBeenCalledTimes(2);
  });

  test('F-8 that fails changes nothing until the last second, and is not tried all the time', async () => {
    let nowMs = Date.now();
    const one = chooser({ wallClockMs: () => nowMs });
    const text = 'code.alice.vendor.localhost';
    const before = await serialOf(one, text);
    issue.mockRejectedValue(new Error('the CA is down'));
    nowMs += 89 * DAY_MS;
    for (const from of [one, chooser({ wallClockMs: () => nowMs })]) {
      issue.mockClear();
      expect(await serialOf(from, text)).toBe(before);
      await vi.waitFor(() => expect(issue).toHaveBeenCalledTimes(1));
      await vi.waitFor(() => expect(lines.join('')).toContain('no new certificate'));
      lines.length = 0;
      for (let visit = 0; visit < 20; visit += 1) {
        expect(await serialOf(from, text)).toBe(before);
        // An attempt in the background would begin with the disk.
        await store.list();
      }
      expect(issue).toHaveBeenCalledTimes(1);
    }
    nowMs += 2 * DAY_MS;
    expect(await chosen(one, text)).toBeUndefined();
  });

  test('takes what another process has stored meanwhile', async () => {
    let nowMs = Date.now();
    const [one, other] = [chooser({ wallClockMs: () => nowMs }), chooser()];
    const text = 'code.alice.vendor.localhost';
    const before = await serialOf(one, text);
    vi.useFakeTimers({ now: nowMs + 61 * DAY_MS, toFake: ['Date'] });
    nowMs += 61 * DAY_MS;
    const after = await serialOf(other, text);
    expect(after).not.toBe(before);
    await chosen(one, text);
    await vi.waitFor(async () => expect(await serialOf(one, text)).toBe(after));
    expect(issue).toHaveBeenCalledTimes(2);
  });
});

describe('what is on the disk', () => {
  const entry = 'cert-alice.vendor.localhost.pem';
  const text = 'code.alice.vendor.localhost';

  async function stored(name: string): Promise<string> {
    const { keyPem, certPem } = await authority.issue([hostname(name), `*.${hostname(name)}`]);
    return keyPem + certPem;
  }

  test('is replaced when it is damaged, of other names, another key or another CA', async () => {
    const [alice, bob] = await Promise.all([
      stored('alice.vendor.localhost'),
      stored('bob.vendor.localhost'),
    ]);
    const stranger = await (await createAuthority(ZONE)).issue([
      hostname('alice.vendor.localhost'),
      `*.${hostname('alice.vendor.localhost')}`,
    ]);
    const certificate = alice.slice(alice.indexOf('-----BEGIN CERT'));
    const otherKey = bob.slice(0, bob.indexOf('-----BEGIN CERT')) + certificate;
    for (const bad of [
      '',
      'x',
      alice.slice(0, -100),
      certificate,
      bob,
      otherKey,
      stranger.keyPem + stranger.certPem,
    ]) {
      await store.write(entry, bad);
      issue.mockClear();
      const served = certificateOf(await chosen(chooser(), text));
      expect(issue).toHaveBeenCalledTimes(1);
      expect(served.checkHost(text)).toBeDefined();
      expect(await store.read(entry)).not.toBe(bad);
    }
    const secret = alice.split('\n')[1] ?? '';
    expect(lines.join('')).not.toContain(secret.slice(0, 16));
  });

  test('F-6 may be full: the certificate is served from memory', async () => {
    const full: Store = { ...store, write: () => Promise.reject(new Error('ENOSPC')) };
    const one = chooser({ store: full });
    const serial = await serialOf(one, text);
    expect(await serialOf(one, text)).toBe(serial);
    expect(lines.join('')).toContain('could not be stored');
  });

  test('F-5 may come from the future, while the clock is not set yet', async () => {
    const before = await serialOf(chooser(), text);
    expect(await serialOf(chooser({ wallClockMs: () => 0 }), text)).toBe(before);
  });
});

describe('T-8', () => {
  test('of 1e4 visits to many names, none is shown the certificate of another', async () => {
    const names = Array.from({ length: 120 }, (_, at) => `dev-${at}`);
    const one = chooser({ contextsMax: 60, known: (name) => name.startsWith('dev-') });
    const hosts = fc
      .constantFrom(...names)
      .chain((name) =>
        fc.constantFrom(
          `code.${name}`,
          `lan.${name}`,
          `8080--web.${name}`,
          name,
          'my',
          `x.y.${name}`,
        ),
      );
    const visits = fc.sample(hosts, 10_000).map((label) => hostname(`${label}.${ZONE}`));
    const seen = new WeakMap<SecureContext, X509Certificate>();
    for (let at = 0; at < visits.length; at += 20) {
      await Promise.all(
        visits.slice(at, at + 20).map(async (visit) => {
          const context = await one.choose(visit);
          const refused = visit.startsWith('x.y.');
          expect(context === undefined).toBe(refused);
          if (context === undefined) return;
          const certificate = seen.get(context) ?? certificateOf(context);
          seen.set(context, certificate);
          if (certificate.checkHost(visit) === undefined) {
            throw new Error(`${visit} was shown ${certificate.subjectAltName}`);
          }
        }),
      );
    }
    expect(one.size).toBeLessThanOrEqual(60);
  }, 60_000);

  test('a browser that trusts the CA is content with what arrives over TLS', async () => {
    const one = chooser();
    const server = createServer({
      SNICallback: (name, done) => {
        const parsed = parseHostname(name);
        Promise.resolve(parsed === undefined ? undefined : one.choose(parsed)).then(
          (context) => done(context === undefined ? new Error('unrecognized_name') : null, context),
          done,
        );
      },
    });
    server.on('tlsClientError', () => undefined);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const visit = async (servername: string): Promise<boolean> => {
      const socket = tlsConnect({ port, host: '127.0.0.1', servername, ca: authority.caPem });
      const trusted = await once(socket, 'secureConnect').then(
        () => socket.authorized,
        () => false,
      );
      socket.destroy();
      return trusted;
    };
    expect(await visit('vendor.localhost')).toBe(true);
    expect(await visit('alice.vendor.localhost')).toBe(true);
    expect(await visit('code.alice.vendor.localhost')).toBe(true);
    expect(await visit('code.nobody.vendor.localhost')).toBe(false);
    expect(await visit('bank.example')).toBe(false);
    server.close();
  });
});

test('beyond the bound of contexts in the making a visitor is refused at once', async () => {
  const never: Authority['issue'] = () => new Promise(() => undefined);
  const one = chooser({ authority: { issue: never, signed: authority.signed }, known: () => true });
  for (let at = 0; at < CHOOSER_LIMITS.inFlightMax; at += 1) {
    expect(chosen(one, `code.device${at}.vendor.localhost`)).toBeInstanceOf(Promise);
  }
  expect(chosen(one, 'code.alice.vendor.localhost')).toBeUndefined();
  expect(chosen(one, 'code.device7.vendor.localhost')).toBeInstanceOf(Promise);
});
