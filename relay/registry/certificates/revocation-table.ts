// The fourth migration: certificates that their authorities are asked to revoke (revocation-queue.ts), when
// a device was called to come with a new key, and the indexes that make figures cheap.
import { sql } from 'kysely';
import { type Engine, growingTable, index, partialIndex, type SchemaDb } from '../engine.ts';

export async function createRevocations(db: SchemaDb, engine: Engine): Promise<void> {
  const { text } = engine;
  await growingTable(db, 'certificate_revocations', engine)
    .addColumn('certificate_id', 'bigint', (column) =>
      column.unique().references('certificates.id'),
    )
    .addColumn('order_url', text, (column) => column.unique())
    .addColumn('ca', text, (column) => column.notNull())
    .addColumn('subject', text, (column) => column.notNull())
    .addColumn('thumbprint', text, (column) => column.notNull())
    .addColumn('reason', 'integer', (column) => column.notNull())
    .addColumn('asked_at', 'bigint', (column) => column.notNull())
    .addColumn('wanted_at', 'bigint', (column) => column.notNull())
    .addColumn('due_at', 'bigint', (column) => column.notNull())
    .addColumn('until', 'bigint', (column) => column.notNull())
    .addColumn('attempts', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('last_error', text)
    .addColumn('leased_by', text)
    .addColumn('leased_until', 'bigint')
    .addColumn('fence', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('ended_at', 'bigint')
    .addColumn('outcome', text)
    .execute();
  await partialIndex(db, 'certificate_revocations_due', {
    on: 'certificate_revocations',
    columns: ['due_at'],
    where: sql<boolean>`ended_at is null`,
  });
  await index(db, 'certificate_revocations', ['subject']);
  // What a device has, of all that was ever issued.
  await partialIndex(db, 'certificates_of_devices', {
    on: 'certificates',
    columns: ['thumbprint'],
    where: sql<boolean>`thumbprint != ''`,
  });
  await db.schema.alterTable('certificate_work').addColumn('called_at', 'bigint').execute();
  await partialIndex(db, 'certificate_work_called', {
    on: 'certificate_work',
    columns: ['called_at'],
    where: sql<boolean>`called_at is not null`,
  });
  await indexFigures(db);
}

/** What certificate-figures.ts counts, so that it looks at no row of the table itself. */
async function indexFigures(db: SchemaDb): Promise<void> {
  await db.schema.dropIndex('certificate_work_failing').execute();
  await partialIndex(db, 'certificate_work_failures', {
    on: 'certificate_work',
    columns: ['purpose', 'last_error_at'],
    where: sql<boolean>`attempts > 0`,
  });
  await partialIndex(db, 'certificate_work_followed', {
    on: 'certificate_work',
    columns: ['purpose', 'urgency', 'certificate_id'],
    where: sql<boolean>`urgency <= 0 and certificate_id is not null`,
  });
}
