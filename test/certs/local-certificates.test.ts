import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Authority, createAuthority } from '../../certs/authority.ts';
import {
  LocalCertificates,
  type LocalCertificatesOptions,
} from '../../certs/local-certificates.ts';
import { openStore, type Store } from '../../certs/store.ts';
import { type Hostname, parseHostname } from '../../dns/name.ts';

const ZONE = hostname('vendor.localhost');
const ALICE = hostname('alice.vendor.localhost');
const ENTRY = 'cert-alice.vendor.localhost.pem';
const DAY_MS = 86_400_000;
const authority = await createAuthority(ZONE);
const lines: string[] = [];
const log = pino({}, { write: (line) => void lines.push(line) });
let directory: string;
let store: Store;
let issue: ReturnType<typeof vi.fn<Authority['issue']>>;

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`not a hostname: ${text}`);
  return parsed;
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'waygate-local-'));
  store = await openStore(directory);
  issue = vi.fn(authority.issue);
  lines.length = 0;
});

afterEach(async () => {
  vi.useRealTimers();
  await rm(directory, { recursive: true });
});

function source(change: Partial<LocalCertificatesOptions> = {}): LocalCertificates {
  const { signed } = authority;
  return new LocalCertificates({ zone: ZONE, store, authority: { issue, signed }, log, ...change });
}

async function loaded(from: LocalCertificates, subject = ALICE): Promise<X509Certificate> {
  const found = await from.load(subject);
  if (found === undefined) throw new Error(`nothing for ${subject}`);
  return new X509Certificate(found.certPem);
}

const serialOf = async (from: LocalCertificates) => (await loaded(from)).serialNumber;

test('a certificate has the subject and what is one label below it', async () => {
  const { subjectAltName } = await loaded(source());
  expect(subjectAltName).toBe('DNS:alice.vendor.localhost, DNS:*.alice.vendor.localhost');
});

test('it is issued once and comes from the disk then, also after a start', async () => {
  const first = await serialOf(source());
  expect(await serialOf(source())).toBe(first);
  expect(issue).toHaveBeenCalledTimes(1);
  expect(await store.list()).toEqual([ENTRY]);
});

test('outside the zone there is none, and nothing is issued', async () => {
  for (const name of ['app.example.org', 'evilvendor.localhost', 'localhost'].map(hostname)) {
    expect(await source().load(name)).toBeUndefined();
  }
  expect(issue).not.toHaveBeenCalled();
});

test('the certificate of a released name is removed, and that is told', async () => {
  const one = source();
  const told: Hostname[] = [];
  one.onChange((subject) => told.push(subject));
  await one.load(ALICE);
  await one.remove(ALICE);
  expect(await store.list()).toEqual([]);
  expect(told).toEqual([ALICE]);
});

test('it is renewed when it is read after two thirds of its life, for other processes too', async () => {
  let nowMs = Date.now();
  const [one, other] = [source({ wallClockMs: () => nowMs }), source({ wallClockMs: () => nowMs })];
  const before = await serialOf(one);
  nowMs += 59 * DAY_MS;
  expect(await serialOf(one)).toBe(before);
  nowMs += 2 * DAY_MS;
  vi.useFakeTimers({ now: nowMs, toFake: ['Date'] });
  const after = await serialOf(one);
  expect(after).not.toBe(before);
  expect(await serialOf(other)).toBe(after);
  expect(issue).toHaveBeenCalledTimes(2);
});

test('F-8 a renewal that fails changes nothing until the last second', async () => {
  let nowMs = Date.now();
  const one = source({ wallClockMs: () => nowMs });
  const before = await serialOf(one);
  issue.mockRejectedValue(new Error('the CA is down'));
  nowMs += 89 * DAY_MS;
  expect(await serialOf(one)).toBe(before);
  expect(lines.join('')).toContain('no new certificate');
  nowMs += 2 * DAY_MS;
  await expect(one.load(ALICE)).rejects.toThrow('the CA is down');
});

async function stored(name: Hostname): Promise<string> {
  const { keyPem, certPem } = await authority.issue([name, `*.${name}`]);
  return keyPem + certPem;
}

test('what is on the disk is replaced when it is damaged, of other names, another key or another CA', async () => {
  const [alice, bob] = await Promise.all([stored(ALICE), stored(hostname('bob.vendor.localhost'))]);
  const stranger = await (await createAuthority(ZONE)).issue([ALICE, `*.${ALICE}`]);
  const certificate = alice.slice(alice.indexOf('-----BEGIN CERT'));
  const otherKey = bob.slice(0, bob.indexOf('-----BEGIN CERT')) + certificate;
  const theirs = stranger.keyPem + stranger.certPem;
  for (const bad of ['', 'x', alice.slice(0, -100), certificate, bob, otherKey, theirs]) {
    await store.write(ENTRY, bad);
    issue.mockClear();
    expect((await loaded(source())).checkHost(ALICE)).toBeDefined();
    expect(issue).toHaveBeenCalledTimes(1);
    expect(await store.read(ENTRY)).not.toBe(bad);
  }
  const secret = alice.split('\n')[1] ?? '';
  expect(lines.join('')).not.toContain(secret.slice(0, 16));
});

test('F-6 a full disk costs nothing now', async () => {
  const full: Store = { ...store, write: () => Promise.reject(new Error('ENOSPC')) };
  expect(await serialOf(source({ store: full }))).toBeDefined();
  expect(lines.join('')).toContain('could not be stored');
});

test('F-5 one on the disk may come from the future, while the clock is not set yet', async () => {
  const before = await serialOf(source());
  expect(await serialOf(source({ wallClockMs: () => 0 }))).toBe(before);
});
