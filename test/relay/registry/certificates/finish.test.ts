import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { finishWork } from '../../../../relay/registry/certificates/finish.ts';
import {
  certificateFor,
  changesAfter,
  lastCertificateId,
  presentCertificate,
} from '../../../../relay/registry/certificates/present.ts';
import type { DatabasePlace } from '../../../../relay/registry/database.ts';
import { requires } from '../../../world/requires.ts';
import { onBothEngines } from '../engines.ts';
import {
  DAY_MS,
  emptyWorlds,
  issued,
  issueFor,
  LEASE_MS,
  ledger,
  NOW_MS,
  take,
  takeOne,
  wanting,
  workRows,
} from './certificate-world.ts';

const ALICE = 'alice.vendor.dev';
const RENEWAL_MS = NOW_MS + 60 * DAY_MS;

onBothEngines(requires('initdb', 'setpriv'), (anyWorld, engine) => {
  const makeWorld = emptyWorlds(anyWorld, engine);
  const fresh = async () => (await makeWorld()).open();

  describe('a certificate that has come', () => {
    test('is the present one, and due when it is to be renewed', async () => {
      const registry = await fresh();
      expect(await registry.read(presentCertificate({ subject: ALICE }))).toBeUndefined();
      await wanting(registry, ALICE);
      expect(await registry.read(presentCertificate({ subject: ALICE }))).toBeUndefined();
      const job = await takeOne(registry);
      expect(await registry.write(finishWork(job, issued(job, 'u1')))).toBe(true);
      expect(await registry.read(presentCertificate({ subject: ALICE }))).toMatchObject({
        ...{ key: 'sealed u1', chain: expect.stringContaining('u1') },
        notAfterMs: NOW_MS + 90 * DAY_MS,
      });
      expect(await take(registry, { nowMs: RENEWAL_MS - 1 })).toEqual([]);
      const renewal = await takeOne(registry, { nowMs: RENEWAL_MS });
      expect(renewal).toMatchObject({ urgency: NOW_MS + 90 * DAY_MS, attempts: 0 });
      expect(renewal.present).toMatchObject({ chain: expect.stringContaining('u1') });
    });

    test('takes the place of the one before, whose key is wiped', async () => {
      const registry = await fresh();
      await issueFor(registry, ALICE);
      const job = await takeOne(registry, { nowMs: RENEWAL_MS });
      await registry.write(finishWork(job, issued(job, 'u2', { nowMs: RENEWAL_MS })));
      const rows = await ledger(registry);
      expect(rows.map(({ key, replaced_at }) => [key, replaced_at])).toEqual([
        [null, RENEWAL_MS],
        ['sealed u2', null],
      ]);
      const present = await registry.read(presentCertificate({ subject: ALICE }));
      expect(present?.key).toBe('sealed u2');
    });

    test('told twice, is stored once, and both are told that it is', async () => {
      const registry = await fresh();
      await wanting(registry, ALICE);
      const job = await takeOne(registry);
      const told = await Promise.all(
        [1, 2, 3].map(() => registry.write(finishWork(job, issued(job, 'u1')))),
      );
      expect(told).toEqual([true, true, true]);
      expect(await ledger(registry)).toHaveLength(1);
    });

    test('of an order that made one already is not stored for another', async () => {
      const registry = await fresh();
      await wanting(registry, ALICE);
      const job = await takeOne(registry);
      await registry.write(finishWork(job, issued(job, 'u1')));
      await wanting(registry, 'bob.vendor.dev');
      const other = await takeOne(registry);
      expect(await registry.write(finishWork(other, issued(other, 'u1')))).toBe(false);
      expect(await registry.read(presentCertificate({ subject: 'bob.vendor.dev' }))).toBe(
        undefined,
      );
      expect(await ledger(registry)).toHaveLength(1);
    });

    test('of the zone keeps the zone before all others', async () => {
      const registry = await fresh();
      await issueFor(registry, 'vendor.dev', {}, { urgency: -2 });
      expect((await workRows(registry)).map(({ urgency }) => urgency)).toEqual([-2]);
    });

    test('of a device is found by its key, and is none that a relay serves', async () => {
      const registry = await fresh();
      const device = { purpose: 'device', subject: ALICE, thumbprint: 't1' } as const;
      expect(await registry.read(certificateFor(device))).toBeUndefined();
      await issueFor(registry, ALICE, { key: null }, { ...device, csr: 'AAAA' });
      expect(await registry.read(certificateFor(device))).toMatchObject({
        csr: 'AAAA',
        present: { chain: expect.stringContaining(ALICE), notAfterMs: NOW_MS + 90 * DAY_MS },
      });
      expect(await registry.read(certificateFor({ ...device, thumbprint: 't2' }))).toBeUndefined();
      expect(await registry.read(presentCertificate({ subject: ALICE }))).toBeUndefined();
    });
  });

  test('changes are told in the order in which they came, and none is missed', async () => {
    const world = await makeWorld();
    const [one, other] = [await world.open(), await world.open()];
    expect(await one.read(lastCertificateId())).toBe(0);
    const subjects = Array.from({ length: 40 }, (_, at) => `n${at}.vendor.dev`);
    for (const subject of subjects) await wanting(one, subject);
    const jobs = await take(one, { max: 40 });
    const seen: string[] = [];
    let last = 0;
    let done = false;
    const look = async () => {
      for (const { id, subject } of await other.read(changesAfter(last))) {
        seen.push(subject);
        last = id;
      }
    };
    const looking = (async () => {
      while (!done) {
        await look();
        await setImmediate();
      }
    })();
    await Promise.all(
      jobs.map((job, at) =>
        (at % 2 === 0 ? one : other).write(finishWork(job, issued(job, `u${at}`))),
      ),
    );
    done = true;
    await looking;
    await look();
    expect(seen.toSorted()).toEqual(subjects.toSorted());
    expect(await other.read(lastCertificateId())).toBe(last);
  });

  test('a relay that is killed between order and certificate leaves the order to the next', async () => {
    const world = await makeWorld();
    const registry = await world.open();
    await wanting(registry, ALICE);
    const order = { ca: 'test-ca', url: 'https://ca.test/7', key: 'sealed key', csr: 'Y3Ny' };
    await killedAfterOrder(world.place, order);
    expect(await take(registry), 'its lease lasts').toEqual([]);
    const job = await takeOne(registry, { nowMs: NOW_MS + LEASE_MS });
    expect(job.order).toEqual(order);
    await registry.write(finishWork(job, issued(job, order.url, { key: order.key })));
    const [row] = await workRows(registry);
    expect(row).toMatchObject({
      order_url: null,
      order_key: null,
      order_csr: null,
      leased_by: null,
    });
    expect(await registry.read(presentCertificate({ subject: ALICE }))).toMatchObject({
      key: order.key,
    });
  });
});

async function killedAfterOrder(place: DatabasePlace, order: object): Promise<void> {
  const script = new URL('./order-child.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify({ place, order, nowMs: NOW_MS, leaseMs: LEASE_MS }));
  await once(child.stdout, 'data');
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}
