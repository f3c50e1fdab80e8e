// All of the registry into a snapshot, in batches: a million names are there within seconds, and the event
// loop runs meanwhile.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import { readNames } from './changed-rows.ts';
import type { RegistryTables } from './schema.ts';
import type { RegistrySnapshot } from './snapshot.ts';
import { SnapshotDraft } from './snapshot-draft.ts';

/** Rows in one query: some milliseconds between two turns of the event loop. */
const BATCH_ROWS = 5_000;

type Transaction = Kysely<RegistryTables>;

/** Run it in one transaction. */
export async function readWhole(db: Transaction, historyId: number): Promise<RegistrySnapshot> {
  const draft = new SnapshotDraft();
  let after = '';
  for (let devices = await devicesAfter(db, after); devices.length > 0; ) {
    const last = devices.at(-1)?.thumbprint ?? '';
    const names = await namesBetween(db, after, last);
    // The next batch is on its way while this one is put to its place.
    const next = devicesAfter(db, last);
    addBatch(draft, devices, names);
    devices = await next;
    after = last;
    await nextTurn();
  }
  await readUncommon(db, draft);
  await readDomains(db, draft);
  return draft.done(historyId);
}

/** Own domains that are served. */
async function readDomains(db: Transaction, draft: SnapshotDraft): Promise<void> {
  for (let after = ''; ; ) {
    const rows = await db
      .selectFrom('domains')
      .select(['domain', 'name', 'workspace', 'wildcard'])
      .where('state', '=', 'proven')
      .where('domain', '>', after)
      .orderBy('domain')
      .limit(BATCH_ROWS)
      .execute();
    const last = rows.at(-1);
    if (last === undefined) return;
    for (const row of rows) draft.addDomain(row);
    after = last.domain;
    await nextTurn();
  }
}

type Device = Pick<RegistryTables['devices'], 'thumbprint' | 'public_key' | 'revoked_at'>;
type Name = Pick<RegistryTables['names'], 'name' | 'state' | 'thumbprint'>;

function devicesAfter(db: Transaction, after: string): Promise<Device[]> {
  return db
    .selectFrom('devices')
    .select(['thumbprint', 'public_key', 'revoked_at'])
    .where('thumbprint', '>', after)
    .orderBy('thumbprint')
    .limit(BATCH_ROWS)
    .execute();
}

/** In whatever state: to choose among them, the database would take another index, and sort. */
function namesBetween(db: Transaction, after: string, last: string): Promise<Name[]> {
  return db
    .selectFrom('names')
    .select(['name', 'state', 'thumbprint'])
    .where('thumbprint', '>', after)
    .where('thumbprint', '<=', last)
    .orderBy('thumbprint')
    .orderBy('name')
    .execute();
}

/** Both are in the order of the keys, so they are merged without looking anything up. */
function addBatch(draft: SnapshotDraft, devices: readonly Device[], names: readonly Name[]): void {
  let at = 0;
  for (const { thumbprint, public_key: publicKey, revoked_at: revokedAt } of devices) {
    const held: string[] = [];
    for (let row = names[at]; row?.thumbprint === thumbprint; row = names[at]) {
      if (row.state === 'held') held.push(row.name);
      at += 1;
    }
    draft.add({ thumbprint, publicKey, revoked: revokedAt !== null }, held);
  }
}

/** Former names, and those that will go to another key unless somebody objects: few of all. */
async function readUncommon(db: Transaction, draft: SnapshotDraft): Promise<void> {
  const former = await db
    .selectFrom('names')
    .select('name')
    .where('state', '=', 'former')
    .execute();
  const waiting = await db
    .selectFrom('recoveries')
    .select('name')
    .where('state', '=', 'waiting')
    .execute();
  const names = new Set([...former, ...waiting].map(({ name }) => name));
  for (const row of await readNames(db, names)) draft.addUncommon(row);
}
