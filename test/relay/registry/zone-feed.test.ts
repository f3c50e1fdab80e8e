// The zone that a name server gets from a registry: always what the rows say, whoever changed them.
import { copyFileSync, rmSync } from 'node:fs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { expireChallenges, publishChallenge } from '../../../relay/registry/deeds/challenge.ts';
import { configureApex } from '../../../relay/registry/deeds/zone-apex.ts';
import type { Registry } from '../../../relay/registry/registry.ts';
import type { ZoneFeed } from '../../../relay/registry/zone-feed.ts';
import { pruneJournal } from '../../../relay/registry/zone-journal.ts';
import { isLaterSerial } from '../../../relay/registry/zone-serial.ts';
import { deviceKey, deviceName, enrollMany, makeWorld, type World } from './fixture.ts';
import { enroll, feedOf, serialOf, serves, settings, until } from './zone-fixture.ts';

const OPERATOR = { kind: 'operator', user: 'root' } as const;

async function published(): Promise<{ world: World; registry: Registry; feed: ZoneFeed }> {
  const world = await makeWorld();
  const registry = await world.open();
  await registry.perform(configureApex(settings()));
  return { world, registry, feed: await feedOf(registry) };
}

describe('the feed', () => {
  it('serves a deed of its own process as soon as the deed is done', async () => {
    const { registry, feed } = await published();
    const changes: string[][] = [];
    feed.onChange((_, labels) => void changes.push([...labels]));
    await enroll(registry, 'alice');
    await feed.follow();
    expect(serves(feed.zone, 'alice')).toBe(true);
    expect(feed.zone.serial).toBe(await serialOf(registry));
    expect(changes).toEqual([['alice']]);
    await registry.release({ name: deviceName('alice'), by: OPERATOR });
    await feed.follow();
    expect(serves(feed.zone, 'alice')).toBe(false);
  });

  it('shares one node among all plain devices, in its first reading and in later ones', async () => {
    const { registry, feed } = await published();
    await enroll(registry, 'alice');
    await enroll(registry, 'bobby');
    await feed.follow();
    const later = await feedOf(registry);
    for (const { zone } of [feed, later]) {
      expect(zone.top.get('alice')).toBe(zone.top.get('bobby'));
      expect(zone.top.get('alice')?.sets).toHaveLength(1);
    }
  });

  it('puts the targets of own domains together below one label', async () => {
    const { registry, feed } = await published();
    const add = (target: string) =>
      registry.perform(async ({ db, touch }) => {
        const row = { domain: `${target}.example.org`, name: 'alice', workspace: null, target };
        await db
          .insertInto('domains')
          .values({
            ...row,
            wildcard: 0,
            proof: 'p',
            state: 'proven',
            added_at: 1,
            check_due_at: 1,
          })
          .execute();
        touch(`${target}.to`);
      });
    await add('x1');
    await add('x2');
    await feed.follow();
    expect([...(feed.zone.top.get('to')?.children?.keys() ?? [])]).toEqual(['x1', 'x2']);
    await registry.perform(async ({ db, touch }) => {
      await db.deleteFrom('domains').execute();
      for (const target of ['x1', 'x2']) touch(`${target}.to`);
    });
    await feed.follow();
    expect(feed.zone.top.get('to')).toBeUndefined();
  });
});

describe('steps', () => {
  it('are known after a restart', async () => {
    const { world, registry, feed } = await published();
    const { serial } = feed.zone;
    await enroll(registry, 'alice');
    await registry.close();
    const later = await feedOf(await world.open());
    const steps = await later.stepsSince(serial);
    expect(steps?.flatMap(({ added }) => added.map(({ owner }) => owner))).toEqual([
      'alice.vendor.example',
      '*.alice.vendor.example',
    ]);
    expect(await later.stepsSince(later.zone.serial)).toEqual([]);
  });

  it('of a serial that was never told, or is later than ours, are not known', async () => {
    const { feed } = await published();
    expect(await feed.stepsSince(7)).toBeUndefined();
    expect(await feed.stepsSince(feed.zone.serial + 5)).toBeUndefined();
  });

  it('that are thrown away mean a whole transfer, and the last one always stays', async () => {
    const { registry, feed } = await published();
    const { serial: first } = feed.zone;
    await enroll(registry, 'alice');
    await feed.follow();
    const { serial: last } = feed.zone;
    await enroll(registry, 'bobby');
    await feed.follow();
    expect(await feed.stepsSince(first)).toHaveLength(2);
    const { serial } = feed.zone;
    const limits = { ageMs: 0, rowsMax: 0, countEvery: 1 };
    await registry.write((db) =>
      pruneJournal(db, { serial, last, nowMs: Date.now() + 1_000_000_000 }, limits),
    );
    expect(await feed.stepsSince(first)).toBeUndefined();
    expect(await feed.stepsSince(last)).toHaveLength(1);
    await enroll(registry, 'carol');
    await feed.follow();
    expect(serves(feed.zone, 'carol')).toBe(true);
  });

  it('are bounded by rows', async () => {
    const { registry, feed } = await published();
    await enrollMany(registry, 'name', 30);
    await feed.follow();
    const { serial } = feed.zone;
    const limits = { ageMs: 1_000_000, rowsMax: 10, countEvery: 1 };
    const now = { serial, last: serial - 1, nowMs: Date.now() };
    await registry.write((db) => pruneJournal(db, now, limits));
    const rows = await registry.read((db) =>
      db.selectFrom('zone_journal').select('serial').execute(),
    );
    expect(rows.length).toBeLessThanOrEqual(11);
    expect(rows.length).toBeGreaterThan(5);
  });

  it('go on over the end of the 32 bits', async () => {
    // In the year 2106.
    vi.useFakeTimers({ toFake: ['Date'], now: (2 ** 32 - 3) * 1_000 });
    onTestFinished(() => void vi.useRealTimers());
    const { registry, feed } = await published();
    await feed.close();
    const wrapping = await feedOf(registry);
    const { serial: first } = wrapping.zone;
    expect(first).toBe(2 ** 32 - 3);
    for (const name of ['alice', 'bobby', 'carol', 'david']) await enroll(registry, name);
    await wrapping.follow();
    expect(wrapping.zone.serial).toBe(2);
    expect(isLaterSerial(wrapping.zone.serial, first)).toBe(true);
    expect((await wrapping.stepsSince(first))?.map(({ to }) => to)).toEqual([
      2 ** 32 - 2,
      2 ** 32 - 1,
      1,
      2,
    ]);
  });

  it('a deed of very many names is told as a whole zone', async () => {
    const { registry, feed } = await published();
    const { serial } = feed.zone;
    const { thumbprint } = deviceKey();
    await registry.perform(async ({ db, nowMs, touch }) => {
      const names = Array.from({ length: 10_001 }, (_, at) => `many-${at}`);
      const device = { thumbprint, public_key: 'k', epoch: 0, enrolled_at: nowMs };
      await db.insertInto('devices').values(device).execute();
      for (let start = 0; start < names.length; start += 1_000) {
        const rows = names.slice(start, start + 1_000).map((name) => ({
          ...{ name, thumbprint, skeleton: name, claimed_at: nowMs, state: 'held' as const },
        }));
        await db.insertInto('names').values(rows).execute();
      }
      for (const name of names) touch(name);
    });
    await feed.follow();
    expect(serves(feed.zone, 'many-10000')).toBe(true);
    expect(await feed.stepsSince(serial)).toBeUndefined();
  });
});

describe('a registry in trouble', () => {
  it('that went back in time (a backup was restored) gets a serial above what was told', async () => {
    const { world, registry, feed } = await published();
    await enroll(registry, 'alice');
    await registry.perform(configureApex(settings()));
    world.meddle(`vacuum into '${world.file}.backup'`);
    onTestFinished(() => rmSync(`${world.file}.backup`, { force: true }));
    await enroll(registry, 'bobby');
    // Far ahead of the clock, as after a busy day.
    world.meddle(`update zone set serial = serial + 100000;
      update zone_journal set serial = serial + 100000`);
    await registry.poll();
    await feed.follow();
    const told = feed.zone.serial;
    expect(serves(feed.zone, 'bobby')).toBe(true);
    rmSync(`${world.file}-wal`, { force: true });
    rmSync(`${world.file}-shm`, { force: true });
    rmSync(world.file);
    copyFileSync(`${world.file}.backup`, world.file);
    await until(feed, (zone) => !serves(zone, 'bobby'));
    expect(isLaterSerial(feed.zone.serial, told)).toBe(true);
    expect(await serialOf(registry)).toBe(feed.zone.serial);
  });

  it('that cannot be read leaves the last good zone, and is followed again when it is back', async () => {
    const { world, registry, feed } = await published();
    await enroll(registry, 'alice');
    await feed.follow();
    world.meddle('alter table zone rename to elsewhere');
    await registry.poll();
    // Nobody has to change anything before it is told: the metric is for whoever is on call.
    expect(feed.fault).toBeDefined();
    await feed.follow();
    expect(feed.fault).toBeDefined();
    expect(serves(feed.zone, 'alice')).toBe(true);
    expect(await feed.stepsSince(1)).toBeUndefined();
    world.meddle('alter table elsewhere rename to zone');
    const other = await world.open();
    await enroll(other, 'bobby');
    await until(feed, (zone) => serves(zone, 'bobby'));
    await feed.follow();
    expect(feed.fault).toBeUndefined();
  });

  it('that has lost most of the zone is not believed', async () => {
    const { world, registry, feed } = await published();
    await enrollMany(registry, 'name', 40);
    await feed.follow();
    world.meddle(`delete from zone_labels where label like 'name%'; delete from zone_journal;
      update zone set serial = serial + 1`);
    await registry.poll();
    await feed.follow();
    expect(feed.fault?.message).toMatch(/lost 40 of .*Restore it/);
    expect(serves(feed.zone, 'name-7')).toBe(true);
  });
});

describe('challenges', () => {
  it('end by themselves', async () => {
    const { world, registry, feed } = await published();
    await enroll(registry, 'alice');
    const challenge = { owner: '_acme-challenge.alice', value: 'v', ttlMs: 60_000 };
    await registry.perform(publishChallenge(challenge));
    expect(await registry.perform(expireChallenges())).toBe(0);
    world.meddle('update challenges set expires_at = 1');
    expect(await registry.perform(expireChallenges())).toBe(1);
    await feed.follow();
    expect(feed.zone.find(['alice', '_acme-challenge'])).toBeUndefined();
  });
});
