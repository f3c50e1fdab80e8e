// The third migration: which keys devices have shown for certificates (device-keys.ts).
import { type Engine, index, type SchemaDb, table } from '../engine.ts';

export async function createDeviceKeys(db: SchemaDb, { text }: Engine): Promise<void> {
  await table(db, 'certificate_keys')
    .addColumn('key_id', text, (column) => column.primaryKey())
    .addColumn('thumbprint', text, (column) => column.notNull())
    .addColumn('name', text, (column) => column.notNull())
    .addColumn('csr', text, (column) => column.notNull())
    .addColumn('shown_at', 'bigint', (column) => column.notNull())
    .execute();
  await index(db, 'certificate_keys', ['thumbprint', 'name', 'shown_at']);
}
