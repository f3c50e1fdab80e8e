// What becomes of an order that was spent (budget.ts) and came to nothing: authorities count certificates,
// so it must not keep the name from the next attempt for a week.
import type { RegistryWork } from '../database.ts';
import type { CertificatePurpose } from '../schema.ts';

/** Whose orders are meant. */
export interface OrdersOf {
  readonly ca: string;
  readonly purpose: CertificatePurpose;
  readonly subject: string;
  readonly nameSet: string;
}

/** The last one, by the order in which they were noted: clocks of relays differ. */
export function lastOrder({
  ca,
  purpose,
  subject,
  nameSet,
}: OrdersOf): RegistryWork<{ readonly id: number; readonly exempt: number } | undefined> {
  return (db) =>
    db
      .selectFrom('certificate_orders')
      .select(['id', 'exempt'])
      .where('name_set', '=', nameSet)
      .where('ca', '=', ca)
      .where('purpose', '=', purpose)
      .where('subject', '=', subject)
      .orderBy('id', 'desc')
      .limit(1)
      .executeTakeFirst();
}

export type SpentOrder = OrdersOf & {
  /** The authority has it, so it counts as one of its orders still. */
  readonly begun: boolean;
};

/** Gives back the last one. What was never counted is left: there is nothing to give back. */
export function giveBackOrder({ begun, ...orders }: SpentOrder): RegistryWork<void> {
  return async (db) => {
    const row = await lastOrder(orders)(db);
    if (row === undefined || row.exempt === 1) return;
    // Certificates are counted by domain and names, orders by neither.
    if (begun) {
      const nothing = { domain: '', name_set: '' };
      await db.updateTable('certificate_orders').set(nothing).where('id', '=', row.id).execute();
    } else await db.deleteFrom('certificate_orders').where('id', '=', row.id).execute();
  };
}
