// What each serial of the zone changed: rows of `zone_journal`, kept for a while, oldest thrown away
// first. So whoever finds his own serial in it also finds every step since. Serials wrap (RFC 1982),
// and the conditions here say "later" and "earlier" in that sense.
import { type Expression, type ExpressionBuilder, type Kysely, type SqlBool, sql } from 'kysely';
import type { RegistryTables } from './schema.ts';
import { clockSerial, isLaterSerial } from './zone-serial.ts';

export const JOURNAL_LIMITS = {
  /** Steps of one label each that are kept: some tens of MB. Secondaries that slept longer take all. */
  rowsMax: 50_000,
  /** Steps are kept for so long, should they be few: a secondary that was away for a week. */
  ageMs: 7 * 86_400_000,
  /** The rows are counted in one of so many publications, because that reads them all. */
  countEvery: 500,
} as const;

type Transaction = Kysely<RegistryTables>;
export type JournalRow = RegistryTables['zone_journal'];

const HALF = 2 ** 31;
const WHOLE = 2 ** 32;

/**
 * The rows after a serial, oldest first. Undefined when the journal does not reach back to it, or when
 * there are more than `rowsMax`: then the whole zone is the way.
 */
export async function journalSince(
  db: Transaction,
  serial: number,
  rowsMax: number = JOURNAL_LIMITS.rowsMax,
): Promise<readonly JournalRow[] | undefined> {
  const known = await db
    .selectFrom('zone_journal')
    .select('serial')
    .where('serial', '=', serial)
    .limit(1)
    .executeTakeFirst();
  if (known === undefined) return undefined;
  const rows = await db
    .selectFrom('zone_journal')
    .selectAll()
    .where((row) => isLater(row, serial))
    .orderBy(distance(serial))
    .orderBy('label')
    .limit(rowsMax + 1)
    .execute();
  if (rows.length > rowsMax) return undefined;
  return rows.map((row) => ({ ...row, serial: Number(row.serial) }));
}

/** All of the zone may be different, in ways that no step tells: whoever follows reads it anew. */
export async function forgetJournal(db: Transaction): Promise<void> {
  await db.deleteFrom('zone_journal').execute();
}

/** The last two serials always stay, so that whoever has kept up finds his own. */
export async function pruneJournal(
  db: Transaction,
  now: { readonly serial: number; readonly last: number; readonly nowMs: number },
  limits: Readonly<Record<keyof typeof JOURNAL_LIMITS, number>> = JOURNAL_LIMITS,
): Promise<void> {
  const { serial, last, nowMs } = now;
  await forgetBefore(db, clockSerial(nowMs - limits.ageMs), last);
  if (Math.random() * limits.countEvery >= 1) return;
  const row = await db
    .selectFrom('zone_journal')
    .select('serial')
    .orderBy(distanceBack(serial))
    .offset(limits.rowsMax)
    .limit(1)
    .executeTakeFirst();
  if (row !== undefined) await forgetBefore(db, Number(row.serial), last);
}

async function forgetBefore(db: Transaction, wanted: number, last: number): Promise<void> {
  const cut = isLaterSerial(last, wanted) ? wanted : last;
  await db
    .deleteFrom('zone_journal')
    .where((row) => isEarlier(row, cut))
    .execute();
}

type Row = ExpressionBuilder<RegistryTables, 'zone_journal'>;

function isLater(row: Row, serial: number): Expression<SqlBool> {
  return row.or([
    row.and([row('serial', '>', serial), row('serial', '<', serial + HALF)]),
    row('serial', '<', serial - HALF),
  ]);
}

function isEarlier(row: Row, serial: number): Expression<SqlBool> {
  return row.or([
    row.and([row('serial', '<', serial), row('serial', '>', serial - HALF)]),
    row('serial', '>', serial + HALF),
  ]);
}

/** How far a row's serial lies after this one. */
function distance(serial: number): Expression<number> {
  return sql<number>`(serial + ${sql.lit(WHOLE - serial)}) % ${sql.lit(WHOLE)}`;
}

/** How far it lies before this one. */
function distanceBack(serial: number): Expression<number> {
  return sql<number>`(${sql.lit(serial + WHOLE)} - serial) % ${sql.lit(WHOLE)}`;
}
