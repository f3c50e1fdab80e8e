import { expect, test } from 'vitest';
import { ENGINES } from './deed-world.ts';
import { tryRandomDeeds } from './random-deeds.ts';

test.each(ENGINES)(
  'on $engine, random deeds leave every name with one holder, and the history tells who',
  async (engine) => {
    const runs = engine.engine === 'SQLite' ? 20 : 3;
    await expect(tryRandomDeeds(engine, { runs, length: 40 })).resolves.toBeUndefined();
  },
  60_000,
);
