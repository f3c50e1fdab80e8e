import { describe, expect, test } from 'vitest';
import { listOwners } from '../../../relay/registry/listings.ts';
import { ownerById, type SignIn, signIn } from '../../../relay/registry/sign-in.ts';
import { DeedWorld, ENGINES } from './deeds/deed-world.ts';

const nowMs = 1_000;
const MAIL = { issuer: 'mailto', subject: 'ann@example.org', emailVerified: true, nowMs };
const OIDC = {
  issuer: 'https://idp.example',
  subject: 'sub-7',
  email: 'Ann@Example.org',
  emailVerified: true,
  nowMs,
};

describe.each(ENGINES)('on $engine, signing in', (engine) => {
  const enter = async () => {
    const world = await DeedWorld.of(engine);
    const into = async (input: SignIn) => world.registry.write(signIn(input));
    const owners = () => world.registry.read(listOwners({ limit: 99 }));
    return { world, into, owners };
  };

  test('by mail makes an owner once, in whatever case the address was typed', async () => {
    const { world, into, owners } = await enter();
    const first = await into(MAIL);
    expect(first).toMatchObject({ email: 'ann@example.org', createdAtMs: nowMs });
    const again = await into({ ...MAIL, subject: ' ANN@example.org ', nowMs: 2_000 });
    expect(again).toEqual(first);
    expect(await owners()).toEqual([{ ...first, names: 0 }]);
    expect(await world.registry.read(ownerById(first.id))).toEqual(first);
    expect(await world.registry.read(ownerById('nobody'))).toBeUndefined();
  });

  test('by OIDC is another owner than by mail, unless the provider is trusted with mail', async () => {
    const { into, owners } = await enter();
    const mail = await into(MAIL);
    const own = await into(OIDC);
    expect(own.id).not.toBe(mail.id);
    expect(own.email).toBe('ann@example.org');
    const trusted = { ...OIDC, issuer: 'https://trusted.example', trustedForMail: true };
    expect((await into({ ...trusted, emailVerified: false })).id).not.toBe(mail.id);
    expect((await into({ ...trusted, subject: 'sub-8' })).id).toBe(mail.id);
    // An identity that has its owner keeps him, whatever address it shows later.
    expect((await into({ ...OIDC, trustedForMail: true })).id).toBe(own.id);
    expect(await owners()).toHaveLength(3);
  });

  test('by a trusted provider first, then by mail, is the same owner', async () => {
    const { into } = await enter();
    const first = await into({ ...OIDC, trustedForMail: true });
    expect((await into(MAIL)).id).toBe(first.id);
    // A later address at the provider is not his too: its mailbox may have been another's.
    const later = { ...OIDC, email: 'new@example.org', trustedForMail: true };
    expect(await into(later)).toMatchObject({ id: first.id, email: 'new@example.org' });
    expect((await into({ ...MAIL, subject: 'new@example.org' })).id).not.toBe(first.id);
  });

  test('A-1 an unverified address is neither shown nor believed', async () => {
    const { into } = await enter();
    const mail = await into(MAIL);
    const liar = await into({ ...OIDC, emailVerified: false, trustedForMail: true });
    expect(liar.id).not.toBe(mail.id);
    expect(liar.email).toBeUndefined();
    const silent = { issuer: 'https://idp.example', subject: 's', emailVerified: true, nowMs };
    expect((await into(silent)).email).toBeUndefined();
  });

  test('A-1 the subject of one provider is not that of another', async () => {
    const { into } = await enter();
    const one = await into(OIDC);
    expect((await into({ ...OIDC, issuer: 'https://other.example' })).id).not.toBe(one.id);
    expect((await into({ ...OIDC, subject: 'SUB-7' })).id).not.toBe(one.id);
  });

  test('fifty times at once, over several connections, makes one owner', async () => {
    const { world, owners } = await enter();
    const registries = [world.registry, await world.another(), await world.another()];
    const found = await Promise.all(
      Array.from({ length: 48 }, (_, at) => {
        const input = at % 2 === 0 ? MAIL : { ...OIDC, trustedForMail: true };
        return registries[at % 3]?.write(signIn(input));
      }),
    );
    const all = await owners();
    // Both ways may have begun before either was there; each way has one owner.
    expect(new Set(found.map((owner) => owner?.id)).size).toBeLessThanOrEqual(2);
    expect(all.length).toBe(new Set(found.map((owner) => owner?.id)).size);
  });
});
