// The registry's schema and how it came to be. Migrations run by themselves at every start, forwards
// only; one that was ever released is never changed. Times are milliseconds since 1970 in UTC. The
// schema and all queries keep to what SQLite and PostgreSQL share, but for the growing `history.id`.
import type { Generated, Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

export interface RegistryTables {
  devices: {
    thumbprint: string;
    /** The text form of key.ts. */
    public_key: string;
    epoch: number;
    enrolled_at: number;
    last_seen_at: number | null;
    revoked_at: number | null;
  };
  names: { name: string; thumbprint: string; claimed_at: number };
  /** Every change of `names` and of who may connect; rows are only ever added. */
  history: {
    id: Generated<number>;
    at: number;
    actor: string;
    what: Deed;
    name: string | null;
    thumbprint: string | null;
    detail: string | null;
  };
}

export type Deed = 'enrolled' | 'replaced' | 'released' | 'revoked';

/** By name, in the order in which they run. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-names-of-devices': { up: createTables },
};

async function createTables(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('devices')
    .addColumn('thumbprint', 'text', (column) => column.primaryKey())
    .addColumn('public_key', 'text', (column) => column.notNull())
    .addColumn('epoch', 'bigint', (column) => column.notNull())
    .addColumn('enrolled_at', 'bigint', (column) => column.notNull())
    .addColumn('last_seen_at', 'bigint')
    .addColumn('revoked_at', 'bigint')
    .execute();
  await db.schema
    .createTable('names')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('thumbprint', 'text', (column) => column.notNull().references('devices.thumbprint'))
    .addColumn('claimed_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('history')
    .addColumn('id', 'integer', (column) => column.primaryKey().autoIncrement())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('actor', 'text', (column) => column.notNull())
    .addColumn('what', 'text', (column) => column.notNull())
    .addColumn('name', 'text')
    .addColumn('thumbprint', 'text')
    .addColumn('detail', 'text')
    .execute();
  await db.schema.createIndex('names_thumbprint').on('names').column('thumbprint').execute();
  await db.schema.createIndex('history_name').on('history').column('name').execute();
}
