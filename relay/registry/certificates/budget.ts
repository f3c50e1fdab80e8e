// How much may be asked of an authority. Its own limits are never met: an order that would is not begun,
// and it is told when one may be. What counts is what was begun, in the authority's own periods.
import { type Kysely, type SqlBool, sql } from 'kysely';
import type { RegistryWork } from '../database.ts';
import type { CertificatePurpose, RegistryTables } from '../schema.ts';
import { domainOrdersBegun, nextDomainOrderMs } from './domain-orders.ts';
import {
  NOBODY,
  type Shareholder,
  type ShareLimit,
  shareholder,
  sharePeriods,
} from './order-share.ts';
import { lastOrder } from './spent-order.ts';
import { takeTurn } from './turn.ts';

const HOUR_MS = 3_600_000;

export const BUDGET_LIMITS = {
  /** Let's Encrypt's, by which others count as well or are more generous. */
  ordersPeriodMs: 3 * HOUR_MS,
  /** The same, of certificates. */
  certificatesPeriodMs: 7 * 24 * HOUR_MS,
  /** Rows that one sweep takes away, so that it stays short. */
  sweepMax: 10_000,
  /** Clocks of relays differ by seconds. What is later than this was noted by one that was wrong. */
  clockAheadMs: HOUR_MS,
} as const;

export interface OrderBudget {
  /** New orders of the account. */
  readonly ordersPer3Hours: number;
  /** Certificates below one registered domain. */
  readonly certificatesPerWeek: number;
  /** Certificates of the same set of names. */
  readonly perExactSetPerWeek: number;
}

export interface OrderSpending {
  readonly ca: string;
  readonly purpose: CertificatePurpose;
  readonly subject: string;
  /** The registered domain that the authority counts by. */
  readonly domain: string;
  /** All names, sorted and joined. */
  readonly nameSet: string;
  /** A renewal inside its window: it is noted, and neither counted nor refused. */
  readonly exempt: boolean;
  /** It keeps no certificate that is in use: of such, nobody has more than his share. */
  readonly fresh: boolean;
  readonly nowMs: number;
  readonly budget: OrderBudget;
}

export type Spent =
  | { readonly ok: true }
  | {
      readonly ok: false;
      /** When one more fits, unless others come before. */
      readonly untilMs: number;
      readonly which: keyof OrderBudget | ShareLimit | 'perDomainPerHour';
    };

/** Notes an order that is about to begin; not ok: it must not, and nothing was noted. */
export function spendOrder(spending: OrderSpending): RegistryWork<Spent> {
  const { ca, purpose, subject, domain, nameSet, exempt, fresh, nowMs } = spending;
  return async (db) => {
    await takeTurn(db, `budget ${ca}`);
    // Those of own domains fail by what is not ours, the next ones like the first.
    const shared = !exempt && (fresh || purpose === 'domain');
    const holder = shared ? await shareholder(db, spending) : NOBODY;
    const refusal =
      (await tooOften(db, spending)) ??
      (exempt ? undefined : await exhausted(db, spending, holder));
    if (refusal !== undefined) return refusal;
    await db
      .insertInto('certificate_orders')
      .values({
        ...{ ca, purpose, subject, domain, name_set: nameSet },
        ...{ at: nowMs, exempt: exempt ? 1 : 0, ...holder },
      })
      .execute();
    return { ok: true };
  };
}

/**
 * The authority does not take a renewal for one, so it counts as any new order from here on. Not ok: there
 * is no room for it, and it must not be begun.
 */
export function spendAsNew(spending: OrderSpending): RegistryWork<Spent> {
  const { ca, purpose, subject, nameSet } = spending;
  return async (db) => {
    await takeTurn(db, `budget ${ca}`);
    const last = await lastOrder({ ca, purpose, subject, nameSet })(db);
    // It counts already.
    if (last?.exempt === 0) return { ok: true };
    if (last !== undefined) {
      await db.deleteFrom('certificate_orders').where('id', '=', last.id).execute();
    }
    return spendOrder({ ...spending, exempt: false })(db);
  };
}

/** Takes away what no period reaches any more; returns how much. Again until it is none. */
export function sweepOrders(nowMs: number): RegistryWork<number> {
  return async (db) => {
    const old = db
      .selectFrom('certificate_orders')
      .select('id')
      .where('at', '<=', nowMs - BUDGET_LIMITS.certificatesPeriodMs)
      .orderBy('at')
      .limit(BUDGET_LIMITS.sweepMax);
    const { numDeletedRows } = await db
      .deleteFrom('certificate_orders')
      .where('id', 'in', old)
      .executeTakeFirst();
    return Number(numDeletedRows);
  };
}

/** Of own domains, whose orders fail by what is not ours; renewals in their window fail like others. */
async function tooOften(
  db: Kysely<RegistryTables>,
  { ca, purpose, subject: domain, nowMs }: OrderSpending,
): Promise<(Spent & { ok: false }) | undefined> {
  if (purpose !== 'domain') return undefined;
  const untilMs = nextDomainOrderMs(await domainOrdersBegun(db, { domain, ca, nowMs }), nowMs);
  return untilMs <= nowMs ? undefined : { ok: false, untilMs, which: 'perDomainPerHour' };
}

interface Period {
  readonly which: keyof OrderBudget | ShareLimit;
  readonly periodMs: number;
  readonly max: number;
  readonly counted: ReturnType<typeof sql<SqlBool>>;
}

/** Of several that are spent, the one that lasts longest. */
async function exhausted(
  db: Kysely<RegistryTables>,
  { nowMs, ...spending }: OrderSpending,
  holder: Shareholder,
): Promise<(Spent & { ok: false }) | undefined> {
  let longest: (Spent & { ok: false }) | undefined;
  for (const { which, periodMs, max, counted } of periodsOf(spending, holder)) {
    // Of the newest as many as the budget allows, the oldest: when it ends, there is room for one more.
    const row = await db
      .selectFrom('certificate_orders')
      .select('at')
      .where(counted)
      .where(sql<SqlBool>`exempt = 0`)
      .where('at', '>', nowMs - periodMs)
      // Once a clock was years ahead, no budget would have room for years.
      .where('at', '<=', nowMs + BUDGET_LIMITS.clockAheadMs)
      .orderBy('at', 'desc')
      .offset(Math.max(0, max - 1))
      .limit(1)
      .executeTakeFirst();
    if (row === undefined) continue;
    const untilMs = row.at + periodMs;
    if (longest === undefined || untilMs > longest.untilMs) longest = { ok: false, untilMs, which };
  }
  return longest;
}

function periodsOf(spending: Omit<OrderSpending, 'nowMs'>, holder: Shareholder): readonly Period[] {
  const { ca, domain, nameSet, budget } = spending;
  const { ordersPeriodMs, certificatesPeriodMs: week } = BUDGET_LIMITS;
  return [
    {
      ...{ which: 'ordersPer3Hours', periodMs: ordersPeriodMs },
      ...{ max: budget.ordersPer3Hours, counted: sql`ca = ${ca}` },
    },
    {
      ...{ which: 'certificatesPerWeek', periodMs: week },
      ...{ max: budget.certificatesPerWeek, counted: sql`ca = ${ca} and domain = ${domain}` },
    },
    {
      ...{ which: 'perExactSetPerWeek', periodMs: week },
      ...{ max: budget.perExactSetPerWeek, counted: sql`ca = ${ca} and name_set = ${nameSet}` },
    },
    ...sharePeriods(spending, holder, budget).map(({ per, ...period }) => ({
      ...period,
      periodMs: per === 'week' ? week : ordersPeriodMs,
    })),
  ];
}
