// 100,000 names that want certificates. The figures at a million are in test/long.
import { expect, test } from 'vitest';
import { requires } from '../../../world/requires.ts';
import { onBothEngines } from '../engines.ts';
import { reconcileMany } from './reconcile-many.ts';

onBothEngines(requires('initdb', 'setpriv'), (makeWorld) => {
  test('100,000 names are seen in a moment, and work is taken out of them in another', async () => {
    const figures = await reconcileMany(await makeWorld(), 100_000);
    expect(figures.added).toBe(100_001);
    expect(figures.firstMs).toBeLessThan(20_000);
    expect(figures.againMs).toBeLessThan(10_000);
    expect(figures.cpuMs).toBeLessThan(5_000);
    expect(figures.standstillMs).toBeLessThan(1_500);
    expect(figures.takeMs).toBeLessThan(1_000);
    expect(figures.idleTakeMs).toBeLessThan(1_000);
  }, 60_000);
});
