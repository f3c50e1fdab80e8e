// How the certificates are as a whole, for metrics: a few numbers of indexes, whatever their number.
import { type Kysely, type SqlBool, sql } from 'kysely';
import type { RegistryWork } from '../database.ts';
import type { RegistryTables } from '../schema.ts';

const DAY_MS = 86_400_000;

/** Upper bounds of `daysLeft`. */
const DAYS_LEFT = [0, 1, 3, 7, 14, 21, 30, 45, 60, 90] as const;

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

export function certificateFigures(nowMs: number): RegistryWork<CertificateFigures> {
  return async (db) => {
    const ends = await endsByDays(db, nowMs);
    const certificates = ends.reduce((sum, { rows }) => sum + rows, 0);
    const wanted = await count(db, sql`1 = 1`);
    const { failing, oldest } = await db
      .selectFrom('certificate_work')
      .select((eb) => [eb.fn.countAll().as('failing'), eb.fn.min('last_error_at').as('oldest')])
      .where(sql<SqlBool>`attempts > 0`)
      .executeTakeFirstOrThrow();
    return {
      daysLeft: DAYS_LEFT.map((days) => ({
        days,
        certificates: ends.reduce((sum, each) => sum + (each.days <= days ? each.rows : 0), 0),
      })),
      certificates,
      firstEndMs: ends.reduce<number | undefined>(
        (first, { firstMs }) => Math.min(first ?? firstMs, firstMs),
        undefined,
      ),
      without: wanted - certificates,
      failing: Number(failing),
      oldestFailureMs: oldest ?? undefined,
    };
  };
}

type Db = Kysely<RegistryTables>;

interface Ends {
  /** The least bound that they fit; more than any: infinite. */
  readonly days: number;
  readonly rows: number;
  readonly firstMs: number;
}

/** A renewal's urgency is when its certificate ends; of the few others the certificate is looked up. */
async function endsByDays(db: Db, nowMs: number): Promise<readonly Ends[]> {
  const bounds = DAYS_LEFT.map(
    (days) => sql`when ends <= ${nowMs + days * DAY_MS} then ${sql.lit(days)}`,
  );
  const { rows } = await sql<{ days: number | null; rows: number | string; first: number }>`
    select days, count(*) as rows, min(ends) as first from (
      select ends, case ${sql.join(bounds, sql` `)} else null end as days from (
        select urgency as ends from certificate_work where urgency > 0
        union all
        select certificates.not_after from certificate_work
          join certificates on certificates.id = certificate_work.certificate_id
          -- All purposes, named so that the index is used, and not the whole table read.
          where certificate_work.purpose in ('relay', 'device', 'domain') and urgency <= 0
      ) as present
    ) as sorted group by days`.execute(db);
  return rows.map(({ days, rows: number, first }) => ({
    days: days ?? Number.POSITIVE_INFINITY,
    rows: Number(number),
    firstMs: first,
  }));
}

async function count(db: Db, where: ReturnType<typeof sql<SqlBool>>): Promise<number> {
  const { rows } = await db
    .selectFrom('certificate_work')
    .select((eb) => eb.fn.countAll().as('rows'))
    .where(where)
    .executeTakeFirstOrThrow();
  return Number(rows);
}
