// Own domains that somebody else wants, at a real DNS: nobody is reached, and nobody loses what is his.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { PublicDns } from '../../../relay/domains/public-dns.ts';
import { requires } from '../../world/requires.ts';
import { DAY, DomainWorld, ownDomain, recordsOf, states, step } from './domain-world.ts';

const need = requires('knotd', 'named', 'rndc');
let world: DomainWorld;

beforeAll(async () => {
  if (!need.skip) world = await DomainWorld.open();
});

afterAll(() => world?.[Symbol.asyncDispose]());

beforeEach(() => {
  if (!need.skip) world.told.length = 0;
});

function holderOf(domain: string): string | undefined {
  return world.registry.snapshot.ownDomain(domain)?.name;
}

describe.skipIf(need.skip)('an own domain', () => {
  test('A-18 is not given to an account whose proof is not there, whatever else is', async () => {
    const [mine, thief] = [await world.holder(), await world.holder()];
    const { proof } = await world.add('app.example.org', mine);
    const { routing } = await world.add('app.example.org', thief);
    // It even leads to the thief's target.
    await world.enter(proof, routing);
    const report = await world.check('app.example.org', thief);
    expect([states(report), report.state]).toEqual(['wrong ok ok waiting waiting', 'pending']);
    expect(step(report, 'proof').found).toContain('has other TXT records');
    expect((await world.check('app.example.org', mine)).state).toBe('pending');
    expect(holderOf('app.example.org')).toBeUndefined();
  });

  test('A-19 stays with who has proven it while his proof is there, and goes over afterwards', async () => {
    const [mine, rival] = [await world.holder(), await world.holder()];
    const had = await world.proven('shop.example.org', mine);
    const wants = await world.add('shop.example.org', rival);
    await world.enter(...wants.all, had.proof);
    const refused = await world.check('shop.example.org', rival);
    expect([states(refused), refused.state]).toEqual(['wrong ok ok waiting waiting', 'pending']);
    expect(step(refused, 'proof')).toMatchObject({
      found:
        'Your TXT record is at _waygate.shop.example.org, and so is that of another account, which has ' +
        'the domain.',
      next:
        'Remove the other TXT value at _waygate.shop.example.org, or have the domain removed in that ' +
        'account.',
    });
    expect(holderOf('shop.example.org')).toBe(mine.name);
    await world.enter(...wants.all);
    expect((await world.check('shop.example.org', rival)).state).toBe('proven');
    expect(holderOf('shop.example.org')).toBe(rival.name);
    expect(world.told).toEqual([
      { kind: 'lost', domain: 'shop.example.org', name: mine.name, steps: [] },
    ]);
    expect(await world.domains.list(mine.by)).toEqual([]);
  });

  test('A-20 removed and added by somebody else: the forgotten CNAME serves nobody', async () => {
    const [mine, thief] = [await world.holder(), await world.holder()];
    const had = await world.proven('old.example.org', mine);
    await world.domains.remove({ domain: ownDomain('old.example.org'), by: mine.by });
    const wants = await world.add('old.example.org', thief);
    expect(wants.routing).not.toEqual(had.routing);
    const report = await world.check('old.example.org', thief);
    expect([states(report), report.state]).toEqual(['wrong wrong ok waiting waiting', 'pending']);
    expect(step(report, 'routing').found).toBe(
      'old.example.org is a CNAME to ' +
        `${had.routing[2].slice(0, -1)}, a target that was made for another entry.`,
    );
    expect(holderOf('old.example.org')).toBeUndefined();
    // Nor does it lead anywhere: the target is gone from our zone.
    expect(await addressesOf('old.example.org')).toEqual([]);
  });

  test('A-21 below the wildcard of another needs a proof of its own, and beats it then', async () => {
    const [mine, rival] = [await world.holder(), await world.holder()];
    const above = await world.proven('wild.example.org', mine, true);
    expect(holderOf('x.wild.example.org')).toBe(mine.name);
    const wants = await world.add('x.wild.example.org', rival);
    // Everything below leads to the relays already; the proof of the wildcard is no proof of his.
    await world.enter(...above.all, ['_waygate.x.wild.example.org', 'TXT', above.proof[2]]);
    const refused = await world.check('x.wild.example.org', rival);
    expect([step(refused, 'proof').state, refused.state]).toEqual(['wrong', 'pending']);
    expect(holderOf('x.wild.example.org')).toBe(mine.name);
    await world.enter(...above.all, ...wants.all);
    expect((await world.check('x.wild.example.org', rival)).state).toBe('proven');
    expect(holderOf('x.wild.example.org')).toBe(rival.name);
    expect(holderOf('y.wild.example.org')).toBe(mine.name);
    expect((await world.check('wild.example.org', mine)).state).toBe('proven');
  });

  test('A-22 with a CNAME in a circle is told so, and nothing hangs', async () => {
    const mine = await world.holder();
    const { proof } = await world.add('loop.example.org', mine);
    await world.enter(
      proof,
      ['loop.example.org', 'CNAME', 'pool.example.org.'],
      ['pool.example.org', 'CNAME', 'loop.example.org.'],
    );
    const report = await world.check('loop.example.org', mine);
    expect(report.state).toBe('pending');
    expect(step(report, 'routing')).toMatchObject({
      state: 'wrong',
      found: 'The CNAME of loop.example.org leads in a circle: pool.example.org, loop.example.org.',
    });
  });

  test('A-23 whose address is that of somebody else is never knocked at', async () => {
    const mine = await world.holder();
    const { proof, report } = await world.add('scan.example.org', mine);
    await world.enter(proof, ['scan.example.org', 'A', '127.0.0.9']);
    world.certificates.set('scan.example.org', { notAfterMs: world.nowMs + DAY });
    const found = await world.check('scan.example.org', mine);
    expect(states(found)).toBe('ok wrong ok waiting waiting');
    expect(step(found, 'live').found).toBe('This waits for the certificate.');
    // Proven by its CNAME, it has addresses of ours alone.
    await world.enter(...recordsOf(report).all);
    const proven = await world.check('scan.example.org', mine);
    expect(step(proven, 'live').found).toMatch(/^An HTTPS connection to 127\.0\.0\.1 port/);
  });

  test('of somebody else is not seen in the list, nor looked at, nor removed', async () => {
    const [mine, stranger] = [await world.holder(), await world.holder()];
    await world.add('mine.example.org', mine);
    expect(await world.domains.list(stranger.by)).toEqual([]);
    const wanted = { domain: ownDomain('mine.example.org'), by: stranger.by };
    for (const work of [world.domains.check(wanted), world.domains.remove(wanted)]) {
      await expect(work).rejects.toMatchObject({ code: 'ERR_DOMAIN_UNKNOWN' });
    }
  });
});

async function addressesOf(name: string): Promise<readonly string[]> {
  const dns = new PublicDns([world.resolver]);
  const found = await dns.addresses4(name, AbortSignal.timeout(5_000));
  return found.kind === 'found' ? found.values : [];
}
