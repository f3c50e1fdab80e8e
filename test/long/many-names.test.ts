// A million names in the registry: how long a start takes, and how much memory.
import { expect, test } from 'vitest';
import { onBothEngines } from '../relay/registry/engines.ts';
import { fill, openElsewhere } from '../relay/registry/many-names.ts';
import { requires } from '../world/requires.ts';

onBothEngines(requires('initdb', 'setpriv'), (makeWorld, engine) => {
  test('1,000,000 names are there within ten seconds', async () => {
    const world = await makeWorld();
    await fill(world, 1_000_000);
    const opened = await openElsewhere(world);
    const figures = Object.entries(opened).map(([what, value]) => `${what} ${Math.round(value)}`);
    process.stdout.write(`${engine}: ${figures.join(', ')}\n`);
    expect(opened.names).toBe(1_000_000);
    expect(opened.openMs).toBeLessThan(10_000);
    expect(opened.standstillMs).toBeLessThan(1_000);
    expect(opened.residentMb).toBeLessThan(1_200);
    expect(opened.deedMs).toBeLessThan(100);
  }, 600_000);
});
