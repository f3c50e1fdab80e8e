// HTTPS records that a provider has left at an own domain, before a real DNS: browsers believe them before
// all addresses, so their owner is told; and who is told is served as before.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { CustomerRecord } from '../../world/customer-zone.ts';
import { requires } from '../../world/requires.ts';
import { CUSTOMER, DAY, DomainWorld, type Holder, RELAY, states, step } from './domain-world.ts';

const need = requires('knotd', 'named', 'rndc');
const ELSEWHERE = '203.0.113.9';
let world: DomainWorld;
let holder: Holder;
let entries: readonly CustomerRecord[];

beforeAll(async () => {
  if (need.skip) return;
  world = await DomainWorld.open();
  holder = await world.holder();
  entries = (await world.proven(CUSTOMER, holder)).all;
  await world.certify(CUSTOMER);
});

afterAll(() => world?.[Symbol.asyncDispose]());

beforeEach(() => {
  if (!need.skip) world.told.length = 0;
});

/** The routing step of a look at the domain, whose address is right, with these records beside it. */
async function lookWith(...more: readonly CustomerRecord[]) {
  await world.enter(...entries, ...more);
  const report = await world.check(CUSTOMER, holder);
  expect(report.state).toBe('proven');
  return step(report, 'routing');
}

const https = (data: string): CustomerRecord => [CUSTOMER, 'HTTPS', data];

describe.skipIf(need.skip)('an HTTPS record', () => {
  test.each([
    ['1 . alpn=h2,http/1.1'],
    ['1 . alpn=h3,h2'],
    // With HTTP/1.1, which only no-default-alpn takes away.
    ['1 . alpn=h3'],
    ['1 . no-default-alpn alpn=h2,h3'],
    [`1 . alpn=h2 ipv4hint=${RELAY}`],
    [`1 ${CUSTOMER}. alpn=h2`],
    // Browsers pass over what they do not understand.
    [`1 . mandatory=key667 alpn=h3 ipv4hint=${ELSEWHERE} key667=x`],
  ])('%s leads here', async (data) => {
    expect(await lookWith(https(data))).toMatchObject({ state: 'ok' });
  });

  test.each([
    [`1 . alpn=h2 ipv4hint=${ELSEWHERE}`, `leads browsers elsewhere, to ${ELSEWHERE}`],
    [`1 . ipv4hint=${RELAY},${ELSEWHERE}`, `leads browsers elsewhere, to ${ELSEWHERE}`],
    ['1 . alpn=h2 ipv6hint=2001:db8::9', 'leads browsers elsewhere, to 2001:db8::9'],
    ['1 . no-default-alpn alpn=h3', 'promises browsers only protocols that are not spoken here'],
    ['1 . alpn=h2 ech=AAAA', 'has browsers hide the name from us by a key (ech) that is not ours'],
    ['1 . alpn=h2 port=8443', 'leads browsers to port 8443'],
    ['0 .', 'says that there is nothing for browsers'],
    [`0 old.${CUSTOMER}.`, `leads browsers elsewhere, to old.${CUSTOMER} with ${ELSEWHERE}`],
    [
      `1 old.${CUSTOMER}. alpn=h2`,
      `leads browsers elsewhere, to old.${CUSTOMER} with ${ELSEWHERE}`,
    ],
    [`0 gone.${CUSTOMER}.`, `leads browsers to gone.${CUSTOMER}, which has no address`],
  ])('%s leads browsers elsewhere', async (data, why) => {
    const old: CustomerRecord = [`old.${CUSTOMER}`, 'A', ELSEWHERE];
    const { state, found, expected, next } = await lookWith(https(data), old);
    expect(state).toBe('wrong');
    expect(found).toMatch(/^example\.org has 127\.0\.0\.1, which is ours\. But the HTTPS record /);
    expect(found).toContain(`at ${CUSTOMER} ${why}.`);
    expect(expected).toMatch(/; and no HTTPS record that leads elsewhere$/);
    expect(next).toBe(
      `Remove the HTTPS record at ${CUSTOMER}: browsers need none, and believe it before all addresses.`,
    );
  });

  test('that leads to a name with our addresses, or to the zone, leads here', async () => {
    const ours: CustomerRecord = [`ours.${CUSTOMER}`, 'A', RELAY];
    expect(await lookWith(https(`0 ours.${CUSTOMER}.`), ours)).toMatchObject({ state: 'ok' });
    expect(await lookWith(https('0 edge.vendor.example.'))).toMatchObject({ state: 'ok' });
  });

  test('of many, one of which leads elsewhere, is found', async () => {
    const many = [1, 2, 3].map((at) => https(`${at} . alpn=h2`));
    expect(await lookWith(...many, https(`9 . ipv4hint=${ELSEWHERE}`))).toMatchObject({
      state: 'wrong',
    });
  });

  test('that leads elsewhere suspends nobody, and keeps no certificate from its renewal', async () => {
    await lookWith(https(`1 . ipv4hint=${ELSEWHERE}`));
    world.nowMs += 10 * DAY;
    await world.certify(CUSTOMER);
    const report = await world.check(CUSTOMER, holder);
    expect([states(report), report.state]).toEqual(['ok wrong ok ok ok', 'proven']);
    expect(world.told).toEqual([]);
    expect(await world.domains.recheck(CUSTOMER)).toEqual({ ok: true });
    await world.enter(...entries);
    expect(states(await world.check(CUSTOMER, holder))).toBe('ok ok ok ok ok');
  });

  test('below a wildcard counts as one at the domain', async () => {
    const { all } = await world.add('apps.example.org', holder, true);
    const alias = all.filter(([owner]) => !owner.startsWith('*.'));
    const below = '*.apps.example.org';
    await world.enter(...alias, [below, 'A', RELAY], [below, 'HTTPS', `1 . ipv4hint=${ELSEWHERE}`]);
    const routing = step(await world.check('apps.example.org', holder), 'routing');
    expect([routing.state, routing.found]).toEqual([
      'wrong',
      expect.stringMatching(/\w{20}\.apps\.example\.org leads browsers elsewhere/),
    ]);
  });
});
