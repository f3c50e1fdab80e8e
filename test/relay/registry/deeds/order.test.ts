import { describe, expect, test } from 'vitest';
import { lapse } from '../../../../relay/registry/deeds/lapse.ts';
import { order, withdrawOrder } from '../../../../relay/registry/deeds/order.ts';
import {
  addDomain,
  parseOwnDomain,
  removeDomain,
} from '../../../../relay/registry/deeds/own-domain.ts';
import { redeemOrder } from '../../../../relay/registry/deeds/redeem-order.ts';
import { release } from '../../../../relay/registry/deeds/release.ts';
import { rename } from '../../../../relay/registry/deeds/rename.ts';
import { revoke } from '../../../../relay/registry/deeds/revoke.ts';
import { listOrders } from '../../../../relay/registry/listings.ts';
import { deviceKey, deviceName } from '../fixture.ts';
import { hostname } from '../zone-fixture.ts';
import { DAY, DeedWorld, ENGINES, HOUR, operator } from './deed-world.ts';

const actor = 'cli:root';
const name = deviceName('alice');
const from = '192.0.2.7';
const wrong = { kind: 'wrong-code' };

function domain(text: string) {
  const parsed = parseOwnDomain(text, hostname('vendor.dev'));
  if (parsed === undefined) throw new Error(`no own domain: ${text}`);
  return parsed;
}

describe.each(ENGINES)('on $engine, an order', (engine) => {
  test('reserves its name until a device redeems the code', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const { id, code, expiresAtMs } = await world.do(order({ name, ownerId, actor }));
    expect(expiresAtMs).toBe(world.nowMs + 365 * DAY);
    expect(await world.row('alice')).toMatchObject({ state: 'ordered', thumbprint: undefined });
    expect(world.registry.snapshot.deviceOf(name)).toBeUndefined();
    await world.refused(order({ name, actor }), 'ERR_NAME_TAKEN');
    const deviceK = deviceKey();
    const bound = await world.do(
      redeemOrder({ code: code.toLowerCase(), deviceKey: deviceK, from }),
    );
    expect(bound).toEqual({ kind: 'bound', name: 'alice' });
    expect(world.registry.snapshot.deviceOf(name)?.thumbprint).toBe(deviceK.thumbprint);
    expect(await world.row('alice')).toMatchObject({ state: 'held', ownerId });
    expect(await world.history('alice')).toEqual([
      `cli:root ordered order ${id}`,
      `device:${deviceK.thumbprint} enrolled order ${id} from 192.0.2.0/24`,
    ]);
    const orders = await world.registry.read(listOrders({ nowMs: world.nowMs, limit: 9 }));
    expect(orders).toMatchObject([{ id, name: 'alice', redeemedAtMs: world.nowMs }]);
    await world.refused(withdrawOrder({ id, actor }), 'ERR_ORDER_UNKNOWN');
  });

  test('F-23 is answered again for the same key, by the present name, and for no other', async () => {
    const world = await DeedWorld.of(engine);
    const { code } = await world.do(order({ name, actor }));
    const key = deviceKey();
    const redeem = redeemOrder({ code, deviceKey: key, from });
    expect(await world.do(redeem)).toEqual({ kind: 'bound', name: 'alice' });
    world.nowMs += 400 * DAY;
    expect(await world.do(redeem)).toEqual({ kind: 'bound', name: 'alice' });
    expect(await world.do(redeemOrder({ code, deviceKey: deviceKey(), from }))).toEqual(wrong);
    const by = { kind: 'device', thumbprint: key.thumbprint } as const;
    await world.do(rename({ name, to: deviceName('alina'), by }));
    expect(await world.do(redeem)).toEqual({ kind: 'bound', name: 'alina' });
    await world.do(release({ name: deviceName('alina'), by }));
    expect(await world.do(redeem)).toEqual(wrong);
  });

  test('wrong, malformed, withdrawn and expired codes are the same', async () => {
    const world = await DeedWorld.of(engine);
    const { id, code } = await world.do(order({ name, actor }));
    const deviceK = deviceKey();
    const redeem = (text: string) => redeemOrder({ code: text, deviceKey: deviceK, from });
    for (const text of ['', 'x', 'WG-00000-00000-00000-00000', code.slice(0, -1)]) {
      expect(await world.do(redeem(text))).toEqual(wrong);
    }
    await world.do(withdrawOrder({ id, actor }));
    expect(await world.row('alice')).toBeUndefined();
    expect(await world.do(redeem(code))).toEqual(wrong);
    await world.refused(withdrawOrder({ id, actor }), 'ERR_ORDER_UNKNOWN');
    const later = await world.do(order({ name, actor }));
    world.nowMs = later.expiresAtMs;
    expect(await world.do(redeem(later.code))).toEqual(wrong);
    expect(await world.row('alice')).toBeUndefined();
    expect((await world.history('alice')).at(-1)).toBe('clock order-lapsed ');
  });

  test('lapses: the name is free at once, or in quarantine if it came out of that', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const held = await world.enrolled('bella', { ownerId });
    await world.do(release({ name: held.name, by: operator }));
    await world.refused(order({ name: held.name, actor }), 'ERR_NAME_QUARANTINED');
    await world.do(order({ name: held.name, ownerId, actor }));
    const { expiresAtMs } = await world.do(order({ name, actor }));
    world.nowMs = expiresAtMs;
    expect(await world.do(lapse())).toEqual([
      { kind: 'order-lapsed', name: 'alice' },
      { kind: 'order-lapsed', name: 'bella' },
    ]);
    expect(await world.row('alice')).toBeUndefined();
    expect(await world.row('bella')).toMatchObject({
      state: 'quarantined',
      untilMs: world.nowMs + 90 * DAY,
    });
    expect(await world.registry.read(listOrders({ nowMs: 0, limit: 9 }))).toEqual([]);
  });

  test('that names a serial is for that device; guessing one locks only this order', async () => {
    const world = await DeedWorld.of(engine);
    const { code } = await world.do(order({ name, serial: 'SN-7', actor }));
    const other = await world.do(order({ name: deviceName('other'), serial: 'SN-8', actor }));
    const redeem = (serial?: string) =>
      redeemOrder({ code, deviceKey: deviceKey(), from, ...(serial && { serial }) });
    for (const serial of [undefined, 'SN-1', 'SN-2', 'SN-3', 'sn-7']) {
      expect(await world.do(redeem(serial))).toEqual(wrong);
    }
    expect(await world.do(redeem('SN-7'))).toEqual(wrong);
    const right = { deviceKey: deviceKey(), from };
    expect(await world.do(redeemOrder({ ...right, code: other.code, serial: 'SN-8' }))).toEqual({
      kind: 'bound',
      name: 'other',
    });
    world.nowMs += HOUR;
    expect(await world.do(redeem('SN-7'))).toEqual({ kind: 'bound', name: 'alice' });
  });

  test('A-4 a revoked key learns nothing of codes', async () => {
    const world = await DeedWorld.of(engine);
    const { code } = await world.do(order({ name, actor }));
    const { key } = await world.enrolled('bob');
    await world.do(revoke({ thumbprint: key.thumbprint, actor }));
    for (const text of [code, 'WG-00000-00000-00000-00000']) {
      await world.refused(redeemOrder({ code: text, deviceKey: key, from }), 'ERR_DEVICE_REVOKED');
    }
  });

  test('of a look-alike or for an unknown owner is refused', async () => {
    const world = await DeedWorld.of(engine);
    await world.enrolled('bella');
    const lookalike = { name: deviceName('be11a'), actor };
    await world.refused(order(lookalike), 'ERR_NAME_LOOKALIKE');
    await world.do(order({ ...lookalike, allowLookalike: true }));
    await world.refused(order({ name, ownerId: 'nobody', actor }), 'ERR_OWNER_UNKNOWN');
    await world.refused(order({ name: deviceName('bella'), actor }), 'ERR_NAME_TAKEN');
  });
});

describe.each(ENGINES)('on $engine, own domains', (engine) => {
  test('of an order come with its device, and with no other', async () => {
    const world = await DeedWorld.of(engine);
    const app = domain('app.example.org');
    const { code } = await world.do(order({ name, domain: app, actor }));
    const again = order({ name: deviceName('bob'), domain: app, actor });
    await world.refused(again, 'ERR_DOMAIN_TAKEN');
    const redeem = redeemOrder({ code, deviceKey: deviceKey(), from });
    const bound = { kind: 'bound', name: 'alice', domain: 'app.example.org' };
    expect(await world.do(redeem)).toEqual(bound);
    expect(await world.do(redeem)).toEqual(bound);
    const [row] = await world.registry.read((db) => db.selectFrom('domains').selectAll().execute());
    expect(row).toMatchObject({ domain: app, name: 'alice', state: 'pending' });
    expect(row?.target).toMatch(/^[0-9a-hjkmnp-tv-z]{20}$/);
    expect(row?.proof).toMatch(/^[\w-]{22}$/);
    await world.refused(again, 'ERR_DOMAIN_TAKEN');
  });

  test('A-7 that stay unproven do not keep others from them for long', async () => {
    const world = await DeedWorld.of(engine);
    const squatter = await world.enrolled('squatter');
    const app = domain('app.example.org');
    const add = { name: squatter.name, domain: app, by: squatter.device };
    const records = await world.do(addDomain(add));
    expect(await world.do(addDomain(add))).toMatchObject(records);
    const { device, name: mine } = await world.enrolled('alice');
    await world.refused(addDomain({ name: mine, domain: app, by: device }), 'ERR_DOMAIN_TAKEN');
    world.nowMs += 7 * DAY;
    const other = await world.do(addDomain({ name: mine, domain: app, by: device }));
    expect(other.target).not.toBe(records.target);
    await world.refused(addDomain(add), 'ERR_DOMAIN_TAKEN');
    const taken = order({ name: deviceName('carol'), domain: app, actor });
    await world.refused(taken, 'ERR_DOMAIN_TAKEN');
  });

  test('are removed by who has the name; strangers learn nothing of them', async () => {
    const world = await DeedWorld.of(engine);
    const app = domain('app.example.org');
    const { device, name: mine } = await world.enrolled('alice');
    const stranger = await world.enrolled('bob');
    await world.refused(
      addDomain({ name: mine, domain: app, by: stranger.device }),
      'ERR_NOT_YOURS',
    );
    await world.do(addDomain({ name: mine, domain: app, by: device }));
    const others = removeDomain({ domain: app, by: stranger.device });
    const why = await world.refused(others, 'ERR_DOMAIN_UNKNOWN');
    await world.do(removeDomain({ domain: app, by: device }));
    expect(await world.refused(others, 'ERR_DOMAIN_UNKNOWN')).toBe(why);
    expect((await world.history('alice')).at(-1)).toBe(
      `device:${device.thumbprint} domain-removed app.example.org`,
    );
    await world.do(addDomain({ name: stranger.name, domain: app, by: stranger.device }));
  });

  test('end with the name, and are as many as twenty', async () => {
    const world = await DeedWorld.of(engine);
    const { device, name: mine } = await world.enrolled('alice');
    const add = (at: number) =>
      addDomain({ name: mine, domain: domain(`a${at}.example.org`), by: device });
    for (let at = 0; at < 20; at += 1) await world.do(add(at));
    await world.refused(add(20), 'ERR_TOO_MANY_DOMAINS');
    await world.do(release({ name: mine, by: device }));
    expect(
      await world.registry.read((db) => db.selectFrom('domains').selectAll().execute()),
    ).toEqual([]);
  });

  test.each([
    'vendor.dev',
    'alice.vendor.dev',
    'code.alice.vendor.dev',
    'dev',
    'localhost',
    '192.0.2.1',
    'a..b',
    '*.example.org',
    '',
  ])('%s is none', (text) => {
    expect(parseOwnDomain(text, hostname('vendor.dev'))).toBeUndefined();
  });
});
