import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import {
  createServer,
  type SecureContext,
  type Server,
  type TLSSocket,
  connect as tlsConnect,
} from 'node:tls';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createAuthority } from '../../certs/authority.ts';
import type { CertificateSource, KeyedCertificate } from '../../certs/certificate.ts';
import { CHOOSER_LIMITS, Chooser, type ChooserOptions } from '../../certs/chooser.ts';
import { type Hostname, parseHostname } from '../../dns/name.ts';

const ZONE = hostname('vendor.localhost');
const ALICE = hostname('alice.vendor.localhost');
const BOB = hostname('bob.vendor.localhost');
const DAY_MS = 86_400_000;
const authority = await createAuthority(ZONE);
const lines: string[] = [];
const log = pino({}, { write: (line) => void lines.push(line) });

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`not a hostname: ${text}`);
  return parsed;
}

const issueFor = (subject: Hostname) => authority.issue([subject, `*.${subject}`]);

/** A source whose certificates a test puts in and takes out. */
class Shelf implements CertificateSource {
  readonly certificates = new Map<Hostname, KeyedCertificate>();
  readonly load = vi.fn(
    async (subject: Hostname): Promise<KeyedCertificate | undefined> =>
      this.certificates.get(subject),
  );
  #listener: (subject: Hostname) => void = () => undefined;

  onChange(listener: (subject: Hostname) => void): void {
    this.#listener = listener;
  }

  async put(subject: Hostname): Promise<string> {
    const certificate = await issueFor(subject);
    this.set(subject, certificate);
    return new X509Certificate(certificate.certPem).serialNumber;
  }

  set(subject: Hostname, certificate: KeyedCertificate): void {
    this.certificates.set(subject, certificate);
    this.#listener(subject);
  }

  take(subject: Hostname): void {
    this.certificates.delete(subject);
    this.#listener(subject);
  }
}

let shelf: Shelf;

beforeEach(() => {
  shelf = new Shelf();
  lines.length = 0;
});

afterEach(() => {
  vi.useRealTimers();
});

/** `alice` may be served by its own or the zone's, `code.alice` by alice's, `*.example` by nobody's. */
function subjects(visited: Hostname): readonly Hostname[] {
  if (!visited.endsWith(ZONE)) return [];
  const labels = visited.slice(0, -ZONE.length - 1).split('.');
  const own = hostname(`${labels.at(-1) || 'none'}.${ZONE}`);
  return visited === ZONE ? [ZONE] : labels.length === 1 ? [own, ZONE] : [own];
}

function chooser(change: Partial<ChooserOptions> = {}): Chooser {
  const settings = () => ({ minVersion: 'TLSv1.2' }) as const;
  return new Chooser({ subjects, source: shelf, settings, log, ...change });
}

/** The certificate inside a context, as it goes to a visitor. */
function certificateOf(context: SecureContext | undefined): X509Certificate {
  const native: unknown = Object(context).context;
  const der: unknown = Object(native).getCertificate();
  if (!Buffer.isBuffer(der)) throw new Error('the context has no certificate');
  return new X509Certificate(der);
}

async function serialOf(from: Chooser, subject: Hostname): Promise<string | undefined> {
  const context = await from.choose(subject);
  return context && certificateOf(context).serialNumber;
}

describe('the choice', () => {
  test('is the best candidate that there is', async () => {
    const zone = await shelf.put(ZONE);
    const one = chooser();
    expect(await serialOf(one, ALICE)).toBe(zone);
    const alice = await shelf.put(ALICE);
    expect(await serialOf(one, ALICE)).toBe(alice);
    expect(await serialOf(one, hostname(`code.${ALICE}`))).toBe(alice);
    expect(await serialOf(one, BOB)).toBe(zone);
    expect(await serialOf(one, hostname(`code.${BOB}`))).toBeUndefined();
  });

  test('for a name that nobody has is a refusal at once, and costs nothing', () => {
    expect(chooser().choose(hostname('bank.example'))).toBeUndefined();
    expect(shelf.load).not.toHaveBeenCalled();
  });

  test('is read once however many ask, and comes from memory then', async () => {
    const serial = await shelf.put(ALICE);
    const one = chooser();
    const visits = Array.from({ length: 50 }, (_, at) => hostname(`w${at}.${ALICE}`));
    const serials = await Promise.all(visits.map((visit) => serialOf(one, visit)));
    expect(new Set(serials)).toEqual(new Set([serial]));
    expect(shelf.load).toHaveBeenCalledTimes(1);
    expect(one.choose(ALICE)).not.toBeInstanceOf(Promise);
  });

  test('of a missing certificate costs one look for all the handshakes of strangers', async () => {
    await shelf.put(ZONE);
    const one = chooser();
    for (let visit = 0; visit < 20; visit += 1) await one.choose(hostname(`code.${ALICE}`));
    expect(shelf.load).toHaveBeenCalledTimes(1);
    await shelf.put(ALICE);
    expect(await one.choose(hostname(`code.${ALICE}`))).toBeDefined();
  });

  test('looks for a missing certificate again after a while', async () => {
    const one = chooser({ limits: { missingForMs: 0 } });
    expect(await one.choose(ALICE)).toBeUndefined();
    shelf.certificates.set(ALICE, await issueFor(ALICE));
    expect(await one.choose(ALICE)).toBeDefined();
  });

  test('keeps at most so many contexts, and drops the least recently used', async () => {
    for (const subject of [ZONE, ALICE, BOB]) await shelf.put(subject);
    const one = chooser({ limits: { contextsMax: 2, usedWithinMs: 0 } });
    for (const subject of [ALICE, BOB, ALICE, ZONE]) await one.choose(subject);
    expect(one.size).toBe(2);
    expect(one.choose(ALICE)).not.toBeInstanceOf(Promise);
    expect(one.choose(BOB)).toBeInstanceOf(Promise);
  });

  test('forgets what it is told to', async () => {
    await shelf.put(ALICE);
    const one = chooser();
    await one.choose(ALICE);
    one.forget(ALICE);
    expect(one.size).toBe(0);
    expect(one.choose(ALICE)).toBeInstanceOf(Promise);
  });
});

describe('a change', () => {
  test('is served from the next handshake on', async () => {
    const before = await shelf.put(ALICE);
    const one = chooser();
    expect(await serialOf(one, ALICE)).toBe(before);
    const after = await shelf.put(ALICE);
    expect(after).not.toBe(before);
    expect(await serialOf(one, ALICE)).toBe(after);
    expect(one.size).toBe(1);
  });

  test('that comes while the old one is being read is not lost', async () => {
    const old = await issueFor(ALICE);
    const reading = Promise.withResolvers<KeyedCertificate>();
    shelf.load.mockReturnValueOnce(reading.promise);
    const one = chooser();
    const first = one.choose(ALICE);
    const after = await shelf.put(ALICE);
    reading.resolve(old);
    expect(await first).toBeDefined();
    expect(await serialOf(one, ALICE)).toBe(after);
  });

  test('by which a certificate is gone takes it out of service', async () => {
    const zone = await shelf.put(ZONE);
    await shelf.put(ALICE);
    const one = chooser();
    await one.choose(ALICE);
    shelf.take(ALICE);
    expect(await serialOf(one, ALICE)).toBe(zone);
    expect(await one.choose(hostname(`code.${ALICE}`))).toBeUndefined();
  });

  test('that nobody told of is found in the end, in the background', async () => {
    const before = await shelf.put(ALICE);
    const one = chooser({ limits: { recheckMs: 0 } });
    await one.choose(ALICE);
    shelf.certificates.set(ALICE, await issueFor(ALICE));
    const meanwhile = one.choose(ALICE);
    expect(meanwhile).not.toBeInstanceOf(Promise);
    expect(certificateOf(await meanwhile).serialNumber).toBe(before);
    await vi.waitFor(async () => expect(await serialOf(one, ALICE)).not.toBe(before));
  });

  test('of the settings makes contexts anew in the background; what is the same stays', async () => {
    await shelf.put(ALICE);
    let edition = 1;
    const one = chooser({ edition: () => edition, limits: { recheckMs: 0 } });
    const first = await one.choose(ALICE);
    expect(await one.choose(ALICE)).toBe(first);
    await vi.waitFor(() => expect(shelf.load.mock.settledResults.length).toBeGreaterThan(1));
    expect(await one.choose(ALICE)).toBe(first);
    edition = 2;
    expect(one.choose(ALICE)).toBe(first);
    await vi.waitFor(async () => expect(await one.choose(ALICE)).not.toBe(first));
  });
});

describe('a source', () => {
  test('that is away changes nothing for what is in memory, and is not asked with each visit', async () => {
    const before = await shelf.put(ALICE);
    const one = chooser();
    await one.choose(ALICE);
    await shelf.put(ALICE);
    shelf.load.mockClear();
    shelf.load.mockRejectedValue(new Error('the registry is away'));
    for (let visit = 0; visit < 20; visit += 1) expect(await serialOf(one, ALICE)).toBe(before);
    for (let visit = 0; visit < 20; visit += 1) expect(await one.choose(BOB)).toBeUndefined();
    expect(shelf.load.mock.calls).toEqual([[ALICE], [BOB], [ZONE]]);
    expect(lines.join('')).toContain('the registry is away');
  });

  test('that never answers keeps nobody waiting for long', async () => {
    const zone = await shelf.put(ZONE);
    const one = chooser({ limits: { loadMs: 20 } });
    await one.choose(ZONE);
    const late = Promise.withResolvers<KeyedCertificate>();
    shelf.load.mockReturnValueOnce(late.promise);
    expect(await serialOf(one, ALICE)).toBe(zone);
    expect(one.choose(ALICE)).not.toBeInstanceOf(Promise);
    const alice = await issueFor(ALICE);
    late.resolve(alice);
    const { serialNumber } = new X509Certificate(alice.certPem);
    await vi.waitFor(async () => expect(await serialOf(one, ALICE)).toBe(serialNumber));
  });

  test('beyond the bound of what is being read a visitor is refused at once', () => {
    shelf.load.mockReturnValue(new Promise(() => undefined));
    const one = chooser({ limits: { inFlightMax: 3 } });
    for (const at of [1, 2, 3]) {
      expect(one.choose(hostname(`code.device${at}.${ZONE}`))).toBeInstanceOf(Promise);
    }
    expect(one.choose(hostname(`code.${ALICE}`))).toBeUndefined();
    expect(one.choose(hostname(`code.device2.${ZONE}`))).toBeInstanceOf(Promise);
  });

  test('that damages a certificate is an error of that name alone', async () => {
    shelf.set(ALICE, { certPem: 'x', keyPem: 'y', notAfterMs: Infinity });
    const zone = await shelf.put(ZONE);
    expect(await serialOf(chooser(), ALICE)).toBe(zone);
  });
});

describe('an expired certificate', () => {
  test('F-8 is served until its last second, and gives way to any that is valid', async () => {
    let nowMs = Date.now();
    const alice = await shelf.put(ALICE);
    const one = chooser({ wallClockMs: () => nowMs });
    expect(await serialOf(one, ALICE)).toBe(alice);
    nowMs += 90 * DAY_MS - 60_000;
    expect(await serialOf(one, ALICE)).toBe(alice);
    nowMs += 120_000;
    vi.useFakeTimers({ now: nowMs, toFake: ['Date'] });
    const zone = await shelf.put(ZONE);
    expect(await serialOf(one, ALICE)).toBe(zone);
  });

  test('F-5 is served when there is no other: it is our clock that may be wrong', async () => {
    const nowMs = Date.now() + 40 * 365 * DAY_MS;
    const alice = await shelf.put(ALICE);
    const one = chooser({ wallClockMs: () => nowMs });
    expect(await serialOf(one, hostname(`code.${ALICE}`))).toBe(alice);
    for (let visit = 0; visit < 20; visit += 1) await one.choose(hostname(`code.${ALICE}`));
    expect(shelf.load).toHaveBeenCalledTimes(1);
  });
});

describe('over TLS', () => {
  let server: Server;
  let one: Chooser;

  beforeEach(async () => {
    one = chooser();
    server = createServer({
      SNICallback: (name, done) => {
        const parsed = parseHostname(name);
        Promise.resolve(parsed === undefined ? undefined : one.choose(parsed)).then(
          (context) => done(context === undefined ? new Error('unrecognized_name') : null, context),
          done,
        );
      },
    });
    server.on('secureConnection', (socket) => socket.pipe(socket).on('error', () => undefined));
    server.on('tlsClientError', () => undefined);
    await once(server.listen(0, '127.0.0.1'), 'listening');
  });

  afterEach(() => server.close());

  async function visit(servername: string): Promise<TLSSocket | undefined> {
    const { port } = server.address() as AddressInfo;
    const socket = tlsConnect({ port, host: '127.0.0.1', servername, ca: authority.caPem });
    onTestFinished(() => void socket.destroy());
    const trusted = once(socket, 'secureConnect').then(
      () => socket.authorized,
      () => false,
    );
    return (await trusted) ? socket : undefined;
  }

  test('T-8 a browser that trusts the CA is content with what arrives', async () => {
    for (const subject of [ZONE, ALICE]) await shelf.put(subject);
    expect(await visit(ZONE)).toBeDefined();
    expect(await visit(ALICE)).toBeDefined();
    expect(await visit(`code.${ALICE}`)).toBeDefined();
    expect(await visit(`code.${BOB}`)).toBeUndefined();
    expect(await visit('bank.example')).toBeUndefined();
  });

  test('a certificate is replaced while a connection that began with the old one goes on', async () => {
    const before = await shelf.put(ALICE);
    const old = await visit(ALICE);
    const after = await shelf.put(ALICE);
    const young = await visit(ALICE);
    expect(old?.getPeerX509Certificate()?.serialNumber).toBe(before);
    expect(young?.getPeerX509Certificate()?.serialNumber).toBe(after);
    old?.write('still here');
    expect(String((await once(old ?? server, 'data'))[0])).toBe('still here');
  });
});

test('T-8 of 1e4 visits to many names, none is shown the certificate of another', async () => {
  const names = Array.from({ length: 110 }, (_, at) => hostname(`dev-${at}.${ZONE}`));
  await Promise.all([ZONE, ...names].map((subject) => shelf.put(subject)));
  const one = chooser({ limits: { contextsMax: 90 } });
  const hosts = fc
    .constantFrom(...names)
    .chain((name) => fc.constantFrom(`code.${name}`, `lan.${name}`, name, ZONE));
  const visits = fc.sample(hosts, 10_000).map(hostname);
  const seen = new WeakMap<SecureContext, X509Certificate>();
  for (let at = 0; at < visits.length; at += 20) {
    await Promise.all(
      visits.slice(at, at + 20).map(async (visit) => {
        const context = await one.choose(visit);
        if (context === undefined) throw new Error(`${visit} was refused`);
        const certificate = seen.get(context) ?? certificateOf(context);
        seen.set(context, certificate);
        if (certificate.checkHost(visit) === undefined) {
          throw new Error(`${visit} was shown ${certificate.subjectAltName}`);
        }
      }),
    );
  }
  expect(one.size).toBeLessThanOrEqual(90);
  expect(shelf.load.mock.calls.length).toBeGreaterThan(CHOOSER_LIMITS.freedPerCollection);
}, 60_000);
