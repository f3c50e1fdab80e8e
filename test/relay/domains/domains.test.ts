// The life of an own domain before a real DNS: from nothing to live, at its apex, as a wildcard; when its
// records go, when they come back, and when nobody can be asked.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { PublicDns } from '../../../relay/domains/public-dns.ts';
import { removeDomain } from '../../../relay/registry/deeds/own-domain.ts';
import { registerRelay, setRelayAlive } from '../../../relay/registry/deeds/relay-alive.ts';
import { listDomains } from '../../../relay/registry/own-domains.ts';
import { requires } from '../../world/requires.ts';
import { RecursiveResolver } from '../../world/resolver.ts';
import { hostname } from '../registry/zone-fixture.ts';
import {
  ACCOUNT,
  CUSTOMER,
  DAY,
  DomainWorld,
  ownDomain,
  RELAY,
  recordsOf,
  states,
  step,
} from './domain-world.ts';

const need = requires('knotd', 'named', 'rndc');
let world: DomainWorld;

beforeAll(async () => {
  if (!need.skip) world = await DomainWorld.open();
});

afterAll(() => world?.[Symbol.asyncDispose]());

beforeEach(() => {
  if (need.skip) return;
  world.told.length = 0;
  world.wanted.length = 0;
});

describe.skipIf(need.skip)('an own domain', () => {
  test('comes about step by step, and each step says what was found', async () => {
    const holder = await world.holder();
    const { report, proof, routing } = await world.add('app.example.org', holder);
    expect(report).toMatchObject({ name: holder.name, wildcard: false, state: 'pending' });
    expect(states(report)).toBe('waiting waiting waiting waiting waiting');
    const bare = await world.check('app.example.org', holder);
    expect(states(bare)).toBe('wrong wrong ok waiting waiting');
    expect(step(bare, 'proof').found).toBe(
      'There is no TXT record at _waygate.app.example.org: the name does not exist.',
    );
    await world.enter(proof);
    const half = await world.check('app.example.org', holder);
    expect(states(half)).toBe('ok wrong ok waiting waiting');
    expect(half.state).toBe('pending');
    expect(step(half, 'routing').found).toContain('app.example.org leads nowhere');
    await world.enter(routing);
    const other = await world.check('app.example.org', holder);
    expect([states(other), other.state]).toEqual(['wrong ok ok waiting waiting', 'pending']);
    expect(world.registry.snapshot.domainRows).toBe(0);
    expect(world.wanted).toEqual([]);
    await world.enter(proof, routing);
    const proven = await world.check('app.example.org', holder);
    expect([states(proven), proven.state]).toEqual(['ok ok ok waiting waiting', 'proven']);
    expect(step(proven, 'certificate').found).toBe('It is being ordered.');
    expect(world.wanted).toEqual([{ domain: 'app.example.org', wildcard: false, again: true }]);
    expect(world.registry.snapshot.ownDomain('app.example.org')?.name).toBe(holder.name);
    world.certificates.set('app.example.org', { problem: 'urn:x said no', nextTryAtMs: 0 });
    const failed = await world.check('app.example.org', holder);
    expect(step(failed, 'certificate')).toMatchObject({
      found: 'The last order failed: urn:x said no',
      next: 'It is tried again by itself at 1970-01-01T00:00:00.000Z.',
    });
    await world.certify('app.example.org');
    const live = await world.check('app.example.org', holder);
    expect(states(live)).toBe('ok ok ok ok ok');
    expect(step(live, 'live').found).toContain(`${RELAY} port`);
    expect(await world.domains.list(holder.by)).toEqual([live]);
    expect(world.told).toEqual([]);
  });

  test('is not live with the certificate of another', async () => {
    const holder = await world.holder();
    await world.proven('strange.example.org', holder);
    world.certificates.set('strange.example.org', { notAfterMs: world.nowMs + DAY });
    const report = await world.check('strange.example.org', holder);
    expect(states(report)).toBe('ok ok ok ok waiting');
    expect(step(report, 'live').found).toMatch(/failed: .*(altnames|does not match)/i);
  });

  test('at the apex leads here by addresses that are all ours', async () => {
    const holder = await world.holder();
    const { proof, report } = await world.add(CUSTOMER, holder);
    expect(report.entries).toContainEqual(
      expect.objectContaining({ type: 'A', owner: CUSTOMER, value: RELAY, needed: 'yes' }),
    );
    expect(report.entries.map(({ type }) => type)).toEqual(['TXT', 'A']);
    const stray = ['AAAA', '2001:db8::9'] as const;
    await world.enter(proof, [CUSTOMER, 'A', RELAY], [CUSTOMER, ...stray]);
    const wrong = await world.check(CUSTOMER, holder);
    expect([states(wrong), wrong.state]).toEqual(['ok wrong ok waiting waiting', 'pending']);
    expect(step(wrong, 'routing')).toMatchObject({
      found: `${CUSTOMER} leads elsewhere, to 2001:db8::9 besides ${RELAY}, which is ours.`,
      next: 'Remove 2001:db8::9 there: visitors would get to either.',
    });
    await world.enter(proof, [CUSTOMER, 'A', RELAY]);
    expect((await world.check(CUSTOMER, holder)).state).toBe('proven');
    // One of two relays is restarted: nobody has to change his addresses for that.
    await world.registry.perform(registerRelay({ id: 'relay-2', addresses: ['192.0.2.2'] }));
    await world.registry.perform(setRelayAlive({ id: 'relay-2', alive: false }));
    await world.enter(proof, [CUSTOMER, 'A', RELAY], [CUSTOMER, 'A', '192.0.2.2']);
    expect(states(await world.check(CUSTOMER, holder))).toBe('ok ok ok waiting waiting');
    await world.enter(proof, [CUSTOMER, 'A', '192.0.2.2']);
    expect(states(await world.check(CUSTOMER, holder))).toBe('ok wrong ok waiting waiting');
  });

  test('is proven by a CNAME to the proof that we publish', async () => {
    const holder = await world.holder();
    const { report, routing } = await world.add('alias.example.org', holder);
    const target = recordsOf(report).routing[2];
    await world.enter(routing, ['_waygate.alias.example.org', 'CNAME', `_waygate.${target}`]);
    expect((await world.check('alias.example.org', holder)).state).toBe('proven');
  });

  test('as a wildcard needs what is below it, and the place of its challenges', async () => {
    const holder = await world.holder();
    const added = await world.add('wild.example.org', holder, true);
    const { proof, routing, below } = added;
    expect(below.map(([owner]) => owner)).toEqual([
      '*.wild.example.org',
      '_acme-challenge.wild.example.org',
    ]);
    await world.enter(proof, routing);
    const bare = await world.check('wild.example.org', holder);
    expect(states(bare)).toBe('ok wrong ok waiting waiting');
    expect(step(bare, 'routing').found).toMatch(
      /^\w{20}\.wild\.example\.org leads nowhere: .*_acme-challenge\.wild\.example\.org is no CNAME\.$/,
    );
    await world.enter(proof, routing, ...below.slice(0, 1));
    const half = await world.check('wild.example.org', holder);
    expect(step(half, 'routing').found).toContain('_acme-challenge.wild.example.org is a CNAME to');
    expect(half.state).toBe('pending');
    await world.enter(...added.all);
    const proven = await world.check('wild.example.org', holder);
    expect([states(proven), proven.state]).toEqual(['ok ok ok waiting waiting', 'proven']);
    expect(world.wanted.at(-1)).toMatchObject({ domain: 'wild.example.org', wildcard: true });
    await world.certify('wild.example.org', `*.${hostname('wild.example.org')}`);
    expect(states(await world.check('wild.example.org', holder))).toBe('ok ok ok ok ok');
  });

  test('that fails is warned of, suspended after three days, and back by itself', async () => {
    const holder = await world.holder();
    const { proof, routing, all } = await world.proven('fail.example.org', holder);
    await world.enter(routing);
    const began = world.nowMs;
    const failing = await world.check('fail.example.org', holder);
    expect([states(failing), failing.state]).toEqual(['wrong ok ok waiting waiting', 'proven']);
    const news = { domain: 'fail.example.org', name: holder.name };
    expect(world.told).toMatchObject([{ ...news, kind: 'failing', untilMs: began + 3 * DAY }]);
    world.nowMs += 3 * DAY - 1;
    expect((await world.check('fail.example.org', holder)).state).toBe('proven');
    expect(await world.domains.recheck('fail.example.org')).toMatchObject({ ok: false });
    world.nowMs += 1;
    expect((await world.check('fail.example.org', holder)).state).toBe('suspended');
    expect(world.registry.snapshot.ownDomain('fail.example.org')).toBeUndefined();
    expect(world.told.slice(1)).toMatchObject([{ ...news, kind: 'suspended' }]);
    expect(await world.domains.recheck('fail.example.org')).toEqual({
      ok: false,
      why: 'The domain fail.example.org is suspended.',
      rests: true,
    });
    // Leads elsewhere, though the proof is there: not back.
    await world.enter(proof, ['fail.example.org', 'A', '192.0.2.9']);
    expect((await world.check('fail.example.org', holder)).state).toBe('suspended');
    await world.enter(...all);
    expect((await world.check('fail.example.org', holder)).state).toBe('proven');
    expect(world.told.slice(2)).toMatchObject([{ ...news, kind: 'back' }]);
    expect(world.wanted.at(-1)).toMatchObject({ domain: 'fail.example.org', again: true });
    expect(await world.domains.recheck('fail.example.org')).toEqual({ ok: true });
  });

  test('A-17 that points elsewhere, though its proof is there, is suspended in the same way', async () => {
    const holder = await world.holder();
    const { proof } = await world.proven('moved.example.org', holder);
    await world.enter(proof, ['moved.example.org', 'A', '192.0.2.9']);
    await world.check('moved.example.org', holder);
    world.nowMs += 3 * DAY;
    const report = await world.check('moved.example.org', holder);
    expect(report.state).toBe('suspended');
    expect(step(report, 'routing').found).toBe('moved.example.org leads elsewhere, to 192.0.2.9.');
    expect(world.told.map(({ kind }) => kind)).toEqual(['failing', 'suspended']);
  });

  test('F-31 whose resolvers are away is neither warned of nor suspended, for however long', async () => {
    const holder = await world.holder();
    await world.proven('away.example.org', holder);
    const domains = world.another({ dns: new PublicDns([world.resolver], 500) });
    const wanted = { domain: ownDomain('away.example.org'), by: holder.by };
    await world.resolver.signal('SIGSTOP');
    const report = await domains.check(wanted).finally(() => world.resolver.signal('SIGCONT'));
    expect([states(report), report.state]).toEqual([
      'waiting waiting waiting waiting waiting',
      'proven',
    ]);
    expect(step(report, 'proof').found).toContain('there was no answer in time');
    world.nowMs += 30 * DAY;
    const later = await world.domains.recheck('away.example.org');
    expect(later).toEqual({ ok: true });
    expect(world.told).toEqual([]);
  });

  test('F-32 of which resolvers that do not see our own zone say bad things is believed to be well', async () => {
    const holder = await world.holder();
    await world.proven('blind.example.org', holder);
    await world.enter();
    // They see the customer's zone alone: ours does not exist for them.
    const zones = [{ zone: CUSTOMER, servers: [world.knot] }];
    await using blind = await RecursiveResolver.start(zones);
    const domains = world.another({ dns: new PublicDns([blind]) });
    const wanted = { domain: ownDomain('blind.example.org'), by: holder.by };
    await domains.check(wanted);
    world.nowMs += 4 * DAY;
    expect((await domains.check(wanted)).state).toBe('proven');
    expect(world.told).toEqual([]);
  });

  test('waits with its certificate for CAA records that forbid it', async () => {
    const holder = await world.holder();
    const { all } = await world.add('caa.example.org', holder);
    await world.enter(...all, [CUSTOMER, 'CAA', '0 issue "other.example"']);
    const report = await world.check('caa.example.org', holder);
    expect([states(report), report.state]).toEqual(['ok ok wrong waiting waiting', 'proven']);
    expect(step(report, 'caa')).toMatchObject({
      found:
        'The CAA record 0 issue "other.example" at example.org forbids it: it does not name ca.example.',
      next: 'Add the CAA record 0 issue "ca.example" at example.org. Then it goes on by itself.',
    });
    expect(step(report, 'certificate').found).toBe('This waits for the CAA records.');
    expect(world.wanted).toEqual([]);
    expect(await world.domains.recheck('caa.example.org')).toMatchObject({ ok: false });
    const caa = async (value: string) => {
      await world.enter(...all, [CUSTOMER, 'CAA', `0 issue "${value}"`]);
      return step(await world.check('caa.example.org', holder), 'caa');
    };
    expect(await caa('ca.example; accounturi=https://ca.example/acct/2')).toMatchObject({
      state: 'wrong',
      found:
        'The CAA record 0 issue "ca.example; accounturi=https://ca.example/acct/2" at example.org ' +
        'forbids it: it is for another account at ca.example than ours (accounturi).',
      next:
        `Add the CAA record 0 issue "ca.example; accounturi=${ACCOUNT}" at example.org. ` +
        'Then it goes on by itself.',
    });
    expect(await caa('ca.example; validationmethods=dns-01')).toMatchObject({
      state: 'wrong',
      found: expect.stringMatching(
        /does not allow the validation method tls-alpn-01 or http-01\.$/,
      ),
    });
    expect(world.wanted).toEqual([]);
    expect(await caa(`ca.example; accounturi=${ACCOUNT}; validationmethods=http-01`)).toMatchObject(
      {
        state: 'ok',
      },
    );
    expect(world.wanted).toHaveLength(1);
  });

  test('has an order that failed made again when a person asks, all is right, and not before', async () => {
    const holder = await world.holder();
    const { all, proof } = await world.proven('again.example.org', holder);
    const again = () => world.wanted.map((wanted) => wanted.again);
    expect(again()).toEqual([true]);
    world.nowMs += DAY;
    // Before an order it is looked at as well, which no person has asked for.
    await world.domains.recheck('again.example.org');
    expect(again()).toEqual([true, false]);
    await world.check('again.example.org', holder);
    expect(again()).toEqual([true, false, true]);
    await world.enter(proof);
    await world.check('again.example.org', holder);
    expect(again().slice(3)).toEqual([false]);
    await world.enter(...all, [CUSTOMER, 'CAA', '0 issue "other.example"']);
    await world.check('again.example.org', holder);
    expect(again()).toHaveLength(4);
    await world.enter(...all);
    await world.domains.recheck('again.example.org');
    expect(again().slice(4), 'what was wrong is right').toEqual([true]);
  });

  test('is watched by itself, each by one relay, and looked at no more once it is removed', async () => {
    const holder = await world.holder();
    const { all } = await world.add('watch.example.org', holder);
    await world.enter(...all);
    const [one, other] = [world.another(), world.another()];
    one.start();
    other.start();
    await expect
      .poll(() => world.registry.snapshot.ownDomain('watch.example.org')?.name, { timeout: 10_000 })
      .toBe(holder.name);
    await Promise.all([one.stop(), other.stop()]);
    expect(world.wanted.filter(({ domain }) => domain === 'watch.example.org')).toHaveLength(1);
    await world.registry.perform(
      removeDomain({ domain: ownDomain('watch.example.org'), by: holder.by }),
    );
    const gone = world.check('watch.example.org', holder);
    await expect(gone).rejects.toMatchObject({ code: 'ERR_DOMAIN_UNKNOWN' });
    expect(await world.domains.recheck('watch.example.org')).toMatchObject({ ok: false });
  });

  test('is looked at once by all who ask at the same time, and again no sooner than after a while', async () => {
    const holder = await world.holder();
    await world.proven('often.example.org', holder);
    world.nowMs += 60_000;
    const domains = world.another({ limits: {} });
    const wanted = { domain: ownDomain('often.example.org'), by: holder.by };
    const reports = await Promise.all(Array.from({ length: 50 }, () => domains.check(wanted)));
    expect(new Set(reports.map(({ checkedAtMs }) => checkedAtMs))).toEqual(new Set([world.nowMs]));
    await domains.check(wanted);
    expect(domains.figures).toEqual({ looks: 1, failed: 0, running: 0 });
    // Another relay has looked: this one does not either.
    const elsewhere = world.another({ limits: {} });
    await elsewhere.check(wanted);
    expect(elsewhere.figures.looks).toBe(0);
    // They would look once more, for those who came too late.
    await Promise.all([domains.stop(), elsewhere.stop()]);
  });

  test('is looked at once more for whoever asks right after a look, as soon as it may be', async () => {
    const holder = await world.holder();
    const { all } = await world.add('hasten.example.org', holder);
    world.nowMs += 60_000;
    const domains = world.another({ limits: { againAfterMs: 1_500 } });
    const wanted = { domain: ownDomain('hasten.example.org'), by: holder.by };
    const first = await domains.check(wanted);
    expect([first.state, first.recent]).toEqual(['pending', undefined]);
    // What is entered now, the look of a moment ago has not seen.
    await world.enter(...all);
    const joined = await domains.check(wanted);
    expect(joined).toMatchObject({ state: 'pending', checkedAtMs: first.checkedAtMs });
    expect(joined.recent).toEqual({ secondsAgo: 1, againInSeconds: expect.any(Number) });
    await expect
      .poll(() => world.registry.snapshot.ownDomain('hasten.example.org')?.name, { timeout: 5_000 })
      .toBe(holder.name);
    // By a person's word, as if he had asked then.
    expect(world.wanted.at(-1)).toMatchObject({ domain: 'hasten.example.org', again: true });
    expect(domains.figures.looks).toBe(2);
    // So it is when another relay has looked.
    const elsewhere = world.another({ limits: { againAfterMs: 1_500 } });
    const other = await elsewhere.check(wanted);
    expect(other.recent).toEqual({ secondsAgo: 0, againInSeconds: 2 });
    await expect.poll(() => elsewhere.figures.looks, { timeout: 5_000 }).toBe(1);
    await Promise.all([domains.stop(), elsewhere.stop()]);
  });

  test('is watched though somebody has many slow ones of his looked at all the time', async () => {
    const [mine, hostile] = [await world.holder(), await world.holder()];
    const slow = Array.from({ length: 5 }, (_, at) => `slow-${at}.example.org`);
    const added = await Promise.all(slow.map((name) => world.add(name, hostile)));
    const records = added.flatMap((each) => each.all);
    await world.enter(...records);
    for (const name of slow) await world.check(name, hostile);
    const { all } = await world.add('patient.example.org', mine);
    await world.enter(...records, ...all);
    const held = Promise.withResolvers<void>();
    const domains = world.another({
      limits: { looksMax: 6, watchedMax: 5, askedMax: 3, againAfterMs: 0, pollMs: 20 },
      want: ({ domain }) => (slow.includes(domain) ? held.promise : Promise.resolve()),
    });
    const asked = slow.map((name) => domains.check({ domain: ownDomain(name), by: hostile.by }));
    await expect.poll(() => domains.figures.running).toBeGreaterThan(2);
    domains.start();
    const holder = () => world.registry.snapshot.ownDomain('patient.example.org')?.name;
    await expect.poll(holder, { timeout: 5_000 }).toBe(mine.name);
    held.resolve();
    await Promise.all(asked);
    await domains.stop();
  });

  test('waits for the watch when as many are looked at as may be', async () => {
    const holder = await world.holder();
    const names = Array.from({ length: 4 }, (_, at) => `many-${at}.example.org`);
    for (const name of names) await world.add(name, holder);
    const domains = world.another({ limits: { looksMax: 2 } });
    const reports = await Promise.all(
      names.map((name) => domains.check({ domain: ownDomain(name), by: holder.by })),
    );
    expect(domains.figures.looks).toBe(2);
    expect(reports.filter(({ checkedAtMs }) => checkedAtMs === undefined)).toHaveLength(2);
    // One that would be due tomorrow is due now, before all others.
    const [late] = names;
    await world.check(`${late}`, holder);
    const due = () => world.registry.read(listDomains({ of: 'anybody', domain: `${late}` }));
    expect((await due())[0]?.check_due_at).toBeGreaterThan(world.nowMs);
    const full = world.another({ limits: { looksMax: 0 } });
    world.nowMs += 10_000;
    const waiting = await full.check({ domain: ownDomain(`${late}`), by: holder.by });
    expect(waiting.recent).toEqual({ secondsAgo: 10, againInSeconds: 5 });
    expect((await due())[0]?.check_due_at).toBe(0);
  });
});
