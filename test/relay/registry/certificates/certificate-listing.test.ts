// What people and metrics see, and the smaller tables: accounts, answers, windows.
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import {
  hideAnswer,
  listAnswers,
  showAnswer,
  sweepAnswers,
} from '../../../../relay/registry/certificates/answers.ts';
import { keepAccount, readAccount } from '../../../../relay/registry/certificates/ca-account.ts';
import { certificateFigures } from '../../../../relay/registry/certificates/certificate-figures.ts';
import {
  type ListedCertificate,
  listCertificates,
} from '../../../../relay/registry/certificates/certificate-listing.ts';
import { finishWork } from '../../../../relay/registry/certificates/finish.ts';
import { failWork } from '../../../../relay/registry/certificates/held-work.ts';
import { keepWindow, windowsDue } from '../../../../relay/registry/certificates/windows.ts';
import { askNow } from '../../../../relay/registry/certificates/work.ts';
import type { Registry } from '../../../../relay/registry/registry.ts';
import { requires } from '../../../world/requires.ts';
import { onBothEngines } from '../engines.ts';
import {
  DAY_MS,
  emptyWorlds,
  issued,
  issueFor,
  NOW_MS,
  takeOne,
  wanting,
  workRows,
} from './certificate-world.ts';

const ALICE = 'alice.vendor.dev';

/** One of each state; the last error of the one that fails is a day old. */
async function someCertificates(registry: Registry): Promise<void> {
  await issueFor(registry, 'vendor.dev', { notAfterMs: NOW_MS + DAY_MS / 2 }, { urgency: -2 });
  await issueFor(registry, ALICE);
  await issueFor(registry, 'ended.vendor.dev', { notAfterMs: NOW_MS - 1 });
  await wanting(registry, 'failing.vendor.dev');
  const failure = { message: 'no', nextAtMs: NOW_MS + DAY_MS, attempts: 3, authority: 1 };
  const job = await takeOne(registry);
  await registry.write(failWork(job, { ...failure, nowMs: NOW_MS - DAY_MS }));
  await wanting(registry, 'ordered.vendor.dev');
  await takeOne(registry);
  await wanting(registry, 'absent.vendor.dev');
  const device = { purpose: 'device', csr: 'AAAA', nowMs: NOW_MS + DAY_MS } as const;
  for (const thumbprint of ['t1', 't2']) await wanting(registry, ALICE, { ...device, thumbprint });
}

onBothEngines(requires('initdb', 'setpriv'), (anyWorld, engine) => {
  const makeWorld = emptyWorlds(anyWorld, engine);
  const fresh = async () => (await makeWorld()).open();

  test('certificates are listed page by page, with what there is and what comes', async () => {
    const registry = await fresh();
    await someCertificates(registry);
    const all = await registry.read(listCertificates({ limit: 100 }));
    expect(all.map(({ subject, purpose, state }) => `${subject} ${purpose} ${state}`)).toEqual([
      'absent.vendor.dev relay absent',
      'alice.vendor.dev device absent',
      'alice.vendor.dev device absent',
      'alice.vendor.dev relay issued',
      'ended.vendor.dev relay issued',
      'failing.vendor.dev relay failing',
      'ordered.vendor.dev relay ordered',
      'vendor.dev relay issued',
    ]);
    const pages: ListedCertificate[] = [];
    for (let after: ListedCertificate | undefined; ; after = pages.at(-1)) {
      const query = { limit: 1, ...(after && { after }) };
      const page = await registry.read(listCertificates(query));
      if (page.length === 0) break;
      pages.push(...page);
    }
    expect(pages).toEqual(all);
    const [failing] = await registry.read(
      listCertificates({ subject: 'failing.vendor.dev', limit: 9 }),
    );
    expect(failing).toMatchObject({ attempts: 3, lastError: 'no', dueAtMs: NOW_MS + DAY_MS });
    const [, , alice] = await registry.read(listCertificates({ subject: ALICE, limit: 9 }));
    expect(alice).toMatchObject({
      ...{ ca: 'test-ca', serial: `https://ca.test/order/${ALICE}` },
      notAfterMs: NOW_MS + 90 * DAY_MS,
    });
  });

  test('one that somebody has spoilt is listed as such, and the others as they are', async () => {
    const registry = await fresh();
    for (const subject of [ALICE, 'bob.vendor.dev']) await issueFor(registry, subject);
    await registry.write((db) =>
      db
        .updateTable('certificate_work')
        .set({ names: '["alice' })
        .where('subject', '=', ALICE)
        .execute(),
    );
    const [alice, bob] = await registry.read(listCertificates({ limit: 9 }));
    expect(bob).toMatchObject({ state: 'issued', lastError: undefined });
    expect(alice).toMatchObject({ subject: ALICE, state: 'unreadable', names: [] });
    expect(alice?.lastError).toMatch(/cannot be read.*Restore it.*remove the name/);
  });

  test('figures are the same when they are counted in many parts', async () => {
    const registry = await fresh();
    await registry.write(async (db) => {
      // More than a part of one urgency, and some that have none.
      await sql`
        with recursive counted (at) as (select 1 union all select at + 1 from counted where at < 25000)
        insert into certificate_work
          (purpose, subject, thumbprint, names, urgency, due_at, attempts, authority, fence)
        select 'relay', 'box-' || at || '.vendor.dev', '', '[]',
          case when at <= 2000 then 0 when at <= 14000 then cast(${NOW_MS + 5} as bigint)
            else cast(${NOW_MS} as bigint) + cast(at as bigint) * 100000 end, 0, 0, 0, 0
        from counted`.execute(db);
    });
    const { relay } = await certificateFigures((work) => registry.read(work), NOW_MS);
    expect(relay).toMatchObject({ certificates: 23_000, without: 2_000, firstEndMs: NOW_MS + 5 });
    const upTo = new Map(relay.daysLeft.map(({ days, certificates }) => [days, certificates]));
    expect([upTo.get(0), upTo.get(1), upTo.get(21)]).toEqual([0, 12_000, 12_000 + 4_144]);
    expect(upTo.get(90)).toBe(23_000);
  });

  test('figures tell of all of them', async () => {
    const registry = await fresh();
    const figuresNow = () => certificateFigures((work) => registry.read(work), NOW_MS);
    const none = {
      ...{ certificates: 0, without: 0, failing: 0 },
      ...{ firstEndMs: undefined, oldestFailureMs: undefined },
    };
    expect(await figuresNow()).toMatchObject({ relay: none, device: none, domain: none });
    await someCertificates(registry);
    await registry.write(askNow({ subject: ALICE, nowMs: NOW_MS }));
    const { relay, device, domain } = await figuresNow();
    expect(device).toMatchObject({ ...none, without: 2 });
    expect(domain).toMatchObject(none);
    const { daysLeft, ...figures } = relay;
    expect(figures).toEqual({
      ...{ certificates: 3, without: 3, firstEndMs: NOW_MS - 1 },
      ...{ failing: 1, oldestFailureMs: NOW_MS - DAY_MS },
    });
    const upTo = Object.fromEntries(daysLeft.map(({ days, certificates }) => [days, certificates]));
    expect(upTo).toMatchObject({ 0: 1, 1: 2, 60: 2, 90: 3 });
  });

  describe('a renewal window', () => {
    test('is asked for at once, then when it is due, and moves the renewal', async () => {
      const registry = await fresh();
      await issueFor(registry, ALICE);
      const [due] = await registry.read(windowsDue({ nowMs: NOW_MS, max: 9 }));
      expect(due).toMatchObject({ subject: ALICE, ca: 'test-ca', notBeforeMs: NOW_MS });
      const window = { startMs: NOW_MS + 5, endMs: NOW_MS + 9 };
      const id = due?.id ?? 0;
      expect(await registry.write(keepWindow(id, window, NOW_MS + 4, NOW_MS + 7))).toBe(true);
      expect(await registry.read(windowsDue({ nowMs: NOW_MS + 3, max: 9 }))).toEqual([]);
      expect(await registry.read(windowsDue({ nowMs: NOW_MS + 4, max: 9 }))).toHaveLength(1);
      const job = await takeOne(registry, { nowMs: NOW_MS + 7 });
      expect(job.present).toMatchObject({ id, window });
      await registry.write(finishWork(job, issued(job, 'next')));
      expect(await registry.write(keepWindow(id, window, 1, 1)), 'replaced').toBe(false);
      expect(await registry.read(windowsDue({ nowMs: NOW_MS, max: 9 }))).toMatchObject([
        { subject: ALICE, chain: expect.stringContaining('next') },
      ]);
    });

    test('does not move what a person asked for, what fails, and what is under way', async () => {
      const registry = await fresh();
      await issueFor(registry, ALICE, { renewAtMs: NOW_MS });
      const [{ id } = { id: 0 }] = await registry.read(windowsDue({ nowMs: NOW_MS, max: 9 }));
      const move = () => registry.write(keepWindow(id, undefined, null, NOW_MS + DAY_MS));
      const dueAt = async () => (await workRows(registry)).map((row) => row.due_at);
      const job = await takeOne(registry);
      expect(await move()).toBe(true);
      expect(await dueAt(), 'under way').toEqual([NOW_MS]);
      const failure = { message: 'no', nextAtMs: NOW_MS + 9, attempts: 1, authority: 0 };
      await registry.write(failWork(job, failure));
      await move();
      expect(await dueAt(), 'failing').toEqual([NOW_MS + 9]);
      await registry.write(askNow({ subject: ALICE, nowMs: NOW_MS }));
      await move();
      expect(await dueAt(), 'asked for').toEqual([NOW_MS]);
      expect(await registry.read(windowsDue({ nowMs: NOW_MS + 99 * DAY_MS, max: 9 }))).toEqual([]);
    });
  });

  test('of accounts at an authority, the first that is kept is of everybody', async () => {
    const registry = await fresh();
    const directory = 'https://ca.test/directory';
    expect(await registry.read(readAccount(directory))).toBeUndefined();
    const kept = await Promise.all(
      ['one', 'two', 'three'].map((key) => registry.write(keepAccount(directory, { key }))),
    );
    const key = kept[0]?.key ?? '';
    expect(new Set(kept.map((account) => account.key))).toEqual(new Set([key]));
    const url = 'https://ca.test/account/1';
    await registry.write(keepAccount(directory, { key: 'another', url: 'https://ca.test/2' }));
    expect(await registry.read(readAccount(directory))).toEqual({ key, url: undefined });
    expect(await registry.write(keepAccount(directory, { key, url }))).toEqual({ key, url });
    expect(await registry.read(readAccount(directory))).toEqual({ key, url });
  });

  test('answers to an authority are shown until they are hidden or end', async () => {
    const registry = await fresh();
    const one = { hostname: 'app.example.org', kind: 'http-01', token: 't1' } as const;
    const other = { ...one, kind: 'tls-alpn-01' } as const;
    const list = () => registry.read(listAnswers({ nowMs: NOW_MS, max: 9 }));
    const ends = { keyAuthorization: 'k', expiresAtMs: NOW_MS + 5 };
    await registry.write(showAnswer({ ...one, ...ends }));
    await registry.write(showAnswer({ ...one, ...ends, expiresAtMs: NOW_MS + 9 }));
    await registry.write(showAnswer({ ...other, ...ends }));
    await registry.write(showAnswer({ ...other, ...ends, token: 't2', expiresAtMs: NOW_MS }));
    expect(await list()).toEqual([
      { ...one, keyAuthorization: 'k', expiresAtMs: NOW_MS + 9 },
      { ...other, keyAuthorization: 'k', expiresAtMs: NOW_MS + 5 },
    ]);
    await registry.write(hideAnswer(one));
    expect(await list()).toHaveLength(1);
    expect(await registry.write(sweepAnswers(NOW_MS))).toBe(1);
    expect(await registry.write(sweepAnswers(NOW_MS + 5))).toBe(1);
    expect(await list()).toEqual([]);
  });
});
