import { describe, expect, test } from 'vitest';
import { lapse } from '../../../../relay/registry/deeds/lapse.ts';
import { addDomain, parseOwnDomain } from '../../../../relay/registry/deeds/own-domain.ts';
import { release } from '../../../../relay/registry/deeds/release.ts';
import { rename } from '../../../../relay/registry/deeds/rename.ts';
import {
  acceptTransfer,
  offerTransfer,
  withdrawTransfer,
} from '../../../../relay/registry/deeds/transfer.ts';
import { signIn } from '../../../../relay/registry/sign-in.ts';
import { deviceName } from '../fixture.ts';
import { hostname } from '../zone-fixture.ts';
import { DAY, DeedWorld, ENGINES, type Engine, operator } from './deed-world.ts';

const name = deviceName('alice');
const wrong = { kind: 'wrong-code' };

async function twoOwners(engine: Engine) {
  const world = await DeedWorld.of(engine);
  const ownerId = await world.owner('ann@example.org');
  const buyer = await world.owner('bob@example.org');
  const by = { kind: 'owner', ownerId } as const;
  const held = await world.enrolled('alice', { ownerId });
  const offer = (toEmail = ' Bob@Example.org') => world.do(offerTransfer({ name, by, toEmail }));
  const accept = (code: string, who = buyer) => world.do(acceptTransfer({ code, ownerId: who }));
  return { world, ownerId, buyer, by, held, offer, accept };
}

describe.each(ENGINES)('on $engine, a transfer', (engine) => {
  test('is done when both agree; the key stays, redirects go along, domains end', async () => {
    const { world, ownerId, buyer, by, held, offer, accept } = await twoOwners(engine);
    const first = deviceName('first');
    await world.do(rename({ name, to: first, by: held.device }));
    await world.do(rename({ name: first, to: name, by: held.device }));
    const domain = parseOwnDomain('app.example.org', hostname('vendor.dev'));
    if (domain === undefined) throw new Error('no domain');
    await world.do(addDomain({ name, domain, by }));
    const { code, expiresAtMs } = await offer();
    expect(expiresAtMs).toBe(world.nowMs + 7 * DAY);
    expect(await accept(code.toLowerCase())).toEqual({
      kind: 'transferred',
      name: 'alice',
      fromOwnerId: ownerId,
    });
    const { thumbprint } = held.key;
    expect(await world.row('alice')).toMatchObject({ state: 'held', ownerId: buyer, thumbprint });
    expect(await world.row('first')).toMatchObject({ state: 'former', ownerId: buyer, thumbprint });
    expect(
      await world.registry.read((db) => db.selectFrom('domains').selectAll().execute()),
    ).toEqual([]);
    await world.refused(release({ name, by }), 'ERR_NOT_YOURS');
    expect(await accept(code)).toEqual(wrong);
    const history = await world.history();
    expect(history.join('\n')).not.toMatch(/ann@|bob@/i);
    expect(history.at(-1)).toMatch(
      new RegExp(`^owner:${buyer} transferred .* from owner ${ownerId}`),
    );
  });

  test('is for the one who was named, by an address that he has proven', async () => {
    const { world, ownerId, offer, accept } = await twoOwners(engine);
    const { code } = await offer();
    const eve = await world.owner('eve@example.org');
    // Says that Bob's address is hers, at a provider whose word on addresses is not taken.
    const liar = await world.registry.write(
      signIn({
        ...{ issuer: 'https://idp.example', subject: 'eve', email: 'bob@example.org' },
        emailVerified: true,
        nowMs: world.nowMs,
      }),
    );
    for (const who of [eve, ownerId, liar.id]) {
      await expect(accept(code, who)).rejects.toMatchObject({ code: 'ERR_NOT_YOURS' });
    }
    await expect(accept(code, 'nobody')).rejects.toMatchObject({ code: 'ERR_OWNER_UNKNOWN' });
    expect(await accept(code)).toMatchObject({ kind: 'transferred' });
  });

  test('ends by withdrawal, by another offer, by release, and after a week', async () => {
    const { world, by, held, offer, accept } = await twoOwners(engine);
    const first = await offer();
    const second = await offer();
    expect(await accept(first.code)).toEqual(wrong);
    await world.refused(withdrawTransfer({ name, by: held.device }), 'ERR_NOT_YOURS');
    await world.do(withdrawTransfer({ name, by }));
    expect(await accept(second.code)).toEqual(wrong);
    await world.refused(withdrawTransfer({ name, by }), 'ERR_TRANSFER_UNKNOWN');
    const third = await offer();
    world.nowMs = third.expiresAtMs;
    expect(await accept(third.code)).toEqual(wrong);
    expect(await world.do(lapse())).toEqual([{ kind: 'transfer-lapsed', name: 'alice' }]);
    const fourth = await offer();
    await world.do(release({ name, by }));
    expect(await accept(fourth.code)).toEqual(wrong);
    for (const code of ['', 'WT-00000-00000-00000-00000', 'x'.repeat(1_000)]) {
      expect(await accept(code)).toEqual(wrong);
    }
  });

  test('is offered by the owner or the operator, not by the device, and only of what one has', async () => {
    const { world, buyer, held } = await twoOwners(engine);
    const toEmail = 'bob@example.org';
    const refused = [held.device, { kind: 'owner', ownerId: buyer } as const];
    for (const by of refused) {
      await world.refused(offerTransfer({ name, by, toEmail }), 'ERR_NOT_YOURS');
    }
    const nobodys = await world.enrolled('nobodys');
    const unowned = offerTransfer({ name: nobodys.name, by: operator, toEmail });
    await world.refused(unowned, 'ERR_NOT_YOURS');
    await world.do(offerTransfer({ name, by: operator, toEmail }));
    // To oneself: done, and nothing has changed.
    const { code } = await world.do(
      offerTransfer({ name, by: operator, toEmail: 'ann@example.org' }),
    );
    const row = await world.row('alice');
    const self = acceptTransfer({ code, ownerId: row?.ownerId ?? '' });
    expect(await world.do(self)).toMatchObject({ kind: 'transferred' });
    expect(await world.row('alice')).toEqual(row);
  });
});
