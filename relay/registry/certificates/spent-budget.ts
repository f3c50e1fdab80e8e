// How much of an authority's budget (budget.ts) is spent, for metrics.
import type { RegistryWork } from '../database.ts';
import { BUDGET_LIMITS } from './budget.ts';

export interface SpentBudget {
  /** Orders of the account in the last three hours. */
  readonly orders: number;
  /** Certificates below the domain in the last seven days. */
  readonly certificates: number;
}

export function spentBudget({
  ca,
  domain,
  nowMs,
}: {
  readonly ca: string;
  readonly domain: string;
  readonly nowMs: number;
}): RegistryWork<SpentBudget> {
  return async (db) => {
    const counted = db
      .selectFrom('certificate_orders')
      .select((eb) => eb.fn.countAll().as('rows'))
      .where('ca', '=', ca)
      .where('exempt', '=', 0);
    const orders = await counted
      .where('at', '>', nowMs - BUDGET_LIMITS.ordersPeriodMs)
      .executeTakeFirstOrThrow();
    const certificates = await counted
      .where('domain', '=', domain)
      .where('at', '>', nowMs - BUDGET_LIMITS.certificatesPeriodMs)
      .executeTakeFirstOrThrow();
    return { orders: Number(orders.rows), certificates: Number(certificates.rows) };
  };
}
