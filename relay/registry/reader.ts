// From the file to a snapshot: whole at the start, and afterwards only what the history says has
// changed. Whatever the history does not explain is read whole again, and judged before it is used.
import type { Kysely } from 'kysely';
import type { RegistryTables } from './migrations.ts';
import {
  type RegisteredDevice,
  type RegistryChange,
  type RegistryMark,
  RegistrySnapshot,
} from './snapshot.ts';

/** The greatest loss that needs no explanation: more than so many names, and than this share of all. */
const SHRINK_LIMITS = { namesMax: 20, shareMax: 0.05 } as const;

/** Deeds that are followed one by one; beyond it (and beyond SQL's parameters) all is read. */
const DEEDS_MAX = 300;

type Transaction = Kysely<RegistryTables>;

export interface Reading {
  readonly snapshot: RegistrySnapshot;
  /** Names that are lost without a reason, if they are too many to believe; 0 when it may be used. */
  readonly loss: number;
}

/** All of it. */
export async function readSnapshot(db: Transaction): Promise<RegistrySnapshot> {
  const mark = await readMark(db);
  const devices = await selectDevices(db).execute();
  const owners = await db.selectFrom('names').select(['name', 'thumbprint']).execute();
  return RegistrySnapshot.of(mark, { devices: devices.map(toDevice), owners });
}

/** The state after `before`, or `undefined` when it is the same. Run it in one transaction. */
export async function readAfter(
  db: Transaction,
  before: RegistrySnapshot,
): Promise<Reading | undefined> {
  const mark = await readMark(db);
  if (isSame(mark, before.mark)) return undefined;
  const change = await readChange(db, before.mark.historyId);
  if (change !== undefined) {
    const explained = { ...mark, ...before.countWith(change) };
    if (isSame(mark, explained)) return { snapshot: before.with(mark, change), loss: 0 };
  }
  const snapshot = await readSnapshot(db);
  return { snapshot, loss: await unexplainedLoss(db, before, snapshot) };
}

async function readMark(db: Transaction): Promise<RegistryMark> {
  const count = (table: 'names' | 'devices') =>
    db.selectFrom(table).select(db.fn.countAll().as('rows')).executeTakeFirstOrThrow();
  const history = await db
    .selectFrom('history')
    .select(db.fn.max('id').as('id'))
    .executeTakeFirst();
  return {
    historyId: Number(history?.id ?? 0),
    names: Number((await count('names')).rows),
    devices: Number((await count('devices')).rows),
  };
}

/** The present rows of all names and keys in the deeds since then; `undefined`: none, or too many. */
async function readChange(db: Transaction, sinceId: number): Promise<RegistryChange | undefined> {
  const deeds = await db
    .selectFrom('history')
    .select(['name', 'thumbprint'])
    .where('id', '>', sinceId)
    .limit(DEEDS_MAX + 1)
    .execute();
  if (deeds.length === 0 || deeds.length > DEEDS_MAX) return undefined;
  const names = [...new Set(deeds.flatMap(({ name }) => name ?? []))];
  const query = db.selectFrom('names').select(['name', 'thumbprint']);
  const rows = names.length === 0 ? [] : await query.where('name', 'in', names).execute();
  const owner = new Map(rows.map(({ name, thumbprint }) => [name, thumbprint]));
  const thumbprints = new Set([
    ...deeds.flatMap(({ thumbprint }) => thumbprint ?? []),
    ...owner.values(),
  ]);
  const devices = await selectDevices(db)
    .where('thumbprint', 'in', [...thumbprints])
    .execute();
  return {
    devices: devices.map(toDevice),
    owners: names.map((name) => ({ name, thumbprint: owner.get(name) })),
  };
}

function selectDevices(db: Transaction) {
  return db.selectFrom('devices').select(['thumbprint', 'public_key', 'revoked_at']);
}

function toDevice(
  row: Pick<RegistryTables['devices'], 'thumbprint' | 'public_key' | 'revoked_at'>,
): RegisteredDevice {
  const { thumbprint, public_key: publicKey, revoked_at: revokedAt } = row;
  return { thumbprint, publicKey, revoked: revokedAt !== null };
}

async function unexplainedLoss(
  db: Transaction,
  before: RegistrySnapshot,
  after: RegistrySnapshot,
): Promise<number> {
  const lost = new Set<string>(before.names());
  for (const name of after.names()) lost.delete(name);
  if (lost.size === 0) return 0;
  const released = await db
    .selectFrom('history')
    .select('name')
    .where('id', '>', before.mark.historyId)
    .where('what', '=', 'released')
    .execute();
  for (const { name } of released) if (name !== null) lost.delete(name);
  if (after.size === 0 && lost.size > 0) return lost.size;
  const { namesMax, shareMax } = SHRINK_LIMITS;
  return lost.size > namesMax && lost.size > before.size * shareMax ? lost.size : 0;
}

function isSame(one: RegistryMark, other: RegistryMark): boolean {
  return (
    one.historyId === other.historyId && one.names === other.names && one.devices === other.devices
  );
}
