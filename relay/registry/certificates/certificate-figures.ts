// How the certificates are as a whole, for metrics, by what they are for. All is counted in indexes, and in
// parts: SQLite has this process stand still while it counts, and of a hundred thousand that is noticed.
import { setImmediate } from 'node:timers/promises';
import { type RawBuilder, sql } from 'kysely';
import type { RegistryWork } from '../database.ts';
import type { CertificatePurpose } from '../schema.ts';

const DAY_MS = 86_400_000;

const FIGURE_LIMITS = {
  /** Rows that are counted in one go: about a millisecond. */
  part: 5_000,
} as const;

/** Upper bounds of `daysLeft`. */
const DAYS_LEFT = [0, 1, 3, 7, 14, 21, 30, 45, 60, 90] as const;

export const CERTIFICATE_PURPOSES = ['relay', 'device', 'domain'] as const;

/** Of one purpose. */
export interface CertificateFigures {
  /** How many end within so many days; zero: have ended. The greater ones have the smaller in them. */
  readonly daysLeft: readonly { readonly days: number; readonly certificates: number }[];
  /** All that are there, ended ones too. */
  readonly certificates: number;
  /** When the first of them ends; `undefined`: there is none. */
  readonly firstEndMs: number | undefined;
  /** Wanted and not there yet. */
  readonly without: number;
  /** Those whose last attempt failed, and the last error of the one that was tried longest ago. */
  readonly failing: number;
  readonly oldestFailureMs: number | undefined;
}

export type FiguresByPurpose = Readonly<Record<CertificatePurpose, CertificateFigures>>;

export type RegistryRead = <Value>(work: RegistryWork<Value>) => Promise<Value>;

/** Each part is of a moment of its own: what changes meanwhile may be counted twice, or not. */
export async function certificateFigures(
  read: RegistryRead,
  nowMs: number,
): Promise<FiguresByPurpose> {
  return {
    relay: await figuresOf(read, 'relay', nowMs),
    device: await figuresOf(read, 'device', nowMs),
    domain: await figuresOf(read, 'domain', nowMs),
  };
}

async function figuresOf(
  read: RegistryRead,
  purpose: CertificatePurpose,
  nowMs: number,
): Promise<CertificateFigures> {
  // A renewal's urgency is when its certificate ends; of the few others the certificate is looked up.
  const others = await read(endsOfOthers(purpose, nowMs));
  const rows = [...others.rows];
  for (const { days, from, to } of spans(nowMs)) {
    const counted = await countParts(read, { purpose, from, to });
    if (counted.rows > 0) rows.push({ days, rows: counted.rows, firstMs: counted.first });
  }
  const unrenewed = await countParts(read, { purpose, from: undefined, to: 0 });
  const certificates = rows.reduce((sum, each) => sum + each.rows, 0);
  return {
    daysLeft: DAYS_LEFT.map((days) => ({
      days,
      certificates: rows.reduce((sum, each) => sum + (each.days <= days ? each.rows : 0), 0),
    })),
    certificates,
    firstEndMs: rows.reduce<number | undefined>(
      (first, { firstMs }) => Math.min(first ?? firstMs, firstMs),
      undefined,
    ),
    without: Math.max(0, unrenewed.rows - others.certificates),
    ...(await read(failures(purpose))),
  };
}

interface Span {
  /** The least bound that they fit; more than any: infinite. */
  readonly days: number;
  /** Ends after this, */
  readonly from: number;
  /** and not after that; `undefined`: whenever. */
  readonly to: number | undefined;
}

function spans(nowMs: number): readonly Span[] {
  const bounded = DAYS_LEFT.map((days, at) => {
    const before = DAYS_LEFT[at - 1];
    const from = before === undefined ? 0 : nowMs + before * DAY_MS;
    return { days, from, to: nowMs + days * DAY_MS };
  });
  const last = bounded.at(-1)?.to ?? nowMs;
  return [...bounded, { days: Number.POSITIVE_INFINITY, from: last, to: undefined }];
}

interface Range {
  readonly purpose: CertificatePurpose;
  readonly from: number | undefined;
  readonly to: number | undefined;
}

/** How many rows have an urgency above `from` and up to `to`, and the first of these. */
async function countParts(
  read: RegistryRead,
  { purpose, from, to }: Range,
): Promise<{ readonly rows: number; readonly first: number }> {
  const all = { rows: 0, first: Number.POSITIVE_INFINITY };
  for (let after = from, more = true; more; ) {
    const part = await read(countPart({ purpose, from: after, to }));
    all.rows += part.rows;
    all.first = Math.min(all.first, part.first);
    more = part.last !== undefined;
    after = part.last;
    // Nothing of SQLite waits, so others have a turn only when they are given one.
    await setImmediate();
  }
  return all;
}

/** As many as fit a part, all of one urgency together; `last`: there may be more above it. */
function countPart({ purpose, from, to }: Range): RegistryWork<{
  readonly rows: number;
  readonly first: number;
  readonly last: number | undefined;
}> {
  return async (db) => {
    const above = from === undefined ? sql`` : sql`and urgency > ${from}`;
    const upTo = (bound: number | undefined): RawBuilder<unknown> =>
      bound === undefined ? sql`` : sql`and urgency <= ${bound}`;
    const those = (bound: number | undefined) =>
      sql`from certificate_work where purpose = ${purpose} ${above} ${upTo(bound)}`;
    const end = await sql<{ urgency: number }>`
      select urgency ${those(to)} order by urgency limit 1 offset ${FIGURE_LIMITS.part}`.execute(
      db,
    );
    const last = end.rows[0]?.urgency;
    const counted = await sql<{ rows: number | string; first: number | null }>`
      select count(*) as rows, min(urgency) as first ${those(last ?? to)}`.execute(db);
    const [row] = counted.rows;
    return { rows: Number(row?.rows ?? 0), first: row?.first ?? Number.POSITIVE_INFINITY, last };
  };
}

interface Ends {
  readonly days: number;
  readonly rows: number;
  readonly firstMs: number;
}

/** Of certificates that are there, though their next one is not just a renewal: the zone's, and few others. */
function endsOfOthers(
  purpose: CertificatePurpose,
  nowMs: number,
): RegistryWork<{ readonly rows: readonly Ends[]; readonly certificates: number }> {
  return async (db) => {
    const bounds = DAYS_LEFT.map(
      (days) => sql`when not_after <= ${nowMs + days * DAY_MS} then ${sql.lit(days)}`,
    );
    const { rows: found } = await sql<{
      days: number | null;
      rows: number | string;
      first: number;
    }>`
      select days, count(*) as rows, min(not_after) as first from (
        select not_after, case ${sql.join(bounds, sql` `)} else null end as days
        from certificate_work join certificates on certificates.id = certificate_work.certificate_id
        where certificate_work.purpose = ${purpose}
          and urgency <= 0 and certificate_id is not null
      ) as present group by days`.execute(db);
    const rows = found.map(({ days, rows: number, first }) => ({
      days: days ?? Number.POSITIVE_INFINITY,
      rows: Number(number),
      firstMs: first,
    }));
    return { rows, certificates: rows.reduce((sum, each) => sum + each.rows, 0) };
  };
}

function failures(
  purpose: CertificatePurpose,
): RegistryWork<Pick<CertificateFigures, 'failing' | 'oldestFailureMs'>> {
  return async (db) => {
    const { failing, oldest } = await db
      .selectFrom('certificate_work')
      .select((eb) => [eb.fn.countAll().as('failing'), eb.fn.min('last_error_at').as('oldest')])
      .where(sql<boolean>`attempts > 0`)
      .where('purpose', '=', purpose)
      .executeTakeFirstOrThrow();
    return { failing: Number(failing), oldestFailureMs: oldest ?? undefined };
  };
}
