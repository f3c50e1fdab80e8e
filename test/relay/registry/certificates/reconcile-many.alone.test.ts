// Very many names that want certificates: 100,000 on SQLite, which stands still meanwhile. The figures at
// a million, of both, are in test/long.
import { expect, test } from 'vitest';
import { requires } from '../../../world/requires.ts';
import { onBothEngines } from '../engines.ts';
import { reconcileMany } from './reconcile-many.ts';

onBothEngines(requires('initdb', 'setpriv'), (makeWorld, engine) => {
  test('very many names are seen in a moment, and work is taken out of them in another', async () => {
    const count = engine === 'SQLite' ? 100_000 : 20_000;
    const figures = await reconcileMany(await makeWorld(), count);
    expect(figures.added).toBe(count + 1);
    expect(figures.firstMs).toBeLessThan(20_000);
    expect(figures.againMs).toBeLessThan(10_000);
    expect(figures.cpuMs).toBeLessThan(5_000);
    expect(figures.standstillMs).toBeLessThan(1_500);
    expect(figures.takeMs).toBeLessThan(1_000);
    expect(figures.idleTakeMs).toBeLessThan(1_000);
    // Counted in one go they took 90 ms, once a minute, in which nobody was served.
    expect(figures.figuresStandstillMs).toBeLessThan(60);
  }, 60_000);
});
