// The certificates that are wanted, held against the names that there are: at the start all of them, and
// later one name at a time. A million names pass in parts, each a transaction of its own and a few
// statements, so that neither this process nor the database is kept from its other work.
import { setImmediate } from 'node:timers/promises';
import { type Kysely, type SqlBool, sql } from 'kysely';
import type { Hostname } from '../../../dns/name.ts';
import type { RegistryWork, RegistryWrite } from '../database.ts';
import type { RegistryTables } from '../schema.ts';
import { formatNames } from './certificate-names.ts';
import { wipe } from './wipe.ts';
import { URGENCY } from './work.ts';

const RECONCILE_LIMITS = {
  /** Rows of a part: some hundredths of a second, in which SQLite has this process stand still. */
  part: 2_000,
  /** Nothing that failed or waits for a budget waits longer, unless a clock was ahead when it was noted. */
  waitsMaxMs: 8 * 86_400_000,
} as const;

export interface Reconciled {
  readonly added: number;
  readonly dropped: number;
}

/** Adds what is missing and drops what nobody has any more. Safe beside others, and to break off. */
export async function reconcileNames(
  write: RegistryWrite,
  zone: Hostname,
  nowMs: number = Date.now(),
): Promise<Reconciled> {
  let [added, dropped] = [await write(addZone(zone, nowMs)), 0];
  for (let after: string | undefined = ''; after !== undefined; ) {
    const part: Part = await write(addPart(zone, { after, nowMs }));
    added += part.rows;
    after = part.last;
    // Nothing of SQLite waits, so others have a turn only when they are given one.
    await setImmediate();
  }
  for (const purpose of ['relay', 'device', 'domain'] as const) {
    for (let after: string | undefined = ''; after !== undefined; ) {
      const part: Part = await write(dropPart(zone, { after, nowMs, purpose }));
      dropped += part.rows;
      after = part.last;
      await setImmediate();
    }
  }
  return { added, dropped };
}

/** The same for one name, after a deed about it. True: there is something to do now. */
export function reconcileName(
  zone: Hostname,
  name: string,
  nowMs: number = Date.now(),
): RegistryWork<boolean> {
  const subject = `${name}.${zone}`;
  return async (db) => {
    const only = sql<SqlBool>`names.name = ${name}`;
    const rows = await insertNames(db, zone, { only, nowMs });
    for (const purpose of ['relay', 'device'] as const) {
      const gone = sql<SqlBool>`subject = ${subject} and not ${isWanted(zone, purpose)}`;
      await drop(db, { purpose, gone, nowMs });
    }
    return rows > 0;
  };
}

/** The certificate of an own domain that nobody has any more is not wanted any more. True: it was. */
export function reconcileDomain(
  zone: Hostname,
  domain: string,
  nowMs: number = Date.now(),
): RegistryWork<boolean> {
  const gone = sql<SqlBool>`subject = ${domain} and not ${isWanted(zone, 'domain')}`;
  return async (db) => (await drop(db, { purpose: 'domain', gone, nowMs })) > 0;
}

type Db = Kysely<RegistryTables>;
type Condition = ReturnType<typeof sql<SqlBool>>;

interface Part {
  readonly rows: number;
  /** `undefined`: it was the last part. */
  readonly last: string | undefined;
}

interface PartOptions {
  readonly after: string;
  readonly nowMs: number;
}

/** The zone serves every name that has no certificate yet, so it goes before all. */
function addZone(zone: Hostname, nowMs: number): RegistryWork<number> {
  return async (db) => {
    const row = await db
      .insertInto('certificate_work')
      .values({
        ...{ purpose: 'relay', subject: zone, thumbprint: '' },
        names: formatNames([zone, `*.${zone}`]),
        ...{ urgency: URGENCY.zone, due_at: nowMs, attempts: 0, authority: 0, fence: 0 },
      })
      .onConflict((conflict) => conflict.doNothing())
      .returning('fence')
      .executeTakeFirst();
    return row === undefined ? 0 : 1;
  };
}

function addPart(zone: Hostname, { after, nowMs }: PartOptions): RegistryWork<Part> {
  return async (db) => {
    const row = await db
      .selectFrom('names')
      .select('name')
      .where('name', '>', after)
      .orderBy('name')
      .offset(RECONCILE_LIMITS.part - 1)
      .limit(1)
      .executeTakeFirst();
    const from = sql<SqlBool>`names.name > ${after}`;
    const only = row === undefined ? from : sql<SqlBool>`${from} and names.name <= ${row.name}`;
    return { rows: await insertNames(db, zone, { only, nowMs }), last: row?.name };
  };
}

async function insertNames(
  db: Db,
  zone: Hostname,
  { only, nowMs }: { readonly only: Condition; readonly nowMs: number },
): Promise<number> {
  const subject = sql`names.name || ${`.${zone}`}`;
  // Names are letters, digits and hyphens: nothing in them means anything in JSON.
  const names = sql`'["*.' || ${subject} || '","' || ${subject} || '"]'`;
  // Were the state compared as it is, SQLite would go by its index and read all names for every part.
  const { numAffectedRows } = await sql`
    insert into certificate_work
      (purpose, subject, thumbprint, names, urgency, due_at, attempts, authority, fence)
    select 'relay', ${subject}, '', ${names}, ${sql.lit(URGENCY.absent)}, cast(${nowMs} as bigint), 0, 0, 0
    from names
    where ${only} and coalesce(names.state, '') in ('held', 'former') and (
      select fence from certificate_work as present
      where purpose = 'relay' and thumbprint = '' and present.subject = ${subject}) is null
    on conflict do nothing`.execute(db);
  return Number(numAffectedRows ?? 0);
}

function dropPart(
  zone: Hostname,
  { after, nowMs, purpose }: PartOptions & { readonly purpose: 'relay' | 'device' | 'domain' },
): RegistryWork<Part> {
  return async (db) => {
    const row = await db
      .selectFrom('certificate_work')
      .select('subject')
      .where('purpose', '=', purpose)
      .where('subject', '>', after)
      .orderBy('subject')
      .offset(RECONCILE_LIMITS.part - 1)
      .limit(1)
      .executeTakeFirst();
    const from = sql<SqlBool>`subject > ${after}`;
    const range = row === undefined ? from : sql<SqlBool>`${from} and subject <= ${row.subject}`;
    const gone = sql<SqlBool>`${range} and not ${isWanted(zone, purpose)}`;
    const rows = await drop(db, { purpose, gone, nowMs });
    await hasten(db, { purpose, range, nowMs });
    return { rows, last: row?.subject };
  };
}

/** What a clock that was years ahead has put off for years is due now. Renewals that rest are as they were. */
async function hasten(
  db: Db,
  { purpose, range, nowMs }: { purpose: string; range: Condition; nowMs: number },
): Promise<void> {
  await sql`
    update certificate_work set due_at = cast(${nowMs} as bigint)
    where purpose = ${purpose} and ${range} and due_at > ${nowMs + RECONCILE_LIMITS.waitsMaxMs}
      and (attempts > 0 or certificate_id is null
        or (purpose != 'device' and urgency > 0 and due_at > urgency))`.execute(db);
}

/**
 * About a row of `certificate_work`: whether somebody has the name or the domain. Each is one look at an
 * index; as `exists` it would be a join, for which PostgreSQL reads the whole table in every part.
 */
function isWanted(zone: Hostname, purpose: 'relay' | 'device' | 'domain'): Condition {
  if (purpose === 'domain') {
    return sql`(select min(name) from domains where domain = certificate_work.subject) is not null`;
  }
  const suffix = `.${zone}`;
  const chars = sql.lit(suffix.length);
  // A subject of another zone is found by the second line.
  const held = sql`select state from names
    where names.name = case when length(subject) > ${chars}
        then substr(subject, 1, length(subject) - ${chars}) else '' end
      and names.name || ${suffix} = certificate_work.subject
      and names.state in ('held', 'former')`;
  if (purpose === 'device') {
    return sql`(${held} and names.thumbprint = certificate_work.thumbprint) is not null`;
  }
  return sql`(subject = ${zone} or (${held}) is not null)`;
}

async function drop(
  db: Db,
  {
    purpose,
    gone,
    nowMs,
  }: {
    readonly purpose: 'relay' | 'device' | 'domain';
    readonly gone: Condition;
    readonly nowMs: number;
  },
): Promise<number> {
  const rows = await db
    .deleteFrom('certificate_work')
    .where('purpose', '=', purpose)
    .where(gone)
    .returning(['subject', 'thumbprint'])
    .execute();
  // Of devices there may be others with the same name.
  const byDevice = Map.groupBy(rows, ({ thumbprint }) => thumbprint);
  for (const [thumbprint, dropped] of byDevice) {
    const subject = dropped.map((row) => row.subject);
    await wipe(db, { purpose, subject, thumbprint, nowMs });
  }
  return rows.length;
}
