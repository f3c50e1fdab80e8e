// How often the certificate of an own domain is ordered. What fails at the domain fails at the authority as
// well, which counts it: Let's Encrypt takes five failed authorizations of a name in an hour, and whoever
// meets that limit waits although the fault is gone. An order fails a name once at most, so orders are what
// is bounded here, whoever has brought them about: the ladder, a person who asks, a domain that is removed
// and added again. They are counted where they are spent (budget.ts), for a row may be a new one.
import type { Kysely } from 'kysely';
import type { RegistryWork } from '../database.ts';
import type { RegistryTables } from '../schema.ts';

export const DOMAIN_ORDER_LIMITS = {
  /** One less than Let's Encrypt takes: the clocks of relays differ, and its periods begin when it likes. */
  ordersMax: 4,
  /** The one that failed authorizations are counted in. */
  periodMs: 3_600_000,
  /** After a failure, of whatever kind: what did not get as far as an order is in no count. */
  againAfterMs: 60_000,
  /** What is later than this was noted by a clock that was wrong. */
  clockAheadMs: 3_600_000,
} as const;

/** When one more order may begin, after those that began then: now, or when the oldest that counts ends. */
export function nextDomainOrderMs(begunMs: readonly number[], nowMs: number): number {
  const { ordersMax, periodMs, clockAheadMs } = DOMAIN_ORDER_LIMITS;
  const counted = begunMs.filter((ms) => ms > nowMs - periodMs && ms <= nowMs + clockAheadMs);
  const last = counted.toSorted((one, other) => other - one)[ordersMax - 1];
  return last === undefined ? nowMs : last + periodMs;
}

/** When orders for the domain began; without an authority: at all of them. Renewals of any kind are in it. */
export async function domainOrdersBegun(
  db: Kysely<RegistryTables>,
  { domain, ca, nowMs }: { readonly domain: string; readonly ca?: string; readonly nowMs: number },
): Promise<readonly number[]> {
  const rows = await db
    .selectFrom('certificate_orders')
    .select('at')
    .where('at', '>', nowMs - DOMAIN_ORDER_LIMITS.periodMs)
    .where('purpose', '=', 'domain')
    .where('subject', '=', domain)
    .$if(ca !== undefined, (q) => q.where('ca', '=', ca ?? ''))
    .execute();
  return rows.map(({ at }) => at);
}

/**
 * What keeps a domain from its certificate is gone, as far as anybody can see: its work, if the last attempt
 * came to nothing, is due as soon as it may be. True: sooner than it was. Work that somebody has is his.
 */
export function hastenDomain({
  domain,
  nowMs,
}: {
  readonly domain: string;
  readonly nowMs: number;
}): RegistryWork<boolean> {
  return async (db) => {
    const found = await db
      .selectFrom('certificate_work')
      .select('last_error_at')
      .where('purpose', '=', 'domain')
      .where('subject', '=', domain)
      .where('leased_by', 'is', null)
      .executeTakeFirst();
    const failedMs = found?.last_error_at ?? undefined;
    if (failedMs === undefined) return false;
    const begun = await domainOrdersBegun(db, { domain, nowMs });
    // A clock that was ahead when it failed must not hold it back.
    const gapEndMs = Math.min(failedMs, nowMs) + DOMAIN_ORDER_LIMITS.againAfterMs;
    const dueMs = Math.max(nextDomainOrderMs(begun, nowMs), gapEndMs);
    const { numUpdatedRows } = await db
      .updateTable('certificate_work')
      .set({ due_at: dueMs })
      .where('purpose', '=', 'domain')
      .where('subject', '=', domain)
      .where('leased_by', 'is', null)
      .where('last_error_at', '=', failedMs)
      .where('due_at', '>', dueMs)
      .executeTakeFirst();
    return Number(numUpdatedRows) > 0;
  };
}
