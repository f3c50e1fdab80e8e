// What becomes of the certificates of a device that has lost its name: its authority revokes them, though it
// is away for a while, and whatever happens to the relay that asks.
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { makeCsr } from '../../../certs/csr.ts';
import { OrderError } from '../../../certs/order-error.ts';
import type { Issuance } from '../../../relay/certificates/issuance.ts';
import { REVOCATION_LIMITS, Revocations } from '../../../relay/certificates/revocations.ts';
import { askRevocationOfOrders } from '../../../relay/registry/certificates/abandoned-orders.ts';
import { listRevocations } from '../../../relay/registry/certificates/revocation-listing.ts';
import { REVOCATION } from '../../../relay/registry/certificates/revocation-queue.ts';
import { approveClaim } from '../../../relay/registry/deeds/approve-claim.ts';
import { openClaim } from '../../../relay/registry/deeds/claim.ts';
import { lapse } from '../../../relay/registry/deeds/lapse.ts';
import { wantForDevice } from '../../../relay/registry/deeds/wanted-certificate.ts';
import type { Registry } from '../../../relay/registry/registry.ts';
import { signIn } from '../../../relay/registry/sign-in.ts';
import type { HostileCa } from '../../world/hostile-ca.ts';
import { PebbleServer } from '../../world/pebble.ts';
import { requires } from '../../world/requires.ts';
import { deviceKey, deviceName } from '../registry/fixture.ts';
import {
  DAY_MS,
  HOUR_MS,
  hostileCa,
  hostname,
  IssuingStand,
  MINUTE_MS,
  TRUSTED,
  ZONE,
} from './issuing-stand.ts';

const name = deviceName('alice');
const subject = hostname(`alice.${ZONE}`);
const names = [subject, `*.${subject}`] as const;
let stand: IssuingStand;

beforeEach(async () => {
  vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] });
  stand = await IssuingStand.start();
});

afterEach(() => {
  vi.useRealTimers();
});

const passes = (ms: number) => vi.setSystemTime(Date.now() + ms);

function revocations(registry: Pick<Registry, 'read' | 'write'> = stand.registry): Revocations {
  const { authorities, log } = stand;
  const holder = `relay ${Math.random()}`;
  return new Revocations({ registry, authorities, holder, log, now: Date.now, random: () => 0.5 });
}

async function asked(thumbprint: string): Promise<void> {
  const csr = (await makeCsr(names)).csr.toString('base64');
  const wanted = { name, subject, thumbprint, names, csr, nowMs: Date.now() };
  expect(await stand.registry.perform(wantForDevice(wanted))).toBe(true);
}

/** The serial of the certificate that a device has now got. */
async function issuedFor(thumbprint: string, issuance: Issuance): Promise<string> {
  await asked(thumbprint);
  await issuance.settled();
  const row = (await stand.ledger()).findLast((each) => each.thumbprint === thumbprint);
  if (row === undefined) throw new Error('nothing was issued');
  return row.serial;
}

/** A device that has a certificate, and its owner. */
async function enrolled() {
  const { registry } = stand;
  const mail = { issuer: 'mailto', subject: 'ann@example.org', emailVerified: true };
  const { id: ownerId } = await registry.write(signIn({ ...mail, nowMs: Date.now() }));
  const key = deviceKey();
  await registry.enroll({ name, deviceKey: key, ownerId, actor: 'test' });
  return { ownerId, thumbprint: key.thumbprint };
}

/** It is lost: its owner takes the name onto the key of another one. */
async function recover(ownerId: string): Promise<string> {
  const { registry } = stand;
  const key = deviceKey();
  const { code } = await registry.perform(openClaim({ deviceKey: key, address: '192.0.2.7' }));
  await registry.perform(approveClaim({ code, ownerId, name }));
  passes(DAY_MS);
  expect(await registry.perform(lapse())).toMatchObject([{ kind: 'recovered' }]);
  return key.thumbprint;
}

async function listed() {
  return stand.registry.read(listRevocations({ subject, limit: 9, nowMs: Date.now() }));
}

/** At a hostile authority; the serial of the certificate that is to be revoked. */
async function lost(ca: HostileCa): Promise<string> {
  const issuance = stand.issuance([ca]);
  const { ownerId, thumbprint } = await enrolled();
  const serial = await issuedFor(thumbprint, issuance);
  await recover(ownerId);
  return serial;
}

const pebbleNeeds = requires('pebble');

test.skipIf(pebbleNeeds.skip)(
  "attack: a lost device's certificate is revoked when the name is recovered onto a new key",
  async () => {
    const pebble = await PebbleServer.start({ alwaysValid: true });
    onTestFinished(() => pebble[Symbol.asyncDispose]());
    const issuance = stand.issuance([pebble]);
    const { ownerId, thumbprint } = await enrolled();
    const older = await issuedFor(thumbprint, issuance);
    const serial = await issuedFor(thumbprint, issuance);
    const worker = revocations();
    await worker.look();
    expect(await pebble.statusOf(serial)).toBe('Valid');
    const next = await recover(ownerId);
    const its = await issuedFor(next, issuance);
    await worker.look();
    // The lost device has the keys of both.
    expect(await Promise.all([serial, older].map((each) => pebble.statusOf(each)))).toEqual([
      ...['Revoked', 'Revoked'],
    ]);
    expect(await pebble.statusOf(its)).toBe('Valid');
    expect((await listed()).map(({ state }) => state)).toEqual(['revoked', 'revoked']);
    // Another relay that was told of it twice: revoked is revoked.
    await stand.registry.write((db) =>
      db
        .withTables<{ certificate_revocations: { ended_at: null } }>()
        .updateTable('certificate_revocations')
        .set({ ended_at: null })
        .execute(),
    );
    await revocations().look();
    expect((await listed()).map(({ state }) => state)).toEqual(['revoked', 'revoked']);
    await stand.expectNoSecrets();
  },
  60_000,
);

describe('an authority', () => {
  test('that fails for hours is asked rarely, and then revokes', async () => {
    const ca = await hostileCa();
    const serial = await lost(ca);
    ca.spoil('revokeCert', { status: 503, body: 'down' }, 6);
    const worker = revocations();
    await worker.look();
    expect(await listed()).toMatchObject([{ state: 'revoking', attempts: 1 }]);
    expect((await listed())[0]?.lastError).toMatch(/ca-0 answered the revocation .* status 503/);
    passes(MINUTE_MS / 2);
    await worker.look();
    expect(ca.count('revokeCert'), 'not yet').toBe(1);
    for (let hour = 0; hour < 3; hour += 1) {
      passes(HOUR_MS);
      await worker.look();
    }
    expect(ca.count('revokeCert')).toBe(4);
    await ca.leave();
    passes(HOUR_MS);
    await worker.look();
    await ca.comeBack();
    for (let hour = 0; hour < 4; hour += 1) {
      passes(HOUR_MS);
      await worker.look();
    }
    expect(ca.revoked).toEqual(new Map([[serial, 1]]));
    expect(await listed()).toMatchObject([{ state: 'revoked', lastError: undefined }]);
  });

  test('that never does it is asked until the certificate has ended, and no longer', async () => {
    const ca = await hostileCa();
    await lost(ca);
    ca.spoil('revokeCert', { status: 403, problem: 'unauthorized' });
    const worker = revocations();
    await worker.look();
    passes(88 * DAY_MS);
    await worker.look();
    expect(ca.count('revokeCert')).toBe(2);
    passes(2 * DAY_MS);
    await worker.look();
    expect(await listed()).toMatchObject([{ state: 'ended' }]);
    passes(DAY_MS);
    await worker.look();
    expect(ca.count('revokeCert')).toBe(2);
  });

  test('that does not take the reason revokes without one', async () => {
    const ca = await hostileCa();
    const serial = await lost(ca);
    ca.spoil('revokeCert', { status: 400, problem: 'badRevocationReason' }, 1);
    await revocations().look();
    expect(ca.revoked).toEqual(new Map([[serial, undefined]]));
  });

  test('that is left alone just now, or is nobody any more, is not asked', async () => {
    const ca = await hostileCa();
    await lost(ca);
    const [authority] = stand.authorities;
    for (let failure = 0; failure < 5; failure += 1) authority?.rest.unavailable();
    const worker = revocations();
    await worker.look();
    expect(ca.count('revokeCert')).toBe(0);
    expect(await listed()).toMatchObject([{ state: 'revoking', attempts: 0 }]);
    stand.authorities = [];
    passes(HOUR_MS);
    await revocations().look();
    expect((await listed())[0]?.lastError).toMatch(/relay\.yaml names no authority ca-0/);
  });
});

test('a relay that dies when the authority has revoked, and noted nothing, is followed by another', async () => {
  const ca = await hostileCa();
  const serial = await lost(ca);
  const { registry } = stand;
  const reached = Promise.withResolvers<void>();
  let writes = 0;
  const dying: Pick<Registry, 'read' | 'write'> = {
    read: (work) => registry.read(work),
    write: (work) => {
      writes += 1;
      if (writes === 1) return registry.write(work);
      reached.resolve();
      return new Promise(() => undefined);
    },
  };
  void revocations(dying).look();
  await reached.promise;
  expect(ca.revoked.get(serial)).toBe(1);
  const other = revocations();
  await other.look();
  expect(await listed(), 'its lease is not over').toMatchObject([{ state: 'revoking' }]);
  passes(REVOCATION_LIMITS.leaseMs);
  await other.look();
  expect(ca.count('revokeCert')).toBe(2);
  expect(await listed()).toMatchObject([{ state: 'revoked', attempts: 0 }]);
});

test('attack: an order that was under way for a lost device comes to nothing that is good', async () => {
  const ca = await hostileCa();
  const [shown, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const issuance = stand.issuance([ca], {
    makeProver: () => ({
      ...TRUSTED,
      show: async () => {
        shown.resolve();
        await goOn.promise;
        return () => Promise.resolve();
      },
    }),
  });
  const { thumbprint } = await enrolled();
  await asked(thumbprint);
  const settled = issuance.settled();
  await shown.promise;
  await stand.registry.revoke({ thumbprint, actor: 'test' });
  const worker = revocations();
  await worker.look();
  expect(await listed(), 'nothing has come of it yet').toMatchObject([{ serial: undefined }]);
  goOn.resolve();
  await settled;
  // The authority has signed it, and nobody has stored it for the device.
  expect(ca.finalisationsFor(subject)).toBe(1);
  expect(await stand.ledger()).toEqual([]);
  passes(2 * MINUTE_MS);
  await worker.look();
  const [row] = await stand.ledger();
  expect(row).toMatchObject({ subject, purpose: 'device', thumbprint });
  expect(ca.revoked).toEqual(new Map([[row?.serial, 1]]));
  expect(await listed()).toMatchObject([{ state: 'revoked', serial: row?.serial }]);
});

test('bug: a certificate from an abandoned order that the authority gave out again lives', async () => {
  const ca = await hostileCa();
  ca.reuseOrders = true;
  let proofs = 0;
  const shown = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const issuance = stand.issuance([ca], {
    makeProver: () => ({
      ...TRUSTED,
      show: async () => {
        proofs += 1;
        shown.resolve();
        if (proofs <= 2) {
          await left.promise;
          throw new OrderError('ERR_ORDER_PROOF', 'The first relay has given up.');
        }
        return () => Promise.resolve();
      },
    }),
  });
  const { thumbprint } = await enrolled();
  await asked(thumbprint);
  const settled = issuance.settled();
  await shown.promise;
  // The device comes with another key, and gets the same order.
  await asked(thumbprint);
  left.resolve();
  await settled;
  await issuance.settled();
  expect(ca.ordersFor(subject)).toBe(1);
  expect(await stand.served()).toEqual([subject]);
  passes(2 * MINUTE_MS);
  await revocations().look();
  expect(ca.revoked).toEqual(new Map());
});

test("bug: a relay's own certificate lives, though its order was given out to a device as well", async () => {
  const ca = await hostileCa();
  ca.reuseOrders = true;
  const issuance = stand.issuance([ca]);
  const { thumbprint } = await enrolled();
  await stand.want(subject);
  await asked(thumbprint);
  await issuance.settled();
  expect(ca.ordersFor(subject)).toBe(1);
  const worker = revocations();
  await worker.look();
  passes(HOUR_MS);
  await issuance.settled();
  await worker.look();
  expect(await stand.served()).toEqual([subject, subject]);
  expect(ca.revoked).toEqual(new Map());
});

test.each(['device', 'relay'])(
  'attack: a certificate that came for a strange key is not used, and revoked: %s',
  async (purpose) => {
    const ca = await hostileCa();
    ca.chain = 'other-key';
    const issuance = stand.issuance([ca]);
    const { thumbprint } = await enrolled();
    await (purpose === 'device' ? asked(thumbprint) : stand.want(subject));
    await issuance.settled();
    expect(await stand.ledger()).toEqual([]);
    await revocations().look();
    const [row] = await stand.ledger();
    // Somebody else's key: while it lives, nobody else gets the name.
    expect(row).toMatchObject({ subject, purpose: 'device' });
    expect(ca.revoked).toEqual(new Map([[row?.serial, REVOCATION.superseded]]));
  },
);

test('attack: many devices that are lost at once do not storm an authority that wants less', async () => {
  const ca = await hostileCa();
  await lost(ca);
  const at = new URL(ca.directoryUrl).origin;
  const lots = Array.from({ length: 20 }, (_, each) => ({
    ...{ subject, thumbprint: 'lost', order_url: `${at}/order/${each}`, order_ca: 'ca-0' },
  }));
  const asking = { reason: REVOCATION.keyCompromise, nowMs: Date.now() };
  await stand.registry.write((db) => askRevocationOfOrders(db, lots, asking));
  ca.spoil('order', { status: 429, problem: 'rateLimited' });
  ca.spoil('revokeCert', { status: 429, problem: 'rateLimited' });
  const before = ca.count('order');
  const times = () => ca.count('order') - before + ca.count('revokeCert');
  const worker = revocations();
  await worker.look();
  expect(times()).toBe(REVOCATION_LIMITS.concurrency);
  passes(HOUR_MS / 2);
  await worker.look();
  expect(times(), 'it is left alone').toBe(REVOCATION_LIMITS.concurrency);
  expect(stand.authorities[0]?.rest.room, 'and signs').toBe(Infinity);
  passes(HOUR_MS);
  await worker.look();
  expect(times()).toBe(2 * REVOCATION_LIMITS.concurrency);
});
