import { describe, expect, test } from 'vitest';
import { finishWork } from '../../../../relay/registry/certificates/finish.ts';
import {
  failWork,
  forgetOrder,
  keepLease,
  keepOrder,
  postpone,
} from '../../../../relay/registry/certificates/held-work.ts';
import { askNow, unwant } from '../../../../relay/registry/certificates/work.ts';
import type { Registry } from '../../../../relay/registry/registry.ts';
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
  namesOf,
  take,
  takeOne,
  wanting,
  workRows,
} from './certificate-world.ts';

const ALICE = 'alice.vendor.dev';
const BOB = 'bob.vendor.dev';
const ORDER = { ca: 'test-ca', url: 'https://ca.test/1', key: 'sealed', csr: 'Y3Ny' } as const;

onBothEngines(requires('initdb', 'setpriv'), (anyWorld, engine) => {
  const makeWorld = emptyWorlds(anyWorld, engine);
  const fresh = async () => (await makeWorld()).open();

  describe('a certificate', () => {
    test('is wanted once, whoever says it and how often', async () => {
      const registry = await fresh();
      const said = await Promise.all([1, 2, 3, 4].map(() => wanting(registry, ALICE)));
      expect(said.filter(Boolean)).toHaveLength(1);
      expect(await wanting(registry, ALICE, { names: namesOf(ALICE).toReversed() })).toBe(false);
      const job = await takeOne(registry);
      expect(job).toMatchObject({ subject: ALICE, purpose: 'relay', thumbprint: '', attempts: 0 });
      expect(job.names.toSorted()).toEqual(namesOf(ALICE).toSorted());
      expect(job).toMatchObject({ present: undefined, order: undefined, csr: undefined });
    });

    test('that is wanted with other names is due at once, and who has it writes no more', async () => {
      const registry = await fresh();
      await wanting(registry, ALICE);
      const early = await takeOne(registry);
      await registry.write(keepOrder(early, ORDER));
      const [only = ''] = namesOf(ALICE);
      expect(await wanting(registry, ALICE, { names: [only] as never })).toBe(true);
      expect(await registry.write(finishWork(early, issued(early, 'u1')))).toBe(false);
      const job = await takeOne(registry, { holder: 'relay-2' });
      expect(job).toMatchObject({ names: [ALICE], order: undefined });
      expect(await ledger(registry)).toEqual([]);
    });

    test('of a device is one for each of its keys, and another CSR takes the place of the first', async () => {
      const registry = await fresh();
      const device = { purpose: 'device', thumbprint: 't1', csr: 'AAAA' } as const;
      expect(await wanting(registry, ALICE, device)).toBe(true);
      expect(await wanting(registry, ALICE, device)).toBe(false);
      expect(await wanting(registry, ALICE, { ...device, thumbprint: 't2' })).toBe(true);
      expect(await wanting(registry, ALICE, { ...device, csr: 'BBBB' })).toBe(true);
      const jobs = await take(registry);
      expect(jobs.map(({ thumbprint, csr }) => `${thumbprint} ${csr}`).toSorted()).toEqual([
        't1 BBBB',
        't2 AAAA',
      ]);
    });

    test('that is not wanted any more leaves its row in the ledger, without a key', async () => {
      const registry = await fresh();
      await issueFor(registry, ALICE);
      await issueFor(registry, BOB);
      expect(await registry.write(unwant({ purpose: 'relay', subject: ALICE }))).toBe(true);
      expect(await registry.write(unwant({ purpose: 'relay', subject: ALICE }))).toBe(false);
      const rows = await ledger(registry);
      expect(rows.map(({ subject, key }) => [subject, key !== null])).toEqual([
        [ALICE, false],
        [BOB, true],
      ]);
      expect((await workRows(registry)).map(({ subject }) => subject)).toEqual([BOB]);
    });

    test('that is not wanted any more while it is ordered is never stored', async () => {
      const registry = await fresh();
      await wanting(registry, ALICE);
      const job = await takeOne(registry);
      await registry.write(unwant({ purpose: 'relay', subject: ALICE }));
      expect(await registry.write(finishWork(job, issued(job, 'u1')))).toBe(false);
      expect(await ledger(registry)).toEqual([]);
    });
  });

  describe('work is taken', () => {
    test('by urgency, then by how long it waits, and not before it is due', async () => {
      const registry = await fresh();
      await issueFor(registry, 'late.vendor.dev', { renewAtMs: NOW_MS + 1 });
      await issueFor(registry, 'soon.vendor.dev', {
        renewAtMs: NOW_MS + 2,
        notAfterMs: NOW_MS + 5 * DAY_MS,
      });
      const later = { nowMs: NOW_MS + 2 };
      await wanting(registry, 'second.vendor.dev', later);
      await wanting(registry, 'first.vendor.dev', { nowMs: NOW_MS + 1 });
      await wanting(registry, 'vendor.dev', { ...later, urgency: -2 });
      await wanting(registry, 'future.vendor.dev', { nowMs: NOW_MS + 3 });
      await wanting(registry, 'asked.vendor.dev');
      await registry.write(askNow({ subject: 'asked.vendor.dev', ...later }));
      const jobs = await take(registry, later);
      expect(jobs.map(({ subject }) => subject.replace('.vendor.dev', ''))).toEqual([
        ...['vendor.dev', 'asked', 'soon', 'first', 'second', 'late'],
      ]);
      expect(jobs.at(-1)?.present).toMatchObject({
        ...{ ca: 'test-ca', chain: expect.stringContaining('late'), notBeforeMs: NOW_MS },
        window: undefined,
      });
    });

    test('a renewal that is almost too late goes before names that never had one', async () => {
      const registry = await fresh();
      const ends = (days: number) => ({ urgency: NOW_MS + days * DAY_MS });
      await wanting(registry, 'new.vendor.dev');
      await wanting(registry, 'early.vendor.dev', ends(20));
      await wanting(registry, 'late.vendor.dev', ends(6));
      await wanting(registry, 'over.vendor.dev', ends(-1));
      await wanting(registry, 'asked.vendor.dev', { urgency: -1 });
      const jobs = await take(registry);
      expect(jobs.map(({ subject }) => subject.split('.')[0])).toEqual([
        ...['asked', 'over', 'late', 'new', 'early'],
      ]);
      expect((await take(registry, { nowMs: NOW_MS + LEASE_MS, max: 2 }))[1]?.subject).toMatch(
        'over',
      );
    });

    test('no more of it than asked for, and only for the purposes that were named', async () => {
      const registry = await fresh();
      for (const name of ['a', 'b', 'c']) await wanting(registry, `${name}.vendor.dev`);
      await wanting(registry, 'app.example.org', { purpose: 'domain' });
      expect(await take(registry, { max: 0 })).toEqual([]);
      expect(await take(registry, { purposes: [] })).toEqual([]);
      const [domain, ...none] = await take(registry, { purposes: ['domain', 'device'] });
      expect([domain?.subject, none]).toEqual(['app.example.org', []]);
      expect(await take(registry, { max: 2 })).toHaveLength(2);
      expect(await take(registry, { max: 2 })).toHaveLength(1);
    });

    test('200 jobs by 20 takers at two relays, each job once', async () => {
      const world = await makeWorld();
      const relays = [await world.open(), await world.open()];
      const [first] = relays;
      await first?.write(async (db) => {
        const rows = Array.from({ length: 200 }, (_, at) => ({
          ...{
            purpose: 'relay' as const,
            subject: `n${at}.vendor.dev`,
            thumbprint: '',
            names: '[]',
          },
          ...{ urgency: 0, due_at: NOW_MS, attempts: 0, authority: 0, fence: 0 },
        }));
        await db.insertInto('certificate_work').values(rows).execute();
      });
      const takers = Array.from({ length: 20 }, async (_, at) => {
        const registry = relays[at % 2] as Registry;
        const mine: string[] = [];
        for (;;) {
          const jobs = await take(registry, { holder: `taker-${at}`, max: 7 });
          if (jobs.length === 0) return mine;
          mine.push(...jobs.map(({ subject }) => subject));
        }
      });
      const all = (await Promise.all(takers)).flat();
      expect(all).toHaveLength(200);
      expect(new Set(all).size).toBe(200);
    });
  });

  describe('a lease', () => {
    test('keeps others away until it ends, and can be kept on', async () => {
      const registry = await fresh();
      await wanting(registry, ALICE);
      const job = await takeOne(registry);
      const ends = NOW_MS + LEASE_MS;
      expect(await take(registry, { holder: 'relay-2', nowMs: ends - 1 })).toEqual([]);
      expect(await registry.write(keepLease(job, ends + LEASE_MS))).toBe(true);
      expect(await take(registry, { holder: 'relay-2', nowMs: ends })).toEqual([]);
      expect(await take(registry, { holder: 'relay-2', nowMs: ends + LEASE_MS })).toHaveLength(1);
    });

    test('that a clock years ahead has taken keeps nobody away once the clock is right', async () => {
      const registry = await fresh();
      await wanting(registry, ALICE);
      const far = NOW_MS + 3_000 * DAY_MS;
      const job = await takeOne(registry, { nowMs: far });
      expect(await takeOne(registry, { holder: 'relay-2' })).toMatchObject({ subject: ALICE });
      expect(await registry.write(keepLease(job, far + LEASE_MS))).toBe(false);
      expect(await take(registry, { holder: 'relay-3' })).toEqual([]);
    });

    test('that ran out gives no right any more: whatever its holder writes changes nothing', async () => {
      const registry = await fresh();
      await wanting(registry, ALICE);
      const lost = await takeOne(registry);
      await registry.write(keepOrder(lost, ORDER));
      const job = await takeOne(registry, { nowMs: NOW_MS + LEASE_MS });
      expect(job.fence).toBeGreaterThan(lost.fence);
      expect(job.order).toEqual(ORDER);
      const before = await workRows(registry);
      const failure = { message: 'late', nextAtMs: 1, attempts: 9, authority: 9 };
      const writes = [
        keepLease(lost, NOW_MS + DAY_MS),
        keepOrder(lost, { ...ORDER, url: 'https://ca.test/2' }),
        forgetOrder(lost),
        failWork(lost, failure),
        postpone(lost, 1, 'late'),
        finishWork(lost, issued(lost, 'u1')),
      ];
      for (const write of writes) expect(await registry.write(write)).toBe(false);
      expect(await workRows(registry)).toEqual(before);
      expect(await ledger(registry)).toEqual([]);
      expect(await registry.write(finishWork(job, issued(job, 'u1')))).toBe(true);
    });

    test('that ran out while nobody else came is still good', async () => {
      const registry = await fresh();
      await wanting(registry, ALICE);
      const job = await takeOne(registry);
      expect(await registry.write(finishWork(job, issued(job, 'u1')))).toBe(true);
    });
  });

  describe('an attempt that failed', () => {
    test('gives the job back for later, and says why', async () => {
      const registry = await fresh();
      await wanting(registry, ALICE);
      const job = await takeOne(registry);
      await registry.write(keepOrder(job, ORDER));
      const failure = { message: `no ${'x'.repeat(5_000)}`, nextAtMs: NOW_MS + 60, attempts: 1 };
      expect(await registry.write(failWork(job, { ...failure, authority: 1 }))).toBe(true);
      expect(await registry.write(keepLease(job, NOW_MS + DAY_MS)), 'given back').toBe(false);
      expect(await take(registry, { nowMs: NOW_MS + 59 })).toEqual([]);
      const next = await takeOne(registry, { nowMs: NOW_MS + 60 });
      expect(next).toMatchObject({ attempts: 1, authority: 1, order: ORDER });
      expect(next.lastError?.length).toBe(1_000);
      expect(await registry.write(forgetOrder(next))).toBe(true);
      expect(await registry.write(postpone(next, NOW_MS + 90, 'budget'))).toBe(true);
      const third = await takeOne(registry, { nowMs: NOW_MS + 90 });
      expect(third).toMatchObject({ attempts: 1, order: undefined, lastError: 'budget' });
    });

    test('is forgotten when a person asks for it now', async () => {
      const registry = await fresh();
      await wanting(registry, ALICE);
      const failure = { message: 'no', nextAtMs: NOW_MS + DAY_MS, attempts: 9, authority: 1 };
      await registry.write(failWork(await takeOne(registry), failure));
      expect(await registry.write(askNow({ subject: ALICE, nowMs: NOW_MS }))).toEqual(['relay']);
      expect(await registry.write(askNow({ subject: BOB, nowMs: NOW_MS }))).toEqual([]);
      expect(await takeOne(registry)).toMatchObject({ attempts: 0, urgency: -1 });
    });
  });
});
