import { describe, expect, test } from 'vitest';
import { enroll } from '../../../../relay/registry/deeds/enroll.ts';
import { order } from '../../../../relay/registry/deeds/order.ts';
import { beginRecovery } from '../../../../relay/registry/deeds/recovery.ts';
import { release } from '../../../../relay/registry/deeds/release.ts';
import { rename } from '../../../../relay/registry/deeds/rename.ts';
import { revoke } from '../../../../relay/registry/deeds/revoke.ts';
import { listRecoveries } from '../../../../relay/registry/listings.ts';
import { deviceKey, deviceName } from '../fixture.ts';
import { DAY, DeedWorld, ENGINES, operator } from './deed-world.ts';

const actor = 'cli:root';

describe.each(ENGINES)('on $engine, enroll', (engine) => {
  test('gives a name to an owner, who may be known later', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const { name, key } = await world.enrolled('alice');
    const given = { name, deviceKey: key, actor, ownerId };
    expect(await world.do(enroll(given))).toBe('enrolled');
    expect(await world.do(enroll(given))).toBe('unchanged');
    expect(await world.do(enroll({ name, deviceKey: key, actor }))).toBe('unchanged');
    expect(await world.row('alice')).toMatchObject({ ownerId, thumbprint: key.thumbprint });
    const other = await world.owner('bob@example.org');
    await world.refused(enroll({ ...given, ownerId: other }), 'ERR_NAME_TAKEN');
    await world.refused(enroll({ ...given, ownerId: 'nobody' }), 'ERR_OWNER_UNKNOWN');
    expect(await world.history('alice')).toEqual([
      'cli:root enrolled ',
      `cli:root transferred to owner ${ownerId}`,
    ]);
  });

  test('with another key replaces the old one, and takes along what leads to the name', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const { name, key, device } = await world.enrolled('alice', { ownerId });
    const to = deviceName('alina');
    await world.do(rename({ name, to, by: device }));
    const fresh = deviceKey();
    const given = { name: to, deviceKey: fresh, actor };
    await world.refused(enroll(given), 'ERR_NAME_TAKEN');
    await world.do(({ ...scope }) =>
      beginRecovery(
        scope,
        { ...NO_ROW, name: to, thumbprint: key.thumbprint },
        { ownerId, key: deviceKey() },
      ),
    );
    expect(await world.do(enroll({ ...given, replacing: key.thumbprint }))).toBe('replaced');
    const { thumbprint } = fresh;
    expect(await world.row('alina')).toMatchObject({ state: 'held', thumbprint, ownerId });
    expect(await world.row('alice')).toMatchObject({ state: 'former', thumbprint, ownerId });
    expect(world.registry.snapshot.namesOf(key.thumbprint)).toEqual([]);
    expect(await world.registry.read(listRecoveries({ ownerId }))).toEqual([]);
  });

  test('leaves ordered names, and redirects of others, alone', async () => {
    const world = await DeedWorld.of(engine);
    const [ordered, former] = [deviceName('ordered'), deviceName('former')];
    await world.do(order({ name: ordered, actor }));
    const { key, device } = await world.enrolled('former');
    await world.do(rename({ name: former, to: deviceName('later'), by: device }));
    const stranger = { deviceKey: deviceKey(), actor };
    const why = await world.refused(enroll({ name: ordered, ...stranger }), 'ERR_NAME_TAKEN');
    expect(why).toContain('withdraw the order');
    await world.refused(enroll({ name: former, ...stranger }), 'ERR_NAME_TAKEN');
    expect(await world.do(enroll({ name: former, deviceKey: key, actor }))).toBe('enrolled');
    expect(await world.row('former')).toMatchObject({ state: 'held', successor: undefined });
  });

  test('gives a quarantined name back to its owner, to others only afterwards', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const { name } = await world.enrolled('alice', { ownerId });
    await world.do(release({ name, by: operator }));
    const stranger = { name, deviceKey: deviceKey(), actor };
    const why = await world.refused(enroll(stranger), 'ERR_NAME_QUARANTINED');
    expect(why).toContain('2027-01-30');
    expect(await world.do(enroll({ ...stranger, ownerId }))).toBe('enrolled');
    await world.do(release({ name, by: operator }));
    world.nowMs += 90 * DAY - 1;
    const other = { ...stranger, ownerId: await world.owner('bob@example.org') };
    await world.refused(enroll(other), 'ERR_NAME_QUARANTINED');
    world.nowMs += 1;
    expect(await world.do(enroll(other))).toBe('enrolled');
    expect((await world.history('alice')).slice(-2)).toEqual([
      'clock freed ',
      'cli:root enrolled ',
    ]);
  });

  test('refuses look-alikes of the vendor and of others, unless the operator insists', async () => {
    const world = await DeedWorld.of(engine, { brands: ['Nimbus'] });
    const ownerId = await world.owner('ann@example.org');
    await world.enrolled('alice', { ownerId });
    const { key } = await world.enrolled('bella');
    const stranger = { deviceKey: deviceKey(), actor };
    const cases = [
      ['nimbus', 'ERR_NAME_RESERVED'],
      ['nirnbus', 'ERR_NAME_RESERVED'],
      ['nimbus-login', 'ERR_NAME_RESERVED'],
      ['adm1n', 'ERR_NAME_LOOKALIKE'],
      ['a-dmin', 'ERR_NAME_LOOKALIKE'],
      ['a1ice', 'ERR_NAME_LOOKALIKE'],
      ['al-ice', 'ERR_NAME_LOOKALIKE'],
    ] as const;
    for (const [text, code] of cases) {
      const why = await world.refused(enroll({ name: deviceName(text), ...stranger }), code);
      expect(why).toMatch(/Choose (another name|one that nobody can mistake for it)\.$/);
      expect(why).not.toContain(ownerId);
    }
    // The same owner may; so may the same key; `ian` looks like `lan`, but only to people.
    const allowed = [
      { name: deviceName('a1ice'), deviceKey: deviceKey(), ownerId },
      { name: deviceName('be11a'), deviceKey: key },
      { name: deviceName('ian'), deviceKey: deviceKey() },
      { name: deviceName('nimbus'), deviceKey: deviceKey(), allowLookalike: true },
      { name: deviceName('adm1n'), deviceKey: deviceKey(), allowLookalike: true },
    ];
    for (const each of allowed) expect(await world.do(enroll({ ...each, actor }))).toBe('enrolled');
  });

  test('a name that only looks like one that was released is no look-alike', async () => {
    const world = await DeedWorld.of(engine);
    const { name } = await world.enrolled('alice');
    await world.do(release({ name, by: operator }));
    await world.enrolled('a1ice');
  });
});

describe.each(ENGINES)('on $engine, release', (engine) => {
  test('is for the owner, the device and the operator, and tells strangers nothing', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const { name, device } = await world.enrolled('alice', { ownerId });
    const stranger = await world.enrolled('bob');
    const others = [stranger.device, { kind: 'owner', ownerId: 'other' } as const];
    for (const by of others) {
      const why = await world.refused(release({ name, by }), 'ERR_NOT_YOURS');
      const free = await world.refused(release({ name: deviceName('carol'), by }), 'ERR_NOT_YOURS');
      expect(free).toBe(why.replace('alice', 'carol'));
    }
    await world.do(release({ name, by: { kind: 'owner', ownerId } }));
    await world.refused(release({ name, by: device }), 'ERR_NOT_YOURS');
    await world.refused(release({ name, by: operator }), 'ERR_NAME_UNKNOWN');
    expect(await world.row('alice')).toMatchObject({
      state: 'quarantined',
      untilMs: world.nowMs + 90 * DAY,
    });
    await world.do(release({ name: stranger.name, by: stranger.device }));
    expect(world.registry.snapshot.size).toBe(0);
  });

  test('of a name releases those that lead to it; a former name may go alone', async () => {
    const world = await DeedWorld.of(engine);
    const { name, device } = await world.enrolled('alice');
    const [second, third] = [deviceName('second'), deviceName('third')];
    await world.do(rename({ name, to: second, by: device }));
    await world.do(rename({ name: second, to: third, by: device }));
    await world.do(release({ name, by: device }));
    expect(await world.row('alice')).toMatchObject({ state: 'quarantined', successor: undefined });
    expect(await world.row('third')).toMatchObject({ state: 'held' });
    await world.do(release({ name: third, by: device }));
    expect(await world.row('second')).toMatchObject({ state: 'quarantined', successor: undefined });
    expect(await world.history('second')).toContain(
      `device:${device.thumbprint} released with third`,
    );
  });

  test('R-5 of a key that was revoked has no say any more', async () => {
    const world = await DeedWorld.of(engine);
    const { name, device } = await world.enrolled('alice');
    await world.do(revoke({ thumbprint: device.thumbprint, actor }));
    await world.refused(release({ name, by: device }), 'ERR_DEVICE_REVOKED');
    const to = deviceName('elsewhere');
    await world.refused(rename({ name, to, by: device }), 'ERR_DEVICE_REVOKED');
    const stranger = { kind: 'device', thumbprint: 'nobody' } as const;
    await world.refused(release({ name, by: stranger }), 'ERR_DEVICE_UNKNOWN');
  });
});

const NO_ROW = {
  state: 'held',
  owner_id: null,
  skeleton: '',
  claimed_at: 0,
  successor: null,
  until: null,
} as const;
