// A registry that has lost names is refused, unless its history says why.
import { describe, expect, test, vi } from 'vitest';
import { requires } from '../../world/requires.ts';
import { onBothEngines } from './engines.ts';
import { deviceKey, deviceName, enrollMany, errorsOf, faultIs } from './fixture.ts';

const bob = deviceName('bob');
const actor = 'test';
const by = { kind: 'operator', user: 'test' } as const;

function firstNames(count: number): string {
  return `delete from names where name in (select name from names order by name limit ${count})`;
}

onBothEngines(requires('initdb', 'setpriv'), (makeWorld) => {
  describe('F-11 a registry that has shrunk without a reason is refused', () => {
    test.each([
      ['all of 3 names are gone', 3, 'delete from names', true],
      ['21 of 100 names are gone', 100, firstNames(21), true],
      ['20 of 100 names are gone', 100, firstNames(20), false],
    ])('%s', async (_, count, sql, refused) => {
      const world = await makeWorld();
      const registry = await world.open();
      await enrollMany(registry, 'name', count);
      const before = registry.snapshot;
      await world.query(sql);
      if (refused) await faultIs(registry, 'ERR_REGISTRY_SHRUNK');
      else await vi.waitFor(() => expect(registry.snapshot).not.toBe(before), 20_000);
      expect(registry.snapshot === before).toBe(refused);
      expect(registry.fault?.code).toBe(refused ? 'ERR_REGISTRY_SHRUNK' : undefined);
      expect(errorsOf(world)).toEqual(refused ? ['ERR_REGISTRY_SHRUNK'] : []);
      if (!refused) return;
      const key = deviceKey();
      const change = registry.enroll({ name: bob, deviceKey: key, actor });
      await expect(change).rejects.toMatchObject({ code: 'ERR_REGISTRY_SHRUNK' });
      // Devices that are known go on connecting.
      const [known] = [...before.names()];
      const thumbprint = before.deviceOf(known ?? bob)?.thumbprint ?? '';
      expect(await registry.nextEpoch(thumbprint)).toBe(1);
    });

    test('names that the history says were released are gone as wanted', async () => {
      const world = await makeWorld();
      const [relay, cli] = [await world.open({ pollMs: 3_600_000 }), await world.open()];
      await enrollMany(cli, 'name', 60);
      await relay.poll();
      for (const name of [...cli.snapshot.names()]) await cli.release({ name, by });
      await relay.poll();
      expect(relay.snapshot.size).toBe(0);
      expect(relay.fault).toBeUndefined();
    });
  });
});
