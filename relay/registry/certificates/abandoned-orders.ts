// Orders of devices that nobody goes on with: the device came with another key or lost the name, or a relay
// left the order for another authority. A certificate may come of one all the same, which is then kept in
// the ledger and revoked (revocation-queue.ts). But an authority may give out an open order again, to
// whoever wants the same names: then it is not abandoned any more.
import { type Kysely, sql } from 'kysely';
import type { RegistryWork } from '../database.ts';
import type { RegistryTables } from '../schema.ts';
import { formatNames } from './certificate-names.ts';
import type { IssuedCertificate } from './finish.ts';
import { type Asking, type Revocation, withRevocations } from './revocation-queue.ts';
import { takeTurn } from './turn.ts';

const ABANDONED_LIMITS = {
  /** An order ends after a week at the latest. */
  orderMs: 8 * 86_400_000,
} as const;

export interface AbandonedOrder {
  readonly subject: string;
  readonly thumbprint: string;
  readonly order_url: string | null;
  readonly order_ca: string | null;
}

/** Has what may yet come of them revoked. */
export async function askRevocationOfOrders(
  transaction: Kysely<RegistryTables>,
  orders: readonly AbandonedOrder[],
  { reason, nowMs }: Asking,
): Promise<void> {
  for (const { subject, thumbprint, order_url, order_ca: ca } of orders) {
    if (order_url === null || ca === null) continue;
    await sql`
      insert into certificate_revocations
        (order_url, ca, subject, thumbprint, reason, asked_at, wanted_at, due_at, until)
      values (${order_url}, ${ca}, ${subject}, ${thumbprint}, ${reason}, ${nowMs}, ${nowMs}, ${nowMs},
        ${nowMs + ABANDONED_LIMITS.orderMs})
      on conflict do nothing`.execute(transaction);
  }
}

/** Somebody goes on with it after all, so that what comes of it is no matter of whoever left it. */
export async function forgetAbandoned(
  transaction: Kysely<RegistryTables>,
  orderUrl: string,
): Promise<void> {
  await withRevocations(transaction)
    .deleteFrom('certificate_revocations')
    .where('order_url', '=', orderUrl)
    .where('certificate_id', 'is', null)
    .execute();
}

/**
 * The certificate of an order that nobody went on with: in the ledger from now on, as replaced. `lost`: as
 * with the others, and nothing was changed; `stored`: somebody does go on with it, or did.
 */
export function keepAbandoned(
  revocation: Revocation,
  issued: Omit<IssuedCertificate, 'key' | 'renewAtMs'>,
): RegistryWork<'kept' | 'lost' | 'stored'> {
  const { subject, thumbprint, id, fence, holder } = revocation;
  return async (transaction) => {
    await takeTurn(transaction, 'finish');
    const nowMs = issued.nowMs ?? Date.now();
    const held = await withRevocations(transaction)
      .updateTable('certificate_revocations')
      .set({ until: issued.notAfterMs })
      .where('id', '=', id)
      .where('fence', '=', fence)
      .where('leased_by', '=', holder)
      .returning('id')
      .executeTakeFirst();
    if (held === undefined) return 'lost';
    if (await isGoneOnWith(transaction, { subject, orderUrl: issued.orderUrl })) return 'stored';
    const row = await transaction
      .insertInto('certificates')
      .values({
        ...{ purpose: 'device', subject, thumbprint, names: formatNames(issued.names) },
        ...{ ca: issued.ca, order_url: issued.orderUrl, serial: issued.serial, key: null },
        ...{ chain: issued.chain, not_before: issued.notBeforeMs, not_after: issued.notAfterMs },
        ...{ issued_at: nowMs, replaced_at: nowMs },
      })
      .onConflict((conflict) => conflict.column('order_url').doNothing())
      .returning('id')
      .executeTakeFirst();
    if (row === undefined) return 'stored';
    await withRevocations(transaction)
      .updateTable('certificate_revocations')
      .set({ certificate_id: row.id })
      .where('id', '=', id)
      .execute();
    return 'kept';
  };
}

/** An authority may give out one order to two who want the same names, as a device and the relay itself. */
async function isGoneOnWith(
  transaction: Kysely<RegistryTables>,
  { subject, orderUrl }: { readonly subject: string; readonly orderUrl: string },
): Promise<boolean> {
  const other = await transaction
    .selectFrom('certificate_work')
    .select('purpose')
    .where('purpose', 'in', ['relay', 'device'])
    .where('subject', '=', subject)
    .where('order_url', '=', orderUrl)
    .executeTakeFirst();
  return other !== undefined;
}
