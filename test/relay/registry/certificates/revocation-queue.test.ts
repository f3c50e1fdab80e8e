// Which certificates are asked to be revoked when a name leaves its device, and who may write about them.
import { describe, expect, test } from 'vitest';
import { parseHostname } from '../../../../dns/name.ts';
import {
  askRevocationOfOrders,
  keepAbandoned,
} from '../../../../relay/registry/certificates/abandoned-orders.ts';
import { showDeviceKey } from '../../../../relay/registry/certificates/device-keys.ts';
import { finishWork } from '../../../../relay/registry/certificates/finish.ts';
import { abandonOrder, keepOrder } from '../../../../relay/registry/certificates/held-work.ts';
import { type Job, takeWork } from '../../../../relay/registry/certificates/job.ts';
import { certificateFor } from '../../../../relay/registry/certificates/present.ts';
import {
  isGivenUp,
  type ListedRevocation,
  listRevocations,
  revocationFigures,
} from '../../../../relay/registry/certificates/revocation-listing.ts';
import {
  endRevocation,
  putOffRevocation,
  REVOCATION,
  takeRevocations,
} from '../../../../relay/registry/certificates/revocation-queue.ts';
import { want } from '../../../../relay/registry/certificates/work.ts';
import { approveClaim } from '../../../../relay/registry/deeds/approve-claim.ts';
import { lapse } from '../../../../relay/registry/deeds/lapse.ts';
import { release } from '../../../../relay/registry/deeds/release.ts';
import { rename } from '../../../../relay/registry/deeds/rename.ts';
import { revoke } from '../../../../relay/registry/deeds/revoke.ts';
import { rotateKey } from '../../../../relay/registry/deeds/rotate-key.ts';
import { acceptTransfer, offerTransfer } from '../../../../relay/registry/deeds/transfer.ts';
import { DAY, DeedWorld, ENGINES, type Engine } from '../deeds/deed-world.ts';
import { deviceKey, deviceName } from '../fixture.ts';

const alice = deviceName('alice');
const LEASE_MS = 60_000;
let orders = 0;

function subjectOf(name: string) {
  const subject = parseHostname(`${name}.vendor.dev`);
  if (subject === undefined) throw new Error(`${name} is no name`);
  return subject;
}

/** A device has asked with this CSR, and a relay has begun. */
async function ordered(world: DeedWorld, thumbprint: string, csr = 'AAAA'): Promise<Job> {
  const [subject, { nowMs }] = [subjectOf('alice'), world];
  const names = [subject, `*.${subject}`] as const;
  await world.registry.write(want({ purpose: 'device', subject, thumbprint, names, csr, nowMs }));
  const taking = { holder: 'relay-1', nowMs, leaseMs: LEASE_MS, max: 10 };
  const [job] = await world.registry.write(takeWork(taking));
  if (job === undefined) throw new Error('there was nothing to do');
  orders += 1;
  const order = { ca: 'ca', url: `https://ca.test/order/${orders}`, key: undefined, csr };
  await world.registry.write(keepOrder(job, order));
  return { ...job, order };
}

function issuedFor(world: DeedWorld, { order, names }: Pick<Job, 'order' | 'names'>, days: number) {
  const { nowMs } = world;
  const [orderUrl, notAfterMs] = [order?.url ?? '', nowMs + days * DAY];
  return {
    ...{ ca: 'ca', orderUrl, serial: `of ${orderUrl}`, chain: 'chain', key: null },
    ...{ notBeforeMs: nowMs, notAfterMs, names, renewAtMs: notAfterMs, nowMs },
  };
}

/** A device with a certificate, its owner, and who will buy it. */
async function sellersWorld(engine: Parameters<typeof DeedWorld.of>[0]) {
  const world = await DeedWorld.of(engine);
  const ownerId = await world.owner('ann@example.org');
  const buyer = await world.owner('bob@example.org');
  const { thumbprint } = (await world.enrolled('alice', { ownerId })).device;
  await issued(world, thumbprint);
  return { world, ownerId, buyer, thumbprint };
}

async function issued(world: DeedWorld, thumbprint: string, days = 90, csr = 'AAAA') {
  const job = await ordered(world, thumbprint, csr);
  expect(await world.registry.write(finishWork(job, issuedFor(world, job, days)))).toBe(true);
}

function listed(world: DeedWorld): Promise<readonly ListedRevocation[]> {
  return world.registry.read(listRevocations({ limit: 9, nowMs: world.nowMs }));
}

function take(world: DeedWorld, holder: string) {
  const { nowMs } = world;
  return world.registry.write(takeRevocations({ holder, nowMs, leaseMs: LEASE_MS, max: 9 }));
}

/** A name whose device is lost: its owner takes it onto a new key, and waits for that. */
async function recovered(engine: Engine) {
  const world = await DeedWorld.of(engine);
  const ownerId = await world.owner('ann@example.org');
  const { device } = await world.enrolled('alice', { ownerId });
  const { thumbprint } = device;
  await issued(world, thumbprint, 5);
  // The key of an older one is on the lost device as well, and that of one that has ended is no matter.
  await issued(world, thumbprint, 0, 'BBBB');
  await issued(world, thumbprint, 90, 'CCCC');
  const { code, key } = await world.claim();
  await world.do(approveClaim({ code, ownerId, name: alice }));
  world.nowMs += DAY - 1;
  expect(await world.do(lapse())).toEqual([]);
  expect(await listed(world)).toEqual([]);
  world.nowMs += 1;
  expect(await world.do(lapse())).toMatchObject([{ kind: 'recovered', name: 'alice' }]);
  return { world, thumbprint, newThumbprint: key.thumbprint };
}

const { keyCompromise, superseded, cessationOfOperation } = REVOCATION;

describe.each(ENGINES)('on $engine', (engine) => {
  test("a lost device's certificates are to be revoked when its name is recovered", async () => {
    const { world, thumbprint, newThumbprint } = await recovered(engine);
    const rows = await listed(world);
    const common = { subject: 'alice.vendor.dev', thumbprint, ca: 'ca', state: 'revoking' };
    const due = { reason: keyCompromise, dueAtMs: world.nowMs, attempts: 0 };
    expect(rows).toMatchObject([
      { ...common, ...due },
      { ...common, ...due },
    ]);
    expect(new Set(rows.map(({ serial }) => serial)).size).toBe(2);
    // The new device has its own, which nobody touches, now and when the name is given up by it.
    await issued(world, newThumbprint);
    expect(await listed(world)).toHaveLength(2);
    expect(await world.registry.read(isGivenUp({ ...common }))).toBe(true);
  });

  test('an order that is under way for a lost device is known, and what comes of it revoked', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    const job = await ordered(world, device.thumbprint);
    await world.do(revoke({ thumbprint: device.thumbprint, actor: 'cli:root' }));
    const [asked] = await take(world, 'one');
    expect(asked).toMatchObject({ chain: undefined, orderUrl: job.order?.url, reason: 1 });
    if (asked === undefined) return;
    expect(await world.registry.write(keepAbandoned(asked, issuedFor(world, job, 90)))).toBe(
      'kept',
    );
    world.nowMs += LEASE_MS;
    const [again] = await take(world, 'two');
    expect(again).toMatchObject({ chain: 'chain', untilMs: world.nowMs - LEASE_MS + 90 * DAY });
    expect(await listed(world)).toMatchObject([{ serial: `of ${job.order?.url}` }]);
    // The first of the two has lost it, and does no harm when told so late.
    expect(await world.registry.write(keepAbandoned(asked, issuedFor(world, job, 90)))).toBe(
      'lost',
    );
  });

  test('an order that a device leaves for another key is known as well', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    const { order } = await ordered(world, device.thumbprint);
    await issued(world, device.thumbprint, 90, 'BBBB');
    expect(await take(world, 'one')).toMatchObject([{ orderUrl: order?.url, reason: superseded }]);
  });

  test('bug: an abandoned order that the authority gives out again is revoked for nobody', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    const { order } = await ordered(world, device.thumbprint);
    const left = await ordered(world, device.thumbprint, 'BBBB');
    const [asked] = await take(world, 'one');
    expect(asked).toMatchObject({ orderUrl: order?.url });
    // For the relay's own certificate, which has the same names.
    const subject = subjectOf('alice');
    const { names } = left;
    await world.registry.write(want({ purpose: 'relay', subject, names, nowMs: world.nowMs }));
    const taking = { holder: 'relay-1', nowMs: world.nowMs, leaseMs: LEASE_MS, max: 10 };
    const [job] = await world.registry.write(takeWork(taking));
    if (job === undefined || asked === undefined || order === undefined) throw new Error('none');
    await world.registry.write(keepOrder(job, order));
    const own = issuedFor(world, { ...job, order }, 90);
    // Somebody else leaves it in the meantime, to whom it was given out as well.
    const lists = [{ subject, thumbprint: 'other', order_url: order.url, order_ca: 'ca' }];
    const asking = { reason: superseded, nowMs: world.nowMs } as const;
    await world.registry.write((db) => askRevocationOfOrders(db, lists, asking));
    const [other] = await take(world, 'two');
    if (other === undefined) throw new Error('none');
    expect(await world.registry.write(keepAbandoned(other, own)), 'it goes on').toBe('stored');
    expect(await world.registry.write(endRevocation(other, 'nothing', world.nowMs))).toBe(true);
    expect(await world.registry.write(finishWork(job, own))).toBe(true);
    expect(await world.registry.write(keepAbandoned(asked, own)), 'it came late').toBe('lost');
    world.nowMs += LEASE_MS;
    expect(await take(world, 'one')).toEqual([]);
    // It is known again when it is left again.
    await world.registry.write(keepOrder(left, order));
    await world.do(revoke({ thumbprint: device.thumbprint, actor: 'cli:root' }));
    const [again] = await take(world, 'one');
    expect(again).toMatchObject({ orderUrl: order.url });
    if (again === undefined) return;
    expect(await world.registry.write(keepAbandoned(again, own)), 'it is ours').toBe('stored');
  });

  test("attack: a name is nobody else's while a certificate may come of an abandoned order", async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    const { thumbprint } = device;
    await ordered(world, thumbprint);
    const [subject, { nowMs }] = [subjectOf('alice'), world];
    const names = [subject, `*.${subject}`] as const;
    const next = { purpose: 'device', subject, thumbprint, names, csr: 'BBBB', nowMs } as const;
    await world.registry.write(want(next));
    await world.do(release({ name: alice, by: device }));
    expect(await world.row('alice')).toMatchObject({ untilMs: nowMs + 91 * DAY });
  });

  test('and one that a relay leaves for another authority, of a device and no other', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    const job = await ordered(world, device.thumbprint);
    const { nowMs } = world;
    expect(await world.registry.write(abandonOrder({ ...job, fence: job.fence - 1 }, nowMs))).toBe(
      false,
    );
    expect(await take(world, 'one')).toEqual([]);
    expect(await world.registry.write(abandonOrder(job, nowMs))).toBe(true);
    expect(await take(world, 'one')).toMatchObject([{ orderUrl: job.order?.url }]);
  });

  test('a released name, and a former one at its end, have theirs revoked', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    await issued(world, device.thumbprint);
    await world.do(rename({ name: alice, to: deviceName('alina'), by: device }));
    expect(await listed(world), 'it may show it for its grace').toEqual([]);
    world.nowMs += 30 * DAY;
    await world.do(lapse());
    expect(await listed(world)).toMatchObject([{ reason: cessationOfOperation }]);
    await world.do(release({ name: deviceName('alina'), by: device }));
    expect(await listed(world)).toHaveLength(1);
  });

  test('a rotated identity key keeps them; a barred one loses all of them', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    await issued(world, device.thumbprint);
    const newKey = deviceKey();
    await world.do(rotateKey({ thumbprint: device.thumbprint, newKey }));
    expect(await listed(world)).toEqual([]);
    const { thumbprint } = newKey;
    await world.do(revoke({ thumbprint, actor: 'cli:root' }));
    expect(await listed(world)).toMatchObject([{ thumbprint, reason: keyCompromise }]);
  });

  test('bug: a device that rotates its identity key hears still that a certificate is given up', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    await issued(world, device.thumbprint);
    await world.do(release({ name: alice, by: device }));
    const newKey = deviceKey();
    await world.do(rotateKey({ thumbprint: device.thumbprint, newKey }));
    const { thumbprint } = newKey;
    expect(await world.registry.read(isGivenUp({ subject: subjectOf('alice'), thumbprint }))).toBe(
      true,
    );
  });

  test('a device that goes to another owner is called for a new key, and has days for it', async () => {
    const { world, ownerId, buyer, thumbprint } = await sellersWorld(engine);
    const by = { kind: 'owner', ownerId } as const;
    const { code } = await world.do(offerTransfer({ name: alice, by, toEmail: 'bob@example.org' }));
    world.nowMs += 1;
    await world.do(acceptTransfer({ code, ownerId: buyer }));
    const dueAtMs = world.nowMs + 3 * DAY;
    expect(await listed(world)).toMatchObject([{ reason: superseded, dueAtMs }]);
    const work = { purpose: 'device', subject: subjectOf('alice'), thumbprint } as const;
    const wanted = await world.registry.read(certificateFor(work));
    expect(wanted).toMatchObject({ asked: true, dueAtMs: world.nowMs });
    // Handed on and back, its old keys are good for no day longer.
    world.nowMs += 2 * DAY;
    const back = { kind: 'owner', ownerId: buyer } as const;
    const offer = offerTransfer({ name: alice, by: back, toEmail: 'ann@example.org' });
    await world.do(acceptTransfer({ code: (await world.do(offer)).code, ownerId }));
    expect(await listed(world)).toMatchObject([{ reason: superseded, dueAtMs }]);
    world.nowMs = dueAtMs;
    const [taken] = await take(world, 'one');
    if (taken === undefined) throw new Error('none was due');
    const later = { message: 'no', attempts: 1, nextAtMs: world.nowMs + DAY };
    await world.registry.write(putOffRevocation(taken, later));
    const figures = await world.registry.read(revocationFigures());
    expect(figures, 'it fails since it was due').toMatchObject({ oldestFailureMs: dueAtMs });
    // It is lost on its way: that is worse, and not put off.
    await world.do(revoke({ thumbprint, actor: 'cli:root' }));
    const { nowMs } = world;
    expect(await listed(world)).toMatchObject([{ reason: keyCompromise, dueAtMs: nowMs }]);
  });

  test('attack: whoever sells a device gets no certificate for a key that was on its way', async () => {
    const { world, ownerId, buyer, thumbprint } = await sellersWorld(engine);
    const show = (keyId: string) => {
      const shown = { name: alice, thumbprint, keyId, csr: Buffer.from(keyId), nowMs: world.nowMs };
      return world.registry.write(showDeviceKey(shown));
    };
    expect(await show('old')).toMatchObject({ kind: 'admitted' });
    const job = await ordered(world, thumbprint, 'BBBB');
    const by = { kind: 'owner', ownerId } as const;
    const { code } = await world.do(offerTransfer({ name: alice, by, toEmail: 'bob@example.org' }));
    await world.do(acceptTransfer({ code, ownerId: buyer }));
    expect(await world.registry.write(finishWork(job, issuedFor(world, job, 90)))).toBe(false);
    expect(await take(world, 'one')).toMatchObject([{ orderUrl: job.order?.url }]);
    expect(await show('old'), 'the seller may have a copy').toEqual({ kind: 'of-another' });
    expect(await show('new')).toMatchObject({ kind: 'admitted' });
    const work = { purpose: 'device', subject: subjectOf('alice'), thumbprint } as const;
    expect(await world.registry.read(certificateFor(work))).toBe(undefined);
    expect(await world.registry.read(isGivenUp(work)), 'it hears so when it asks').toBe(true);
  });

  test('whoever took one and came back too late writes nothing about it', async () => {
    const { world } = await recovered(engine);
    const first = await take(world, 'one');
    expect(first).toHaveLength(2);
    expect(await take(world, 'two'), 'they are taken').toEqual([]);
    world.nowMs += LEASE_MS;
    const second = await take(world, 'two');
    const [late, mine] = [first[0], second[0]];
    if (late === undefined || mine === undefined) throw new Error('none was taken');
    expect(mine.id).toBe(late.id);
    const later = { message: 'no', attempts: 1, nextAtMs: world.nowMs + 9 };
    expect(await world.registry.write(putOffRevocation(late, later))).toBe(false);
    expect(await world.registry.write(endRevocation(late, 'ended', world.nowMs))).toBe(false);
    expect(await world.registry.write(putOffRevocation(mine, later))).toBe(true);
    const figures = await world.registry.read(revocationFigures());
    expect(figures).toMatchObject({ waiting: 2, failing: 1, oldestFailureMs: mine.askedAtMs });
    world.nowMs += LEASE_MS;
    const [again] = (await take(world, 'one')).filter(({ id }) => id === mine.id);
    if (again === undefined) throw new Error('it was not put off');
    expect(await world.registry.write(endRevocation(again, 'revoked', world.nowMs))).toBe(true);
    // It stays known, and is not taken again.
    expect(await listed(world)).toContainEqual(
      expect.objectContaining({ id: mine.id, state: 'revoked', endedAtMs: world.nowMs }),
    );
    world.nowMs += LEASE_MS;
    expect((await take(world, 'one')).map(({ id }) => id)).not.toContain(mine.id);
  });
});
