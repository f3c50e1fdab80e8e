// A file of envelope keys that is lost for good: what relays say of it, and how they recover by themselves
// after the operator has said that it is.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Envelope } from '../../../certs/envelope.ts';
import { forgetSealed } from '../../../relay/registry/certificates/forget-sealed.ts';
import { DAY_MS, hostileCa, hostname, IssuingStand, ZONE } from './issuing-stand.ts';

const [ALICE, BOB] = [`alice.${ZONE}`, `bob.${ZONE}`];
let stand: IssuingStand;

beforeEach(async () => {
  vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] });
  stand = await IssuingStand.start();
});

afterEach(() => {
  vi.useRealTimers();
});

const forget = (envelope: Envelope, directory: string) =>
  forgetSealed((work) => stand.registry.write(work), {
    envelope,
    authorities: [{ name: 'ca-0', directory }],
  });

/** What the next relay that starts makes. */
async function anotherFile(): Promise<Envelope> {
  const file = join(stand.directory, 'envelope.key');
  await rm(file);
  return Envelope.open(file);
}

test('the account and certificates are made anew after a lost file, once that is said', async () => {
  const ca = await hostileCa();
  await stand.want(ALICE);
  await stand.issuance([ca]).settled();
  const account = await stand.registry.read((db) =>
    db.selectFrom('ca_accounts').selectAll().executeTakeFirstOrThrow(),
  );
  const envelope = await anotherFile();
  const relay = stand.issuance([ca], { envelope });
  const source = await stand.stored(envelope);
  await expect(source.load(hostname(ALICE))).rejects.toThrow('forget-sealed-keys');
  await stand.want(BOB);
  await relay.settled();
  // It is a dead end: the account does not open, and a day later it is still so.
  const { last_error: why } = await stand.workOf(BOB);
  expect(why).toContain(`The account ${ca.directoryUrl} is sealed under the key`);
  expect(why).toContain('waygate relay forget-sealed-keys --yes');
  vi.setSystemTime(Date.now() + DAY_MS);
  await relay.settled();
  expect(await stand.served()).toEqual([ALICE]);

  const forgotten = await forget(envelope, ca.directoryUrl);
  expect(forgotten).toEqual({ accounts: 1, orders: 0, certificates: 1 });
  await relay.settled();
  expect(new Set(await stand.served())).toEqual(new Set([ALICE, BOB]));
  for (const subject of [ALICE, BOB]) {
    expect((await source.load(hostname(subject)))?.keyPem).toContain('PRIVATE KEY');
  }
  const fresh = await stand.registry.read((db) =>
    db.selectFrom('ca_accounts').selectAll().executeTakeFirstOrThrow(),
  );
  expect(fresh.url).not.toBe(account.url);
  // The new certificate is in the budgets, as any first one.
  expect(await stand.spent()).toMatchObject([{ exempt: 0 }, { exempt: 0 }, { exempt: 0 }]);
  await stand.expectNoSecrets();
});

test('a spent budget is kept to: what was forgotten waits for room, and people read why', async () => {
  const ca = await hostileCa();
  await stand.want(ALICE);
  await stand.issuance([ca]).settled();
  const envelope = await anotherFile();
  await forget(envelope, ca.directoryUrl);
  await stand.issuance([ca], { envelope, certificatesPerWeek: 1 }).settled();
  expect(ca.ordersFor(ALICE)).toBe(1);
  const { due_at: dueAt, last_error: why } = await stand.workOf(ALICE);
  expect(why).toContain('The budget of ca-0 is spent');
  expect(dueAt).toBeGreaterThan(Date.now());
});
