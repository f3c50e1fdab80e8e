import { describe, expect, test, vi } from 'vitest';
import { requires } from '../../world/requires.ts';
import { onBothEngines } from './engines.ts';
import { deviceKey, deviceName, enrollMany, expectRefusal } from './fixture.ts';

const alice = deviceName('alice');
const bob = deviceName('bob');
const actor = 'test';
const by = { kind: 'operator', user: 'test' } as const;

onBothEngines(requires('initdb', 'setpriv'), (makeWorld) => {
  describe('names', () => {
    test('belong to a key, and the same key may take its name again', async () => {
      const { open } = await makeWorld();
      const registry = await open();
      const key = deviceKey();
      expect(registry.snapshot.deviceOf(alice)).toBeUndefined();
      expect(await registry.enroll({ name: alice, deviceKey: key, actor })).toBe('enrolled');
      expect(await registry.enroll({ name: alice, deviceKey: key, actor })).toBe('unchanged');
      expect(await registry.enroll({ name: bob, deviceKey: key, actor })).toBe('enrolled');
      const { snapshot } = registry;
      expect(snapshot.deviceOf(alice)).toMatchObject({
        thumbprint: key.thumbprint,
        publicKey: key.text,
        revoked: false,
      });
      expect(snapshot.namesOf(key.thumbprint)).toEqual([alice, bob]);
      expect(snapshot.admissible(key.thumbprint)?.publicKey).toBe(key.text);
      expect(snapshot.size).toBe(2);
      expect([...snapshot.names()]).toEqual([alice, bob]);
    });

    test('of another key are taken; the message says what to do', async () => {
      const { open } = await makeWorld();
      const registry = await open();
      const [first, second] = [deviceKey(), deviceKey()];
      await registry.enroll({ name: alice, deviceKey: first, actor });
      const again = registry.enroll({ name: alice, deviceKey: second, actor });
      expect(await expectRefusal(again, 'ERR_NAME_TAKEN')).toContain('Choose another name');
      expect(registry.snapshot.deviceOf(alice)?.thumbprint).toBe(first.thumbprint);
    });

    test('go to a new key only when the old one is named', async () => {
      const { open } = await makeWorld();
      const registry = await open();
      const [lost, fresh] = [deviceKey(), deviceKey()];
      await registry.enroll({ name: alice, deviceKey: lost, actor });
      const wrong = { name: alice, deviceKey: fresh, actor, replacing: fresh.thumbprint };
      await expectRefusal(registry.enroll(wrong), 'ERR_NAME_TAKEN');
      const right = { ...wrong, replacing: lost.thumbprint };
      expect(await registry.enroll(right)).toBe('replaced');
      expect(registry.snapshot.deviceOf(alice)?.thumbprint).toBe(fresh.thumbprint);
      expect(registry.snapshot.namesOf(lost.thumbprint)).toEqual([]);
    });

    test('R-4 that were released are kept from others for a while, not from their old key', async () => {
      const { open } = await makeWorld();
      const registry = await open();
      const [first, second] = [deviceKey(), deviceKey()];
      await registry.enroll({ name: alice, deviceKey: first, actor });
      await registry.release({ name: alice, by });
      expect(registry.snapshot.deviceOf(alice)).toBeUndefined();
      await expectRefusal(registry.release({ name: alice, by }), 'ERR_NAME_UNKNOWN');
      const other = { name: alice, deviceKey: second, actor };
      await expectRefusal(registry.enroll(other), 'ERR_NAME_QUARANTINED');
      expect(await registry.enroll({ name: alice, deviceKey: first, actor })).toBe('enrolled');
      await registry.close();
      const hasty = await open({}, { quarantineMs: 0 });
      await hasty.release({ name: alice, by });
      expect(await hasty.enroll(other)).toBe('enrolled');
    });

    test('of a revoked key stay with it, and the key is never admitted again', async () => {
      const { open } = await makeWorld();
      const registry = await open();
      const key = deviceKey();
      await registry.enroll({ name: alice, deviceKey: key, actor });
      await registry.revoke({ thumbprint: key.thumbprint, actor });
      await registry.revoke({ thumbprint: key.thumbprint, actor });
      expect(registry.snapshot.admissible(key.thumbprint)).toBeUndefined();
      expect(registry.snapshot.deviceOf(alice)?.revoked).toBe(true);
      const again = registry.enroll({ name: bob, deviceKey: key, actor });
      await expectRefusal(again, 'ERR_DEVICE_REVOKED');
      await expectRefusal(registry.nextEpoch(key.thumbprint), 'ERR_DEVICE_UNKNOWN');
      const unknown = registry.revoke({ thumbprint: 'nobody', actor });
      await expectRefusal(unknown, 'ERR_DEVICE_UNKNOWN');
    });

    test('have a history to which deeds are only added', async () => {
      const { open, query } = await makeWorld();
      const registry = await open();
      const [first, second] = [deviceKey(), deviceKey()];
      await registry.enroll({ name: alice, deviceKey: first, actor: 'cli:root' });
      const replacing = first.thumbprint;
      await registry.enroll({ name: alice, deviceKey: second, actor: 'owner:7', replacing });
      await registry.release({ name: alice, by });
      await registry.revoke({ thumbprint: second.thumbprint, actor });
      await registry.close();
      const rows = await query('select * from history order by id');
      expect(
        rows.map((row) => [
          row['actor'],
          row['what'],
          row['name'],
          row['thumbprint'],
          row['detail'],
        ]),
      ).toEqual([
        ['cli:root', 'enrolled', 'alice', first.thumbprint, null],
        ['owner:7', 'replaced', 'alice', second.thumbprint, first.thumbprint],
        ['cli:test', 'released', 'alice', second.thumbprint, null],
        [actor, 'revoked', null, second.thumbprint, null],
      ]);
    });

    test('are still there after a restart', async () => {
      const { open } = await makeWorld();
      const first = await open();
      const key = deviceKey();
      await first.enroll({ name: alice, deviceKey: key, actor });
      await first.close();
      const second = await open();
      expect(second.snapshot.deviceOf(alice)?.thumbprint).toBe(key.thumbprint);
      await expectRefusal(
        first.enroll({ name: bob, deviceKey: key, actor }),
        'ERR_REGISTRY_CLOSED',
      );
    });
  });

  describe('a snapshot', () => {
    test('never changes; another takes its place, and listeners hear of it', async () => {
      const { open } = await makeWorld();
      const registry = await open();
      const listener = vi.fn();
      const stop = registry.onChange(listener);
      const before = registry.snapshot;
      const key = deviceKey();
      await registry.enroll({ name: alice, deviceKey: key, actor });
      expect(before.deviceOf(alice)).toBeUndefined();
      const changed = [new Set([alice]), new Set([key.thumbprint])] as const;
      expect(listener).toHaveBeenCalledExactlyOnceWith(registry.snapshot, before, ...changed);
      stop();
      await registry.enroll({ name: bob, deviceKey: deviceKey(), actor });
      expect(listener).toHaveBeenCalledOnce();
    });

    test('U-11 shows the deeds of another process at once', async () => {
      const { open } = await makeWorld();
      const [relay, cli] = [await open(), await open()];
      const key = deviceKey();
      const seenMs: number[] = [];
      const see = async (deed: () => Promise<unknown>): Promise<void> => {
        const seen = new Promise<void>((resolve) => {
          const stop = relay.onChange(() => {
            stop();
            resolve();
          });
        });
        await deed();
        const doneMs = performance.now();
        await seen;
        seenMs.push(performance.now() - doneMs);
      };
      await see(() => cli.enroll({ name: alice, deviceKey: key, actor }));
      expect(relay.snapshot.deviceOf(alice)?.thumbprint).toBe(key.thumbprint);
      await see(() => cli.enroll({ name: bob, deviceKey: key, actor }));
      await see(() => cli.release({ name: bob, by }));
      await see(() => cli.revoke({ thumbprint: key.thumbprint, actor }));
      expect(relay.snapshot.admissible(key.thumbprint)).toBeUndefined();
      // The machine may be busy for a moment, but not each time.
      expect(Math.min(...seenMs)).toBeLessThan(100);
      expect(Math.max(...seenMs)).toBeLessThan(2_000);
    });

    test('is not read again for what changes all the time', async () => {
      const { open } = await makeWorld();
      const [one, other] = [await open(), await open()];
      const key = deviceKey();
      await one.enroll({ name: alice, deviceKey: key, actor });
      await other.poll();
      const { snapshot } = other;
      await one.nextEpoch(key.thumbprint);
      await other.poll();
      expect(other.snapshot).toBe(snapshot);
    });

    test('of a name that has become reserved since leaves it out', async () => {
      const { open, query } = await makeWorld();
      const registry = await open();
      await enrollMany(registry, 'name', 2);
      await query("update names set name = 'www' where name = 'name-1'");
      await registry.close();
      expect([...(await open()).snapshot.names()]).toEqual(['name-0']);
    });
  });

  describe('epochs', () => {
    test('grow for each key, over processes and restarts, however many ask at once', async () => {
      const { open } = await makeWorld();
      const [one, other] = [await open(), await open()];
      const keys = [deviceKey(), deviceKey()];
      for (const [at, key] of keys.entries()) {
        await one.enroll({ name: deviceName(`dev-${at}`), deviceKey: key, actor });
      }
      await other.poll();
      for (const { thumbprint } of keys) {
        const drawn = await Promise.all(
          Array.from({ length: 40 }, (_, at) => (at % 2 ? one : other).nextEpoch(thumbprint)),
        );
        expect(drawn.toSorted((a, b) => a - b)).toEqual(
          Array.from({ length: 40 }, (_, at) => at + 1),
        );
      }
      await one.close();
      expect(await (await open()).nextEpoch(keys[0]?.thumbprint ?? '')).toBe(41);
    });

    test('F-12 of a thousand devices that come back at once are drawn in a moment', async () => {
      const { open } = await makeWorld();
      const registry = await open();
      const keys = Array.from({ length: 20 }, deviceKey);
      await Promise.all(
        keys.map((key, at) =>
          registry.enroll({ name: deviceName(`dev-${at}`), deviceKey: key, actor }),
        ),
      );
      const startedMs = performance.now();
      await Promise.all(
        Array.from({ length: 1_000 }, (_, at) =>
          registry.nextEpoch(keys[at % 20]?.thumbprint ?? ''),
        ),
      );
      // One commit each would take several seconds.
      expect(performance.now() - startedMs).toBeLessThan(1_000);
    });
  });

  test('when a device was last seen is known at once, and after a restart', async () => {
    const { open } = await makeWorld();
    const registry = await open();
    const key = deviceKey();
    await registry.enroll({ name: alice, deviceKey: key, actor });
    expect(await registry.lastSeenMs(key.thumbprint)).toBeUndefined();
    registry.markSeen(key.thumbprint, 2_000);
    registry.markSeen(key.thumbprint, 1_000);
    registry.markSeen('nobody', 3_000);
    expect(await registry.lastSeenMs(key.thumbprint)).toBe(2_000);
    await registry.close();
    const again = await open();
    expect(await again.lastSeenMs(key.thumbprint)).toBe(2_000);
    expect(await again.lastSeenMs('nobody')).toBeUndefined();
  });
});
