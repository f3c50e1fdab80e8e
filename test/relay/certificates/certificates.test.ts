// All of it as the relay opens it: with the local authority, and with one whose proofs are really shown, in
// a zone that a name server of ours serves and the authority looks at.
import { createHash, X509Certificate } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry as Metrics } from 'prom-client';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { makeCsr } from '../../../certs/csr.ts';
import { NameServer } from '../../../dns/server.ts';
import { type Certificates, openCertificates } from '../../../relay/certificates/certificates.ts';
import { WITH_DEVICE_MS } from '../../../relay/certificates/device-work.ts';
import { keepWindow } from '../../../relay/registry/certificates/windows.ts';
import { proveDomain } from '../../../relay/registry/deeds/domain-proof.ts';
import {
  addDomain,
  parseOwnDomain,
  removeDomain,
} from '../../../relay/registry/deeds/own-domain.ts';
import { configureApex } from '../../../relay/registry/deeds/zone-apex.ts';
import { openRegistry, type Registry } from '../../../relay/registry/registry.ts';
import { freePort } from '../../world/free-port.ts';
import type { HostileCa } from '../../world/hostile-ca.ts';
import { deviceKey, deviceName } from '../registry/fixture.ts';
import { feedOf, settings } from '../registry/zone-fixture.ts';
import { hostileCa, hostname } from './issuing-stand.ts';

const ZONE = hostname('vendor.example');
const ALICE = hostname(`alice.${ZONE}`);
const OPERATOR = { kind: 'operator', user: 'test' } as const;
const RUNNING = new AbortController().signal;
const lines: string[] = [];
const log = pino({}, { write: (line) => void lines.push(line) });
let state: string;
let registry: Registry;

beforeEach(async () => {
  lines.length = 0;
  state = await mkdtemp(join(tmpdir(), 'waygate-certificates-'));
  registry = await openRegistry({
    database: { kind: 'sqlite', file: join(state, 'registry.sqlite') },
    log: pino({ enabled: false }),
  });
  onTestFinished(async () => {
    await registry.close();
    await rm(state, { recursive: true });
  });
});

async function open(ca?: HostileCa): Promise<Certificates> {
  const caFile = join(state, 'directory-ca.pem');
  if (ca !== undefined) await writeFile(caFile, ca.caPem);
  const budget = { ordersPer3Hours: 300, certificatesPerWeek: 50 };
  const authorities =
    ca === undefined ? [] : [{ name: 'hostile', directory: ca.directoryUrl, caFile, budget }];
  const config = { zone: ZONE, id: 'relay-1', state, certificates: { authorities } };
  const certificates = await openCertificates({ config, registry, log });
  onTestFinished(() => certificates.stop());
  return certificates;
}

async function namesOf(certificates: Certificates, text: string): Promise<string | undefined> {
  const context: unknown = await certificates.chooser.choose(hostname(text));
  if (context === undefined) return undefined;
  const der: unknown = Object(Object(context).context).getCertificate();
  return Buffer.isBuffer(der) ? new X509Certificate(der).subjectAltName : undefined;
}

const enroll = (name: string) =>
  registry.enroll({ name: deviceName(name), deviceKey: deviceKey(), actor: 'test' });

describe('with the local authority', () => {
  test('every name has a certificate at once, and a released one none', async () => {
    const certificates = await open();
    await certificates.start(RUNNING);
    await enroll('alice');
    expect(await namesOf(certificates, `code.${ALICE}`)).toBe(`DNS:${ALICE}, DNS:*.${ALICE}`);
    expect(await namesOf(certificates, ZONE)).toBe(`DNS:${ZONE}, DNS:*.${ZONE}`);
    expect(certificates.caFile).toBe(join(state, 'certificates', `ca-${ZONE}.pem`));
    await registry.release({ name: deviceName('alice'), by: OPERATOR });
    expect(await namesOf(certificates, `code.${ALICE}`)).toBeUndefined();
  });

  test('a device gets one for its own key', async () => {
    const certificates = await open();
    const { csr } = await makeCsr([ALICE, `*.${ALICE}`]);
    const wanted = { thumbprint: 'x', name: deviceName('alice'), csr };
    const state = await certificates.deviceCertificate(wanted);
    if (state.kind !== 'issued') throw new Error('not issued');
    expect(new X509Certificate(state.chain).checkHost(`code.${ALICE}`)).toBeDefined();
    expect(state.renewAtMs).toBeGreaterThan(Date.now());
    expect(await certificates.deviceRenewalMs(wanted)).toBeUndefined();
  });

  test('own domains are told that they need another authority', async () => {
    const { problem } = await (await open()).domainCertificate('app.example.org');
    expect(problem).toMatch(/signs for its own zone only.*relay\.yaml/);
  });
});

/** A zone that is served, and an authority that looks at it. */
async function withZone(): Promise<HostileCa> {
  const port = await freePort();
  const nameServers = [{ host: hostname('ns1.vendor.example'), addresses: ['127.0.0.1'], port }];
  await registry.perform(configureApex(settings({ nameServers })));
  const source = await feedOf(registry);
  const server = new NameServer({ listen: [{ address: '127.0.0.1', port }], source });
  await server.start();
  onTestFinished(() => server.stop());
  const resolver = new Resolver();
  resolver.setServers([`127.0.0.1:${port}`]);
  const ca = await hostileCa();
  ca.validate = async ({ type, hostname: subject, keyAuthorization }) => {
    const digest = createHash('sha256').update(keyAuthorization).digest('base64url');
    const texts = await resolver.resolveTxt(`_acme-challenge.${subject}`).catch(() => []);
    return type === 'dns-01' && texts.flat().includes(digest) ? undefined : 'unauthorized';
  };
  return ca;
}

function aliased(subject: string, target: string): string {
  return subject === 'example.org' ? `${target}.to.${ZONE}` : subject;
}

describe('with an authority', () => {
  test('the start waits for the zone; names follow when they are claimed, and go when released', async () => {
    const ca = await withZone();
    await enroll('alice');
    const certificates = await open(ca);
    await certificates.start(RUNNING);
    expect(await namesOf(certificates, ZONE)).toBe(`DNS:*.${ZONE}, DNS:${ZONE}`);
    const served = (subject: string) =>
      vi.waitFor(
        async () => expect(await namesOf(certificates, `code.${subject}`)).toContain(subject),
        { timeout: 20_000 },
      );
    await served(ALICE);
    await enroll('bob');
    // Until it has its own, the zone's serves it.
    expect(await namesOf(certificates, `bob.${ZONE}`)).toBeDefined();
    await served(`bob.${ZONE}`);
    await registry.release({ name: deviceName('bob'), by: OPERATOR });
    expect(await namesOf(certificates, `code.bob.${ZONE}`)).toBeUndefined();
    const rows = await registry.read((db) => db.selectFrom('challenges').selectAll().execute());
    expect(rows).toEqual([]);
    const metrics = new Metrics();
    certificates.expose([metrics]);
    const text = await metrics.metrics();
    expect(text).toMatch(/orders_total\{authority="hostile",outcome="issued"\} 3/);
    expect(text).toMatch(/budget_left\{authority="hostile",period="week"\} 47/);
    expect(text).toMatch(/waygate_certificate_days_left\{purpose="relay",within="90"\} 2/);
    expect(text).toMatch(/waygate_certificate_missing\{purpose="device"\} 0/);
    expect(text).toMatch(/waygate_certificate_revocations_waiting 0/);
    expect(lines.join('')).not.toContain('PRIVATE');
  }, 60_000);

  test('an own domain with its wildcard is proven by the DNS that was delegated, until it is removed', async () => {
    const ca = await withZone();
    await enroll('alice');
    const name = deviceName('alice');
    const domain = parseOwnDomain('example.org', ZONE);
    if (domain === undefined) throw new Error('no own domain');
    const by = OPERATOR;
    const { target, proof } = await registry.perform(
      addDomain({ name, domain, wildcard: true, by }),
    );
    const seen = new Set([proof]);
    await registry.perform(proveDomain({ target, seen, lookedAtMs: Date.now() }));
    const certificates = await open(ca);
    // As the CNAME at the customer's leads there; the domain itself is proven by the relay.
    const { validate } = ca;
    ca.validate = async (shown) => {
      if (shown.type === 'dns-01') {
        return validate({ ...shown, hostname: aliased(shown.hostname, target) });
      }
      const answer = await certificates.answers.alpnContext(hostname(shown.hostname));
      return answer === undefined ? 'unauthorized' : undefined;
    };
    await certificates.start(RUNNING);
    expect(await certificates.domainCertificate(domain)).toEqual({ state: 'none' });
    await certificates.wantDomain({ domain, wildcard: true });
    await vi.waitFor(
      async () =>
        expect(await certificates.domainCertificate(domain)).toMatchObject({ state: 'issued' }),
      { timeout: 20_000 },
    );
    expect(await namesOf(certificates, `code.${domain}`)).toBe(`DNS:*.${domain}, DNS:${domain}`);
    await registry.perform(removeDomain({ domain, by }));
    expect(await namesOf(certificates, `code.${domain}`)).toBeUndefined();
    await vi.waitFor(async () => {
      expect(await certificates.domainCertificate(domain)).toEqual({ state: 'none' });
      const rows = await registry.read((db) =>
        db.selectFrom('certificates').select('key').where('subject', '=', domain).execute(),
      );
      expect(rows).toEqual([{ key: null }]);
    });
  }, 60_000);

  test('a later start serves at once, with the authority and the registry away', async () => {
    const ca = await withZone();
    const first = await open(ca);
    await first.start(RUNNING);
    await namesOf(first, ZONE);
    await first.stop();
    await ca.leave();
    vi.spyOn(registry, 'read').mockRejectedValue(new Error('away'));
    const second = await open(ca);
    await second.start(RUNNING);
    expect(await namesOf(second, ZONE)).toContain(ZONE);
  }, 60_000);

  test('a device gets one for its own key, which the relay never renews by itself', async () => {
    const ca = await withZone();
    const [device, name] = [deviceKey(), deviceName('alice')];
    await registry.enroll({ name, deviceKey: device, actor: 'test' });
    const certificates = await open(ca);
    await certificates.start(RUNNING);
    const { csr } = await makeCsr([ALICE, `*.${ALICE}`]);
    const { thumbprint } = device;
    const wanted = { thumbprint, name, csr };
    expect(await certificates.deviceCertificate(wanted)).toMatchObject({ kind: 'ordered' });
    await vi.waitFor(
      async () =>
        expect(await certificates.deviceCertificate(wanted)).toMatchObject({ kind: 'issued' }),
      { timeout: 20_000 },
    );
    const orders = ca.count('newOrder');
    expect(await certificates.deviceCertificate(wanted)).toMatchObject({ kind: 'issued' });
    expect(ca.count('newOrder')).toBe(orders);
    const [row] = await registry.read((db) =>
      db.selectFrom('certificates').selectAll().where('purpose', '=', 'device').execute(),
    );
    expect(row?.key).toBeNull();
    // Its authority is about to revoke it, and its work rests until the device comes.
    const [id, notBeforeMs] = [row?.id ?? 0, row?.not_before ?? 0];
    const late = await certificates.deviceRenewalMs(wanted);
    const days = ((late ?? 0) - notBeforeMs) / 86_400_000;
    expect(days).toBeGreaterThan(59);
    expect(days).toBeLessThan(61);
    const past = { startMs: notBeforeMs - 2, endMs: notBeforeMs - 1 };
    await registry.write(keepWindow(id, past, null, WITH_DEVICE_MS));
    const renewAtMs = notBeforeMs + 2 * 3_600_000;
    expect(await certificates.deviceRenewalMs(wanted)).toBe(renewAtMs);
    expect(await certificates.deviceCertificate(wanted)).toMatchObject({ renewAtMs });
    const stranger = { ...wanted, thumbprint: 'stranger' };
    expect(await certificates.deviceRenewalMs(stranger)).toBeUndefined();
    // While the next one is ordered, it goes for the one before.
    const next = await makeCsr([ALICE, `*.${ALICE}`]);
    await certificates.deviceCertificate({ ...wanted, csr: next.csr });
    expect(await certificates.deviceRenewalMs(wanted)).toBeDefined();
    // The name is given up and taken again by the same key: what the device has of it is revoked.
    await registry.release({ name, by: OPERATOR });
    await registry.enroll({ name, deviceKey: device, actor: 'test' });
    expect(await certificates.deviceRenewalMs(wanted)).toBe(0);
    await vi.waitFor(() => expect(ca.revoked.size).toBeGreaterThan(0), { timeout: 20_000 });
    expect(await certificates.deviceRenewalMs(wanted)).toBe(0);
  }, 60_000);

  test('a start without the keys that sealed says which file is not what it was', async () => {
    const ca = await withZone();
    const first = await open(ca);
    await first.start(RUNNING);
    await first.stop();
    await rm(join(state, 'envelope.key'));
    const second = await open(ca);
    const stopping = new AbortController();
    const told: string[] = [];
    const starting = second.start(stopping.signal, (why) => {
      told.push(why);
      stopping.abort();
    });
    await expect(starting).rejects.toThrow();
    expect(told[0]).toMatch(/sealed under the key \w+, which .*envelope\.key does not have\. Put/);
  }, 60_000);

  test('a device whose order waits behind many others asks more and more rarely', async () => {
    const certificates = await open(await hostileCa());
    await enroll('alice');
    const name = deviceName('alice');
    const thumbprint = registry.snapshot.deviceOf(name)?.thumbprint ?? '';
    const { csr } = await makeCsr([ALICE, `*.${ALICE}`]);
    const waits: number[] = [];
    for (const seconds of [0, 60, 86_400, -7_200]) {
      await certificates.deviceCertificate({ thumbprint, name, csr });
      const due = { due_at: Date.now() - seconds * 1_000 };
      await registry.write((db) => db.updateTable('certificate_work').set(due).execute());
      const state = await certificates.deviceCertificate({ thumbprint, name, csr });
      if (state.kind === 'ordered') waits.push(Math.round(state.retryAfterMs / 1_000));
    }
    expect(waits).toEqual([5, 30, 600, 7_200]);
  });

  test('what went elsewhere while its right was looked at is not ordered: a name, a domain', async () => {
    const certificates = await open(await hostileCa());
    await enroll('alice');
    const name = deviceName('alice');
    const domain = parseOwnDomain('example.org', ZONE);
    if (domain === undefined) throw new Error('no own domain');
    const { target, proof } = await registry.perform(addDomain({ name, domain, by: OPERATOR }));
    const proven = { target, seen: new Set([proof]), lookedAtMs: Date.now() };
    await registry.perform(proveDomain(proven));
    const { csr } = await makeCsr([ALICE, `*.${ALICE}`]);
    const thumbprint = registry.snapshot.deviceOf(name)?.thumbprint ?? '';
    const wanted = () =>
      registry.read((db) => db.selectFrom('certificate_work').select('subject').execute());
    // Another kind of domain than was proven, as a look of before the change would want it.
    await certificates.wantDomain({ domain, wildcard: true });
    expect(await wanted()).toEqual([]);
    await registry.perform(removeDomain({ domain, by: OPERATOR }));
    await registry.release({ name, by: OPERATOR });
    await certificates.wantDomain({ domain, wildcard: false });
    await certificates.deviceCertificate({ thumbprint, name, csr });
    expect(await wanted()).toEqual([]);
  });

  test('settings that cannot be followed are told by their names', async () => {
    const ca = await hostileCa();
    const caFile = join(state, 'no-ca.pem');
    const budget = { ordersPer3Hours: 1, certificatesPerWeek: 1 };
    const settings = { name: 'hostile', directory: ca.directoryUrl, caFile, budget };
    const certificates = { authorities: [settings] };
    const config = { zone: ZONE, id: 'relay-1', state, certificates };
    const opening = () => openCertificates({ config, registry, log });
    await expect(opening()).rejects.toThrow(/caFile of hostile: .*no-ca\.pem cannot be read/);
    await writeFile(caFile, 'nothing');
    await expect(opening()).rejects.toThrow(/holds no certificate in PEM/);
  });
});
