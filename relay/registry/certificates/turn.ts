// Of several relays on one PostgreSQL, one after the other: what counts and then writes, or gives out
// numbers, is wrong when two do it at once. A turn ends with its transaction.
import { type Kysely, PostgresAdapter, sql } from 'kysely';
import type { RegistryTables } from '../schema.ts';

/** Any number that nobody else uses: "cert". */
const TURNS = 0x63657274;

/** Waits until nobody else has a turn of this kind. */
export async function takeTurn(db: Kysely<RegistryTables>, kind: string): Promise<void> {
  // SQLite has one writer at a time anyway.
  if (!(db.getExecutor().adapter instanceof PostgresAdapter)) return;
  await sql`select pg_advisory_xact_lock(${TURNS}::int, hashtext(${kind}))`.execute(db);
}
