// What becomes of an order that was spent (budget.ts) and came to nothing: authorities count certificates,
// so it must not keep the name from the next attempt for a week.
import type { RegistryWork } from '../database.ts';
import type { OrderSpending } from './budget.ts';

export type SpentOrder = Pick<OrderSpending, 'ca' | 'subject' | 'nameSet'> & {
  /** The authority has it, so it counts as one of its orders still. */
  readonly begun: boolean;
};

/** Gives back the last one of these names. */
export function giveBackOrder({ ca, subject, nameSet, begun }: SpentOrder): RegistryWork<void> {
  return async (db) => {
    const row = await db
      .selectFrom('certificate_orders')
      .select('id')
      .where('ca', '=', ca)
      .where('name_set', '=', nameSet)
      .where('subject', '=', subject)
      .where('exempt', '=', 0)
      .orderBy('at', 'desc')
      .limit(1)
      .executeTakeFirst();
    if (row === undefined) return;
    // Certificates are counted by domain and names, orders by neither.
    if (begun) {
      const nothing = { domain: '', name_set: '' };
      await db.updateTable('certificate_orders').set(nothing).where('id', '=', row.id).execute();
    } else await db.deleteFrom('certificate_orders').where('id', '=', row.id).execute();
  };
}
