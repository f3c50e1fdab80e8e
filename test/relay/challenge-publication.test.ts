// A challenge is ready when the world's name servers have it: real ones of three kinds, behind a
// `waygate dns` of its own, on both databases.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NameServer } from '../../dns/server.ts';
import { ChallengePublication } from '../../relay/challenge-publication.ts';
import { withdrawChallenge } from '../../relay/registry/deeds/challenge.ts';
import { configureApex } from '../../relay/registry/deeds/zone-apex.ts';
import { FOLLOWERS, FollowedZone } from '../world/followed-zone.ts';
import { HiddenPrimary } from '../world/hidden-primary.ts';
import { PostgresServer } from '../world/postgres.ts';
import { freePort } from '../world/public-name-server.ts';
import { requires } from '../world/requires.ts';
import { challenged, vendorZone } from '../world/vendor-zone.ts';
import { until } from '../world/visits.ts';
import { deviceKey, deviceName, makeWorld } from './registry/fixture.ts';
import { feedOf, hostname, settings } from './registry/zone-fixture.ts';

const need = requires('knotd', 'nsd');

describe.skipIf(need.skip)('a challenge with public name servers, on SQLite', () => {
  const zone = tests(() => FollowedZone.start());

  it('is withdrawn at the deadline, which names the one that does not serve it', async () => {
    const knot = zone().server('knot');
    knot.signal('SIGSTOP');
    const before = await zone().values();
    const owner = '_acme-challenge.alice';
    const refused = zone().publication.publish({ owner, value: 'too-late', deadlineMs: 4_000 });
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_CHALLENGE_NOT_SERVED',
      message: expect.stringMatching(/missing at: knot \(no answer \(.*\)\)\. Look into the log/),
      servers: [{ served: false }, { served: true }, { served: true }],
    });
    expect(await zone().values()).toEqual(before);
    knot.signal('SIGCONT');
  }, 30_000);
});

const needPostgres = requires('knotd', 'nsd', 'initdb');

describe.skipIf(needPostgres.skip)('a challenge with public name servers, on PostgreSQL', () => {
  let postgres: PostgresServer | undefined;
  afterAll(() => postgres?.[Symbol.asyncDispose]());
  tests(async () => {
    postgres = await PostgresServer.start();
    return FollowedZone.start(await postgres.createDatabase());
  });
});

function tests(start: () => Promise<FollowedZone>): () => FollowedZone {
  let zone: FollowedZone;
  beforeAll(async () => {
    zone = await start();
  }, 60_000);
  afterAll(() => zone?.[Symbol.asyncDispose]());

  it('is ready when every secondary serves it, one that signs too; several at once', async () => {
    const wanted = [
      ['_acme-challenge.alice', 'first'],
      ['_acme-challenge.alice', 'second'],
      ['_acme-challenge.code.alice', 'third'],
      ['_acme-challenge.bobby', 'fourth'],
      ['_acme-challenge', 'fifth'],
    ] as const;
    const found = await Promise.all(
      wanted.map(([owner, value]) =>
        zone.publication.publish({ owner, value, deadlineMs: 20_000 }),
      ),
    );
    for (const { servers } of found) {
      expect(servers.map(({ name, served }) => [name, served])).toEqual(
        FOLLOWERS.map((software) => [software, true]),
      );
    }
    for (const [at, { servers }] of found.entries()) {
      for (const { found: text } of servers) expect(text).toContain(`"${wanted[at]?.[1]}"`);
    }
    for (const { token } of found) await zone.registry.perform(withdrawChallenge({ token }));
    expect(await zone.values()).toEqual([]);
  }, 30_000);

  it('is not ready while one of them is stopped, and is when it goes on', async () => {
    const knot = zone.server('knot');
    const owner = '_acme-challenge.bobby';
    knot.signal('SIGSTOP');
    let settled = false;
    const ready = zone.publication
      .publish({ owner, value: 'patience', deadlineMs: 30_000 })
      .finally(() => {
        settled = true;
      });
    const others = zone.servers.filter((each) => each !== knot);
    const report = await zone.serves(others, owner, 'patience');
    expect([report.everywhere, settled]).toEqual([true, false]);
    knot.signal('SIGCONT');
    const { servers } = await ready;
    expect(servers.map(({ served }) => served)).toEqual([true, true, true]);
  }, 40_000);
  return () => zone;
}

describe('a challenge', () => {
  async function publishedWith(change: Parameters<typeof settings>[0]) {
    const world = await makeWorld();
    const registry = await world.open();
    await registry.enroll({ name: deviceName('alice'), deviceKey: deviceKey(), actor: 'test' });
    await registry.perform(configureApex(settings(change)));
    const values = async () => {
      const rows = await registry.read((db) => db.selectFrom('challenges').selectAll().execute());
      return rows.map(({ value }) => value);
    };
    return { world, registry, values, publication: new ChallengePublication(registry) };
  }

  const owner = '_acme-challenge.alice';

  it('without secondaries is ready when our own server serves it', async () => {
    const port = await freePort();
    const host = hostname('ns1.vendor.example');
    const nameServers = [{ host, addresses: ['127.0.0.1'], port }];
    const { world, publication } = await publishedWith({ nameServers });
    const source = await feedOf(await world.open());
    const server = new NameServer({ listen: [{ address: '127.0.0.1', port }], source });
    await server.start();
    const { servers } = await publication.publish({ owner, value: 'own', deadlineMs: 10_000 });
    await server.stop();
    expect(servers).toMatchObject([{ name: host, served: true, found: '"own"' }]);
  });

  it('at a secondary that serves another value: the error tells which', async () => {
    await using stale = await HiddenPrimary.start(vendorZone(1));
    await using empty = await HiddenPrimary.start(vendorZone(1));
    stale.source.apply([challenged('alice', ['of-before'])]);
    const secondaries = [
      { name: 'stale', addresses: ['127.0.0.1'], port: stale.port },
      { name: 'empty', addresses: ['127.0.0.1'], port: empty.port },
    ];
    const { publication, values } = await publishedWith({ secondaries });
    const refused = publication.publish({ owner, value: 'new', deadlineMs: 300 });
    await expect(refused).rejects.toThrow(
      /not served everywhere after 300 ms; it is missing at: stale \("of-before"\), empty \(no TXT/,
    );
    expect(await values()).toEqual([]);
  });

  it('is withdrawn when its asker gives up', async () => {
    await using empty = await HiddenPrimary.start(vendorZone(1));
    const secondaries = [{ name: 'empty', addresses: ['127.0.0.1'], port: empty.port }];
    const { publication, values } = await publishedWith({ secondaries });
    const stop = new AbortController();
    const { signal } = stop;
    const given = publication.publish({ owner, value: 'vain', deadlineMs: 60_000, signal });
    given.catch(() => undefined);
    await until(async () => (await values()).length === 1, 5_000, 'the value');
    stop.abort(new Error('the device is gone'));
    await expect(given).rejects.toThrow('the device is gone');
    expect(await values()).toEqual([]);
  });

  it('with name servers whose address nobody knows ends with that', async () => {
    const nameServers = [{ host: hostname('ns.invalid'), addresses: [], port: 53 }];
    const { publication } = await publishedWith({ nameServers });
    await expect(publication.publish({ owner, value: 'x', deadlineMs: 2_000 })).rejects.toThrow(
      /ns\.invalid \(n/,
    );
  });

  it('of too many that wait is refused at once', async () => {
    await using empty = await HiddenPrimary.start(vendorZone(1));
    const secondaries = [{ name: 'empty', addresses: ['127.0.0.1'], port: empty.port }];
    const { publication } = await publishedWith({ secondaries });
    const signal = AbortSignal.timeout(50);
    const wanted = { owner, value: 'x', deadlineMs: 10_000, signal };
    const all = await Promise.allSettled(
      Array.from({ length: 300 }, () => publication.publish(wanted)),
    );
    const busy = all.filter(
      (each) => each.status === 'rejected' && each.reason.code === 'ERR_CHALLENGES_BUSY',
    );
    expect(busy).toHaveLength(300 - 256);
  });

  it('of a name that nobody holds is refused by the registry', async () => {
    const { publication } = await publishedWith({});
    const stranger = { owner: '_acme-challenge.nobody', value: 'x', deadlineMs: 1_000 };
    await expect(publication.publish(stranger)).rejects.toMatchObject({
      code: 'ERR_CHALLENGE_REFUSED',
    });
  });
});
