// How the schema (schema.ts) comes to be. Migrations run by themselves at every start, forwards only; one
// that was ever released is never changed. What the two databases spell differently is an `Engine`.
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { CERTIFICATE_TABLES } from './certificate-tables.ts';
import { createDeviceKeys } from './certificates/device-key-table.ts';
import { addOrderShares } from './certificates/order-share-columns.ts';
import { createRevocations } from './certificates/revocation-table.ts';
import { type Engine, growingTable, index, partialIndex, type SchemaDb, table } from './engine.ts';
import { createLetters } from './letter-table.ts';

/** By name, in the order in which they run. */
export function migrations(engine: Engine): Readonly<Record<string, Migration>> {
  return {
    '0001-names': {
      up: async (db) => {
        for (const create of [createOwners, createNames, createCodes, createClaims]) {
          await create(db, engine);
        }
        for (const create of [createPortal, createDomains, createHistory, createZone]) {
          await create(db, engine);
        }
      },
    },
    '0002-certificates': {
      up: async (db) => {
        for (const create of CERTIFICATE_TABLES) await create(db, engine);
      },
    },
    '0003-device-keys': { up: (db) => createDeviceKeys(db, engine) },
    '0004-revocations': { up: (db) => createRevocations(db, engine) },
    '0005-letters': { up: (db) => createLetters(db, engine) },
    '0006-order-shares': { up: (db) => addOrderShares(db, engine) },
  };
}

async function createOwners(db: SchemaDb, { text }: Engine): Promise<void> {
  await table(db, 'owners')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('email', text)
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .execute();
  await table(db, 'identities')
    .addColumn('issuer', text, (column) => column.notNull())
    .addColumn('subject', text, (column) => column.notNull())
    .addColumn('owner_id', text, (column) => column.notNull().references('owners.id'))
    .addColumn('added_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('identities_key', ['issuer', 'subject'])
    .execute();
  await index(db, 'owners', ['email']);
  await index(db, 'identities', ['owner_id']);
}

async function createNames(db: SchemaDb, { text, inKeyOrder }: Engine): Promise<void> {
  await table(db, 'devices')
    .addColumn('thumbprint', text, (column) => column.primaryKey())
    .addColumn('public_key', text, (column) => column.notNull())
    .addColumn('epoch', 'bigint', (column) => column.notNull())
    .addColumn('enrolled_at', 'bigint', (column) => column.notNull())
    .addColumn('last_seen_at', 'bigint')
    .addColumn('revoked_at', 'bigint')
    .addColumn('software', text)
    .addColumn('lan_addresses', text)
    .modifyEnd(inKeyOrder)
    .execute();
  await table(db, 'names')
    .addColumn('name', text, (column) => column.primaryKey())
    .addColumn('state', text, (column) => column.notNull())
    .addColumn('thumbprint', text, (column) => column.references('devices.thumbprint'))
    .addColumn('owner_id', text, (column) => column.references('owners.id'))
    .addColumn('skeleton', text, (column) => column.notNull())
    .addColumn('claimed_at', 'bigint', (column) => column.notNull())
    .addColumn('successor', text)
    .addColumn('until', 'bigint')
    .modifyEnd(inKeyOrder)
    .execute();
  // All that a whole reading asks, in the order in which it asks.
  await index(db, 'names', ['thumbprint', 'name', 'state']);
  await index(db, 'names', ['owner_id']);
  await index(db, 'names', ['skeleton']);
  // What lapses, and how many names there are in a state.
  await index(db, 'names', ['state', 'until']);
}

async function createCodes(db: SchemaDb, { text }: Engine): Promise<void> {
  await table(db, 'orders')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('code_hash', text, (column) => column.notNull().unique())
    .addColumn('name', text, (column) => column.notNull())
    .addColumn('domain', text)
    .addColumn('serial', text)
    .addColumn('owner_id', text, (column) => column.references('owners.id'))
    .addColumn('ordered_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('redeemed_at', 'bigint')
    .addColumn('redeemed_by', text)
    .execute();
  await index(db, 'orders', ['name']);
  await table(db, 'transfers')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('code_hash', text, (column) => column.notNull().unique())
    .addColumn('name', text, (column) => column.notNull())
    .addColumn('from_owner_id', text, (column) => column.notNull().references('owners.id'))
    .addColumn('to_email', text, (column) => column.notNull())
    .addColumn('offered_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('state', text, (column) => column.notNull())
    .addColumn('ended_at', 'bigint')
    .execute();
  await oneOpen(db, 'transfers', 'offered');
}

async function createClaims(db: SchemaDb, { text }: Engine): Promise<void> {
  await table(db, 'claims')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('code_hash', text, (column) => column.notNull().unique())
    .addColumn('thumbprint', text, (column) => column.notNull())
    .addColumn('public_key', text, (column) => column.notNull())
    .addColumn('wanted_name', text)
    .addColumn('software', text)
    .addColumn('address', text, (column) => column.notNull())
    .addColumn('network', text, (column) => column.notNull())
    .addColumn('opened_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('state', text, (column) => column.notNull())
    .addColumn('name', text)
    .execute();
  await index(db, 'claims', ['thumbprint']);
  await index(db, 'claims', ['network']);
  await index(db, 'claims', ['expires_at']);
  await table(db, 'recoveries')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('name', text, (column) => column.notNull())
    .addColumn('old_thumbprint', text, (column) => column.notNull())
    .addColumn('new_thumbprint', text, (column) => column.notNull())
    .addColumn('new_public_key', text, (column) => column.notNull())
    .addColumn('owner_id', text, (column) => column.notNull().references('owners.id'))
    .addColumn('begun_at', 'bigint', (column) => column.notNull())
    .addColumn('due_at', 'bigint', (column) => column.notNull())
    .addColumn('state', text, (column) => column.notNull())
    .addColumn('ended_at', 'bigint')
    .addColumn('ended_by', text)
    .execute();
  await index(db, 'recoveries', ['state', 'due_at']);
  await oneOpen(db, 'recoveries', 'waiting');
}

async function createPortal(db: SchemaDb, { text }: Engine): Promise<void> {
  await table(db, 'portal_tokens')
    .addColumn('token_hash', text, (column) => column.primaryKey())
    .addColumn('kind', text, (column) => column.notNull())
    .addColumn('subject', text, (column) => column.notNull())
    .addColumn('issued_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .execute();
  await index(db, 'portal_tokens', ['kind', 'subject']);
  await index(db, 'portal_tokens', ['expires_at']);
  await table(db, 'attempts')
    .addColumn('subject', text, (column) => column.primaryKey())
    .addColumn('failures', 'integer', (column) => column.notNull())
    .addColumn('since', 'bigint', (column) => column.notNull())
    .execute();
  await index(db, 'attempts', ['since']);
}

async function createDomains(db: SchemaDb, { text }: Engine): Promise<void> {
  await table(db, 'domains')
    .addColumn('domain', text, (column) => column.primaryKey())
    .addColumn('name', text, (column) => column.notNull())
    .addColumn('workspace', text)
    .addColumn('target', text, (column) => column.notNull().unique())
    .addColumn('proof', text, (column) => column.notNull())
    .addColumn('state', text, (column) => column.notNull())
    .addColumn('added_at', 'bigint', (column) => column.notNull())
    .execute();
  await index(db, 'domains', ['name']);
  await table(db, 'relays')
    .addColumn('id', text, (column) => column.primaryKey())
    .addColumn('addresses', text, (column) => column.notNull())
    .addColumn('beat', 'bigint', (column) => column.notNull())
    .addColumn('alive', 'integer', (column) => column.notNull())
    .execute();
}

async function createHistory(db: SchemaDb, engine: Engine): Promise<void> {
  const { text } = engine;
  await growingTable(db, 'history', engine)
    .addColumn('at', 'bigint', (column) => column.notNull())
    .addColumn('actor', text, (column) => column.notNull())
    .addColumn('what', text, (column) => column.notNull())
    .addColumn('name', text)
    .addColumn('thumbprint', text)
    .addColumn('detail', text)
    .execute();
  await index(db, 'history', ['name']);
  await index(db, 'history', ['thumbprint']);
}

async function createZone(db: SchemaDb, { text, inKeyOrder }: Engine): Promise<void> {
  await table(db, 'challenges')
    .addColumn('token_hash', text, (column) => column.primaryKey())
    .addColumn('owner', text, (column) => column.notNull())
    .addColumn('label', text, (column) => column.notNull())
    .addColumn('value', text, (column) => column.notNull())
    .addColumn('set_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .execute();
  await index(db, 'challenges', ['label']);
  await index(db, 'challenges', ['expires_at']);
  await table(db, 'zone')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('serial', 'bigint', (column) => column.notNull())
    .addColumn('apex', text, (column) => column.notNull())
    .execute();
  await table(db, 'zone_labels')
    .addColumn('label', text, (column) => column.primaryKey())
    .addColumn('records', text, (column) => column.notNull())
    .modifyEnd(inKeyOrder)
    .execute();
  await table(db, 'zone_journal')
    .addColumn('serial', 'bigint', (column) => column.notNull())
    .addColumn('label', text, (column) => column.notNull())
    .addColumn('before', text)
    .addColumn('after', text)
    .addPrimaryKeyConstraint('zone_journal_key', ['serial', 'label'])
    .execute();
}

/** At most one row per name in this state. */
async function oneOpen(db: SchemaDb, on: 'transfers' | 'recoveries', state: string): Promise<void> {
  await partialIndex(db, `${on}_one_open`, {
    on,
    columns: ['name'],
    where: sql<boolean>`${sql.ref('state')} = ${sql.lit(state)}`,
    unique: true,
  });
}
