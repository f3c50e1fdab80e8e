import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readChain } from '../../certs/chain.ts';
import { makeCsr } from '../../certs/csr.ts';
import type { Order } from '../../certs/order.ts';
import { ORDER_LIMITS, type OrderLimits } from '../../certs/order-wait.ts';
import { certificateNames } from '../world/certificate-names.ts';
import { HostileCa } from '../world/hostile-ca.ts';
import type { ChainKind } from '../world/hostile-ca-signer.ts';
import type { Endpoint, Misbehaviour } from '../world/hostile-ca-wire.ts';
import { ALICE, IMPATIENT, NAMES, OrderStand } from '../world/order-stand.ts';

let stand: OrderStand;
let ca: HostileCa;
let urls: string[];

beforeEach(async () => {
  stand = await OrderStand.make();
  ({ ca, urls } = stand);
});

afterEach(() => stand[Symbol.asyncDispose]());

const ERROR = 'urn:ietf:params:acme:error:';

function order(more: Partial<Order> = {}): Promise<{ chainPem: string; url: string }> {
  return stand.order(more);
}

/** What is a long Retry-After is asked again so soon. */
const EARLY: Partial<OrderLimits> = { requestMs: 10_000, firstPauseMs: 2, retryAfterMs: 60 };

const RATE_LIMITED: Misbehaviour = {
  status: 429,
  problem: 'rateLimited',
  detail: 'too many certificates already issued for "vendor.dev"',
  headers: { 'retry-after': '86400' },
};

describe('an authority that behaves', () => {
  test('is asked for no nonce but the first, and for its directory once', async () => {
    await order();
    await order();
    expect(ca.count('directory')).toBe(1);
    expect(ca.count('newNonce')).toBeLessThanOrEqual(2);
    expect([ca.ordersFor(ALICE), ca.finalisationsFor(ALICE)]).toEqual([2, 2]);
  });

  test('wants no proof of what it knows already', async () => {
    ca.reuse = true;
    expect(readChain((await order()).chainPem).names).toEqual(NAMES);
    expect(stand.everShown).toBe(0);
  });

  test('is not asked for anything before the URL of the order is kept', async () => {
    const begun = async (): Promise<void> => {
      throw new Error('the disk is full');
    };
    await expect(order({ begun })).rejects.toThrow('the disk is full');
    expect(ca.count('authorization')).toBe(0);
  });

  test('costs nothing before the first one is opened: the client of the protocol is not loaded', () => {
    const program = `
      import { createRequire } from 'node:module';
      const { AcmeAuthority, makeAccountKey } = await import('./certs/order.ts');
      const modules = () => Object.keys(createRequire(import.meta.url).cache);
      const loaded = () => modules().some((file) => file.includes('acme-client'));
      const before = loaded();
      const keyPem = await makeAccountKey();
      await AcmeAuthority.open({ name: 'a', url: 'https://localhost:9/' }, { keyPem });
      process.stdout.write(String([before, loaded()]));`;
    const args = ['--input-type=module', '--eval', program];
    expect(execFileSync(process.execPath, args).toString()).toBe('false,true');
  });

  test('makes no account before there is something to order', async () => {
    expect(ca.requests).toHaveLength(0);
    expect(stand.authority.features).toMatchObject({ profiles: [], renewalInfo: false });
  });
});

describe('a hostile authority', () => {
  test('attack: 429 with a Retry-After of a day: nothing is slept through, nothing is tried again', async () => {
    ca.spoil('newOrder', RATE_LIMITED);
    await expect(order()).rejects.toMatchObject({
      code: 'ERR_ORDER_RATE_LIMITED',
      problem: `${ERROR}rateLimited`,
      retryAfterMs: 86_400_000,
      message:
        'hostile did not take a new order for alice.vendor.dev, *.alice.vendor.dev: too many ' +
        'certificates already issued for "vendor.dev".',
    });
    expect(ca.count('newOrder')).toBe(1);
  });

  const faults: readonly [string, Misbehaviour][] = [
    ['500', { status: 500, problem: 'serverInternal' }],
    ['502 of a proxy', { status: 502, body: '<html>bad gateway</html>' }],
    ['a redirect', { status: 302, headers: { location: 'https://mallory.example/' } }],
    ['no answer ever', 'hang'],
    ['the end of the connection', 'cut'],
    ['an answer without an end', 'endless'],
    ['an answer that is late', { slowMs: 600 }],
    ['something that is not JSON', { status: 201, body: 'hello' }],
  ];
  const places: readonly Endpoint[] = [
    ...(['directory', 'newAccount', 'newOrder', 'authorization', 'challenge'] as const),
    ...(['order', 'finalize', 'certificate'] as const),
  ];
  test.each(faults)('attack: %s, at whatever it is asked for', async (_title, misbehaviour) => {
    const failures = await Promise.all(
      places.map(async (place) => {
        await using alone = await OrderStand.make(IMPATIENT);
        alone.ca.spoil(place, misbehaviour);
        const failure: unknown = await alone.order().catch((error: unknown) => error);
        return [place, Object(failure).code, alone.ca.count(place)];
      }),
    );
    for (const [place, code, count] of failures) {
      expect([place, code]).toEqual([place, 'ERR_ORDER_UNAVAILABLE']);
      // Four questions while it makes up its mind, and one more for each connection that was idle.
      expect(Number(count), String(place)).toBeLessThanOrEqual(12);
    }
  });

  test('fails now and then while it makes up its mind: the order goes on', async () => {
    ca.processingPolls = 3;
    ca.spoil('order', { status: 503, problem: 'serverInternal' }, 2);
    expect((await order()).url).toBe(urls[0]);
    expect([stand.everShown, ca.finalisationsFor(ALICE)]).toEqual([2, 1]);
  });

  test('attack: a bad nonce for ever: a bounded number of attempts', async () => {
    ca.spoil('newOrder', { status: 400, problem: 'badNonce' });
    await expect(order()).rejects.toMatchObject({
      code: 'ERR_ORDER_UNAVAILABLE',
      problem: `${ERROR}badNonce`,
    });
    expect(ca.count('newOrder')).toBe(12);
  });

  test('is away: told at once, and asked again without a new start when it is back', async () => {
    await order();
    await ca.leave();
    await expect(order()).rejects.toMatchObject({
      code: 'ERR_ORDER_UNAVAILABLE',
      message: expect.stringMatching(
        /^hostile \(localhost:\d+\) cannot be reached \(ECONNREFUSED\)\.$/,
      ),
    });
    await ca.comeBack();
    expect((await order()).chainPem).toContain('BEGIN CERTIFICATE');
  });

  test('attack: somebody else with a certificate that nobody trusts', async () => {
    await using other = await HostileCa.start({ stranger: true });
    const stranger = await stand.open({ url: other.directoryUrl });
    await expect(stranger.order(stand.wish())).rejects.toMatchObject({
      code: 'ERR_ORDER_UNAVAILABLE',
      message: expect.stringContaining('is not trusted'),
    });
  });

  test.each<ChainKind>([
    ...(['other-key', 'other-names', 'more-names', 'expired', 'disordered'] as const),
    ...(['stranger-above', 'no-server', 'garbage', 'empty'] as const),
  ])('attack: a chain that does not fit: %s', async (chain) => {
    ca.chain = chain;
    await expect(order()).rejects.toMatchObject({
      code: 'ERR_ORDER_CHAIN',
      message: expect.stringContaining(
        'hostile delivered what cannot be served for alice.vendor.dev',
      ),
    });
  });

  test('attack: it wants the proof of a name that was not ordered', async () => {
    ca.strangeHostname = 'bank.example';
    await expect(order()).rejects.toMatchObject({ code: 'ERR_ORDER_INVALID' });
    expect(stand.everShown).toBe(0);
    expect(ca.count('challenge')).toBe(0);
  });

  test('attack: a token that is a path of a file', async () => {
    ca.tokens = () => '../../../../etc/passwd-of-this-machine';
    await expect(order()).rejects.toMatchObject({ code: 'ERR_ORDER_PROOF' });
    expect(stand.everShown).toBe(0);
  });

  test('offers only proofs that cannot be given', async () => {
    ca.offered = ['dns-persist-01'];
    await expect(order()).rejects.toMatchObject({
      code: 'ERR_ORDER_PROOF',
      hostname: ALICE,
      message: 'hostile wants a proof by dns-persist-01, and only dns-01 can be given.',
    });
  });

  test.each(['caa', 'dns', 'unauthorized'])('does not accept a proof: %s', async (problem) => {
    ca.validate = ({ hostname }) => (hostname === ALICE ? problem : undefined);
    await expect(order()).rejects.toMatchObject({
      code: 'ERR_ORDER_INVALID',
      problem: ERROR + problem,
      hostname: ALICE,
      message: expect.stringMatching(`for (\\*\\.)?${ALICE}: ${problem} of ${ALICE}\\. [A-Z]`),
    });
    expect(ca.finalisationsFor(ALICE)).toBe(0);
  });

  test.each<Endpoint>(['newOrder', 'finalize'])('refuses for CAA at %s', async (place) => {
    ca.spoil(place, { status: 403, problem: 'caa', about: ALICE });
    await expect(order()).rejects.toMatchObject({
      code: 'ERR_ORDER_REFUSED',
      problem: `${ERROR}caa`,
      hostname: ALICE,
      message: expect.stringContaining('Let the CAA records of the name'),
    });
  });

  test('forgets the account: it is made anew, once', async () => {
    await order();
    ca.forgetAccounts();
    await Promise.all([order(), order(), order()]);
    expect(ca.count('newAccount')).toBe(2);
    ca.spoil('newOrder', { status: 400, problem: 'accountDoesNotExist' });
    await expect(order()).rejects.toMatchObject({ problem: `${ERROR}accountDoesNotExist` });
    expect(ca.count('newAccount')).toBe(3);
  });

  test('names a day for what it decides within seconds, as ZeroSSL does: is asked again all the same', async () => {
    ca.authorizationPolls = 2;
    ca.processingPolls = 3;
    ca.retryAfter = '86400';
    const early = await stand.open({}, EARLY);
    expect(await early.order(stand.wish())).toMatchObject({ url: urls[0] });
    const asked = ca.requests.filter(({ endpoint }) => endpoint === 'order').map((one) => one.atMs);
    // The first follows the first pause; it is the one that names the day.
    const gaps = asked.slice(1).map((atMs, at) => atMs - (asked[at] ?? 0));
    expect(gaps.length).toBeGreaterThan(1);
    expect(Math.min(...gaps.slice(1))).toBeGreaterThanOrEqual((EARLY.retryAfterMs ?? 0) - 1);
  });

  test('has not finished, and wants to be asked again at once: it is, after a pause of ours', async () => {
    ca.processingPolls = 3;
    ca.retryAfter = '0';
    await order();
    expect(ca.finalisationsFor(ALICE)).toBe(1);
  });

  test('names a day and does not decide: left after a few questions, for an hour', async () => {
    ca.processingPolls = Number.POSITIVE_INFINITY;
    ca.retryAfter = '86400';
    ca.reuse = true;
    const early = await stand.open({}, EARLY);
    await expect(early.order(stand.wish())).rejects.toMatchObject({
      ...{ code: 'ERR_ORDER_UNAVAILABLE', undecided: true },
      retryAfterMs: ORDER_LIMITS.undecidedMaxMs,
    });
    expect(ca.count('order')).toBe(1 + ORDER_LIMITS.earlyMax);
    const [url] = urls;
    for (const each of ca.orders.values()) each.polls = 0;
    expect((await order({ url })).url).toBe(url);
    expect(ca.finalisationsFor(ALICE)).toBe(1);
  });

  test('is busy with a Retry-After of a day over an order: obeyed, and not asked again', async () => {
    ca.processingPolls = Number.POSITIVE_INFINITY;
    ca.reuse = true;
    const headers = { 'retry-after': '86400' };
    ca.spoil('order', { status: 503, problem: 'serverInternal', headers });
    const early = await stand.open({}, EARLY);
    await expect(early.order(stand.wish())).rejects.toMatchObject({
      ...{ code: 'ERR_ORDER_UNAVAILABLE', undecided: false, retryAfterMs: 86_400_000 },
    });
    expect(ca.count('order')).toBe(1);
  });

  test('attack: an order that is processing for ever: left, and taken up again later', async () => {
    ca.processingPolls = Number.POSITIVE_INFINITY;
    const impatient = await stand.open({}, IMPATIENT);
    await expect(impatient.order(stand.wish())).rejects.toMatchObject({
      code: 'ERR_ORDER_UNAVAILABLE',
      message: expect.stringContaining('has not finished the order for alice.vendor.dev'),
    });
    const kept = ca.orders.get(urls[0]?.split('/').at(-1) ?? '');
    if (kept !== undefined) kept.polls = 0;
    const done = await order({ url: urls[0] });
    expect(done.url).toBe(urls[0]);
    expect([ca.ordersFor(ALICE), ca.finalisationsFor(ALICE)]).toEqual([1, 1]);
  });

  test('attack: a proof that is never decided on', async () => {
    ca.authorizationPolls = Number.POSITIVE_INFINITY;
    const impatient = await stand.open({}, IMPATIENT);
    await expect(impatient.order(stand.wish())).rejects.toMatchObject({
      code: 'ERR_ORDER_UNAVAILABLE',
      message: expect.stringContaining('has not decided on the proof for'),
    });
    // The order lives: its authorizations were not given up.
    expect([...ca.authorizations.values()].map(({ status }) => status)).toEqual([
      'pending',
      'pending',
    ]);
  });

  test.each(['invalid', 'unknown'])(
    'an order that is %s now: another is to be begun',
    async (state) => {
      await order();
      const [url = ''] = urls;
      const id = url.split('/').at(-1) ?? '';
      const kept = ca.orders.get(id);
      if (state === 'unknown') ca.orders.delete(id);
      else if (kept !== undefined) kept.status = 'invalid';
      await expect(order({ url })).rejects.toMatchObject({ code: 'ERR_ORDER_INVALID' });
    },
  );

  test('attack: an order that is for other names than was asked for', async () => {
    const mallory = certificateNames('mallory.vendor.dev');
    const made = await makeCsr(mallory);
    await order({ names: mallory, csr: made.csr });
    await expect(order({ url: urls[0] })).rejects.toMatchObject({ code: 'ERR_ORDER_INVALID' });
  });

  test('attack: an order that is ready again after each finalization: left after some rounds', async () => {
    ca.reuse = true;
    ca.meddle = ({ endpoint, names }) => {
      if (endpoint !== 'finalize') return undefined;
      const identifiers = names.map((value) => ({ type: 'dns', value }));
      const finalize = `${ca.directoryUrl.replace('directory', 'finalize')}/${[...ca.orders.keys()][0]}`;
      const body = JSON.stringify({ status: 'ready', identifiers, authorizations: [], finalize });
      return { status: 200, body };
    };
    await expect(order()).rejects.toMatchObject({ code: 'ERR_ORDER_INVALID' });
    expect(ca.count('finalize')).toBeLessThan(10);
  });
});
