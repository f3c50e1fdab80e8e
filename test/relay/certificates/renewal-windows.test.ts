// What follows from the windows in which an authority wants its certificates renewed (RFC 9773).
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { readChain } from '../../../certs/chain.ts';
import { makeCsr } from '../../../certs/csr.ts';
import { deviceRenewalMs, WITH_DEVICE_MS } from '../../../relay/certificates/device-work.ts';
import type { Issuance } from '../../../relay/certificates/issuance.ts';
import { RenewalWindows } from '../../../relay/certificates/renewal-windows.ts';
import { certificateFor } from '../../../relay/registry/certificates/present.ts';
import { want } from '../../../relay/registry/certificates/work.ts';
import type { HostileCa } from '../../world/hostile-ca.ts';
import {
  DAY_MS,
  HOUR_MS,
  hostileCa,
  hostname,
  IssuingStand,
  MINUTE_MS,
  ZONE,
} from './issuing-stand.ts';

const ALICE = `alice.${ZONE}`;
const START_MS = Date.now();
let stand: IssuingStand;
let ca: HostileCa;
let issuance: Issuance;
let windows: RenewalWindows;

/** From one day of the certificate's life to another. */
function wantedBetween(first: number, last: number): void {
  const at = (day: number) => new Date(START_MS + day * DAY_MS).toISOString();
  ca.renewalInfo = () => ({ suggestedWindow: { start: at(first), end: at(last) } });
}

beforeEach(async () => {
  vi.useFakeTimers({ now: START_MS, toFake: ['Date'] });
  stand = await IssuingStand.start();
  ca = await hostileCa();
  wantedBetween(40, 41);
  issuance = stand.issuance([ca]);
  const { authorities, registry, log } = stand;
  const changed = () => issuance.wake();
  windows = new RenewalWindows({ registry, authorities, log, now: Date.now, changed });
  await stand.want(ALICE);
  await issuance.settled();
  await windows.look();
});

afterEach(async () => {
  await windows.stop();
  vi.useRealTimers();
});

const passes = (ms: number) => vi.setSystemTime(Date.now() + ms);
const dueDay = async () => ((await stand.workOf(ALICE)).due_at - START_MS) / DAY_MS;

async function look(): Promise<void> {
  await windows.look();
  await issuance.settled();
}

test('a certificate is renewed in its window, told as replaced, and costs no budget', async () => {
  expect(await dueDay()).toBeGreaterThanOrEqual(40);
  expect(await dueDay()).toBeLessThanOrEqual(41);
  passes(39 * DAY_MS);
  await look();
  expect(await stand.ledger()).toHaveLength(1);
  passes(3 * DAY_MS);
  await look();
  const [first] = await stand.ledger();
  expect(await stand.ledger()).toHaveLength(2);
  expect(ca.replaced).toEqual(new Set([readChain(first?.chain ?? '').certId]));
  expect((await stand.spent()).map((row) => row['exempt'])).toEqual([0, 1]);
});

test('a window that moves into the past, before a revocation, renews at once', async () => {
  passes(10 * DAY_MS);
  wantedBetween(-2, -1);
  await look();
  expect(await stand.ledger()).toHaveLength(2);
  // The new one has the same odd window, and yet is not renewed again and again.
  await look();
  passes(HOUR_MS);
  await look();
  expect((await stand.ledger()).length).toBeLessThanOrEqual(3);
});

test('a device is told of a window that moves into the past, though its work rests', async () => {
  const subject = hostname(`dora.${ZONE}`);
  const names = [subject, `*.${subject}`] as const;
  const work = { purpose: 'device', subject, thumbprint: 'dora' } as const;
  const csr = (await makeCsr(names)).csr.toString('base64');
  await stand.registry.write(want({ ...work, names, csr, nowMs: Date.now() }));
  issuance.wake();
  await issuance.settled();
  await look();
  const toldDay = async () => {
    const present = (await stand.registry.read(certificateFor(work)))?.present;
    if (present === undefined) throw new Error('there is no certificate');
    return (deviceRenewalMs(present) - START_MS) / DAY_MS;
  };
  expect(await toldDay()).toBeGreaterThanOrEqual(40);
  expect(await toldDay()).toBeLessThanOrEqual(41);
  passes(10 * DAY_MS);
  wantedBetween(-2, -1);
  await look();
  expect((await stand.workOf(subject)).due_at).toBe(WITH_DEVICE_MS);
  expect(await toldDay()).toBeLessThan(1);
  // The relay has no key to order another one with.
  const issued = async () => (await stand.ledger()).filter((row) => row.subject === subject).length;
  expect(await issued()).toBe(1);
  // At rest it is asked for as before: a false alarm ends, and a late window waits for nobody.
  passes(12 * HOUR_MS);
  wantedBetween(20, 21);
  await look();
  expect(Math.floor(await toldDay())).toBe(20);
  passes(12 * HOUR_MS);
  wantedBetween(85, 86);
  await look();
  expect(Math.round(await toldDay())).toBe(60);
  expect(await issued()).toBe(1);
});

test('a renewal that fails in its window takes nothing off what is counted', async () => {
  passes(3 * DAY_MS);
  wantedBetween(-2, -1);
  const refused = { status: 403, problem: 'rejectedIdentifier' } as const;
  ca.spoil('newOrder', refused, 2);
  await look();
  expect((await stand.workOf(ALICE)).attempts).toBe(1);
  // It was tried as a new order, too, and came to nothing; the certificate of three days ago counts as before.
  expect(await stand.spent()).toMatchObject([
    { exempt: 0, domain: ZONE, name_set: `*.${ALICE},${ALICE}` },
  ]);
  // One that is never counted is not given back.
  ca.validate = () => 'dns';
  passes(DAY_MS);
  await look();
  expect((await stand.workOf(ALICE)).attempts).toBe(2);
  expect((await stand.spent()).map((row) => row['exempt'])).toEqual([0, 1]);
});

test('bug: a renewal that an authority takes for a new order is in its budget', async () => {
  const presentId = async () => readChain((await stand.ledger()).at(-1)?.chain ?? '').certId ?? '';
  passes(42 * DAY_MS);
  ca.replaced.add(await presentId());
  await look();
  expect(await stand.ledger()).toHaveLength(2);
  expect((await stand.spent()).map((row) => row['exempt'])).toEqual([0, 0]);
});

test('bug: where there is no room for it as a new order, it waits for that', async () => {
  const [first] = await stand.ledger();
  passes(39 * DAY_MS);
  const strict = stand.issuance([ca], { certificatesPerWeek: 1 });
  await stand.want(`bob.${ZONE}`);
  await strict.settled();
  expect(await stand.ledger()).toHaveLength(2);
  passes(3 * DAY_MS);
  ca.replaced.add(readChain(first?.chain ?? '').certId ?? '');
  await strict.settled();
  expect(await stand.ledger()).toHaveLength(2);
  expect(ca.ordersFor(ALICE)).toBe(1);
  expect(await stand.workOf(ALICE)).toMatchObject({
    ...{ attempts: 0, order_url: null, due_at: Date.now() + 4 * DAY_MS },
    last_error: expect.stringContaining('The budget of ca-0 is spent (certificatesPerWeek).'),
  });
  passes(4 * DAY_MS);
  await strict.settled();
  expect(await stand.ledger()).toHaveLength(3);
});

test('an authority is asked again when it wants to be, and not before', async () => {
  const asked = ca.count('renewalInfo');
  passes(5 * HOUR_MS);
  await look();
  expect(ca.count('renewalInfo')).toBe(asked);
  passes(3 * HOUR_MS);
  await look();
  expect(ca.count('renewalInfo')).toBe(asked + 1);
});

test('an authority that is away, or talks nonsense, changes nothing', async () => {
  const before = await dueDay();
  await ca.leave();
  passes(8 * HOUR_MS);
  await look();
  expect(await dueDay()).toBe(before);
  await ca.comeBack();
  ca.renewalInfo = () => ({ suggestedWindow: { start: 'yesterday', end: 7 } });
  passes(3 * HOUR_MS);
  await look();
  // Without a window it is two thirds of the life.
  expect(Math.round((await dueDay()) / 3)).toBe(20);
});

test('an authority without windows has its certificates renewed after two thirds', async () => {
  ca.renewalInfo = undefined;
  await stand.want(`bob.${ZONE}`);
  await issuance.settled();
  await look();
  passes(62 * DAY_MS + MINUTE_MS);
  await look();
  expect((await stand.ledger()).length).toBeGreaterThanOrEqual(3);
});
