import { describe, expect, test } from 'vitest';
import { approveClaim } from '../../../../relay/registry/deeds/approve-claim.ts';
import { CHOICE_LIMITS } from '../../../../relay/registry/deeds/choice.ts';
import {
  CLAIM_LIMITS,
  denyClaim,
  findClaim,
  openClaim,
} from '../../../../relay/registry/deeds/claim.ts';
import { enroll } from '../../../../relay/registry/deeds/enroll.ts';
import { lapse } from '../../../../relay/registry/deeds/lapse.ts';
import { order } from '../../../../relay/registry/deeds/order.ts';
import { redeemOrder } from '../../../../relay/registry/deeds/redeem-order.ts';
import { release } from '../../../../relay/registry/deeds/release.ts';
import { rename } from '../../../../relay/registry/deeds/rename.ts';
import { revoke } from '../../../../relay/registry/deeds/revoke.ts';
import { deviceKey, deviceName } from '../fixture.ts';
import { DAY, DeedWorld, ENGINES, HOUR, operator } from './deed-world.ts';

const actor = 'cli:root';
const name = deviceName('alice');
const wrong = { kind: 'wrong-code' };

describe.each(ENGINES)('on $engine, a claim', (engine) => {
  test('is shown to who types its code, and bound to the name that he chooses', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const key = deviceKey();
    const request = { deviceKey: key, wantedName: name, software: 'waygate/1.2', address: '::1' };
    const { code } = await world.do(openClaim(request));
    const found = await world.do(findClaim({ code: ` ${code.toLowerCase()}`, ownerId }));
    expect(found).toMatchObject({
      kind: 'found',
      claim: {
        thumbprint: key.thumbprint,
        wantedName: 'alice',
        software: 'waygate/1.2',
        address: '::1',
        expiresAtMs: world.nowMs + HOUR / 4,
      },
    });
    const chosen = deviceName('alina');
    const approval = approveClaim({ code, ownerId, name: chosen });
    expect(await world.do(approval)).toEqual({ kind: 'bound', name: 'alina' });
    expect(world.registry.snapshot.deviceOf(chosen)?.thumbprint).toBe(key.thumbprint);
    expect(await world.row('alina')).toMatchObject({ ownerId });
    // His browser may ask again; for everybody else the code is used up.
    expect(await world.do(approval)).toEqual({ kind: 'bound', name: 'alina' });
    expect(await world.do(approveClaim({ code, ownerId, name }))).toEqual(wrong);
    expect(await world.do(findClaim({ code, ownerId }))).toEqual(wrong);
    const other = await world.owner('bob@example.org');
    expect(await world.do(approveClaim({ code, ownerId: other, name: chosen }))).toEqual(wrong);
  });

  test('tells its own key how it stands, and nobody else', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const first = await world.claim();
    expect(await first.state()).toEqual({ state: 'open' });
    await world.do(approveClaim({ code: first.code, ownerId, name }));
    expect(await first.state()).toEqual({ state: 'approved', name: 'alice' });
    const denied = await world.claim();
    expect(await world.do(denyClaim({ code: denied.code, ownerId }))).toEqual({ kind: 'denied' });
    expect(await denied.state()).toEqual({ state: 'denied' });
    expect(await world.do(denyClaim({ code: denied.code, ownerId }))).toEqual(wrong);
    const expired = await world.claim();
    world.nowMs += HOUR / 4;
    expect(await expired.state()).toEqual({ state: 'expired' });
    expect(await world.do(findClaim({ code: expired.code, ownerId }))).toEqual(wrong);
    world.nowMs += DAY;
    await world.do(lapse());
    expect(await expired.state()).toBeUndefined();
  });

  test('of a key takes the place of its older one', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const first = await world.claim();
    const second = await world.claim(first.key);
    expect(await first.state()).toBeUndefined();
    expect(await world.do(findClaim({ code: first.code, ownerId }))).toEqual(wrong);
    expect(await world.do(findClaim({ code: second.code, ownerId }))).toMatchObject({
      kind: 'found',
    });
  });

  test('A-5 codes are not found by trying: five wrong ones an hour, by owner and by network', async () => {
    const world = await DeedWorld.of(engine);
    const [ann, bob] = [await world.owner('ann@example.org'), await world.owner('bob@example.org')];
    const { code, state } = await world.claim();
    const find = (text: string, ownerId: string, from: string) =>
      world.do(findClaim({ code: text, ownerId, from }));
    for (let at = 0; at < 5; at += 1) {
      // A right one in between washes nothing away.
      expect(await find(code, ann, '192.0.2.1')).toMatchObject({ kind: 'found' });
      expect(await find('00000000', ann, `192.0.2.${at}`)).toEqual(wrong);
    }
    expect(await find(code, ann, '198.51.100.1')).toEqual(wrong);
    expect(await find(code, bob, '192.0.2.200')).toEqual(wrong);
    expect(await find(code, bob, '198.51.100.1')).toMatchObject({ kind: 'found' });
    const approval = { code, ownerId: ann, name };
    expect(await world.do(approveClaim(approval))).toEqual(wrong);
    expect(await world.do(denyClaim(approval))).toEqual(wrong);
    expect(await state()).toEqual({ state: 'open' });
    world.nowMs += HOUR;
    const later = await world.claim();
    expect(await find(later.code, ann, '192.0.2.1')).toMatchObject({ kind: 'found' });
  });

  test('A-5 a lock ends though the guesser goes on', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    for (let minute = 0; minute < 64; minute += 1) {
      await world.do(findClaim({ code: '00000000', ownerId }));
      world.nowMs += HOUR / 60;
    }
    const { code } = await world.claim();
    expect(await world.do(findClaim({ code, ownerId }))).toMatchObject({ kind: 'found' });
  });

  test('A-6 of many keys from one network are too many', async () => {
    const world = await DeedWorld.of(engine);
    for (let at = 0; at < CLAIM_LIMITS.openPerNetworkMax; at += 1) {
      await world.claim(deviceKey(), `2001:db8:0:${(at + 1).toString(16)}::1`);
    }
    const more = openClaim({ deviceKey: deviceKey(), address: '2001:db8:0:ff::9' });
    expect(await world.refused(more, 'ERR_TOO_MANY_CLAIMS')).toContain('try again');
    await world.claim(deviceKey(), '2001:db8:1::1');
    world.nowMs += HOUR / 4;
    await world.do(more);
  });

  test('of a revoked key is refused, and closed when it is revoked', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const { key } = await world.enrolled('bob');
    const { code, state } = await world.claim(key);
    await world.do(revoke({ thumbprint: key.thumbprint, actor }));
    expect(await state()).toEqual({ state: 'denied' });
    expect(await world.do(approveClaim({ code, ownerId, name }))).toEqual(wrong);
    await world.refused(openClaim({ deviceKey: key, address: '::1' }), 'ERR_DEVICE_REVOKED');
  });
});

describe.each(ENGINES)('on $engine, an approval', (engine) => {
  test('for a name that cannot be had leaves the claim open', async () => {
    const world = await DeedWorld.of(engine, { brands: ['nimbus'] });
    const ownerId = await world.owner('ann@example.org');
    const bob = await world.enrolled('bob');
    const gone = await world.enrolled('gone');
    const moved = await world.enrolled('moved', { ownerId });
    await world.do(release({ name: gone.name, by: operator }));
    await world.do(rename({ name: moved.name, to: deviceName('arrived'), by: moved.device }));
    await world.do(order({ name: deviceName('ordered'), actor }));
    const { code, state } = await world.claim();
    const cases = [
      [bob.name, 'ERR_NAME_TAKEN'],
      ['ordered', 'ERR_NAME_TAKEN'],
      ['gone', 'ERR_NAME_QUARANTINED'],
      ['moved', 'ERR_NAME_TAKEN'],
      ['b0b', 'ERR_NAME_LOOKALIKE'],
      ['nimbus', 'ERR_NAME_RESERVED'],
    ] as const;
    for (const [text, why] of cases) {
      await world.refused(approveClaim({ code, ownerId, name: deviceName(text) }), why);
    }
    expect(await state()).toEqual({ state: 'open' });
    expect(await world.do(approveClaim({ code, ownerId, name }))).toMatchObject({ kind: 'bound' });
    await world.refused(approveClaim({ code, ownerId: 'nobody', name }), 'ERR_OWNER_UNKNOWN');
  });

  test('binds a name that was ordered for the owner, and uses the order up', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const receipt = await world.do(order({ name, ownerId, actor }));
    const { code, key } = await world.claim();
    expect(await world.do(approveClaim({ code, ownerId, name }))).toMatchObject({ kind: 'bound' });
    const redeem = redeemOrder({ code: receipt.code, deviceKey: deviceKey(), from: '::1' });
    expect(await world.do(redeem)).toEqual(wrong);
    expect(await world.row('alice')).toMatchObject({ state: 'held', thumbprint: key.thumbprint });
  });

  test('takes an own quarantined name back, and a name that the operator gave to the key', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const mine = await world.enrolled('alice', { ownerId });
    await world.do(release({ name, by: mine.device }));
    const { code } = await world.claim();
    expect(await world.do(approveClaim({ code, ownerId, name }))).toMatchObject({ kind: 'bound' });
    const given = await world.enrolled('given');
    const claim = await world.claim(given.key);
    const adopt = { code: claim.code, ownerId, name: given.name };
    expect(await world.do(approveClaim(adopt))).toMatchObject({ kind: 'bound' });
    expect(await world.row('given')).toMatchObject({ ownerId });
    // Of another owner it is not to be had, even by the key that holds it.
    const other = await world.owner('bob@example.org');
    const again = await world.claim(given.key);
    const steal = approveClaim({ code: again.code, ownerId: other, name: given.name });
    await world.refused(steal, 'ERR_NAME_TAKEN');
  });

  test('A-8 of more names than an owner may have is refused, released ones included', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const deviceK = deviceKey();
    for (let at = 0; at < CHOICE_LIMITS.namesMax; at += 1) {
      const each = deviceName(`name-${at}`);
      await world.do(enroll({ name: each, deviceKey: deviceK, actor, ownerId }));
      if (at < 50) await world.do(release({ name: each, by: { kind: 'owner', ownerId } }));
    }
    const { code } = await world.claim();
    await world.refused(approveClaim({ code, ownerId, name }), 'ERR_TOO_MANY_NAMES');
    world.nowMs += 90 * DAY;
    await world.do(lapse());
    const later = await world.claim();
    const approval = approveClaim({ code: later.code, ownerId, name });
    expect(await world.do(approval)).toMatchObject({ kind: 'bound' });
  });
});
