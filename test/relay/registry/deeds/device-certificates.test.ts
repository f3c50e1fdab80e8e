// What becomes of certificates whose keys devices have, when their names end or go elsewhere.
import { describe, expect, test } from 'vitest';
import { parseHostname } from '../../../../dns/name.ts';
import { showDeviceKey } from '../../../../relay/registry/certificates/device-keys.ts';
import { finishWork } from '../../../../relay/registry/certificates/finish.ts';
import { keepOrder } from '../../../../relay/registry/certificates/held-work.ts';
import type { Job } from '../../../../relay/registry/certificates/job.ts';
import { takeWork } from '../../../../relay/registry/certificates/job.ts';
import { certificateFor } from '../../../../relay/registry/certificates/present.ts';
import { windowsDue } from '../../../../relay/registry/certificates/windows.ts';
import { want } from '../../../../relay/registry/certificates/work.ts';
import { enroll } from '../../../../relay/registry/deeds/enroll.ts';
import { lapse } from '../../../../relay/registry/deeds/lapse.ts';
import { release } from '../../../../relay/registry/deeds/release.ts';
import { rename } from '../../../../relay/registry/deeds/rename.ts';
import { revoke } from '../../../../relay/registry/deeds/revoke.ts';
import { rotateKey } from '../../../../relay/registry/deeds/rotate-key.ts';
import { deviceKey, deviceName } from '../fixture.ts';
import { DAY, DeedWorld, ENGINES } from './deed-world.ts';

const alice = deviceName('alice');
const CSR = 'AAAA';
let orders = 0;

function subjectOf(name: string) {
  const subject = parseHostname(`${name}.vendor.dev`);
  if (subject === undefined) throw new Error(`${name} is no name`);
  return subject;
}

/** A device has asked, and a relay has begun. */
async function ordered(world: DeedWorld, name: string, thumbprint: string): Promise<Job> {
  const [subject, { nowMs }] = [subjectOf(name), world];
  const names = [subject, `*.${subject}`] as const;
  const wanted = { purpose: 'device', subject, thumbprint, names, csr: CSR, nowMs } as const;
  await world.registry.write(want(wanted));
  const taking = { holder: 'relay-1', nowMs, leaseMs: 60_000, max: 10 };
  const [job] = await world.registry.write(takeWork(taking));
  if (job === undefined) throw new Error('there was nothing to do');
  orders += 1;
  const url = `https://ca.test/order/${orders}`;
  await world.registry.write(keepOrder(job, { ca: 'ca', url, key: undefined, csr: CSR }));
  return { ...job, order: { ca: 'ca', url, key: undefined, csr: CSR } };
}

/** The certificate comes; it ends after so many days. */
function come(world: DeedWorld, job: Job, days: number): Promise<boolean> {
  const { nowMs } = world;
  const notAfterMs = nowMs + days * DAY;
  const issued = {
    ...{ ca: 'ca', orderUrl: job.order?.url ?? '', serial: '01', chain: 'chain', key: null },
    ...{ notBeforeMs: nowMs, notAfterMs, names: job.names, renewAtMs: notAfterMs, nowMs },
  };
  return world.registry.write(finishWork(job, issued));
}

async function issued(world: DeedWorld, name: string, thumbprint: string, days: number) {
  expect(await come(world, await ordered(world, name, thumbprint), days)).toBe(true);
}

function workOf(world: DeedWorld, name: string, thumbprint: string) {
  const subject = subjectOf(name);
  return world.registry.read(certificateFor({ purpose: 'device', subject, thumbprint }));
}

async function isAskedAbout(world: DeedWorld): Promise<number> {
  return (await world.registry.read(windowsDue({ nowMs: world.nowMs, max: 10 }))).length;
}

describe.each(ENGINES)('on $engine, certificates of devices', (engine) => {
  test('a released name is in quarantine until the last one of its device is over', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    await issued(world, 'alice', device.thumbprint, 200);
    // Another name that begins the same has nothing to do with it.
    const other = await world.enrolled('alice-2');
    await issued(world, 'alice-2', other.device.thumbprint, 400);
    const endMs = world.nowMs + 200 * DAY;
    await world.do(release({ name: alice, by: device }));
    expect(await world.row('alice')).toMatchObject({ state: 'quarantined', untilMs: endMs });
    expect(await workOf(world, 'alice', device.thumbprint)).toBeUndefined();
    expect(await workOf(world, 'alice-2', other.device.thumbprint)).toBeDefined();
    world.nowMs = endMs - 1;
    expect(await world.do(lapse())).toEqual([]);
    const taker = { name: alice, deviceKey: deviceKey(), actor: 'cli:root' };
    await world.refused(enroll(taker), 'ERR_NAME_QUARANTINED');
    world.nowMs = endMs;
    expect(await world.do(lapse())).toEqual([{ kind: 'freed', name: 'alice' }]);
    await world.do(enroll(taker));
  });

  test('one that ends before the quarantine changes nothing', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    await issued(world, 'alice', device.thumbprint, 45);
    await world.do(release({ name: alice, by: device }));
    expect(await world.row('alice')).toMatchObject({ untilMs: world.nowMs + 90 * DAY });
    expect(await isAskedAbout(world)).toBe(0);
  });

  test('an order that is under way when a name is released ends, and is reckoned with', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    const job = await ordered(world, 'alice', device.thumbprint);
    await world.do(release({ name: alice, by: device }));
    expect(await come(world, job, 90)).toBe(false);
    expect(await world.row('alice')).toMatchObject({ untilMs: world.nowMs + 91 * DAY });
  });

  test('a former name gets no other, and after its grace its quarantine is as long', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    await issued(world, 'alice', device.thumbprint, 200);
    const endMs = world.nowMs + 200 * DAY;
    await world.do(rename({ name: alice, to: deviceName('alina'), by: device }));
    expect(await workOf(world, 'alice', device.thumbprint)).toBeUndefined();
    world.nowMs += 30 * DAY;
    expect(await world.do(lapse())).toEqual([{ kind: 'rename-lapsed', name: 'alice' }]);
    expect(await world.row('alice')).toMatchObject({ state: 'quarantined', untilMs: endMs });
  });

  test('a key that was revoked, or replaced by another device, gets none any more', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    const job = await ordered(world, 'alice', device.thumbprint);
    await world.do(revoke({ thumbprint: device.thumbprint, actor: 'cli:root' }));
    expect(await workOf(world, 'alice', device.thumbprint)).toBeUndefined();
    expect(await come(world, job, 90)).toBe(false);
    const next = deviceKey();
    const replacing = device.thumbprint;
    await world.do(enroll({ name: alice, deviceKey: next, actor: 'cli:root', replacing }));
    await issued(world, 'alice', next.thumbprint, 90);
    expect(await workOf(world, 'alice', next.thumbprint)).toBeDefined();
  });

  test('a rotated identity key keeps them, its keys, and an order that is under way', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    const { thumbprint } = device;
    const shown = { name: alice, keyId: 'key-1', csr: Buffer.from('csr'), nowMs: world.nowMs };
    await world.registry.write(showDeviceKey({ ...shown, thumbprint }));
    await issued(world, 'alice', thumbprint, 90);
    const newKey = deviceKey();
    await world.do(rotateKey({ thumbprint, newKey }));
    expect(await workOf(world, 'alice', newKey.thumbprint)).toMatchObject({
      present: { chain: 'chain' },
    });
    const outcome = await world.registry.write(
      showDeviceKey({ ...shown, thumbprint: newKey.thumbprint }),
    );
    expect(outcome).toEqual({ kind: 'admitted', csr: shown.csr });
    expect(await world.registry.write(showDeviceKey({ ...shown, thumbprint }))).toEqual({
      kind: 'not-held',
    });
  });

  test('of two devices that show the same new key at once, one has it', async () => {
    const world = await DeedWorld.of(engine);
    const one = await world.enrolled('alice');
    const two = await world.enrolled('alina');
    const other = await world.another();
    const shown = { keyId: 'key-1', csr: Buffer.from('csr'), nowMs: world.nowMs };
    const outcomes = await Promise.all([
      world.registry.write(showDeviceKey({ ...shown, name: alice, ...one.device })),
      other.write(showDeviceKey({ ...shown, name: two.name, ...two.device })),
    ]);
    const kinds = outcomes.map(({ kind }) => kind).toSorted();
    expect(kinds).toEqual(['admitted', 'of-another']);
  });
});
