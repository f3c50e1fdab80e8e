// An own domain whose order failed by a fault of its owner's, once that is gone.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test, vi } from 'vitest';
import { openCertificates } from '../../../relay/certificates/certificates.ts';
import { DOMAIN_ORDER_LIMITS } from '../../../relay/registry/certificates/domain-orders.ts';
import { proveDomain, suspendDomain } from '../../../relay/registry/deeds/domain-proof.ts';
import { addDomain, parseOwnDomain } from '../../../relay/registry/deeds/own-domain.ts';
import { openRegistry } from '../../../relay/registry/registry.ts';
import { deviceKey, deviceName } from '../registry/fixture.ts';
import { HOUR_MS, hostileCa, MINUTE_MS, ZONE } from './issuing-stand.ts';

const log = pino({ enabled: false });

/** A domain that is proven, and a relay with a clock of its own. */
async function provenDomain() {
  const state = await mkdtemp(join(tmpdir(), 'waygate-again-'));
  const database = { kind: 'sqlite', file: join(state, 'registry.sqlite') } as const;
  const registry = await openRegistry({ database, log });
  const [ca, caFile] = [await hostileCa(), join(state, 'ca.pem')];
  await writeFile(caFile, ca.caPem);
  const name = deviceName('alice');
  await registry.enroll({ name, deviceKey: deviceKey(), actor: 'test' });
  const domain = parseOwnDomain('app.example.org', ZONE);
  if (domain === undefined) throw new Error('no own domain');
  const by = { kind: 'operator', user: 'test' } as const;
  const { target, proof } = await registry.perform(addDomain({ name, domain, by }));
  await registry.perform(proveDomain({ target, seen: new Set([proof]), lookedAtMs: Date.now() }));
  const budget = { ordersPer3Hours: 300, certificatesPerWeek: 50 };
  const authorities = [{ name: 'hostile', directory: ca.directoryUrl, caFile, budget }];
  const clock = { nowMs: Date.now() };
  const certificates = await openCertificates({
    config: { zone: ZONE, id: 'relay-1', state, certificates: { authorities } },
    ...{ registry, log, now: () => clock.nowMs },
  });
  onTestFinished(async () => {
    await certificates.stop();
    await registry.close();
    await rm(state, { recursive: true });
  });
  const wanted = { domain, wildcard: false };
  const becomes = (state: string, orders: number) =>
    vi.waitFor(
      async () => {
        const { nextTryAtMs = 0, ...found } = await certificates.domainCertificate(domain);
        expect(found).toMatchObject({ state });
        expect(ca.ordersFor(domain)).toBe(orders);
        // Until then the attempt is under way.
        expect(nextTryAtMs).toBeGreaterThan(clock.nowMs);
      },
      { timeout: 10_000 },
    );
  const suspend = () => registry.perform(suspendDomain({ target, why: 'test' }));
  return { ca, clock, certificates, wanted, becomes, suspend };
}

test('is ordered again when all is right, and not when nobody says so', async () => {
  const { ca, clock, certificates, wanted, becomes } = await provenDomain();
  ca.validate = () => 'dns';
  await certificates.wantDomain(wanted);
  await becomes('failing', 1);
  const { nextTryAtMs = 0 } = await certificates.domainCertificate(wanted.domain);
  expect(nextTryAtMs - clock.nowMs).toBeGreaterThanOrEqual(13 * MINUTE_MS);
  ca.validate = () => undefined;
  clock.nowMs += DOMAIN_ORDER_LIMITS.againAfterMs;
  await certificates.wantDomain(wanted);
  expect(await certificates.domainCertificate(wanted.domain)).toMatchObject({ nextTryAtMs });
  await certificates.wantDomain({ ...wanted, again: true });
  await becomes('issued', 2);
});

test('attack: an owner who says for an hour that all is right gets four orders of it', async () => {
  const { ca, clock, certificates, wanted, becomes } = await provenDomain();
  ca.validate = () => 'dns';
  await certificates.wantDomain(wanted);
  for (let order = 1; order <= DOMAIN_ORDER_LIMITS.ordersMax; order += 1) {
    await becomes('failing', order);
    clock.nowMs += MINUTE_MS;
    await certificates.wantDomain({ ...wanted, again: true });
  }
  // Its next turn comes sooner than it may be ordered.
  const begunMs = clock.nowMs - DOMAIN_ORDER_LIMITS.ordersMax * MINUTE_MS;
  const { nextTryAtMs = 0 } = await certificates.domainCertificate(wanted.domain);
  clock.nowMs = nextTryAtMs;
  certificates.wake();
  await becomes('failing', DOMAIN_ORDER_LIMITS.ordersMax);
  expect(await certificates.domainCertificate(wanted.domain)).toMatchObject({
    nextTryAtMs: begunMs + HOUR_MS,
    problem: expect.stringContaining('did not accept the proof for app.example.org'),
  });
});

test('is not ordered again while it is suspended, whatever a look of before that says', async () => {
  const { ca, clock, certificates, wanted, becomes, suspend } = await provenDomain();
  ca.validate = () => 'dns';
  await certificates.wantDomain(wanted);
  await becomes('failing', 1);
  const before = await certificates.domainCertificate(wanted.domain);
  await suspend();
  clock.nowMs += MINUTE_MS;
  await certificates.wantDomain({ ...wanted, again: true });
  expect(await certificates.domainCertificate(wanted.domain)).toEqual(before);
});
