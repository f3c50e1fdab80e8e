import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Envelope } from '../../../../certs/envelope.ts';
import { keepAccount, readAccount } from '../../../../relay/registry/certificates/ca-account.ts';
import { finishWork } from '../../../../relay/registry/certificates/finish.ts';
import { forgetSealed } from '../../../../relay/registry/certificates/forget-sealed.ts';
import { failWork, keepOrder } from '../../../../relay/registry/certificates/held-work.ts';
import {
  aboutAccount,
  aboutCertificate,
} from '../../../../relay/registry/certificates/sealed-about.ts';
import { SEALED_TEXT_LIMITS } from '../../../../relay/registry/certificates/sealed-texts.ts';
import { URGENCY } from '../../../../relay/registry/certificates/work.ts';
import type { Registry } from '../../../../relay/registry/registry.ts';
import { requires } from '../../../world/requires.ts';
import { onBothEngines } from '../engines.ts';
import {
  DAY_MS,
  emptyWorlds,
  issued,
  issueFor,
  ledger,
  NOW_MS,
  take,
  takeOne,
  wanting,
  workRows,
  ZONE,
} from './certificate-world.ts';

const CA = { name: 'test-ca', directory: 'https://ca.test/directory' };
const OTHER = { name: 'other-ca', directory: 'https://other.test/directory' };
const [ALICE, BOB, KEPT] = ['alice.vendor.dev', 'bob.vendor.dev', 'kept.vendor.dev'] as const;
const LATER_MS = NOW_MS + DAY_MS;
const OF_DEVICE = { purpose: 'device', csr: 'AAAA', thumbprint: 'a-device' } as const;

/** One whose file is lost, and the one that came after it. */
async function envelopes(): Promise<{ lost: Envelope; present: Envelope }> {
  const folder = await mkdtemp(join(tmpdir(), 'waygate-envelope-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const [lost, present] = ['lost.key', 'envelope.key'].map((file) => join(folder, file));
  return { lost: await Envelope.open(lost ?? ''), present: await Envelope.open(present ?? '') };
}

function keepAccountOf(registry: Registry, { directory }: typeof CA, envelope: Envelope) {
  const key = envelope.seal('account key', aboutAccount(directory));
  return registry.write(keepAccount(directory, { key, url: `${directory}/1` }));
}

const keyOf = (envelope: Envelope, subject: string) =>
  envelope.seal(`key of ${subject}`, aboutCertificate(subject));

onBothEngines(requires('initdb', 'setpriv'), (anyWorld, engine) => {
  const makeWorld = emptyWorlds(anyWorld, engine);

  test('drops what no key opens: account, order, certificate; all else stays', async () => {
    const registry = await (await makeWorld()).open();
    const { lost, present } = await envelopes();
    await keepAccountOf(registry, CA, lost);
    await keepAccountOf(registry, OTHER, present);
    await issueFor(registry, ZONE, { key: keyOf(lost, ZONE) }, { urgency: URGENCY.zone });
    await issueFor(registry, ALICE, { key: keyOf(lost, ALICE) });
    await issueFor(registry, KEPT, { key: keyOf(present, KEPT) });
    await wanting(registry, BOB);
    const job = await takeOne(registry);
    const order = { ca: CA.name, url: 'u', key: keyOf(lost, BOB), csr: 'AAAA' };
    await registry.write(keepOrder(job, order));
    const before = await workRows(registry);

    const write: Registry['write'] = (work) => registry.write(work);
    const forgetting = { envelope: present, authorities: [CA, OTHER], nowMs: LATER_MS };
    const done = await forgetSealed(write, forgetting);
    expect(done).toEqual({ accounts: 1, orders: 1, certificates: 2 });
    expect(await registry.read(readAccount(CA.directory))).toBeUndefined();
    expect(await registry.read(readAccount(OTHER.directory))).toBeDefined();
    const due = { certificate_id: null, due_at: LATER_MS, attempts: 0, last_error: null };
    expect(await workRows(registry)).toMatchObject([
      { subject: ALICE, urgency: URGENCY.absent, ...due },
      { subject: BOB, ...due, order_url: null, order_key: null, leased_by: null },
      before.find(({ subject }) => subject === KEPT) ?? {},
      { subject: ZONE, urgency: URGENCY.zone, ...due },
    ]);
    const rows = await ledger(registry);
    expect(rows.map((row) => [row.subject, row.key === null, row.replaced_at])).toEqual([
      [ZONE, true, LATER_MS],
      [ALICE, true, LATER_MS],
      [KEPT, false, null],
    ]);
    // Whoever had the order writes nothing about it any more.
    expect(await registry.write(finishWork(job, issued(job, 'late')))).toBe(false);
    expect(await forgetSealed(write, forgetting)).toEqual({
      ...{ accounts: 0, orders: 0, certificates: 0 },
    });
  });

  test('an order of a device goes with the account that began it, whose key is no key of ours', async () => {
    const registry = await (await makeWorld()).open();
    const { lost, present } = await envelopes();
    await keepAccountOf(registry, CA, lost);
    await keepAccountOf(registry, OTHER, present);
    for (const [subject, { name }] of [[ALICE, CA] as const, [BOB, OTHER] as const]) {
      await wanting(registry, subject, OF_DEVICE);
      const job = await takeOne(registry);
      const order = { ca: name, url: `of ${name}`, key: undefined, csr: undefined };
      await registry.write(keepOrder(job, order));
    }
    const done = await forgetSealed((work) => registry.write(work), {
      ...{ envelope: present, authorities: [CA, OTHER], nowMs: LATER_MS },
    });
    expect(done).toEqual({ accounts: 1, orders: 1, certificates: 0 });
    expect(await workRows(registry)).toMatchObject([
      { subject: ALICE, order_url: null, csr: 'AAAA', due_at: LATER_MS },
      { subject: BOB, order_url: 'of other-ca' },
    ]);
  });

  test('what failed for want of the account is tried again at once, not hours later', async () => {
    const registry = await (await makeWorld()).open();
    const { lost, present } = await envelopes();
    await keepAccountOf(registry, CA, lost);
    await wanting(registry, ALICE);
    const job = await takeOne(registry);
    const failure = { message: 'The account is sealed.', attempts: 9, authority: 0 };
    const times = { nowMs: NOW_MS, nextAtMs: NOW_MS + 6 * 3_600_000 };
    await registry.write(failWork(job, { ...failure, ...times }));
    await forgetSealed((work) => registry.write(work), {
      ...{ envelope: present, authorities: [CA], nowMs: NOW_MS + 1 },
    });
    expect(await workRows(registry)).toMatchObject([{ due_at: NOW_MS + 1, attempts: 9 }]);
  });

  test('broken off in the midst of many, it is begun again and does what is left', async () => {
    const registry = await (await makeWorld()).open();
    const { lost, present } = await envelopes();
    await keepAccountOf(registry, CA, lost);
    const count = SEALED_TEXT_LIMITS.batch + 20;
    for (let at = 0; at < count; at += 1) await wanting(registry, `n${at}.vendor.dev`);
    for (let jobs = await take(registry, { max: 100 }); jobs.length > 0; ) {
      for (const job of jobs) {
        const key = keyOf(lost, job.subject);
        await registry.write(finishWork(job, issued(job, `url of ${job.subject}`, { key })));
      }
      jobs = await take(registry, { max: 100 });
    }
    const forgetting = { envelope: present, authorities: [CA], nowMs: LATER_MS };
    const open = async () => (await ledger(registry)).filter(({ key }) => key !== null).length;
    let transactions = 0;
    const dying: Registry['write'] = (work) => {
      transactions += 1;
      // Accounts, orders, those of accounts; then a batch of certificates.
      if (transactions > 4) throw new Error('killed');
      return registry.write(work);
    };
    await expect(forgetSealed(dying, forgetting)).rejects.toThrow('killed');
    expect(await open()).toBe(20);
    expect(await forgetSealed((work) => registry.write(work), forgetting)).toEqual({
      ...{ accounts: 1, orders: 0, certificates: 20 },
    });
    expect(await open()).toBe(0);
    const due = (await workRows(registry)).filter((row) => row.due_at === LATER_MS);
    expect(due).toHaveLength(count);
  });
});
