import { describe, expect, test } from 'vitest';
import { approveClaim } from '../../../../relay/registry/deeds/approve-claim.ts';
import { enroll } from '../../../../relay/registry/deeds/enroll.ts';
import { lapse } from '../../../../relay/registry/deeds/lapse.ts';
import { vetoRecovery, withdrawRecovery } from '../../../../relay/registry/deeds/recovery.ts';
import { release } from '../../../../relay/registry/deeds/release.ts';
import { revoke } from '../../../../relay/registry/deeds/revoke.ts';
import { rotateKey } from '../../../../relay/registry/deeds/rotate-key.ts';
import { acceptTransfer, offerTransfer } from '../../../../relay/registry/deeds/transfer.ts';
import { listRecoveries } from '../../../../relay/registry/listings.ts';
import { deviceKey, deviceName } from '../fixture.ts';
import { DAY, DeedWorld, ENGINES, type Engine, HOUR, operator } from './deed-world.ts';

const actor = 'cli:root';
const name = deviceName('alice');

/** A name whose owner has asked to have it on a new key. */
async function begun(engine: Engine) {
  const world = await DeedWorld.of(engine);
  const ownerId = await world.owner('ann@example.org');
  const owner = { kind: 'owner', ownerId } as const;
  const old = await world.enrolled('alice', { ownerId });
  const ask = async () => {
    const claim = await world.claim();
    const outcome = await world.do(approveClaim({ code: claim.code, ownerId, name }));
    const [waiting] = await world.registry.read(listRecoveries({ ownerId }));
    return { claim, outcome, id: waiting?.id ?? '' };
  };
  return { world, owner, old, ask, ...(await ask()) };
}

describe.each(ENGINES)('on $engine, a recovery', (engine) => {
  test('waits for its delay, and then moves the name at once', async () => {
    const { world, owner, old, claim, outcome, id } = await begun(engine);
    const dueAtMs = world.nowMs + DAY;
    expect(outcome).toEqual({ kind: 'recovering', name: 'alice', id, dueAtMs, isNew: true });
    expect(await claim.state()).toEqual({ state: 'recovering', name: 'alice', dueAtMs });
    expect(world.registry.snapshot.recoveriesAgainst(old.key.thumbprint)).toMatchObject([
      { id, name: 'alice', dueAtMs },
    ]);
    world.nowMs = dueAtMs - 1;
    expect(await world.do(lapse())).toEqual([]);
    expect(world.registry.snapshot.deviceOf(name)?.thumbprint).toBe(old.key.thumbprint);
    world.nowMs = dueAtMs;
    const [oldThumbprint, newThumbprint] = [old.key.thumbprint, claim.key.thumbprint];
    const { ownerId } = owner;
    expect(await world.do(lapse())).toEqual([
      { kind: 'recovered', name: 'alice', ownerId, oldThumbprint, newThumbprint },
    ]);
    const { snapshot } = world.registry;
    expect(snapshot.deviceOf(name)?.thumbprint).toBe(newThumbprint);
    expect(snapshot.recoveriesAgainst(oldThumbprint)).toEqual([]);
    // The old key may go on with other names.
    expect(snapshot.admissible(oldThumbprint)).toBeDefined();
    expect(await claim.state()).toEqual({ state: 'approved', name: 'alice' });
    expect(await world.history('alice')).toEqual([
      'cli:root enrolled ',
      `owner:${ownerId} recovery-begun ${id}, due 2026-11-02T00:00:00.000Z, from ${oldThumbprint}`,
      `owner:${ownerId} recovered ${id}`,
    ]);
  });

  test.each(['device', 'owner', 'operator'] as const)('is vetoed by the %s', async (who) => {
    const { world, owner, old, claim, id } = await begun(engine);
    const by = { device: old.device, owner, operator }[who];
    await world.do(vetoRecovery({ id, by }));
    expect(await claim.state()).toEqual({ state: 'denied', name: 'alice' });
    world.nowMs += 2 * DAY;
    expect(await world.do(lapse())).toEqual([]);
    expect(world.registry.snapshot.deviceOf(name)?.thumbprint).toBe(old.key.thumbprint);
    await world.refused(vetoRecovery({ id, by }), 'ERR_RECOVERY_UNKNOWN');
    expect((await world.history('alice')).at(-1)).toContain(`recovery-vetoed ${id}`);
  });

  test('A-2 is nothing that strangers, other devices or the new one can end', async () => {
    const { world, claim, id } = await begun(engine);
    const stranger = await world.owner('bob@example.org');
    const other = await world.enrolled('bob');
    const nobodys = [
      { kind: 'owner', ownerId: stranger },
      other.device,
      { kind: 'device', thumbprint: claim.key.thumbprint },
    ] as const;
    for (const by of nobodys) {
      const why = await world.refused(vetoRecovery({ id, by }), 'ERR_RECOVERY_UNKNOWN');
      const none = await world.refused(vetoRecovery({ id: 'none', by }), 'ERR_RECOVERY_UNKNOWN');
      expect(none).toBe(why.replace(id, 'none'));
      await world.refused(withdrawRecovery({ id, by }), 'ERR_RECOVERY_UNKNOWN');
    }
  });

  test('A-2 is not vetoed by a key that was revoked', async () => {
    const { world, old, id } = await begun(engine);
    await world.do(revoke({ thumbprint: old.key.thumbprint, actor }));
    await world.refused(vetoRecovery({ id, by: old.device }), 'ERR_DEVICE_REVOKED');
    world.nowMs += DAY;
    expect(await world.do(lapse())).toMatchObject([{ kind: 'recovered' }]);
  });

  test('A-3 that was vetoed cannot be begun again at once, and each time later', async () => {
    const { world, old, id, ask } = await begun(engine);
    let waiting = id;
    for (const days of [3, 6, 12]) {
      await world.do(vetoRecovery({ id: waiting, by: old.device }));
      const claim = await world.claim();
      const [row] = [await world.row('alice')];
      const again = { code: claim.code, ownerId: row?.ownerId ?? '', name };
      const why = await world.refused(approveClaim(again), 'ERR_RECOVERY_COOLING');
      expect(why).toContain('operator');
      world.nowMs += days * DAY;
      waiting = (await ask()).id;
    }
    await world.do(vetoRecovery({ id: waiting, by: old.device }));
    world.nowMs += 90 * DAY;
    expect((await ask()).outcome).toMatchObject({ kind: 'recovering' });
  });

  test('is one per name: the same key hears of it again, another is refused', async () => {
    const { world, owner, claim, outcome, ask, id } = await begun(engine);
    world.nowMs += HOUR;
    const again = await world.claim(claim.key);
    const approval = approveClaim({ code: again.code, ownerId: owner.ownerId, name });
    expect(await world.do(approval)).toEqual({ ...outcome, isNew: false });
    const other = await world.claim();
    const second = approveClaim({ code: other.code, ownerId: owner.ownerId, name });
    await world.refused(second, 'ERR_RECOVERY_WAITING');
    await world.do(withdrawRecovery({ id, by: owner }));
    expect(await claim.state()).toMatchObject({ state: 'denied' });
    expect((await ask()).outcome).toMatchObject({ kind: 'recovering' });
  });

  test('ends with the release of the name, which its owner may take back', async () => {
    const { world, owner, old, claim, ask } = await begun(engine);
    // A thief with the device gains nothing by it.
    await world.do(release({ name, by: old.device }));
    expect(await claim.state()).toMatchObject({ state: 'denied' });
    expect((await ask()).outcome).toEqual({ kind: 'bound', name: 'alice' });
    expect(await world.row('alice')).toMatchObject({ ownerId: owner.ownerId });
  });

  test('to a key that is revoked meanwhile is withdrawn', async () => {
    const { world, owner, claim } = await begun(engine);
    const other = deviceName('other');
    await world.do(enroll({ name: other, deviceKey: claim.key, actor, ownerId: owner.ownerId }));
    await world.do(revoke({ thumbprint: claim.key.thumbprint, actor }));
    expect(await world.registry.read(listRecoveries(owner))).toEqual([]);
    world.nowMs += DAY;
    expect(await world.do(lapse())).toEqual([]);
  });

  test('keeps a name from being given away, and ends an offer', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const buyer = await world.owner('bob@example.org');
    const by = { kind: 'owner', ownerId } as const;
    await world.enrolled('alice', { ownerId });
    const offer = offerTransfer({ name, by, toEmail: 'bob@example.org' });
    const { code } = await world.do(offer);
    const claim = await world.claim();
    await world.do(approveClaim({ code: claim.code, ownerId, name }));
    const accept = acceptTransfer({ code, ownerId: buyer });
    expect(await world.do(accept)).toEqual({ kind: 'wrong-code' });
    await world.refused(offer, 'ERR_RECOVERY_WAITING');
  });
});

describe.each(ENGINES)('on $engine, a key that is rotated', (engine) => {
  test('hands everything to the new one, and is barred', async () => {
    const { world, old, claim, id } = await begun(engine);
    const other = await world.enrolled('other', { deviceKey: old.key });
    const [fresh, fresher] = [deviceKey(), deviceKey()];
    const { thumbprint } = old.key;
    expect(await world.do(rotateKey({ thumbprint, newKey: fresh }))).toEqual(['alice', 'other']);
    const { snapshot } = world.registry;
    expect(snapshot.namesOf(fresh.thumbprint)).toEqual(['alice', 'other']);
    expect(snapshot.namesOf(thumbprint)).toEqual([]);
    expect(snapshot.admissible(thumbprint)).toBeUndefined();
    expect(snapshot.recoveriesAgainst(fresh.thumbprint)).toMatchObject([{ id, name: 'alice' }]);
    // The recovery waits on, and the new key of the old device can veto it.
    await world.refused(vetoRecovery({ id, by: old.device }), 'ERR_DEVICE_REVOKED');
    const device = { kind: 'device', thumbprint: fresh.thumbprint } as const;
    await world.do(vetoRecovery({ id, by: device }));
    expect(await claim.state()).toMatchObject({ state: 'denied' });
    expect(await world.history('other')).toContain(
      `device:${thumbprint} key-rotated from ${thumbprint}`,
    );
    const gone = rotateKey({ thumbprint, newKey: fresher });
    await world.refused(gone, 'ERR_DEVICE_REVOKED');
    const known = rotateKey({ thumbprint: fresh.thumbprint, newKey: old.key });
    await world.refused(known, 'ERR_KEY_KNOWN');
    await world.refused(rotateKey({ thumbprint: 'x', newKey: fresher }), 'ERR_DEVICE_UNKNOWN');
    await world.do(release({ name: other.name, by: device }));
  });

  test('and was to get a name gets it with the new one', async () => {
    const { world, owner, claim } = await begun(engine);
    const { ownerId } = owner;
    await world.do(enroll({ name: deviceName('other'), deviceKey: claim.key, actor, ownerId }));
    const newKey = deviceKey();
    await world.do(rotateKey({ thumbprint: claim.key.thumbprint, newKey }));
    world.nowMs += DAY;
    expect(await world.do(lapse())).toMatchObject([{ newThumbprint: newKey.thumbprint }]);
    expect(world.registry.snapshot.deviceOf(name)?.thumbprint).toBe(newKey.thumbprint);
  });

  test('that is confirmed twice, by a browser that has not heard the answer, is the same one', async () => {
    const { world, owner, claim, outcome } = await begun(engine);
    const again = approveClaim({ code: claim.code, ownerId: owner.ownerId, name });
    world.nowMs += HOUR / 10;
    expect(await world.do(again)).toEqual({ ...outcome, isNew: false });
    const stranger = await world.owner('eve@example.org');
    const theirs = approveClaim({ code: claim.code, ownerId: stranger, name });
    expect(await world.do(theirs)).toEqual({ kind: 'wrong-code' });
    const waiting = await world.registry.read(listRecoveries({ ownerId: owner.ownerId }));
    await world.do(vetoRecovery({ id: waiting[0]?.id ?? '', by: operator }));
    expect([waiting.length, await world.do(again)]).toEqual([1, { kind: 'wrong-code' }]);
  });
});
