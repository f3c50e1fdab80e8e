// A million names that want certificates: how long a relay's start takes to see it.
import { expect, test } from 'vitest';
import { reconcileMany } from '../relay/registry/certificates/reconcile-many.ts';
import { onBothEngines } from '../relay/registry/engines.ts';
import { requires } from '../world/requires.ts';

onBothEngines(requires('initdb', 'setpriv'), (makeWorld, engine) => {
  test('1,000,000 names are seen, and taking work does not wait for them', async () => {
    const figures = await reconcileMany(await makeWorld(), 1_000_000);
    const told = Object.entries(figures).map(([what, value]) => `${what} ${Math.round(value)}`);
    process.stdout.write(`${engine}: ${told.join(', ')}\n`);
    expect(figures.added).toBe(1_000_001);
    expect(figures.firstMs).toBeLessThan(180_000);
    expect(figures.standstillMs).toBeLessThan(2_000);
    expect(figures.takeMs).toBeLessThan(500);
    expect(figures.idleTakeMs).toBeLessThan(500);
  }, 900_000);
});
