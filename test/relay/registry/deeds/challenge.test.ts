// Values at `_acme-challenge`: several at once, each taken away by its own token, bounded in every way.
import { describe, expect, it } from 'vitest';
import {
  CHALLENGE_LIMITS,
  publishChallenge,
  withdrawChallenge,
} from '../../../../relay/registry/deeds/challenge.ts';
import { configureApex } from '../../../../relay/registry/deeds/zone-apex.ts';
import type { Registry } from '../../../../relay/registry/registry.ts';
import { deviceKey, deviceName, makeWorld } from '../fixture.ts';
import { settings, stored } from '../zone-fixture.ts';

const OWNER = '_acme-challenge.alice';

async function vendor(): Promise<Registry> {
  const registry = await (await makeWorld()).open();
  await registry.perform(configureApex(settings()));
  const name = deviceName('alice');
  await registry.enroll({ name, deviceKey: deviceKey(), actor: 'test' });
  return registry;
}

function challenge(registry: Registry, owner: string, value = 'v', ttlMs = 60_000) {
  return registry.perform(publishChallenge({ owner, value, ttlMs }));
}

async function values(registry: Registry): Promise<string[]> {
  const text = (await stored(registry)).get('alice') ?? '';
  if (text === '') return [];
  const entries: [string, number, string, string[]][] = JSON.parse(text);
  return entries.find(([owner]) => owner === OWNER)?.[3] ?? [];
}

describe('challenges', () => {
  it('stand beside each other, and go one by one', async () => {
    const registry = await vendor();
    const one = await challenge(registry, OWNER, 'one');
    const two = await challenge(registry, OWNER, 'two');
    const same = await challenge(registry, OWNER, 'two');
    expect(await values(registry)).toEqual(['"one"', '"two"']);
    expect(await registry.perform(withdrawChallenge(two))).toBe('withdrawn');
    // Another order still needs the same value.
    expect(await values(registry)).toEqual(['"one"', '"two"']);
    await registry.perform(withdrawChallenge(same));
    expect(await values(registry)).toEqual(['"one"']);
    expect(await registry.perform(withdrawChallenge(two))).toBe('unknown');
    await registry.perform(withdrawChallenge(one));
    expect((await stored(registry)).get('alice')).toBe('');
  });

  it('are not taken away by a guess', async () => {
    const registry = await vendor();
    await challenge(registry, OWNER, 'one');
    for (const token of ['', 'one', OWNER, '%']) {
      expect(await registry.perform(withdrawChallenge({ token }))).toBe('unknown');
    }
    expect(await values(registry)).toEqual(['"one"']);
  });

  it.each([
    '_acme-challenge.alice',
    '_ACME-Challenge.Alice',
    '_acme-challenge.code.alice',
    '_acme-challenge.8080--code.alice',
    '_acme-challenge.lan.alice',
    '_acme-challenge.tunnel',
    '_acme-challenge',
  ])('%s is an owner', async (owner) => {
    expect(await challenge(await vendor(), owner)).toEqual({
      token: expect.stringMatching(/.{40}/),
    });
  });

  it.each([
    ...['alice', '', '_acme-challenge.', '_acme-challenge.bob', '_acme-challenge.code.bob'],
    ...['_acme-challenge.a.b.alice', '_acme-challenge._x.alice', '_acme-challenge.*.alice'],
    ...['_acme-challenge.code.tunnel', '_acme-challenge.to', '_acme-challenge.nothing.to'],
    ...['_acme-challenge.alice.vendor.example', '_acme-challenge..alice', 'x_acme-challenge.alice'],
    ...['_acme-challenge.99999--code.alice', '_acme-challenge.\u212aode.alice', '_other.alice'],
  ])('%s is none', async (owner) => {
    const registry = await vendor();
    await expect(challenge(registry, owner)).rejects.toMatchObject({
      code: 'ERR_CHALLENGE_REFUSED',
    });
    expect((await stored(registry)).get('alice')).toBe('');
  });

  it.each(['', 'a b', 'a"b', 'ä', 'a\nb', 'x'.repeat(129)])('%j is no value', async (value) => {
    const registry = await vendor();
    await expect(challenge(registry, OWNER, value)).rejects.toThrow(/base64url/);
  });

  it.each([0, 59_999, 86_400_001, Number.NaN])('%s ms is no time', async (ttlMs) => {
    await expect(challenge(await vendor(), OWNER, 'v', ttlMs)).rejects.toThrow(/Choose a time/);
  });

  it('are bounded at one owner', async () => {
    const registry = await vendor();
    for (let at = 0; at < CHALLENGE_LIMITS.valuesMax; at += 1) {
      await challenge(registry, OWNER, `v${at}`);
    }
    await expect(challenge(registry, OWNER, 'more')).rejects.toThrow(/Withdraw one/);
    await challenge(registry, '_acme-challenge.code.alice', 'elsewhere');
  });

  it('need a zone', async () => {
    const registry = await (await makeWorld()).open();
    await expect(challenge(registry, OWNER)).rejects.toThrow(/No name server has published/);
  });
});
