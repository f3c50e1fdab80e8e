// Several processes at one registry: they race, and some are killed at their work.
import { expect, test } from 'vitest';
import { requires } from '../../world/requires.ts';
import { onBothEngines } from './engines.ts';
import { deviceKey, deviceName } from './fixture.ts';
import { killWriters, outputOf, registryChild } from './killed-writers.ts';

onBothEngines(
  requires('initdb', 'setpriv'),
  (makeWorld, engine) => {
    test('R-1 of 100 devices in four processes that claim one name, exactly one gets it', async () => {
      const { place, open } = await makeWorld();
      const keys = Array.from({ length: 100 }, () => deviceKey().text);
      const outputs = await Promise.all(
        [0, 25, 50, 75].map((at) =>
          outputOf(registryChild(place, 'race', ...keys.slice(at, at + 25))),
        ),
      );
      const outcomes = outputs.flatMap((text) => text.split('\n'));
      expect(outcomes).toHaveLength(100);
      const [winner, ...others] = outcomes.filter((outcome) => outcome !== 'ERR_NAME_TAKEN');
      expect(others).toEqual([]);
      const { snapshot } = await open();
      expect(winner).toBe(`${snapshot.deviceOf(deviceName('alice'))?.thumbprint} enrolled`);
    }, 60_000);

    test('F-23 kill -9 at any moment loses nothing that was acknowledged, and leaves nothing half-done', async () => {
      const world = await makeWorld();
      await killWriters(world, 6);
      if (engine === 'PostgreSQL') return;
      expect(await world.query('pragma integrity_check')).toEqual([{ integrity_check: 'ok' }]);
    }, 120_000);
  },
  { fsync: true },
);
