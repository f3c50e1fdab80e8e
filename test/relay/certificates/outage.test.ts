// Authorities that are away for long, while visitors come; and what comes back by itself.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { Chooser } from '../../../certs/chooser.ts';
import { parseHostname } from '../../../dns/name.ts';
import type { StoredCertificates } from '../../../relay/certificates/stored-certificates.ts';
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

const NAMES = ['alice', 'bob', 'carol', 'dave'].map((name) => hostname(`${name}.${ZONE}`));
const ALICE = NAMES[0] ?? ZONE;
let stand: IssuingStand;

beforeEach(async () => {
  vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] });
  stand = await IssuingStand.start();
});

afterEach(() => {
  vi.useRealTimers();
});

const passes = (ms: number) => vi.setSystemTime(Date.now() + ms);

function chooserOf(source: StoredCertificates): Chooser {
  return new Chooser({
    subjects: (subject) => [subject],
    settings: () => ({ minVersion: 'TLSv1.2' }),
    // What was not told of is found with the next visit.
    limits: { recheckMs: 0 },
    ...{ source, log: stand.log },
  });
}

describe('an authority that is gone for 14 days', () => {
  test('is noticed by no visitor, asked rarely, costs no budget, and is taken up again', async () => {
    const ca = await hostileCa();
    const issuance = stand.issuance([ca]);
    await stand.want(...NAMES);
    await issuance.settled();
    const chooser = chooserOf(await stand.stored());
    passes(57 * DAY_MS);
    await ca.leave();
    const begun = (await stand.spent()).length;
    for (let hour = 0; hour < 14 * 24; hour += 2) {
      passes(2 * HOUR_MS);
      await issuance.settled();
      for (const name of NAMES) expect(await chooser.choose(name), `hour ${hour}`).toBeDefined();
    }
    const tried = issuance.endings.get('ca-0 unavailable') ?? 0;
    // From the 60th day on; each name by the ladder, all together no more often than the rests allow.
    expect(tried).toBeGreaterThan(10);
    expect(tried).toBeLessThan(NAMES.length * (11 * 4 + 13));
    expect((await stand.spent()).length).toBe(begun);
    expect((await stand.workOf(ALICE)).last_error).toMatch(/ca-0.*\.$/s);
    await ca.comeBack();
    passes(7 * HOUR_MS);
    await issuance.settled();
    passes(HOUR_MS);
    await issuance.settled();
    expect((await stand.ledger()).map(({ subject }) => subject).sort()).toEqual(
      [...NAMES, ...NAMES].sort(),
    );
    expect((await stand.work()).every(({ attempts }) => attempts === 0)).toBe(true);
    await stand.expectNoSecrets();
  }, 60_000);

  test('and is wanted by thousands of names is asked by one of them at a time', async () => {
    const ca = await hostileCa();
    const issuance = stand.issuance([ca]);
    await stand.want(...Array.from({ length: 40 }, (_, at) => `dev-${at}.${ZONE}`));
    await ca.leave();
    for (let minute = 0; minute < 60; minute += 1) {
      await issuance.settled();
      passes(MINUTE_MS);
    }
    // The first handful at once, and then one after rests of 1, 2, 4, 8, 16 and 30 minutes.
    expect(issuance.endings.get('ca-0 unavailable')).toBeLessThan(30);
    await ca.comeBack();
    passes(HOUR_MS);
    await issuance.settled();
    expect(issuance.endings.get('ca-0 issued')).toBe(40);
  }, 60_000);
});

describe('a second authority', () => {
  async function both(): Promise<[HostileCa, HostileCa]> {
    return [await hostileCa(), await hostileCa()];
  }

  test('signs while the first keeps failing, and the first again when it is back', async () => {
    const [first, second] = await both();
    const issuance = stand.issuance([first, second]);
    await first.leave();
    await stand.want(...NAMES);
    for (let minute = 0; minute < 30; minute += 1) {
      await issuance.settled();
      passes(MINUTE_MS);
    }
    expect(new Set(await stand.served())).toEqual(new Set(NAMES));
    expect((await stand.ledger()).map(({ ca }) => ca)).toEqual(NAMES.map(() => 'ca-1'));
    await first.comeBack();
    passes(HOUR_MS);
    const eve = hostname(`eve.${ZONE}`);
    await stand.want(eve);
    await issuance.settled();
    const [last] = (await stand.ledger()).slice(-1);
    expect(last).toMatchObject({ subject: eve, ca: 'ca-0' });
  });

  test('signs at once when the first says that it is too much', async () => {
    const [first, second] = await both();
    const issuance = stand.issuance([first, second]);
    const headers = { 'retry-after': '86400' };
    first.spoil('newOrder', { status: 429, problem: 'rateLimited', headers });
    await stand.want(ALICE);
    await issuance.settled();
    passes(2_000);
    await issuance.settled();
    expect(await stand.ledger()).toMatchObject([{ subject: ALICE, ca: 'ca-1' }]);
    expect(first.count('newOrder')).toBe(1);
  });

  test('signs for an own domain that has met a limit at the first; at both it waits, and asks neither', async () => {
    const cas = await both();
    const issuance = stand.issuance(cas);
    const limit = (ca: HostileCa, seconds: string) =>
      ca.spoil(
        'newOrder',
        { status: 429, problem: 'rateLimited', headers: { 'retry-after': seconds } },
        1,
      );
    const [first, second] = cas;
    const [app, shop] = [hostname('app.example.org'), hostname('shop.example.com')];
    limit(first, '86400');
    await stand.wantDomain(app);
    await issuance.settled();
    passes(2_000);
    await issuance.settled();
    expect(await stand.ledger()).toMatchObject([{ subject: app, ca: 'ca-1' }]);
    limit(first, '86400');
    limit(second, '7200');
    await stand.wantDomain(shop);
    for (let minute = 0; minute < 119; minute += 1) {
      await issuance.settled();
      passes(MINUTE_MS);
    }
    expect([first.count('newOrder'), second.count('newOrder')]).toEqual([2, 2]);
    passes(2 * MINUTE_MS);
    await issuance.settled();
    expect((await stand.ledger()).at(-1)).toMatchObject({ subject: shop, ca: 'ca-1' });
  });

  test('takes over an order that is stuck at the first', async () => {
    const [first, second] = await both();
    const issuance = stand.issuance([first, second], { orders: { decisionMs: 30 } });
    first.processingPolls = 1_000_000;
    await stand.want(ALICE);
    for (let attempt = 0; attempt < 5; attempt += 1) {
      await issuance.settled();
      passes(6 * MINUTE_MS);
    }
    expect(await stand.ledger()).toMatchObject([{ subject: ALICE, ca: 'ca-1' }]);
    expect(first.ordersFor(ALICE)).toBe(1);
  });
});

describe('a budget', () => {
  test('that is spent lets wait what is least urgent, and goes on when there is room', async () => {
    const ca = await hostileCa();
    const issuance = stand.issuance([ca], { certificatesPerWeek: 5 });
    await stand.want(...Array.from({ length: 7 }, (_, at) => `dev-${at}.${ZONE}`));
    await issuance.settled();
    expect(await stand.served()).toHaveLength(5);
    const waiting = (await stand.work()).filter((row) => row.certificate_id === null);
    expect(waiting).toHaveLength(2);
    for (const row of waiting) expect(row.last_error).toContain('budget of ca-0 is spent');
    expect(ca.count('newOrder')).toBe(5);
    passes(7 * DAY_MS + MINUTE_MS);
    await issuance.settled();
    expect(await stand.served()).toHaveLength(7);
  });
});

test('a certificate is exchanged while a visit over TLS goes on', async () => {
  const ca = await hostileCa();
  const issuance = stand.issuance([ca]);
  await stand.want(ALICE);
  await issuance.settled();
  const source = await stand.stored();
  await source.look();
  const chooser = chooserOf(source);
  const server = createServer({
    SNICallback: (name, done) => {
      const parsed = parseHostname(name);
      Promise.resolve(parsed === undefined ? undefined : chooser.choose(parsed)).then(
        (context) => done(null, context),
        done,
      );
    },
  });
  server.on('secureConnection', (socket) => socket.pipe(socket).on('error', () => undefined));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const visit = async (): Promise<TLSSocket> => {
    const trusted = { servername: ALICE, ca: ca.signer.rootPem };
    const socket = tlsConnect({ port, host: '127.0.0.1', ...trusted });
    onTestFinished(() => void socket.destroy());
    await once(socket, 'secureConnect');
    return socket;
  };
  const serial = (socket: TLSSocket) => socket.getPeerX509Certificate()?.serialNumber.toLowerCase();
  const old = await visit();
  passes(61 * DAY_MS);
  await issuance.settled();
  await source.look();
  const [before, after] = await stand.ledger();
  // The young certificate begins in a future that the system's clock does not know.
  expect(serial(old)).toBe(before?.serial);
  const native = await chooser.choose(ALICE);
  const der: unknown = Object(Object(native).context).getCertificate();
  expect(Buffer.isBuffer(der) && der.includes(Buffer.from(after?.serial ?? '', 'hex'))).toBe(true);
  old.write('still here');
  expect(String((await once(old, 'data'))[0])).toBe('still here');
});
