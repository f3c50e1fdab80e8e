// Many names in the registry: a start reads them in batches, and a deed costs no more than among few.
// The figures at a million names are in test/long.
import { expect, test } from 'vitest';
import { requires } from '../../world/requires.ts';
import { onBothEngines } from './engines.ts';
import { fill, openElsewhere } from './many-names.ts';

onBothEngines(requires('initdb', 'setpriv'), (makeWorld) => {
  test('50,000 names are there in a moment, and do not slow a deed down', async () => {
    const world = await makeWorld();
    await fill(world, 50_000);
    const opened = await openElsewhere(world);
    expect(opened.names).toBe(50_000);
    // A tenth of the time that a million may take, though they are a twentieth.
    expect(opened.cpuMs).toBeLessThan(5_000);
    expect(opened.standstillMs).toBeLessThan(1_000);
    expect(opened.deedMs).toBeLessThan(200);
  }, 60_000);
});
