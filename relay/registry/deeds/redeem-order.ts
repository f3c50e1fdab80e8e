// A device at its first boot turns the code of its order into its name. The code works once; the same
// key may say it again, for its power may fail between our answer and its disk.
import type { PublicKey } from '../../protocol/key.ts';
import { countWrong, isLocked, networkOf } from '../attempts.ts';
import type { Deed, DeedScope } from '../deed.ts';
import { record } from '../history.ts';
import type { RegistryTables } from '../schema.ts';
import { hashTypedCode } from '../secret.ts';
import { addOrderedDomain } from './own-domain.ts';
import { admit, assertNotRevoked, hold, type NameRow, presentRow } from './tenure.ts';

export interface Redemption {
  readonly code: string;
  readonly deviceKey: PublicKey;
  /** What the maker wrote on the device. */
  readonly serial?: string;
  /** The address that the device asks from. */
  readonly from: string;
}

export type RedemptionOutcome =
  | { readonly kind: 'bound'; readonly name: string; readonly domain?: string }
  /** Wrong, expired, used, of another device. */
  | { readonly kind: 'wrong-code' };

const WRONG = { kind: 'wrong-code' } as const;

type OrderRow = RegistryTables['orders'];

/**
 * Wrong codes are not counted by address: no number of tries finds 100 bits, and one device with an old
 * code would lock out a whole workshop. Serial numbers can be guessed, so their tries are counted by
 * order; only who has the code can lock it.
 */
export function redeemOrder(redemption: Redemption): Deed<RedemptionOutcome> {
  return async (scope) => {
    const { code, deviceKey, serial } = redemption;
    await assertNotRevoked(scope, deviceKey.thumbprint);
    const row = await findOrder(scope, code);
    if (row === undefined) return WRONG;
    const guesser = [`order ${row.id}`];
    if (row.serial !== null) {
      if (await isLocked(scope, guesser)) return WRONG;
      if (row.serial !== serial) {
        await countWrong(scope, guesser);
        return WRONG;
      }
    }
    if (row.redeemed_by !== null) return againBound(scope, row, deviceKey.thumbprint);
    const name = await presentRow(scope, row.name);
    return name?.state === 'ordered' ? bind(scope, redemption, row, name) : WRONG;
  };
}

/** Marks the open order of a name as redeemed by a key: nobody redeems it any more. */
export async function closeOrder(
  { db, nowMs }: DeedScope,
  name: string,
  thumbprint: string,
): Promise<Pick<OrderRow, 'id' | 'domain'> | undefined> {
  return db
    .updateTable('orders')
    .set({ redeemed_at: nowMs, redeemed_by: thumbprint })
    .where('name', '=', name)
    .where('redeemed_at', 'is', null)
    .returning(['id', 'domain'])
    .executeTakeFirst();
}

async function findOrder({ db }: DeedScope, code: string): Promise<OrderRow | undefined> {
  const hash = hashTypedCode('order', code);
  if (hash === undefined) return undefined;
  return db.selectFrom('orders').selectAll().where('code_hash', '=', hash).executeTakeFirst();
}

async function bind(
  scope: DeedScope,
  { deviceKey, from }: Redemption,
  { id, domain, owner_id: ownerId }: OrderRow,
  row: NameRow,
): Promise<RedemptionOutcome> {
  const { name } = row;
  const { thumbprint } = deviceKey;
  const actor = `device:${thumbprint}`;
  await admit(scope, deviceKey);
  await closeOrder(scope, name, thumbprint);
  await hold(scope, name, { thumbprint, ownerId }, row);
  const detail = `order ${id} from ${networkOf(from)}`;
  await record(scope, 'enrolled', { actor, name, thumbprint, detail });
  if (domain === null) return { kind: 'bound', name };
  await addOrderedDomain(scope, { name, domain }, actor);
  return { kind: 'bound', name, domain };
}

/** The name that the order gave to this key, by what it is called today. */
async function againBound(
  scope: DeedScope,
  { name: ordered, domain, redeemed_by }: OrderRow,
  thumbprint: string,
): Promise<RedemptionOutcome> {
  if (redeemed_by !== thumbprint) return WRONG;
  const row = await presentRow(scope, ordered);
  if (row?.thumbprint !== thumbprint) return WRONG;
  const name = row.state === 'former' ? row.successor : row.state === 'held' ? ordered : null;
  if (name === null) return WRONG;
  const added = await scope.db
    .selectFrom('domains')
    .select('domain')
    .where('name', '=', name)
    .where('domain', '=', domain)
    .executeTakeFirst();
  return { kind: 'bound', name, ...added };
}
