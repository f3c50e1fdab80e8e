// 200 processes are killed with -9 in the midst of orders, claims and renames, on each database.
import { test } from 'vitest';
import { onBothEngines } from '../relay/registry/engines.ts';
import { killWriters } from '../relay/registry/killed-writers.ts';
import { requires } from '../world/requires.ts';

onBothEngines(
  requires('initdb', 'setpriv'),
  (makeWorld) => {
    test('F-23 200 writers that are killed leave nothing half-done', async () => {
      await killWriters(await makeWorld(), 200);
    }, 900_000);
  },
  { fsync: true },
);
