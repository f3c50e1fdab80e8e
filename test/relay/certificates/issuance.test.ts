// What issuance makes of an authority that does wrong, and of relays that die.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { certificateFigures } from '../../../relay/registry/certificates/certificate-figures.ts';
import { hastenDomain } from '../../../relay/registry/certificates/domain-orders.ts';
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

const ALICE = `alice.${ZONE}`;
const START_MS = Date.now();
let stand: IssuingStand;

beforeEach(async () => {
  vi.useFakeTimers({ now: START_MS, toFake: ['Date'] });
  stand = await IssuingStand.start();
});

afterEach(() => {
  vi.useRealTimers();
});

const passes = (ms: number) => vi.setSystemTime(Date.now() + ms);

describe('a certificate', () => {
  test('is ordered, stored with its key, and served; due again when two thirds are over', async () => {
    const ca = await hostileCa();
    const issuance = stand.issuance([ca]);
    const source = await stand.stored();
    await stand.want(ALICE, ZONE);
    await issuance.settled();
    const served = await source.load(hostname(ALICE));
    const certificate = new X509Certificate(served?.certPem ?? '');
    expect(certificate.checkHost(`code.${ALICE}`)).toBeDefined();
    expect(certificate.checkPrivateKey(createPrivateKey(served?.keyPem ?? ''))).toBe(true);
    const { due_at: dueAt, order_url: order, attempts } = await stand.workOf(ALICE);
    expect((dueAt - START_MS) / DAY_MS).toBeGreaterThan(58);
    expect((dueAt - START_MS) / DAY_MS).toBeLessThan(62);
    expect([order, attempts]).toEqual([null, 0]);
    expect(await stand.spent()).toHaveLength(2);
    expect(issuance.endings).toEqual(new Map([['ca-0 issued', 2]]));
    await stand.expectNoSecrets();
  });

  test('of many is ordered once each by two relays on one registry', async () => {
    const ca = await hostileCa();
    const names = Array.from({ length: 50 }, (_, at) => `dev-${at}.${ZONE}`);
    await stand.want(...names);
    const other = await stand.anotherRegistry();
    const relays = [stand.issuance([ca]), stand.issuance([ca], { registry: other })];
    await Promise.all(relays.map((relay) => relay.settled()));
    expect(new Set(await stand.served())).toEqual(new Set(names));
    expect(await stand.ledger()).toHaveLength(50);
    expect(names.map((name) => ca.ordersFor(name))).toEqual(names.map(() => 1));
    for (const { endings } of relays) expect(endings.get('ca-0 issued')).toBeGreaterThan(0);
    await other.close();
  });

  test('that a dead relay had begun is finished by another: one order, one certificate', async () => {
    const ca = await hostileCa();
    await stand.want(ALICE);
    // It dies between the proof and what comes after, with nothing said to anybody.
    const registry = await stand.anotherRegistry();
    const reached = Promise.withResolvers<void>();
    const dead = stand.issuance([ca], {
      registry,
      makeProver: () => ({
        ...TRUSTED,
        show: () => {
          reached.resolve();
          return new Promise<never>(() => undefined);
        },
      }),
    });
    dead.wake();
    await reached.promise;
    await registry.close();
    const { order_url: url } = await stand.workOf(ALICE);
    expect(url).toMatch(/^https:/);
    const heir = stand.issuance([ca]);
    await heir.settled();
    expect(await stand.ledger()).toEqual([]);
    passes(2 * MINUTE_MS);
    await heir.settled();
    expect(await stand.ledger()).toMatchObject([{ subject: ALICE, order_url: url }]);
    expect([ca.ordersFor(ALICE), ca.finalisationsFor(ALICE)]).toEqual([1, 1]);
    expect(await stand.spent()).toHaveLength(1);
  });

  test('whose relay stops in good order goes on at once elsewhere', async () => {
    const ca = await hostileCa();
    await stand.want(ALICE);
    const reached = Promise.withResolvers<void>();
    const first = stand.issuance([ca], {
      makeProver: () => ({
        ...TRUSTED,
        show: () => {
          reached.resolve();
          return new Promise<never>(() => undefined);
        },
      }),
    });
    first.wake();
    await reached.promise;
    await first.stop();
    await stand.issuance([ca]).settled();
    expect(await stand.served()).toEqual([ALICE]);
    expect(ca.ordersFor(ALICE)).toBe(1);
  });

  test('is renewed while a job whose lease is lost writes nothing', async () => {
    const ca = await hostileCa();
    await stand.want(ALICE);
    const reached = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const slow = stand.issuance([ca], {
      makeProver: () => ({
        ...TRUSTED,
        show: async () => {
          reached.resolve();
          await go.promise;
          return () => Promise.resolve();
        },
      }),
    });
    slow.wake();
    await reached.promise;
    passes(2 * MINUTE_MS);
    await stand.issuance([ca]).settled();
    expect(await stand.served()).toEqual([ALICE]);
    go.resolve();
    await slow.settled();
    expect(await stand.ledger()).toHaveLength(1);
    expect(ca.ordersFor(ALICE)).toBe(1);
  });
});

test('an own domain whose DNS does not lead here is not ordered, and says why', async () => {
  const ca = await hostileCa();
  const app = hostname('app.example.org');
  const why = 'app.example.org leads to 192.0.2.1, which is no relay of ours.';
  const answers = [{ ok: false, why, rests: false } as const, { ok: true } as const];
  const mayOrder = vi.fn(async () => answers.shift() ?? ({ ok: true } as const));
  const issuance = stand.issuance([ca], { mayOrder });
  await stand.wantDomain(app);
  await issuance.settled();
  expect(ca.ordersFor(app)).toBe(0);
  expect((await stand.workOf(app)).last_error).toBe(why);
  expect(await stand.spent()).toEqual([]);
  passes(2 * MINUTE_MS);
  await issuance.settled();
  expect(mayOrder).toHaveBeenCalledWith(app);
  expect(await stand.served()).toEqual([app]);
});

test('an own domain that is suspended rests: it does not count as failing, and is ordered once it is back', async () => {
  const ca = await hostileCa();
  const app = hostname('app.example.org');
  const suspended = { ok: false, why: 'The domain is suspended.', rests: true } as const;
  const wrong = { ok: false, why: 'It leads elsewhere.', rests: false } as const;
  const answers = [wrong, suspended, suspended];
  const mayOrder = async () => answers.shift() ?? ({ ok: true } as const);
  const issuance = stand.issuance([ca], { mayOrder });
  await stand.wantDomain(app);
  await issuance.settled();
  const { registry } = stand;
  const failing = async () =>
    (await certificateFigures((work) => registry.read(work), Date.now())).domain.failing;
  expect(await failing()).toBe(1);
  for (const _ of [1, 2]) {
    passes(6 * HOUR_MS);
    await issuance.settled();
    expect(await failing()).toBe(0);
    expect(await stand.workOf(app)).toMatchObject({ attempts: 0, last_error: suspended.why });
  }
  passes(MINUTE_MS);
  await stand.registry.write(hastenDomain({ domain: app, nowMs: Date.now() }));
  await issuance.settled();
  expect(await stand.served()).toEqual([app]);
  expect(ca.ordersFor(app)).toBe(1);
});

test('an own domain that fails again and again says why, also while it may not be ordered', async () => {
  const ca = await hostileCa();
  const app = hostname('app.example.org');
  const issuance = stand.issuance([ca]);
  await stand.wantDomain(app);
  ca.validate = () => 'dns';
  for (let minute = 0; minute < 58; minute += 1) {
    await stand.registry.write(hastenDomain({ domain: app, nowMs: Date.now() }));
    await issuance.settled();
    passes(MINUTE_MS);
  }
  expect(ca.ordersFor(app)).toBe(4);
  const { last_error: why, due_at: dueAt } = await stand.workOf(app);
  expect(why).toContain('did not accept the proof for app.example.org');
  expect(dueAt).toBe(START_MS + HOUR_MS);
});

test('attack: a row that cannot be read keeps no other from its certificate, and is told of once', async () => {
  const ca = await hostileCa();
  const issuance = stand.issuance([ca]);
  await stand.want(`spoilt.${ZONE}`, ALICE);
  const spoil = { names: '["not a name"' };
  await stand.registry.write((db) =>
    db.updateTable('certificate_work').set(spoil).where('subject', '=', `spoilt.${ZONE}`).execute(),
  );
  for (let hour = 0; hour < 23; hour += 1) {
    await issuance.settled();
    passes(HOUR_MS);
  }
  expect(await stand.served()).toEqual([ALICE]);
  expect(stand.lines.filter((line) => line.includes('a row cannot be read'))).toHaveLength(1);
  expect(await stand.workOf(`spoilt.${ZONE}`)).toMatchObject({
    ...{ attempts: 1, due_at: START_MS + DAY_MS, leased_by: null },
    last_error: expect.stringContaining('cannot be read'),
  });
});

describe('an authority that', () => {
  test('says 429 is not asked before it said, by no order at all; the budget is kept', async () => {
    const ca = await hostileCa();
    const issuance = stand.issuance([ca]);
    await stand.want(ALICE);
    await issuance.settled();
    const headers = { 'retry-after': '7200' };
    ca.spoil('newOrder', { status: 429, problem: 'rateLimited', headers }, 1);
    await stand.want(`bob.${ZONE}`);
    await issuance.settled();
    await stand.want(`carol.${ZONE}`);
    const asked = ca.requests.length;
    for (const ms of [HOUR_MS, 59 * MINUTE_MS]) {
      passes(ms);
      await issuance.settled();
    }
    expect(ca.requests.length).toBe(asked);
    expect((await stand.workOf(`bob.${ZONE}`)).last_error).toMatch(/rateLimited/);
    passes(2 * MINUTE_MS);
    await issuance.settled();
    expect(await stand.served()).toHaveLength(3);
    expect(await stand.spent()).toHaveLength(3);
  });

  test('says 429 of one own domain goes on with all others', async () => {
    const ca = await hostileCa();
    const issuance = stand.issuance([ca]);
    const domain = hostname('app.example.org');
    ca.meddle = ({ endpoint, names }) =>
      endpoint === 'newOrder' && names.includes(domain)
        ? { status: 429, problem: 'rateLimited', headers: { 'retry-after': '86400' } }
        : undefined;
    await stand.wantDomain(domain);
    await issuance.settled();
    await stand.want(ALICE);
    await issuance.settled();
    expect(await stand.served()).toEqual([ALICE]);
    expect((await stand.workOf(domain)).due_at).toBe(START_MS + DAY_MS);
  });

  test.each([
    ['5xx', { status: 503, problem: 'serverInternal' }, 'unavailable'],
    ['badNonce for ever', { status: 400, problem: 'badNonce' }, 'unavailable'],
    ['a closed connection', 'cut', 'unavailable'],
    ['a refusal', { status: 403, problem: 'rejectedIdentifier', detail: 'not you' }, 'refused'],
  ] as const)('answers %s is tried again by the ladder', async (_, misbehaviour, ending) => {
    const ca = await hostileCa();
    const issuance = stand.issuance([ca]);
    await stand.want(ALICE);
    ca.spoil('newOrder', misbehaviour);
    await issuance.settled();
    expect([...issuance.endings.keys()]).toEqual([`ca-0 ${ending}`]);
    const { attempts, due_at: dueAt, last_error: why } = await stand.workOf(ALICE);
    expect(attempts).toBe(1);
    expect(dueAt).toBeGreaterThan(START_MS + 50_000);
    expect(why).toMatch(/\.$/);
    // An order that was never made is not counted.
    expect(await stand.spent()).toEqual([]);
    ca.meddle = () => undefined;
    passes(20 * MINUTE_MS);
    await issuance.settled();
    expect(await stand.workOf(ALICE)).toMatchObject({ attempts: 0, last_error: null });
    expect(await stand.served()).toEqual([ALICE]);
  });

  test('calls an order invalid gets another, not sooner than its own limit on failures', async () => {
    const ca = await hostileCa();
    const issuance = stand.issuance([ca]);
    await stand.want(ALICE);
    ca.validate = () => Promise.resolve('dns');
    for (let attempt = 0; attempt < 4; attempt += 1) {
      await issuance.settled();
      passes(14 * MINUTE_MS);
    }
    expect(ca.ordersFor(ALICE)).toBe(4);
    expect((await stand.workOf(ALICE)).order_url).toBeNull();
    ca.validate = () => Promise.resolve(undefined);
    passes(10 * MINUTE_MS);
    await issuance.settled();
    expect(await stand.served()).toEqual([ALICE]);
    // The five count as orders; of certificates there was one.
    const counted = (await stand.spent()).filter((row) => row['name_set'] !== '');
    expect([await stand.spent(), counted].map(({ length }) => length)).toEqual([5, 1]);
  });

  test('delivers a chain for another key has it thrown away, and is asked for another', async () => {
    const ca = await hostileCa();
    const issuance = stand.issuance([ca]);
    await stand.want(ALICE);
    ca.chain = 'other-key';
    await issuance.settled();
    expect(await stand.ledger()).toEqual([]);
    const { last_error: why, order_url: url } = await stand.workOf(ALICE);
    expect([why, url]).toEqual([expect.stringContaining('another key'), null]);
    ca.chain = 'right';
    passes(2 * MINUTE_MS);
    await issuance.settled();
    expect(await stand.served()).toEqual([ALICE]);
    expect(ca.ordersFor(ALICE)).toBe(2);
  });

  test('is slow over the order keeps it: the next attempt finds it done', async () => {
    const ca = await hostileCa();
    const issuance = stand.issuance([ca], { orders: { decisionMs: 60 } });
    await stand.want(ALICE);
    ca.processingPolls = 1_000;
    await issuance.settled();
    expect(issuance.endings).toEqual(new Map([['ca-0 unavailable', 1]]));
    for (const order of ca.orders.values()) order.polls = 0;
    passes(2 * MINUTE_MS);
    await issuance.settled();
    expect(await stand.served()).toEqual([ALICE]);
    expect(ca.ordersFor(ALICE)).toBe(1);
  });

  test('names a day and does not decide is there: its other orders go on', async () => {
    const ca = await hostileCa();
    const issuance = stand.issuance([ca], { orders: { retryAfterMs: 10 } });
    const slow = Array.from({ length: 8 }, (_, at) => `slow-${at}.${ZONE}`);
    await stand.want(...slow);
    ca.processingPolls = 1_000;
    ca.retryAfter = '86400';
    await issuance.settled();
    expect(issuance.endings).toEqual(new Map([['ca-0 unavailable', 8]]));
    expect(stand.authorities[0]?.rest).toMatchObject({ why: undefined, doubtful: false });
    expect((await stand.workOf(`slow-0.${ZONE}`)).due_at).toBe(START_MS + HOUR_MS);
    ca.processingPolls = 0;
    await stand.want(ALICE);
    await issuance.settled();
    expect(await stand.served()).toEqual([ALICE]);
  });

  test('never ends an attempt has it ended, and counted as one', async () => {
    const ca = await hostileCa();
    const issuance = stand.issuance([ca], { limits: { attemptMs: 200 } });
    await stand.want(ALICE);
    ca.processingPolls = 1_000_000;
    await issuance.settled();
    expect(issuance.endings).toEqual(new Map([['ca-0 unavailable', 1]]));
    expect((await stand.workOf(ALICE)).attempts).toBe(1);
  });
});
