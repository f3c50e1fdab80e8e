import { execFile } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  type Authority,
  AuthorityError,
  caFile,
  createAuthority,
  openAuthority,
} from '../../certs/authority.ts';
import { openStore, type Store } from '../../certs/store.ts';
import { type Hostname, parseHostname } from '../../dns/name.ts';
import { requires } from '../world/requires.ts';

const run = promisify(execFile);
const ZONE = hostname('vendor.localhost');
const ALICE = hostname('alice.vendor.localhost');
const DAY_MS = 86_400_000;
let directory: string;
let store: Store;

function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`not a hostname: ${text}`);
  return parsed;
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'waygate-ca-'));
  store = await openStore(directory);
});

afterEach(async () => {
  vi.useRealTimers();
  await rm(directory, { recursive: true });
});

async function openssl(authority: Authority, certPem: string, ...more: string[]): Promise<string> {
  await writeFile(join(directory, 'root.pem'), authority.caPem);
  await writeFile(join(directory, 'leaf.pem'), certPem);
  const files = ['-CAfile', join(directory, 'root.pem'), ...more, join(directory, 'leaf.pem')];
  const args = ['verify', '-x509_strict', '-purpose', 'sslserver', ...files];
  return run('openssl', args).then(
    ({ stdout }) => stdout,
    (error: unknown) => String(Object(error).stderr),
  );
}

const need = requires('openssl');

describe.skipIf(need.skip)('the local CA', () => {
  test('is made once, by whichever process is first, and stays', async () => {
    const opened = await Promise.all(Array.from({ length: 5 }, () => openAuthority(store, ZONE)));
    expect(new Set(opened.map(({ caPem }) => caPem)).size).toBe(1);
    expect((await openAuthority(store, ZONE)).caPem).toBe(opened[0]?.caPem);
    expect(await store.read('ca-vendor.localhost.pem')).toBe(opened[0]?.caPem);
    expect((await stat(caFile(store, ZONE))).mode & 0o777).toBe(0o644);
    const key = join(directory, 'ca-vendor.localhost.key.pem');
    expect((await stat(key)).mode & 0o777).toBe(0o600);
  });

  test('has one root per zone, and shows no key in the public file', async () => {
    const one = await openAuthority(store, ZONE);
    const other = await openAuthority(store, hostname('other.dev'));
    expect(other.caPem).not.toBe(one.caPem);
    expect(await store.read('ca-vendor.localhost.pem')).not.toContain('PRIVATE');
  });

  test('is a CA that openssl accepts, strictly, for ten years', async () => {
    const authority = await createAuthority(ZONE);
    const root = new X509Certificate(authority.caPem);
    expect(root.ca).toBe(true);
    expect(root.verify(root.publicKey)).toBe(true);
    const days = (root.validToDate.getTime() - Date.now()) / DAY_MS;
    expect(Math.round(days)).toBe(3_650);
    const { certPem } = await authority.issue([ALICE, `*.${ALICE}`]);
    for (const name of [ALICE, `code.${ALICE}`]) {
      expect(await openssl(authority, certPem, '-verify_hostname', name)).toContain('leaf.pem: OK');
    }
    expect(await openssl(authority, certPem, '-verify_hostname', `a.b.${ALICE}`)).toContain(
      'mismatch',
    );
    expect(await openssl(authority, certPem, '-verify_hostname', ZONE)).toContain('mismatch');
  });

  test('works for a zone of the greatest length', async () => {
    const zone = hostname(`${'a.'.repeat(120)}example`);
    const authority = await createAuthority(zone);
    const { certPem } = await authority.issue([zone]);
    expect(await openssl(authority, certPem)).toContain('leaf.pem: OK');
  });

  test('that is stolen imitates nobody outside the zone', async () => {
    const authority = await openAuthority(store, ZONE);
    // The thief signs by himself, with our root key and without our checks.
    const key = join(directory, 'ca-vendor.localhost.key.pem');
    const config = join(directory, 'leaf.cnf');
    for (const [name, verdict] of [
      ['DNS:bank.example', 'permitted subtree violation'],
      ['DNS:evilvendor.localhost', 'permitted subtree violation'],
      ['IP:127.0.0.1', 'excluded subtree violation'],
      ['IP:::1', 'excluded subtree violation'],
      ['DNS:bob.vendor.localhost', 'OK'],
    ]) {
      await writeFile(
        config,
        `subjectAltName=critical,${name}\nauthorityKeyIdentifier=keyid\nbasicConstraints=CA:FALSE\n`,
      );
      const csr = join(directory, 'csr.pem');
      const out = join(directory, 'out.pem');
      await run('openssl', [
        'req',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-subj',
        '/',
        '-keyout',
        join(directory, 'thief.key'),
        '-out',
        csr,
      ]);
      await run('openssl', [
        'x509',
        '-req',
        '-in',
        csr,
        '-CA',
        key,
        '-CAkey',
        key,
        '-CAcreateserial',
        '-days',
        '9',
        '-extfile',
        config,
        '-out',
        out,
      ]);
      const { stdout } = await run('cat', [out]);
      expect(await openssl(authority, stdout), name).toContain(verdict);
    }
  });

  test('refuses names outside the zone', async () => {
    const authority = await createAuthority(ZONE);
    for (const name of ['bank.example', 'evilvendor.localhost', 'localhost'].map(hostname)) {
      await expect(authority.issue([ALICE, name])).rejects.toThrow(AuthorityError);
      await expect(authority.issue([`*.${name}`])).rejects.toThrow(name);
    }
  });

  test.each(['', 'x', '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n'])(
    'whose file is damaged is refused and not replaced (%#)',
    async (content) => {
      const { caPem } = await openAuthority(store, ZONE);
      const key = await store.read('ca-vendor.localhost.key.pem');
      for (const damaged of [
        content,
        caPem,
        key?.replace(/-----BEGIN CERT[\s\S]*/, caPem.slice(0, 90)),
      ]) {
        await store.write('ca-vendor.localhost.key.pem', damaged ?? '');
        await expect(openAuthority(store, ZONE)).rejects.toMatchObject({
          code: 'ERR_AUTHORITY_DAMAGED',
          message: expect.stringContaining('ca-vendor.localhost.key.pem'),
        });
        expect(await store.read('ca-vendor.localhost.key.pem')).toBe(damaged);
      }
    },
  );

  test('knows what it has signed', async () => {
    const [authority, other] = await Promise.all([createAuthority(ZONE), createAuthority(ZONE)]);
    const { certPem } = await authority.issue([ALICE]);
    expect(authority.signed(new X509Certificate(certPem))).toBe(true);
    expect(other.signed(new X509Certificate(certPem))).toBe(false);
  });
});

describe.skipIf(need.skip)('a certificate', () => {
  test('has exactly the names, a key of its own, and a serial of 128 random bits', async () => {
    const authority = await createAuthority(ZONE);
    const issued = await Promise.all(
      Array.from({ length: 8 }, () => authority.issue([ALICE, `*.${ALICE}`])),
    );
    const parsed = issued.map(({ certPem }) => new X509Certificate(certPem));
    expect(new Set(parsed.map(({ serialNumber }) => serialNumber)).size).toBe(8);
    expect(
      new Set(parsed.map(({ publicKey }) => publicKey.export({ format: 'jwk' })['x'])).size,
    ).toBe(8);
    for (const [index, leaf] of parsed.entries()) {
      expect(leaf.subjectAltName).toBe(`DNS:${ALICE}, DNS:*.${ALICE}`);
      expect(leaf.serialNumber).toMatch(/^01[0-9A-F]{32}$/);
      expect(leaf.ca).toBe(false);
      expect(leaf.checkPrivateKey(createPrivateKey(issued[index]?.keyPem ?? ''))).toBe(true);
      expect(leaf.validToDate.getTime()).toBe(issued[index]?.notAfterMs);
      expect(Math.round((leaf.validToDate.getTime() - Date.now()) / DAY_MS)).toBe(90);
    }
  });

  test.each(['P-256', 'P-384'])(
    'is signed for a key on %s that somebody else has',
    async (curve) => {
      const authority = await createAuthority(ZONE);
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: curve });
      const der = publicKey.export({ type: 'spki', format: 'der' });
      const signed = await authority.sign([ALICE, `*.${ALICE}`], der);
      const leaf = new X509Certificate(signed.certPem);
      expect(leaf.publicKey.export({ type: 'spki', format: 'der' })).toEqual(der);
      expect(leaf.subjectAltName).toBe(`DNS:${ALICE}, DNS:*.${ALICE}`);
      expect([leaf.validFromDate.getTime(), leaf.validToDate.getTime()]).toEqual([
        ...[signed.notBeforeMs, signed.notAfterMs],
      ]);
      expect(await openssl(authority, signed.certPem)).toContain('leaf.pem: OK');
      const outside = authority.sign([hostname('alice.example.org')], der);
      await expect(outside).rejects.toMatchObject({ code: 'ERR_AUTHORITY_OUTSIDE_ZONE' });
    },
  );

  test('F-5 a first start in 1970 makes a CA that is good once the clock is right', async () => {
    vi.useFakeTimers({ now: 1_000, toFake: ['Date'] });
    const authority = await openAuthority(store, ZONE);
    vi.useRealTimers();
    const root = new X509Certificate(authority.caPem);
    expect(root.validFromDate.getTime()).toBeGreaterThan(Date.UTC(2026, 0, 1));
    const { certPem } = await authority.issue([ALICE]);
    expect(await openssl(authority, certPem)).toContain('leaf.pem: OK');
  });

  test('never outlives its CA, and a CA that is over says what to do', async () => {
    const authority = await createAuthority(ZONE);
    const endMs = new X509Certificate(authority.caPem).validToDate.getTime();
    vi.useFakeTimers({ now: endMs - DAY_MS, toFake: ['Date'] });
    expect((await authority.issue([ALICE])).notAfterMs).toBe(endMs);
    vi.setSystemTime(endMs);
    await expect(authority.issue([ALICE])).rejects.toMatchObject({ code: 'ERR_AUTHORITY_EXPIRED' });
  });
});
