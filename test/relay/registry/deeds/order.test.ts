import { describe, expect, test } from 'vitest';
import { lapse } from '../../../../relay/registry/deeds/lapse.ts';
import { order, withdrawOrder } from '../../../../relay/registry/deeds/order.ts';
import { redeemOrder } from '../../../../relay/registry/deeds/redeem-order.ts';
import { release } from '../../../../relay/registry/deeds/release.ts';
import { rename } from '../../../../relay/registry/deeds/rename.ts';
import { revoke } from '../../../../relay/registry/deeds/revoke.ts';
import { listOrders } from '../../../../relay/registry/listings.ts';
import { deviceKey, deviceName } from '../fixture.ts';
import { DAY, DeedWorld, ENGINES, HOUR, operator } from './deed-world.ts';

const actor = 'cli:root';
const name = deviceName('alice');
const from = '192.0.2.7';
const wrong = { kind: 'wrong-code' };

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
