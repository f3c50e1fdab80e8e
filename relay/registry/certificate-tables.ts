// The second migration: the tables of certificates, and of own domains anew, since several names may now
// want the same one. What the columns mean tells schema.ts.
import { sql } from 'kysely';
import { type Engine, growingTable, index, partialIndex, type SchemaDb, table } from './engine.ts';

/** In the order in which they run. */
export const CERTIFICATE_TABLES = [
  rebuildDomains,
  createCertificates,
  createWork,
  createOrders,
  createAnswers,
] as const;

/** Neither database can change a primary key in place, so the rows are copied. */
async function rebuildDomains(db: SchemaDb, { text }: Engine): Promise<void> {
  await table(db, 'domains_anew')
    .addColumn('domain', text, (column) => column.notNull())
    .addColumn('name', text, (column) => column.notNull())
    .addColumn('workspace', text)
    .addColumn('wildcard', 'integer', (column) => column.notNull())
    .addColumn('target', text, (column) => column.notNull())
    .addColumn('proof', text, (column) => column.notNull())
    .addColumn('state', text, (column) => column.notNull())
    .addColumn('added_at', 'bigint', (column) => column.notNull())
    .addColumn('proven_at', 'bigint')
    .addColumn('checked_at', 'bigint')
    .addColumn('check_due_at', 'bigint', (column) => column.notNull())
    .addColumn('failing_since', 'bigint')
    .addColumn('finding', text)
    .addPrimaryKeyConstraint('domains_key', ['domain', 'name'])
    .execute();
  // All of them are due for a look at once.
  await sql`
    insert into domains_anew
      (domain, name, workspace, wildcard, target, proof, state, added_at, proven_at, check_due_at)
    select domain, name, workspace, 0, target, proof, state, added_at,
      case when state = 'pending' then null else added_at end, 0
    from domains`.execute(db);
  await db.schema.dropTable('domains').execute();
  await db.schema.alterTable('domains_anew').renameTo('domains').execute();
  const target = db.schema.createIndex('domains_target').unique().on('domains');
  await target.column('target').execute();
  await partialIndex(db, 'domains_one_proven', {
    on: 'domains',
    columns: ['domain'],
    where: sql<boolean>`state in ('proven', 'suspended')`,
    unique: true,
  });
  await index(db, 'domains', ['name']);
  await index(db, 'domains', ['state', 'check_due_at']);
}

async function createCertificates(db: SchemaDb, engine: Engine): Promise<void> {
  const { text } = engine;
  await growingTable(db, 'certificates', engine)
    .addColumn('purpose', text, (column) => column.notNull())
    .addColumn('subject', text, (column) => column.notNull())
    .addColumn('thumbprint', text, (column) => column.notNull())
    .addColumn('names', text, (column) => column.notNull())
    .addColumn('ca', text, (column) => column.notNull())
    .addColumn('order_url', text, (column) => column.notNull().unique())
    .addColumn('serial', text, (column) => column.notNull())
    .addColumn('key', text)
    .addColumn('chain', text, (column) => column.notNull())
    .addColumn('not_before', 'bigint', (column) => column.notNull())
    .addColumn('not_after', 'bigint', (column) => column.notNull())
    .addColumn('issued_at', 'bigint', (column) => column.notNull())
    .addColumn('replaced_at', 'bigint')
    .addColumn('window_start', 'bigint')
    .addColumn('window_end', 'bigint')
    .addColumn('window_due_at', 'bigint')
    .execute();
  await index(db, 'certificates', ['subject']);
  await partialIndex(db, 'certificates_windows', {
    on: 'certificates',
    columns: ['window_due_at'],
    where: sql<boolean>`replaced_at is null`,
  });
  // The keys are few beside all that was ever issued; those that are sealed anew are found by this.
  await partialIndex(db, 'certificates_keys', {
    on: 'certificates',
    columns: ['id'],
    where: sql<boolean>`key is not null`,
  });
}

async function createWork(db: SchemaDb, { text }: Engine): Promise<void> {
  await table(db, 'certificate_work')
    .addColumn('purpose', text, (column) => column.notNull())
    .addColumn('subject', text, (column) => column.notNull())
    .addColumn('thumbprint', text, (column) => column.notNull())
    .addColumn('names', text, (column) => column.notNull())
    .addColumn('csr', text)
    .addColumn('urgency', 'bigint', (column) => column.notNull())
    .addColumn('due_at', 'bigint', (column) => column.notNull())
    .addColumn('attempts', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('last_error', text)
    .addColumn('last_error_at', 'bigint')
    .addColumn('authority', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('order_url', text)
    .addColumn('order_ca', text)
    .addColumn('order_key', text)
    .addColumn('order_csr', text)
    .addColumn('leased_by', text)
    .addColumn('leased_until', 'bigint')
    .addColumn('fence', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('certificate_id', 'bigint', (column) => column.references('certificates.id'))
    .addPrimaryKeyConstraint('certificate_work_key', ['purpose', 'subject', 'thumbprint'])
    .execute();
  await index(db, 'certificate_work', ['purpose', 'urgency', 'due_at']);
  await index(db, 'certificate_work', ['subject']);
  // Renewals have each an urgency of their own, and are found by when they are due.
  await partialIndex(db, 'certificate_work_renewals', {
    on: 'certificate_work',
    columns: ['purpose', 'due_at'],
    where: sql<boolean>`urgency > 0`,
  });
  await partialIndex(db, 'certificate_work_failing', {
    on: 'certificate_work',
    columns: ['last_error_at'],
    where: sql<boolean>`attempts > 0`,
  });
  await partialIndex(db, 'certificate_work_orders', {
    on: 'certificate_work',
    columns: ['purpose', 'subject', 'thumbprint'],
    where: sql<boolean>`order_key is not null`,
  });
}

async function createOrders(db: SchemaDb, engine: Engine): Promise<void> {
  const { text } = engine;
  await growingTable(db, 'certificate_orders', engine)
    .addColumn('ca', text, (column) => column.notNull())
    .addColumn('purpose', text, (column) => column.notNull())
    .addColumn('subject', text, (column) => column.notNull())
    .addColumn('domain', text, (column) => column.notNull())
    .addColumn('name_set', text, (column) => column.notNull())
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('exempt', 'integer', (column) => column.notNull())
    .execute();
  // By these three, orders are counted; an exempt one never is.
  for (const counted of [[], ['domain'], ['name_set']]) {
    await partialIndex(db, ['certificate_orders_of_ca', ...counted].join('_'), {
      on: 'certificate_orders',
      columns: ['ca', ...counted, 'at'],
      where: sql<boolean>`exempt = 0`,
    });
  }
  await index(db, 'certificate_orders', ['at']);
  await table(db, 'ca_accounts')
    .addColumn('directory', text, (column) => column.primaryKey())
    .addColumn('key', text, (column) => column.notNull())
    .addColumn('url', text)
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute();
}

async function createAnswers(db: SchemaDb, { text }: Engine): Promise<void> {
  await table(db, 'challenge_answers')
    .addColumn('hostname', text, (column) => column.notNull())
    .addColumn('kind', text, (column) => column.notNull())
    .addColumn('token', text, (column) => column.notNull())
    .addColumn('key_authorization', text, (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('challenge_answers_key', ['hostname', 'kind', 'token'])
    .execute();
  await index(db, 'challenge_answers', ['expires_at']);
}
