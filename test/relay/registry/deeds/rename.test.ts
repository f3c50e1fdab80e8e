import { describe, expect, test } from 'vitest';
import { approveClaim } from '../../../../relay/registry/deeds/approve-claim.ts';
import { lapse } from '../../../../relay/registry/deeds/lapse.ts';
import { order } from '../../../../relay/registry/deeds/order.ts';
import { addDomain, parseOwnDomain } from '../../../../relay/registry/deeds/own-domain.ts';
import { vetoRecovery } from '../../../../relay/registry/deeds/recovery.ts';
import { release } from '../../../../relay/registry/deeds/release.ts';
import { RENAME_LIMITS, rename } from '../../../../relay/registry/deeds/rename.ts';
import { acceptTransfer, offerTransfer } from '../../../../relay/registry/deeds/transfer.ts';
import { listRecoveries } from '../../../../relay/registry/listings.ts';
import { deviceName } from '../fixture.ts';
import { hostname } from '../zone-fixture.ts';
import { DAY, DeedWorld, ENGINES, operator } from './deed-world.ts';

const alice = deviceName('alice');
const alina = deviceName('alina');
const anna = deviceName('anna');

describe.each(ENGINES)('on $engine, rename', (engine) => {
  test('keeps the key, and the old name leads to the new one for its grace', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const { key, device } = await world.enrolled('alice', { ownerId });
    const formerUntilMs = world.nowMs + 30 * DAY;
    const renamed = await world.do(rename({ name: alice, to: alina, by: device }));
    expect(renamed).toEqual({ name: 'alina', formerUntilMs });
    const { thumbprint } = key;
    expect(await world.row('alina')).toMatchObject({ state: 'held', thumbprint, ownerId });
    expect(await world.row('alice')).toMatchObject({
      ...{ state: 'former', thumbprint, ownerId },
      ...{ successor: 'alina', untilMs: formerUntilMs },
    });
    const { snapshot } = world.registry;
    expect([snapshot.deviceOf(alice), snapshot.deviceOf(alina)?.thumbprint]).toEqual([
      undefined,
      thumbprint,
    ]);
    expect(snapshot.successorOf(alice)).toBe('alina');
    const actor = `device:${thumbprint}`;
    expect((await world.history('alice')).at(-1)).toBe(`${actor} renamed to alina`);
    expect(await world.history('alina')).toEqual([`${actor} renamed from alice`]);
    await world.refused(rename({ name: alice, to: anna, by: device }), 'ERR_NAME_UNKNOWN');
  });

  test('back within the grace changes places', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    await world.do(rename({ name: alice, to: alina, by: device }));
    await world.do(rename({ name: alina, to: alice, by: device }));
    expect(await world.row('alice')).toMatchObject({ state: 'held', successor: undefined });
    expect(await world.row('alina')).toMatchObject({ state: 'former', successor: 'alice' });
  });

  test('again and again: all old names lead to the present one, each until its own end', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    await world.do(rename({ name: alice, to: alina, by: device }));
    world.nowMs += DAY;
    await world.do(rename({ name: alina, to: anna, by: device }));
    const row = (name: string) => world.row(name);
    expect(await row('alice')).toMatchObject({
      successor: 'anna',
      untilMs: world.nowMs + 29 * DAY,
    });
    expect(await row('alina')).toMatchObject({
      successor: 'anna',
      untilMs: world.nowMs + 30 * DAY,
    });
    expect(world.registry.snapshot.successorOf(alice)).toBe('anna');
    // Back to the first: the two in between lead there.
    await world.do(rename({ name: anna, to: alice, by: device }));
    expect([await row('alice'), await row('alina'), await row('anna')]).toMatchObject([
      { state: 'held' },
      { state: 'former', successor: 'alice' },
      { state: 'former', successor: 'alice' },
    ]);
  });

  test('leaves the old name to nobody after its grace, and to all after its quarantine', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    await world.do(rename({ name: alice, to: alina, by: device }));
    world.nowMs += 30 * DAY;
    expect(await world.do(lapse())).toEqual([{ kind: 'rename-lapsed', name: 'alice' }]);
    expect(await world.row('alice')).toMatchObject({ state: 'quarantined', successor: undefined });
    expect(world.registry.snapshot.successorOf(alice)).toBeUndefined();
    const other = await world.enrolled('bob');
    const take = rename({ name: other.name, to: alice, by: other.device });
    await world.refused(take, 'ERR_NAME_QUARANTINED');
    world.nowMs += 90 * DAY;
    expect(await world.do(lapse())).toEqual([{ kind: 'freed', name: 'alice' }]);
    await world.do(take);
    expect(await world.row('alice')).toMatchObject({ state: 'held' });
  });

  test('to an own quarantined name takes it back', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    await world.do(rename({ name: alice, to: alina, by: device }));
    await world.do(release({ name: alice, by: device }));
    await world.do(rename({ name: alina, to: alice, by: device }));
    expect(await world.row('alice')).toMatchObject({ state: 'held' });
  });

  test('to what others have, or to the same, is refused', async () => {
    const world = await DeedWorld.of(engine);
    const { device } = await world.enrolled('alice');
    const bob = await world.enrolled('bob');
    const moved = await world.enrolled('moved');
    await world.do(rename({ name: moved.name, to: deviceName('arrived'), by: moved.device }));
    await world.do(order({ name: deviceName('ordered'), actor: 'cli:root' }));
    const to = (text: string) => rename({ name: alice, to: deviceName(text), by: device });
    for (const text of ['bob', 'moved', 'arrived', 'ordered', 'alice']) {
      await world.refused(to(text), 'ERR_NAME_TAKEN');
    }
    await world.refused(to('b0b'), 'ERR_NAME_LOOKALIKE');
    await world.refused(rename({ name: bob.name, to: anna, by: device }), 'ERR_NOT_YOURS');
    await world.do(to('al1ce'));
  });

  test('A-9 is no way to keep many names: bounds of former names and by the day', async () => {
    const world = await DeedWorld.of(engine);
    const { device, key } = await world.enrolled('name-0');
    const step = (at: number, by: typeof device | typeof operator) =>
      rename({ name: deviceName(`name-${at}`), to: deviceName(`name-${at + 1}`), by });
    const { formerMax, perDayMax } = RENAME_LIMITS;
    for (let at = 0; at < formerMax; at += 1) {
      await world.do(step(at, device));
      if (at % 2 === 1) world.nowMs += DAY;
    }
    const why = await world.refused(step(formerMax, device), 'ERR_TOO_MANY_RENAMES');
    expect(why).toContain('Release one of them');
    await world.do(step(formerMax, operator));
    world.nowMs += 60 * DAY;
    await world.do(lapse());
    const last = `name-${formerMax + 1}`;
    expect(world.registry.snapshot.namesOf(key.thumbprint)).toEqual([last]);
    const [here, there] = [deviceName(last), deviceName('back-and-forth')];
    for (let at = 0; at < perDayMax; at += 1) {
      const [name, to] = at % 2 === 0 ? [here, there] : [there, here];
      await world.do(rename({ name, to, by: device }));
    }
    const more = rename({ name: there, to: here, by: device });
    expect(await world.refused(more, 'ERR_TOO_MANY_RENAMES')).toContain('tomorrow');
    world.nowMs += DAY;
    await world.do(more);
  });

  test('takes a waiting recovery and the domains along; an offer ends', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const buyer = await world.owner('bob@example.org');
    const by = { kind: 'owner', ownerId } as const;
    const { device, key } = await world.enrolled('alice', { ownerId });
    const domain = parseOwnDomain('app.example.org', hostname('vendor.dev'));
    if (domain === undefined) throw new Error('no domain');
    await world.do(addDomain({ name: alice, domain, by }));
    const offer = await world.do(offerTransfer({ name: alice, by, toEmail: 'bob@example.org' }));
    await world.do(rename({ name: alice, to: alina, by: device }));
    const accept = acceptTransfer({ code: offer.code, ownerId: buyer });
    expect(await world.do(accept)).toEqual({ kind: 'wrong-code' });
    const claim = await world.claim();
    await world.do(approveClaim({ code: claim.code, ownerId, name: alina }));
    // A thief with the device cannot rename himself out of it.
    await world.do(rename({ name: alina, to: anna, by: device }));
    const [waiting] = await world.registry.read(listRecoveries({ ownerId }));
    expect(waiting).toMatchObject({ name: 'anna', oldThumbprint: key.thumbprint });
    expect(await claim.state()).toMatchObject({ state: 'recovering', name: 'anna' });
    const rows = await world.registry.read((db) => db.selectFrom('domains').selectAll().execute());
    expect(rows).toMatchObject([{ domain: 'app.example.org', name: 'anna' }]);
    world.nowMs += DAY;
    await world.do(lapse());
    const { thumbprint } = claim.key;
    for (const name of ['anna', 'alina', 'alice']) {
      expect(await world.row(name)).toMatchObject({ thumbprint });
    }
  });

  test('is no way out of the cool-down after a veto', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const { device } = await world.enrolled('alice', { ownerId });
    const first = await world.claim();
    await world.do(approveClaim({ code: first.code, ownerId, name: alice }));
    const [{ id } = { id: '' }] = await world.registry.read(listRecoveries({ ownerId }));
    await world.do(vetoRecovery({ id, by: device }));
    await world.do(rename({ name: alice, to: alina, by: { kind: 'owner', ownerId } }));
    const second = await world.claim();
    const again = approveClaim({ code: second.code, ownerId, name: alina });
    await world.refused(again, 'ERR_RECOVERY_COOLING');
  });
});
