// The last resort, when keys of the envelope are lost for good: drops what no key of the present file
// opens, so that relays make a new account at the authority and order anew, within their budgets. In
// short transactions, beside all other work; broken off anywhere it is begun again, and does what is left.
import type { Envelope } from '../../../certs/envelope.ts';
import type { RegistryWork, RegistryWrite } from '../database.ts';
import {
  accountKeys,
  certificateKeys,
  ofEachText,
  orderKeys,
  SEALED_TEXT_LIMITS,
  type SealedText,
  type TextStore,
  withoutOrder,
} from './sealed-texts.ts';

export interface Forgotten {
  readonly accounts: number;
  /** That were under way. */
  readonly orders: number;
  readonly certificates: number;
}

export interface Forgetting {
  readonly envelope: Pick<Envelope, 'opens'>;
  /** By name, as orders have it: the URL of the directory, as accounts have it. */
  readonly authorities: readonly { readonly name: string; readonly directory: string }[];
  readonly nowMs?: number;
}

export async function forgetSealed(
  write: RegistryWrite,
  { envelope, authorities, nowMs = Date.now() }: Forgetting,
): Promise<Forgotten> {
  const isLost = ({ sealed, about }: SealedText) => !envelope.opens(sealed, about);
  const forget = async (store: TextStore) => {
    const gone = await ofEachText(write, store, async (db, text) =>
      isLost(text) && (await text.forget(db, nowMs)) ? text.at : undefined,
    );
    return gone.length;
  };
  const accounts = await ofEachText(write, accountKeys, async (_, text) =>
    isLost(text) ? text.at : undefined,
  );
  const cas = authorities.filter(({ directory }) => accounts.includes(directory));
  // As with resealing: what is an order's now may be a certificate's in a moment.
  const ofKeys = await forget(orderKeys);
  const ofAccounts = await inBatches(write, (max) => dropOrders({ cas, nowMs, max }));
  const certificates = await forget(certificateKeys);
  // Last: whoever begins this again finds by the accounts what else is to be done.
  const forgotten = await forget(accountKeys);
  if (accounts.length > 0) await inBatches(write, (max) => tryAgain(nowMs, max));
  return { accounts: forgotten, orders: ofKeys + ofAccounts, certificates };
}

/** What is changed is not found again, and less than a batch is the end of it. */
async function inBatches(
  write: RegistryWrite,
  batch: (max: number) => RegistryWork<number>,
): Promise<number> {
  const { batch: max } = SEALED_TEXT_LIMITS;
  let all = 0;
  for (let count: number = max; count === max; all += count) count = await write(batch(max));
  return all;
}

/** Orders of an account that is lost: nobody else's account may go on with them. */
function dropOrders({
  cas,
  nowMs,
  max,
}: {
  readonly cas: readonly { readonly name: string }[];
  readonly nowMs: number;
  readonly max: number;
}): RegistryWork<number> {
  return async (db) => {
    if (cas.length === 0) return 0;
    const names = cas.map(({ name }) => name);
    const rows = await db
      .selectFrom('certificate_work')
      .select(['purpose', 'subject', 'thumbprint', 'order_url'])
      .where('order_url', 'is not', null)
      .where('order_ca', 'in', names)
      .limit(max)
      .execute();
    for (const row of rows) {
      await db
        .updateTable('certificate_work')
        .set((eb) => ({ ...withoutOrder(nowMs), fence: eb('fence', '+', 1) }))
        .where((eb) => eb.and(row))
        .execute();
    }
    return rows.length;
  };
}

/** Nothing could be ordered without the account, and what has failed since waits, for hours perhaps. */
function tryAgain(nowMs: number, max: number): RegistryWork<number> {
  return async (db) => {
    const rows = await db
      .selectFrom('certificate_work')
      .select(['purpose', 'subject', 'thumbprint'])
      .where('attempts', '>', 0)
      .where('due_at', '>', nowMs)
      .where('leased_by', 'is', null)
      .limit(max)
      .execute();
    for (const row of rows) {
      await db
        .updateTable('certificate_work')
        .set({ due_at: nowMs })
        .where((eb) => eb.and(row))
        .execute();
    }
    return rows.length;
  };
}
