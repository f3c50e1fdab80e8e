// Brings a database up to date. Of several processes that start at once, one does it and the others wait.
import type { Kysely } from 'kysely';
import { Migrator } from 'kysely/migration';
import type { Engine } from './engine.ts';
import { migrations } from './migrations.ts';
import { RegistryError } from './registry-error.ts';
import type { RegistryTables } from './schema.ts';

/** Rejects with the database's own errors; `title` is how messages name it. */
export async function migrate(
  db: Kysely<RegistryTables>,
  engine: Engine,
  title: string,
): Promise<void> {
  const provider = { getMigrations: async () => ({ ...migrations(engine) }) };
  const { error } = await new Migrator({ db, provider }).migrateToLatest();
  if (error === undefined) return;
  if (error instanceof Error && error.message.includes('corrupted migrations')) {
    throw new RegistryError(
      'ERR_REGISTRY_NEWER',
      `The ${title} was written by a newer version of Waygate. Update this one.`,
      { cause: error },
    );
  }
  throw error;
}
