import { expect, test } from 'vitest';
import { ENGINES } from '../relay/registry/deeds/deed-world.ts';
import { tryRandomDeeds } from '../relay/registry/deeds/random-deeds.ts';

test.each(ENGINES)(
  'on $engine, a long run of random deeds breaks nothing',
  async (engine) => {
    const runs = engine.engine === 'SQLite' ? 400 : 40;
    await expect(tryRandomDeeds(engine, { runs, length: 60 })).resolves.toBeUndefined();
  },
  1_800_000,
);
