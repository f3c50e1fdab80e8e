import { describe, expect, test } from 'vitest';
import { lapse } from '../../../relay/registry/deeds/lapse.ts';
import { order } from '../../../relay/registry/deeds/order.ts';
import { release } from '../../../relay/registry/deeds/release.ts';
import { rename } from '../../../relay/registry/deeds/rename.ts';
import {
  listHistory,
  listNames,
  listOrders,
  listOwners,
  PAGE_LIMITS,
} from '../../../relay/registry/listings.ts';
import { DeedWorld, ENGINES, operator } from './deeds/deed-world.ts';
import { deviceName } from './fixture.ts';

describe.each(ENGINES)('on $engine, listings', (engine) => {
  test('of names go page by page, whatever comes in between', async () => {
    const world = await DeedWorld.of(engine);
    for (const text of ['bella', 'dora', 'anna', 'clara']) await world.enrolled(text);
    const page = async (after?: string) => {
      const query = after === undefined ? { limit: 2 } : { limit: 2, after };
      return (await world.registry.read(listNames(query))).map(({ name }) => name);
    };
    expect(await page()).toEqual(['anna', 'bella']);
    await world.enrolled('aaron');
    expect(await page('bella')).toEqual(['clara', 'dora']);
    expect(await page('dora')).toEqual([]);
  });

  test('of names tell whose and what they are, and choose by it', async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const { name, key, device } = await world.enrolled('alice', { ownerId });
    await world.do(rename({ name, to: deviceName('alina'), by: device }));
    const bob = await world.enrolled('bob');
    await world.do(release({ name: bob.name, by: operator }));
    await world.registry.markSeen(key.thumbprint, 7);
    const named = async (query: Omit<Parameters<typeof listNames>[0], 'limit'>) =>
      (await world.registry.read(listNames({ ...query, limit: 9 }))).map((each) => each.name);
    expect(await named({ ownerId })).toEqual(['alice', 'alina']);
    expect(await named({ state: 'quarantined' })).toEqual(['bob']);
    expect(await named({ state: 'former', thumbprint: key.thumbprint })).toEqual(['alice']);
    expect(await named({ name: 'alina', ownerId: 'x' })).toEqual([]);
    expect(await world.row('alina')).toEqual({
      name: 'alina',
      state: 'held',
      thumbprint: key.thumbprint,
      ownerId,
      claimedAtMs: world.nowMs,
      successor: undefined,
      untilMs: undefined,
      lastSeenAtMs: undefined,
      software: undefined,
      revoked: false,
    });
  });

  test('of owners count their names', async () => {
    const world = await DeedWorld.of(engine);
    const ann = await world.owner('ann@example.org');
    const bob = await world.owner('bob@example.org');
    await world.enrolled('alice', { ownerId: ann });
    const gone = await world.enrolled('gone', { ownerId: ann });
    await world.do(release({ name: gone.name, by: operator }));
    const all = await world.registry.read(listOwners({ limit: 9 }));
    expect(all.map(({ id, email, names }) => [id, email, names])).toEqual(
      [
        [ann, 'ann@example.org', 1],
        [bob, 'bob@example.org', 0],
      ].sort(),
    );
    const [first, second] = all;
    const after = listOwners({ after: first?.id ?? '', limit: 9 });
    expect(await world.registry.read(after)).toEqual([second]);
    const byMail = listOwners({ email: 'bob@example.org', limit: 9 });
    expect(await world.registry.read(byMail)).toMatchObject([{ id: bob }]);
  });

  test('of the history begin with the newest', async () => {
    const world = await DeedWorld.of(engine);
    const { name, device } = await world.enrolled('alice');
    for (const [from, to] of [
      ['alice', 'alina'],
      ['alina', 'alice'],
    ] as const) {
      await world.do(rename({ name: deviceName(from), to: deviceName(to), by: device }));
    }
    const page = (query: { before?: number; limit: number }) =>
      world.registry.read(listHistory({ name, ...query }));
    const [newest, older] = await page({ limit: 2 });
    expect([newest, older]).toMatchObject([
      { what: 'renamed', detail: 'from alina', actor: `device:${device.thumbprint}` },
      { what: 'renamed', detail: 'to alina', name: 'alice', atMs: world.nowMs },
    ]);
    expect(await page({ before: older?.id ?? 0, limit: 9 })).toMatchObject([{ what: 'enrolled' }]);
    const { thumbprint } = device;
    const ofKey = await world.registry.read(listHistory({ thumbprint, limit: 99 }));
    expect(ofKey).toHaveLength(5);
  });

  test('of the history can leave out what was before the present owner', async () => {
    const world = await DeedWorld.of(engine);
    const { name } = await world.enrolled('alice');
    await world.do(release({ name, by: operator }));
    world.nowMs += world.registry.policy.quarantineMs + 1;
    await world.do(lapse());
    const next = await world.enrolled('alice');
    await world.do(rename({ name, to: deviceName('alina'), by: next.device }));
    const rows = await world.registry.read(listHistory({ name, presentTenure: true, limit: 9 }));
    expect(rows.map(({ what, thumbprint }) => [what, thumbprint])).toEqual([
      ['renamed', next.key.thumbprint],
      ['enrolled', next.key.thumbprint],
    ]);
    expect(await world.history('alice')).toHaveLength(5);
  });

  test('never give more than a page, nor less than a row', async () => {
    const world = await DeedWorld.of(engine);
    for (const text of ['anna', 'bella']) {
      await world.do(order({ name: deviceName(text), actor: 'cli:root' }));
    }
    const { nowMs } = world;
    for (const [limit, count] of [
      [-1, 1],
      [0.5, 1],
      [2.9, 2],
      [1e9, 2],
    ] as const) {
      expect(await world.registry.read(listOrders({ open: true, nowMs, limit }))).toHaveLength(
        count,
      );
      expect(await world.registry.read(listNames({ limit }))).toHaveLength(count);
    }
    expect(PAGE_LIMITS.rowsMax).toBeLessThanOrEqual(1_000);
  });
});
