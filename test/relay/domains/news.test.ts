// What owners are told of their domains: once, however many look, and whatever else fails.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { requires } from '../../world/requires.ts';
import { DAY, DomainWorld, ownDomain } from './domain-world.ts';

const need = requires('knotd', 'named', 'rndc');
let world: DomainWorld;

beforeAll(async () => {
  if (!need.skip) world = await DomainWorld.open();
});

afterAll(() => world?.[Symbol.asyncDispose]());

beforeEach(() => {
  if (!need.skip) world.told.length = 0;
});

function kinds(): readonly string[] {
  return world.told.map(({ kind }) => kind);
}

describe.skipIf(need.skip)('the owner of a domain', () => {
  test('is told once that it fails, and once that it is back, though two relays look at once', async () => {
    const holder = await world.holder();
    const { routing, all } = await world.proven('twice.example.org', holder);
    const relays = [world.another(), world.another()];
    const wanted = { domain: ownDomain('twice.example.org'), by: holder.by };
    const looks = () => Promise.all(relays.map((relay) => relay.check(wanted)));
    await world.enter(routing);
    await looks();
    expect(relays.map(({ figures }) => figures.looks)).toEqual([1, 1]);
    expect(kinds()).toEqual(['failing']);
    await world.enter(...all);
    await looks();
    expect(kinds()).toEqual(['failing', 'back']);
  });

  test('is told that it is back with the deed, though its certificate cannot be asked for', async () => {
    const holder = await world.holder();
    const { routing, all } = await world.proven('back.example.org', holder);
    await world.enter(routing);
    await world.check('back.example.org', holder);
    world.nowMs += 3 * DAY;
    expect((await world.check('back.example.org', holder)).state).toBe('suspended');
    await world.enter(...all);
    const broken = world.another({ want: () => Promise.reject(new Error('no disk')) });
    const look = broken.check({ domain: ownDomain('back.example.org'), by: holder.by });
    await expect(look).rejects.toThrow('no disk');
    expect(world.registry.snapshot.ownDomain('back.example.org')?.name).toBe(holder.name);
    expect(kinds()).toEqual(['failing', 'suspended', 'back']);
    // A look that succeeds tells nothing more.
    await world.check('back.example.org', holder);
    expect(kinds()).toEqual(['failing', 'suspended', 'back']);
  });
});
