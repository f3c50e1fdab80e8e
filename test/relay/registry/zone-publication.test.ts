// What the zone publishes for each state of the registry's rows.
import { pino } from 'pino';
import { describe, expect, it, vi } from 'vitest';
import { publishChallenge } from '../../../relay/registry/deeds/challenge.ts';
import { setLanAddresses } from '../../../relay/registry/deeds/lan-addresses.ts';
import { registerRelay, setRelayAlive } from '../../../relay/registry/deeds/relay-alive.ts';
import { configureApex } from '../../../relay/registry/deeds/zone-apex.ts';
import type { Registry } from '../../../relay/registry/registry.ts';
import { openZoneFeed } from '../../../relay/registry/zone-feed.ts';
import { readZone } from '../../../relay/registry/zone-publication.ts';
import { deviceKey, deviceName, makeWorld, type World } from './fixture.ts';
import { computedAnew, hostname, serialOf, settings, stored, zoneLines } from './zone-fixture.ts';

interface Place {
  readonly world: World;
  readonly registry: Registry;
}

async function published(): Promise<Place> {
  const world = await makeWorld();
  const registry = await world.open();
  await registry.perform(configureApex(settings()));
  return { world, registry };
}

/** The lines of the zone that have to do with a name. */
async function lines(registry: Registry, about: string): Promise<string[]> {
  const log = pino({ level: 'silent' });
  const feed = await openZoneFeed(registry, log);
  await feed.close();
  const pattern = new RegExp(`(^|\\.)${about}`);
  return zoneLines(feed.zone).filter((line) => pattern.test(line));
}

async function enrolled(registry: Registry, ...names: string[]) {
  const key = deviceKey();
  for (const name of names) {
    await registry.enroll({ name: deviceName(name), deviceKey: key, actor: 'test' });
  }
  return key;
}

describe('what is published', () => {
  it('the apex: name servers, glue, certificate authorities, and the hosts of the vendor', async () => {
    const { registry } = await published();
    expect(await lines(registry, '')).toEqual([
      'edge.vendor.example 30 HTTPS 1 . alpn=h2,http/1.1',
      'my.vendor.example 60 CNAME edge.vendor.example.',
      'ns1.vendor.example 3600 A 192.0.2.53',
      'ns1.vendor.example 3600 AAAA 2001:db8::53',
      'tunnel.vendor.example 60 CNAME edge.vendor.example.',
      'vendor.example 3600 CAA 0 issue "ca.example;validationmethods=dns-01"',
      'vendor.example 3600 NS ns.elsewhere.example.',
      'vendor.example 3600 NS ns1.vendor.example.',
    ]);
    const soa = JSON.parse((await stored(registry)).get('') ?? '').find(
      (entry: string[]) => entry[2] === 'SOA',
    );
    expect(soa[3]).toEqual([
      'ns1.vendor.example. host\\.master.vendor.example. 0 3600 600 1209600 30',
    ]);
  });

  it('a held name: itself and everything below it, as the text that all plain devices share', async () => {
    const { registry } = await published();
    await enrolled(registry, 'alice');
    expect((await stored(registry)).get('alice')).toBe('');
    expect(await lines(registry, 'alice')).toEqual([
      '*.alice.vendor.example 60 CNAME edge.vendor.example.',
      'alice.vendor.example 60 CNAME edge.vendor.example.',
    ]);
  });

  it.each([
    ['held', true],
    ['former', true],
    ['ordered', false],
    ['quarantined', false],
  ])('a name that is %s: %s', async (state, expected) => {
    const { registry, world } = await published();
    await enrolled(registry, 'alice');
    world.meddle(`update names set state = '${state}' where name = 'alice'`);
    await registry.perform(async ({ touch }) => touch('alice'));
    expect((await stored(registry)).has('alice')).toBe(expected);
    expect(await stored(registry)).toEqual(await computedAnew(registry));
  });

  it('a released name is gone, its neighbour is not', async () => {
    const { registry } = await published();
    await enrolled(registry, 'alice', 'bob');
    await registry.release({ name: deviceName('alice'), by: { kind: 'operator', user: 'root' } });
    expect(await lines(registry, 'alice')).toEqual([]);
    expect(await lines(registry, 'bob')).toHaveLength(2);
  });

  it('addresses on the LAN, of every name of the device, both families', async () => {
    const { registry } = await published();
    const { thumbprint } = await enrolled(registry, 'alice', 'alicia');
    const addresses = ['fd00::7', '192.168.1.7'];
    await registry.perform(setLanAddresses({ thumbprint, addresses }));
    expect(await lines(registry, 'lan')).toEqual([
      'lan.alice.vendor.example 60 A 192.168.1.7',
      'lan.alice.vendor.example 60 AAAA fd00::7',
      'lan.alicia.vendor.example 60 A 192.168.1.7',
      'lan.alicia.vendor.example 60 AAAA fd00::7',
    ]);
    await registry.perform(setLanAddresses({ thumbprint, addresses: [] }));
    expect((await stored(registry)).get('alice')).toBe('');
  });

  it('relays that are alive, at the edge and at the apex, with HTTPS at the edge', async () => {
    const { registry } = await published();
    await registry.perform(registerRelay({ id: 'one', addresses: ['192.0.2.1', '2001:db8::1'] }));
    await registry.perform(registerRelay({ id: 'two', addresses: ['192.0.2.2'] }));
    const addresses = async () => (await lines(registry, '')).filter((line) => / 30 /.test(line));
    expect(await addresses()).toEqual([
      'edge.vendor.example 30 A 192.0.2.1',
      'edge.vendor.example 30 A 192.0.2.2',
      'edge.vendor.example 30 AAAA 2001:db8::1',
      'edge.vendor.example 30 HTTPS 1 . alpn=h2,http/1.1',
      'vendor.example 30 A 192.0.2.1',
      'vendor.example 30 A 192.0.2.2',
      'vendor.example 30 AAAA 2001:db8::1',
    ]);
    await registry.perform(setRelayAlive({ id: 'one', alive: false }));
    expect((await addresses()).join()).not.toContain('192.0.2.1');
    expect((await addresses()).join()).toContain('192.0.2.2');
  });

  it('the target of an own domain, without CAA, with its proof, also while it is suspended', async () => {
    const { registry } = await published();
    const row =
      '(domain, name, wildcard, target, proof, state, added_at, check_due_at) values ' +
      "('app.example.org', 'alice', 0, 'x7k2', 'a\"proof', 'pending', 1, 1)";
    const touched = async (sql: string) => {
      await registry.perform(async ({ db, touch }) => {
        await db.executeQuery({ sql, parameters: [], query: undefined } as never);
        touch('x7k2.to');
      });
      expect(await stored(registry)).toEqual(await computedAnew(registry));
      return lines(registry, 'x7k2');
    };
    const proof = '_waygate.x7k2.to.vendor.example 1 TXT "a\\"proof"';
    const target = [proof, 'x7k2.to.vendor.example 60 CNAME edge.vendor.example.'];
    expect(await touched(`insert into domains ${row}`)).toEqual(target);
    expect(await touched("update domains set state = 'suspended'")).toEqual(target);
    expect(await touched('delete from domains')).toEqual([]);
  });

  it('a challenge below a workspace, with a record for the workspace that the wildcard loses', async () => {
    const { registry } = await published();
    await enrolled(registry, 'alice');
    const challenge = (owner: string, value: string) =>
      registry.perform(publishChallenge({ owner, value, ttlMs: 60_000 }));
    await challenge('_acme-challenge.code.alice', 'one');
    await challenge('_acme-challenge.alice', 'two');
    await challenge('_acme-challenge.alice', 'three');
    await challenge('_acme-challenge', 'apex');
    await challenge('_acme-challenge.tunnel', 'four');
    expect(await lines(registry, 'alice')).toEqual([
      '*.alice.vendor.example 60 CNAME edge.vendor.example.',
      '_acme-challenge.alice.vendor.example 1 TXT "three"',
      '_acme-challenge.alice.vendor.example 1 TXT "two"',
      '_acme-challenge.code.alice.vendor.example 1 TXT "one"',
      'alice.vendor.example 60 CNAME edge.vendor.example.',
      'code.alice.vendor.example 60 CNAME edge.vendor.example.',
    ]);
    expect(await lines(registry, '_acme-challenge.vendor')).toEqual([
      '_acme-challenge.vendor.example 1 TXT "apex"',
    ]);
    expect(await lines(registry, 'tunnel')).toEqual([
      '_acme-challenge.tunnel.vendor.example 1 TXT "four"',
      'tunnel.vendor.example 60 CNAME edge.vendor.example.',
    ]);
    expect(await stored(registry)).toEqual(await computedAnew(registry));
  });
});

describe('serials', () => {
  it('one for a deed, however much it changes; none when nothing is different', async () => {
    const { registry } = await published();
    const first = await serialOf(registry);
    const key = await enrolled(registry, 'alice', 'bob');
    const second = await serialOf(registry);
    expect(second).toBeGreaterThan(first);
    await registry.perform(
      setLanAddresses({ thumbprint: key.thumbprint, addresses: ['10.0.0.1'] }),
    );
    const rows = await registry.read((db) =>
      db
        .selectFrom('zone_journal')
        .select(['serial', 'label'])
        .where('serial', '>', second)
        .execute(),
    );
    expect(new Set(rows.map(({ serial }) => serial)).size).toBe(1);
    expect(rows.map(({ label }) => label).sort()).toEqual(['alice', 'bob']);
    const third = await serialOf(registry);
    await registry.perform(async ({ touch }) => touch('alice'));
    expect(await serialOf(registry)).toBe(third);
  });

  it('are not drawn, and nothing is published, before a name server has configured the zone', async () => {
    const registry = await (await makeWorld()).open();
    await enrolled(registry, 'alice');
    expect([await serialOf(registry), (await stored(registry)).size]).toEqual([0, 0]);
    await registry.perform(configureApex(settings()));
    expect((await stored(registry)).get('alice')).toBe('');
  });

  it('follow the clock, so a registry from a backup goes on above what it has told since', async () => {
    const { registry } = await published();
    const nowS = Math.floor(Date.now() / 1_000);
    expect(Math.abs((await serialOf(registry)) - nowS)).toBeLessThan(10);
  });

  it('grow with every start of a name server, though its settings are the same', async () => {
    const { registry } = await published();
    const first = await serialOf(registry);
    await registry.perform(configureApex(settings()));
    expect(await serialOf(registry)).toBeGreaterThan(first);
  });

  it('do not go back when the clock does', async () => {
    const { registry } = await published();
    const first = await serialOf(registry);
    vi.useFakeTimers({ toFake: ['Date'], now: 1_000_000_000_000 });
    try {
      await enrolled(registry, 'alice');
      expect(await serialOf(registry)).toBe(first + 1);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('settings', () => {
  it('that change republish what depends on them, and remove what is no more', async () => {
    const { registry } = await published();
    const { thumbprint } = await enrolled(registry, 'alice');
    await registry.perform(setLanAddresses({ thumbprint, addresses: ['10.0.0.1'] }));
    const changed = settings({
      nameServers: [
        { host: hostname('ns2.vendor.example'), addresses: ['192.0.2.54'], port: 53 },
        { host: hostname('ns3.vendor.example'), addresses: ['192.0.2.55'], port: 53 },
      ],
      services: ['tunnel'],
    });
    await registry.perform(configureApex(changed));
    expect(await stored(registry)).toEqual(await computedAnew(registry));
    const labels = ['', 'alice', 'edge', 'ns2', 'ns3', 'tunnel'];
    expect([...(await stored(registry)).keys()]).toEqual(labels);
    await registry.perform(configureApex({ ...changed, ttl: { ...changed.ttl, lan: 7 } }));
    expect(await lines(registry, 'lan')).toEqual(['lan.alice.vendor.example 7 A 10.0.0.1']);
    expect(await stored(registry)).toEqual(await computedAnew(registry));
  });

  it('about secondaries change nothing in the zone, and reach whoever reads the settings', async () => {
    const { registry } = await published();
    const before = await stored(registry);
    const journal = () =>
      registry.read((db) => db.selectFrom('zone_journal').select('serial').execute());
    const steps = (await journal()).length;
    const secondaries = [{ name: 'ns1', addresses: ['192.0.2.1'], port: 53 }];
    await registry.perform(configureApex(settings({ secondaries })));
    expect(await stored(registry)).toEqual(before);
    // A zone published anew begins another journal.
    expect(await journal()).toHaveLength(steps + 1);
    expect((await registry.read(readZone))?.settings.secondaries).toEqual(secondaries);
  });

  it('of another zone are refused: two name servers would undo each other', async () => {
    const { registry } = await published();
    const other = settings({ zone: hostname('other.example') });
    await expect(registry.perform(configureApex(other))).rejects.toMatchObject({
      code: 'ERR_ZONE_DIFFERS',
      message: expect.stringMatching(/vendor\.example.*other\.example.*Correct/),
    });
  });
});
