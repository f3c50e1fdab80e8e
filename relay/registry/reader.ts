// From the database to a snapshot: whole at the start, and afterwards only what the history says has
// changed. A thorough reading also counts; whatever the history does not explain is read whole again,
// and judged before it is used.
import { type Kysely, sql } from 'kysely';
import { ShardedMap } from '../../dns/sharded-map.ts';
import { type Changed, readChanged } from './changed-rows.ts';
import type { RegistryTables } from './schema.ts';
import { RegistrySnapshot } from './snapshot.ts';
import { readWhole } from './whole-reading.ts';

/** The greatest loss that needs no explanation: more than so many names, and than this share of all. */
const SHRINK_LIMITS = { namesMax: 20, shareMax: 0.05 } as const;

type Transaction = Kysely<RegistryTables>;

export interface Reading {
  /** The same object as before when nothing has changed. */
  readonly snapshot: RegistrySnapshot;
  /** The names and the keys whose rows may have changed; `undefined`: it was read whole. */
  readonly changed: Pick<Changed, 'about' | 'keys'> | undefined;
  /** Names that are lost without a reason, if they are too many to believe; 0 when it may be used. */
  readonly loss: number;
  /** The serial of the zone at that moment. */
  readonly serial: number;
}

/** `quick`: what the history tells · `counted`: and compare the numbers of rows · `whole`: all of it. */
export type Depth = 'quick' | 'counted' | 'whole';

/** How a process follows the registry. */
export interface Following {
  /** At the start, when there is nothing to judge it by. */
  first(db: Transaction): Promise<Reading>;
  /** The state after `before`. Run it in one transaction. */
  after(db: Transaction, before: RegistrySnapshot, depth: Depth): Promise<Reading>;
}

/**
 * For a name server, which reads what is published by itself (zone-feed.ts): its snapshot has no names,
 * and costs no memory.
 */
export const FOLLOW_SERIAL: Following = {
  first: async (db) => {
    const { serial } = await readMark(db);
    const nothing = { devices: ShardedMap.of<never>([]), holders: ShardedMap.of<never>([]) };
    return { ...UNCHANGED, snapshot: RegistrySnapshot.of(0, nothing), serial };
  },
  after: async (db, snapshot) => ({ ...UNCHANGED, snapshot, serial: (await readMark(db)).serial }),
};

const NOTHING: ReadonlySet<string> = new Set();
const UNCHANGED = { changed: { about: NOTHING, keys: NOTHING }, loss: 0 } as const;

async function readFirst(db: Transaction): Promise<Reading> {
  const { historyId, serial } = await readMark(db);
  const snapshot = await readWhole(db, historyId);
  return { snapshot, changed: undefined, loss: 0, serial };
}

async function readAfter(
  db: Transaction,
  before: RegistrySnapshot,
  depth: Depth,
): Promise<Reading> {
  const { historyId, serial } = await readMark(db);
  if (depth !== 'whole' && historyId >= before.historyId) {
    const change = await readChanged(db, before.historyId);
    if (change !== undefined) {
      const snapshot = next(before, historyId, change);
      if (depth === 'quick' || (await isComplete(db, snapshot))) {
        return { snapshot, changed: change, loss: 0, serial };
      }
    }
  }
  const snapshot = await readWhole(db, historyId);
  return {
    snapshot,
    changed: undefined,
    loss: await unexplainedLoss(db, before, snapshot),
    serial,
  };
}

/** All names and devices, for the data path. */
export const FOLLOW_NAMES: Following = { first: readFirst, after: readAfter };

function next(before: RegistrySnapshot, historyId: number, change: Changed): RegistrySnapshot {
  return historyId === before.historyId ? before : before.with(historyId, change);
}

/** What tells two states apart, from the ends of two indexes. */
async function readMark(
  db: Transaction,
): Promise<{ readonly historyId: number; readonly serial: number }> {
  const row = await db
    .selectNoFrom((from) => [
      from.selectFrom('history').select(sql<number | null>`max(id)`.as('id')).as('historyId'),
      from.selectFrom('zone').select(sql<number | null>`max(serial)`.as('serial')).as('serial'),
    ])
    .executeTakeFirst();
  return { historyId: Number(row?.historyId ?? 0), serial: Number(row?.serial ?? 0) };
}

async function isComplete(db: Transaction, snapshot: RegistrySnapshot): Promise<boolean> {
  const row = await db
    .selectNoFrom((from) => [
      from
        .selectFrom('names')
        .select(sql<number>`count(*)`.as('rows'))
        .where('state', '=', 'held')
        .as('names'),
      from.selectFrom('devices').select(sql<number>`count(*)`.as('rows')).as('devices'),
      from
        .selectFrom('domains')
        .select(sql<number>`count(*)`.as('rows'))
        .where('state', '=', 'proven')
        .as('domains'),
    ])
    .executeTakeFirst();
  const { heldRows, deviceRows, domainRows } = snapshot;
  return (
    Number(row?.names) === heldRows &&
    Number(row?.devices) === deviceRows &&
    Number(row?.domains) === domainRows
  );
}

async function unexplainedLoss(
  db: Transaction,
  before: RegistrySnapshot,
  after: RegistrySnapshot,
): Promise<number> {
  const lost = new Set<string>();
  for (const name of before.names()) if (after.deviceOf(name) === undefined) lost.add(name);
  if (lost.size === 0) return 0;
  const told = await db
    .selectFrom('history')
    .select('name')
    .where('id', '>', before.historyId)
    .where('name', 'is not', null)
    .execute();
  for (const { name } of told) if (name !== null) lost.delete(name);
  if (after.size === 0 && lost.size > 0) return lost.size;
  const { namesMax, shareMax } = SHRINK_LIMITS;
  return lost.size > namesMax && lost.size > before.size * shareMax ? lost.size : 0;
}
