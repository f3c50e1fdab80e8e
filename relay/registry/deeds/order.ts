// Orders: a name that is reserved for a device which does not exist yet, and a code that binds it at the
// first boot. Until then nobody can have the name; an order that lapses frees it.
import type { DeviceName } from '../../../dns/name.ts';
import type { Deed, DeedScope } from '../deed.ts';
import { record } from '../history.ts';
import { RegistryError } from '../registry-error.ts';
import { makeCode, makeId } from '../secret.ts';
import { skeletonOf } from '../skeleton.ts';
import { assertChoosable } from './choice.ts';
import type { OwnDomain } from './own-domain.ts';
import { quarantined, taken } from './refusal.ts';
import { assertOwner, dropOrdered, insertName, isOwn, type NameRow, presentRow } from './tenure.ts';

export interface Order {
  readonly name: DeviceName;
  /** It still has to be proven, as if the device had added it. */
  readonly domain?: OwnDomain;
  /** Only the device that says the same can redeem the code. */
  readonly serial?: string;
  /** Whose the name will be. He may also bind it by confirming a claim. */
  readonly ownerId?: string;
  readonly actor: string;
  readonly allowLookalike?: boolean;
}

export interface OrderReceipt {
  readonly id: string;
  /** Told once, here. */
  readonly code: string;
  readonly expiresAtMs: number;
}

export function order(wanted: Order): Deed<OrderReceipt> {
  return async (scope) => {
    const { name, domain, serial = null, ownerId = null, actor } = wanted;
    await assertOwner(scope, ownerId);
    const expiresAtMs = scope.nowMs + scope.policy.orderTtlMs;
    await reserve(scope, wanted, expiresAtMs);
    const [id, code] = [makeId(), makeCode('order')];
    await scope.db
      .insertInto('orders')
      .values({
        id,
        code_hash: code.hash,
        name,
        domain: domain ?? null,
        serial,
        owner_id: ownerId,
        ordered_at: scope.nowMs,
        expires_at: expiresAtMs,
        redeemed_at: null,
        redeemed_by: null,
      })
      .execute();
    await record(scope, 'ordered', { actor, name, detail: `order ${id}` });
    return { id, code: code.text, expiresAtMs };
  };
}

/** Takes back an order that was not redeemed. */
export function withdrawOrder({
  id,
  actor,
}: {
  readonly id: string;
  readonly actor: string;
}): Deed<void> {
  return async (scope) => {
    const { db } = scope;
    const row = await db
      .deleteFrom('orders')
      .where('id', '=', id)
      .where('redeemed_at', 'is', null)
      .returning('name')
      .executeTakeFirst();
    const name = row === undefined ? undefined : await orderedName(scope, row.name);
    if (name === undefined) {
      const message = `There is no open order ${id}. A name that a device has is released instead.`;
      throw new RegistryError('ERR_ORDER_UNKNOWN', message);
    }
    await dropOrdered(scope, name);
    await record(scope, 'order-lapsed', { actor, name: name.name, detail: `withdrawn ${id}` });
  };
}

function orderedName({ db }: DeedScope, name: string): Promise<NameRow | undefined> {
  return db
    .selectFrom('names')
    .selectAll()
    .where('name', '=', name)
    .where('state', '=', 'ordered')
    .executeTakeFirst();
}

async function reserve(scope: DeedScope, wanted: Order, until: number): Promise<void> {
  const { name, ownerId = null, allowLookalike } = wanted;
  const taker = { thumbprint: null, ownerId };
  const row = await presentRow(scope, name);
  const reserved = { state: 'ordered', owner_id: ownerId, claimed_at: scope.nowMs, until } as const;
  if (row === undefined) {
    await assertChoosable(scope, { name, taker, allowLookalike });
    const skeleton = skeletonOf(name);
    return insertName(scope, { name, skeleton, thumbprint: null, successor: null, ...reserved });
  }
  if (row.state !== 'quarantined') throw taken(name);
  if (!isOwn(row, taker)) throw quarantined(name, row.until ?? 0);
  await scope.db.updateTable('names').set(reserved).where('name', '=', name).execute();
}
