// The migration that adds to the orders in whose share they are (order-share.ts). Those of before are in
// nobody's: a week later no period reaches them.
import { sql } from 'kysely';
import { type Engine, index, partialIndex, type SchemaDb } from '../engine.ts';

export async function addOrderShares(db: SchemaDb, { text }: Engine): Promise<void> {
  for (const column of ['thumbprint', 'owner_id'] as const) {
    await db.schema.alterTable('certificate_orders').addColumn(column, text).execute();
    await partialIndex(db, `certificate_orders_of_${column}`, {
      on: 'certificate_orders',
      columns: [column, 'at'],
      where: sql<boolean>`${sql.ref(column)} is not null`,
    });
  }
  // The newest order of a set of names, exempt or not.
  await index(db, 'certificate_orders', ['name_set', 'id']);
}
