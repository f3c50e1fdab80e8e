// Own domains in the registry: who may have which, by which records, and who loses it to whom.
import { describe, expect, test } from 'vitest';
import { parseWorkspaceName, type WorkspaceName } from '../../../../dns/name.ts';
import { want } from '../../../../relay/registry/certificates/work.ts';
import { publishChallenge } from '../../../../relay/registry/deeds/challenge.ts';
import { proveDomain, suspendDomain } from '../../../../relay/registry/deeds/domain-proof.ts';
import { lapse } from '../../../../relay/registry/deeds/lapse.ts';
import { order } from '../../../../relay/registry/deeds/order.ts';
import {
  addDomain,
  type OwnDomain,
  parseOwnDomain,
  removeDomain,
} from '../../../../relay/registry/deeds/own-domain.ts';
import { redeemOrder } from '../../../../relay/registry/deeds/redeem-order.ts';
import { release } from '../../../../relay/registry/deeds/release.ts';
import { rename } from '../../../../relay/registry/deeds/rename.ts';
import { configureApex } from '../../../../relay/registry/deeds/zone-apex.ts';
import {
  areDomainsDue,
  recallDomains,
  takeDueDomains,
} from '../../../../relay/registry/own-domains.ts';
import { deviceKey, deviceName } from '../fixture.ts';
import { hostname, settings, stored } from '../zone-fixture.ts';
import { DAY, DeedWorld, ENGINES } from './deed-world.ts';

const actor = 'cli:root';
const APP = domain('app.example.org');

function domain(text: string): OwnDomain {
  const parsed = parseOwnDomain(text, hostname('vendor.example'));
  if (parsed === undefined) throw new Error(`no own domain: ${text}`);
  return parsed;
}

function workspace(text: string): WorkspaceName {
  const parsed = parseWorkspaceName(text);
  if (parsed === undefined) throw new Error(`no workspace: ${text}`);
  return parsed;
}

function rows(world: DeedWorld) {
  return world.registry.read((db) => db.selectFrom('domains').selectAll().execute());
}

/** A name that wants the domain. */
async function wanting(world: DeedWorld, name: string, wanted = APP, wildcard = false) {
  const enrolled = await world.enrolled(name);
  const add = addDomain({ name: enrolled.name, domain: wanted, wildcard, by: enrolled.device });
  const records = await world.do(add);
  return { ...enrolled, ...records, add };
}

/** What the DNS says is handed in. */
function prove(world: DeedWorld, target: string, seen: readonly string[]) {
  return world.do(proveDomain({ target, seen: new Set(seen), lookedAtMs: world.nowMs }));
}

async function proven(world: DeedWorld, name: string, wanted = APP, wildcard = false) {
  const mine = await wanting(world, name, wanted, wildcard);
  expect(await prove(world, mine.target, [mine.proof])).toMatchObject({ kind: 'proven' });
  world.nowMs += 1_000;
  return mine;
}

describe.each(ENGINES)('on $engine, an own domain', (engine) => {
  test('that a clock years ahead has put off is looked at again when the clock is right', async () => {
    const world = await DeedWorld.of(engine);
    const { target } = await wanting(world, 'alice');
    const { registry, nowMs } = world;
    const aheadMs = nowMs + 3_650 * DAY;
    const nobody = { perHolderMax: 9, underWay: new Map<string, number>() };
    const took = { nowMs: aheadMs, leaseMs: 60_000, max: 9, ...nobody };
    expect(await registry.write(takeDueDomains(took))).toMatchObject([{ target }]);
    expect(await registry.read(areDomainsDue(nowMs))).toBe(false);
    await registry.write(recallDomains(nowMs));
    expect(await registry.read(areDomainsDue(nowMs))).toBe(true);
    const due = await registry.write(takeDueDomains({ ...took, nowMs }));
    expect(due).toMatchObject([{ target }]);
    // One that is merely looked at stays with whoever looks.
    await registry.write(recallDomains(nowMs));
    expect(await registry.read(areDomainsDue(nowMs))).toBe(false);
  });

  test('A-11 is not proven by the proof of another account', async () => {
    const world = await DeedWorld.of(engine);
    const [mine, thief] = [await wanting(world, 'alice'), await wanting(world, 'thief')];
    expect(await prove(world, thief.target, [mine.proof, 'other', ''])).toEqual({ kind: 'void' });
    expect(await prove(world, 'no-such-target', [mine.proof])).toEqual({ kind: 'void' });
    expect(world.registry.snapshot.domainRows).toBe(0);
  });

  test('A-12 is not taken from who has proven it while his proof is seen, and is afterwards', async () => {
    const world = await DeedWorld.of(engine);
    const mine = await proven(world, 'alice');
    const rival = await wanting(world, 'bob');
    expect(await prove(world, rival.target, [rival.proof, mine.proof])).toEqual({
      kind: 'held-by-another',
    });
    expect(world.registry.snapshot.ownDomain(APP)?.name).toBe('alice');
    await world.registry.write(want({ purpose: 'domain', subject: APP, names: [APP] }));
    const outcome = await prove(world, rival.target, [rival.proof]);
    expect(outcome).toMatchObject({ kind: 'proven', displaced: { name: 'alice' } });
    expect(world.registry.snapshot.ownDomain(APP)?.name).toBe('bob');
    expect(world.registry.snapshot.domainsOf(deviceName('alice'))).toEqual([]);
    expect((await world.history('alice')).at(-1)).toBe(
      `clock domain-removed ${APP} (another account has proven it)`,
    );
    const work = await world.registry.read((db) =>
      db.selectFrom('certificate_work').select('subject').execute(),
    );
    expect(work).toEqual([]);
  });

  test('is not suspended when most fail at once: that is a fault of ours', async () => {
    const world = await DeedWorld.of(engine);
    const all: { readonly target: string }[] = [];
    for (let at = 0; at < 5; at += 1) {
      all.push(await proven(world, `alice-${at}`, domain(`a${at}.example.org`)));
    }
    const fail = (count: number) =>
      world.registry.write(async (db) => {
        await db.updateTable('domains').set({ failing_since: null }).execute();
        const targets = all.slice(0, count).map(({ target }) => target);
        const query = db.updateTable('domains').set({ failing_since: 1 });
        await query.where('target', 'in', targets).execute();
      });
    const target = all[0]?.target ?? '';
    await fail(5);
    expect(await world.do(suspendDomain({ target, why: 'x' }))).toBe('spared');
    expect(world.registry.snapshot.domainRows).toBe(5);
    await fail(4);
    expect(await world.do(suspendDomain({ target, why: 'x' }))).toBe('suspended');
  });

  test('A-14 removed and added by somebody else: old target and old proof are worth nothing', async () => {
    const world = await DeedWorld.of(engine);
    await world.do(configureApex(settings()));
    const mine = await proven(world, 'alice');
    expect([...(await stored(world.registry)).keys()]).toContain(`${mine.target}.to`);
    await world.do(removeDomain({ domain: APP, by: mine.device }));
    const thief = await wanting(world, 'thief');
    const labels = [...(await stored(world.registry)).keys()];
    expect(labels).not.toContain(`${mine.target}.to`);
    expect(labels).toContain(`${thief.target}.to`);
    expect(await prove(world, thief.target, [mine.proof])).toEqual({ kind: 'void' });
    expect(world.registry.snapshot.ownDomain(APP)).toBeUndefined();
    const again = await world.do(mine.add);
    expect(again.target).not.toBe(mine.target);
    expect(again.proof).not.toBe(mine.proof);
  });

  test('has a target that stays published while it is suspended, and takes challenges', async () => {
    const world = await DeedWorld.of(engine);
    await world.do(configureApex(settings()));
    const mine = await proven(world, 'alice');
    const before = await stored(world.registry);
    await world.do(suspendDomain({ target: mine.target, why: 'gone' }));
    expect((await stored(world.registry)).get(`${mine.target}.to`)).toBe(
      before.get(`${mine.target}.to`),
    );
    const owner = `_acme-challenge.${mine.target}.to`;
    await world.do(publishChallenge({ owner, value: 'v', ttlMs: 60_000 }));
    const text = (await stored(world.registry)).get(`${mine.target}.to`) ?? '';
    expect(JSON.parse(text)).toEqual([
      [`${mine.target}.to`, 60, 'CNAME', ['edge.vendor.example.']],
      [owner, 1, 'TXT', ['"v"']],
      [`_waygate.${mine.target}.to`, 1, 'TXT', [`"${mine.proof}"`]],
    ]);
    for (const strange of ['_acme-challenge.nobody.to', `_acme-challenge.x.${mine.target}.to`]) {
      const publish = publishChallenge({ owner: strange, value: 'v', ttlMs: 60_000 });
      await world.refused(publish, 'ERR_CHALLENGE_REFUSED');
    }
  });

  test('goes along with a rename, leads to another workspace at once, and ends with the name', async () => {
    const world = await DeedWorld.of(engine);
    const { name, device } = await proven(world, 'alice');
    const code = { name, domain: APP, workspace: workspace('code'), by: device };
    await world.do(addDomain(code));
    expect(world.registry.snapshot.ownDomain(APP)).toMatchObject({ workspace: 'code' });
    const anna = deviceName('anna');
    await world.do(rename({ name, to: anna, by: device }));
    expect(world.registry.snapshot.ownDomain(APP)).toMatchObject({ name: 'anna' });
    expect(world.registry.snapshot.domainsOf(name)).toEqual([]);
    expect(world.registry.snapshot.domainsOf(anna)).toEqual([APP]);
    await world.do(release({ name: anna, by: device }));
    expect(world.registry.snapshot.domainRows).toBe(0);
    expect(await rows(world)).toEqual([]);
  });

  test('A-16 below the wildcard of another owner is his who has proven it, and by his own proof', async () => {
    const world = await DeedWorld.of(engine);
    const deep = domain('x.app.example.org');
    const above = await proven(world, 'alice', APP, true);
    const rival = await wanting(world, 'bob', deep);
    const at = (text: string) => world.registry.snapshot.ownDomain(text)?.name;
    expect(at('x.app.example.org')).toBe('alice');
    expect(await prove(world, rival.target, [above.proof])).toEqual({ kind: 'void' });
    await prove(world, rival.target, [rival.proof]);
    expect(at('x.app.example.org')).toBe('bob');
    expect(at('y.app.example.org')).toBe('alice');
    expect(at('y.x.app.example.org')).toBeUndefined();
    expect(at('example.org')).toBeUndefined();
  });

  test('is seen by every process, whole and step by step', async () => {
    const world = await DeedWorld.of(engine);
    const other = await world.another();
    const changes: (readonly string[])[] = [];
    other.onChange((_snapshot, _before, names) => void changes.push([...(names ?? [])]));
    const above = await proven(world, 'alice', APP, true);
    await other.poll();
    expect(other.snapshot.ownDomain('code.app.example.org')?.name).toBe('alice');
    // Who had the hostname by his wildcard is told of as well.
    await proven(world, 'bob', domain('x.app.example.org'));
    await other.poll();
    expect(changes.at(-1)).toEqual(expect.arrayContaining(['alice', 'bob']));
    const fresh = await world.another();
    expect(fresh.snapshot.ownDomain('x.app.example.org')?.name).toBe('bob');
    expect(fresh.snapshot.domainsOf(above.name)).toEqual([APP]);
    expect(fresh.snapshot.domainRows).toBe(2);
  });
});

// What the two databases cannot do differently.
describe.each(ENGINES.slice(0, 1))('on $engine, an own domain', (engine) => {
  test('has records of its own, and tells the same ones again', async () => {
    const world = await DeedWorld.of(engine);
    const mine = await wanting(world, 'alice');
    expect(mine.target).toMatch(/^[0-9a-hjkmnp-tv-z]{20}$/);
    expect(mine.proof).toMatch(/^[\w-]{22}$/);
    expect(await world.do(mine.add)).toMatchObject({ target: mine.target, proof: mine.proof });
    expect(await rows(world)).toMatchObject([{ state: 'pending', check_due_at: world.nowMs }]);
    expect(world.registry.snapshot.ownDomain(APP)).toBeUndefined();
  });

  test('may be wanted by several names, each with other records', async () => {
    const world = await DeedWorld.of(engine);
    const [one, other] = [await wanting(world, 'alice'), await wanting(world, 'bob')];
    expect(one.target).not.toBe(other.target);
    expect(one.proof).not.toBe(other.proof);
    expect(await prove(world, one.target, [one.proof])).toMatchObject({ changed: true });
    expect(world.registry.snapshot.ownDomain(APP)).toEqual({
      ...{ domain: APP, name: 'alice', wildcard: false },
    });
  });

  test('A-13 is not taken by a look that is older than the proof of another', async () => {
    const world = await DeedWorld.of(engine);
    const [mine, rival] = [await wanting(world, 'alice'), await wanting(world, 'bob')];
    const stale = { target: rival.target, seen: new Set([rival.proof]), lookedAtMs: world.nowMs };
    world.nowMs += 1_000;
    await prove(world, mine.target, [mine.proof]);
    expect(await world.do(proveDomain(stale))).toEqual({ kind: 'held-by-another' });
  });

  test('is taken over from a suspended one by whoever proves it', async () => {
    const world = await DeedWorld.of(engine);
    const mine = await proven(world, 'alice');
    expect(await world.do(suspendDomain({ target: mine.target, why: 'gone' }))).toBe('suspended');
    expect(world.registry.snapshot.ownDomain(APP)).toBeUndefined();
    const rival = await wanting(world, 'bob');
    expect(await prove(world, rival.target, [rival.proof, mine.proof])).toMatchObject({
      kind: 'proven',
      displaced: { name: 'alice' },
    });
  });

  test('comes back from its suspension with the same records', async () => {
    const world = await DeedWorld.of(engine);
    const mine = await proven(world, 'alice');
    await world.do(suspendDomain({ target: mine.target, why: 'gone' }));
    expect(await world.do(suspendDomain({ target: mine.target, why: 'gone' }))).toBe('void');
    expect(await world.do(mine.add)).toMatchObject({ target: mine.target, proof: mine.proof });
    await prove(world, mine.target, [mine.proof]);
    expect(world.registry.snapshot.ownDomain(APP)?.name).toBe('alice');
    expect((await world.history('alice')).slice(1)).toEqual([
      `device:${mine.key.thumbprint} domain-added ${APP}`,
      `clock domain-proven ${APP}`,
      `clock domain-suspended ${APP} (gone)`,
      `clock domain-proven ${APP}`,
    ]);
  });

  test('of an order comes with its device, unproven', async () => {
    const world = await DeedWorld.of(engine);
    const alice = deviceName('alice');
    const { code } = await world.do(order({ name: alice, domain: APP, actor }));
    const redeem = redeemOrder({ code, deviceKey: deviceKey(), from: '192.0.2.7' });
    const bound = { kind: 'bound', name: 'alice', domain: APP };
    expect(await world.do(redeem)).toEqual(bound);
    expect(await world.do(redeem)).toEqual(bound);
    expect(await rows(world)).toMatchObject([{ domain: APP, name: 'alice', state: 'pending' }]);
  });

  test('ends after a week in which nobody proved it', async () => {
    const world = await DeedWorld.of(engine);
    const squatter = await wanting(world, 'squatter');
    const mine = await proven(world, 'alice');
    world.nowMs += 7 * DAY;
    expect(await world.do(lapse())).toEqual([{ kind: 'domain-lapsed', name: 'squatter' }]);
    expect(await rows(world)).toMatchObject([{ name: 'alice', target: mine.target }]);
    expect(await prove(world, squatter.target, [squatter.proof])).toEqual({ kind: 'void' });
  });

  test('is removed by who has the name; strangers learn nothing of it', async () => {
    const world = await DeedWorld.of(engine);
    const mine = await wanting(world, 'alice');
    const stranger = await world.enrolled('bob');
    const adds = addDomain({ name: mine.name, domain: APP, by: stranger.device });
    await world.refused(adds, 'ERR_NOT_YOURS');
    const others = removeDomain({ domain: APP, by: stranger.device });
    const why = await world.refused(others, 'ERR_DOMAIN_UNKNOWN');
    await world.do(removeDomain({ domain: APP, by: mine.device }));
    expect(await world.refused(others, 'ERR_DOMAIN_UNKNOWN')).toBe(why);
  });

  test('A-15 is not removed by somebody else who wants the same', async () => {
    const world = await DeedWorld.of(engine);
    const mine = await proven(world, 'alice');
    const rival = await wanting(world, 'bob');
    await world.registry.write(want({ purpose: 'domain', subject: APP, names: [APP] }));
    await world.do(removeDomain({ domain: APP, by: rival.device }));
    expect(await rows(world)).toMatchObject([{ name: 'alice', target: mine.target }]);
    expect(world.registry.snapshot.ownDomain(APP)?.name).toBe('alice');
    const work = await world.registry.read((db) =>
      db.selectFrom('certificate_work').select('subject').execute(),
    );
    expect(work).toEqual([{ subject: APP }]);
  });

  test('is not made a wildcard in place, and names have no more than twenty', async () => {
    const world = await DeedWorld.of(engine);
    const { name, device } = await wanting(world, 'alice');
    const wild = addDomain({ name, domain: APP, wildcard: true, by: device });
    await world.refused(wild, 'ERR_DOMAIN_TAKEN');
    const add = (at: number) =>
      addDomain({ name, domain: domain(`a${at}.example.org`), by: device });
    for (let at = 1; at < 20; at += 1) await world.do(add(at));
    await world.refused(add(20), 'ERR_TOO_MANY_DOMAINS');
  });
});

test.each([
  'vendor.example',
  'alice.vendor.example',
  'code.alice.vendor.example',
  'example',
  'localhost',
  'com',
  '192.0.2.1',
  '[::1]',
  'a..b',
  '*.example.org',
  '_waygate.example.org',
  'bücher.example',
  `${'a.'.repeat(10)}example.org`,
  `${`${'a'.repeat(60)}.`.repeat(4)}org`,
  '',
])('%s is no own domain', (text) => {
  expect(parseOwnDomain(text, hostname('vendor.example'))).toBeUndefined();
});
