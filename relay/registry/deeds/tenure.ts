// Who has a name, as every deed sees it: the row of the name after what time has ended, whose it is, and
// the ways a row comes to be held. One row per name in whatever state, so the key of the table decides
// every race.
import type { PublicKey } from '../../protocol/key.ts';
import type { By } from '../actor.ts';
import { REVOCATION } from '../certificates/revocation-queue.ts';
import type { DeedScope } from '../deed.ts';
import { record } from '../history.ts';
import { RegistryError, unknownDevice } from '../registry-error.ts';
import type { RegistryTables } from '../schema.ts';
import { skeletonOf } from '../skeleton.ts';
import { endDeviceOrders, heldElsewhereUntilMs } from './device-certificates.ts';
import { notYours, taken, unknownName } from './refusal.ts';

export type NameRow = RegistryTables['names'];

/** Who would have a name: a device key, an owner, or both. */
export interface Taker {
  readonly thumbprint: string | null;
  readonly ownerId: string | null;
}

/** What the history calls the passing of time. */
export const CLOCK = 'clock';

/** The row of a name, after what time has ended; `undefined`: the name is free. */
export async function presentRow(scope: DeedScope, name: string): Promise<NameRow | undefined> {
  for (;;) {
    const row = await scope.db
      .selectFrom('names')
      .selectAll()
      .where('name', '=', name)
      .executeTakeFirst();
    if (row === undefined || row.until === null || row.until > scope.nowMs) return row;
    await endState(scope, row);
  }
}

/** Brings a row whose state has ended into the next one: former, then quarantined, then free. */
export async function endState(scope: DeedScope, { name, state, thumbprint }: NameRow) {
  const entry = { actor: CLOCK, name, thumbprint };
  switch (state) {
    case 'ordered':
      await scope.db
        .deleteFrom('orders')
        .where('name', '=', name)
        .where('redeemed_at', 'is', null)
        .execute();
      await dropOrdered(scope, { name, thumbprint });
      return record(scope, 'order-lapsed', entry);
    case 'former':
      await quarantine(scope, name);
      return record(scope, 'rename-lapsed', entry);
    case 'quarantined':
      await scope.db.deleteFrom('names').where('name', '=', name).execute();
      return record(scope, 'freed', entry);
    case 'held':
      throw new Error(`the held name ${name} has an end`);
  }
}

/** An ordered name that no device had before is free at once; others may still have certificates. */
export async function dropOrdered(
  scope: DeedScope,
  { name, thumbprint }: Pick<NameRow, 'name' | 'thumbprint'>,
): Promise<void> {
  if (thumbprint !== null) return quarantine(scope, name);
  await scope.db.deleteFrom('names').where('name', '=', name).execute();
}

/**
 * From now on, whatever was left of its last state: the relay's certificates may be as young as that, and
 * until the last one of a device's own key is over.
 */
export async function quarantine(scope: DeedScope, name: string): Promise<void> {
  const { db, nowMs, policy } = scope;
  const heldUntilMs = await heldElsewhereUntilMs(scope, name);
  const until = Math.max(nowMs + policy.quarantineMs, heldUntilMs);
  await endDeviceOrders(scope, { name, reason: REVOCATION.cessationOfOperation });
  await db
    .updateTable('names')
    .set({ state: 'quarantined', successor: null, until })
    .where('name', '=', name)
    .execute();
}

/** By the owner; where one of the two has no owner, by the key. */
export function isOwn(row: Pick<NameRow, 'thumbprint' | 'owner_id'>, taker: Taker): boolean {
  if (row.owner_id !== null && taker.ownerId !== null) return row.owner_id === taker.ownerId;
  return row.thumbprint !== null && row.thumbprint === taker.thumbprint;
}

/** Binds a name to a key: one that is free (no row), or whose row the taker may have. */
export async function hold(
  scope: DeedScope,
  name: string,
  taker: { readonly thumbprint: string; readonly ownerId: string | null },
  row: NameRow | undefined,
): Promise<void> {
  const { thumbprint, ownerId: owner_id } = taker;
  const held = { state: 'held', thumbprint, owner_id, claimed_at: scope.nowMs } as const;
  const ends = { successor: null, until: null };
  if (row === undefined) {
    await insertName(scope, { name, skeleton: skeletonOf(name), ...held, ...ends });
  } else {
    await scope.db
      .updateTable('names')
      .set({ ...held, ...ends })
      .where('name', '=', name)
      .execute();
  }
}

/** Refuses instead of failing when the name is not free after all: a failed query ends a transaction. */
export async function insertName({ db }: DeedScope, row: NameRow): Promise<void> {
  const inserted = await db
    .insertInto('names')
    .values(row)
    .onConflict((conflict) => conflict.column('name').doNothing())
    .returning('name')
    .executeTakeFirst();
  if (inserted === undefined) throw taken(row.name);
}

/** Lets a key connect, if it was not barred. */
export async function admit({ db, nowMs }: DeedScope, key: Pick<PublicKey, 'thumbprint' | 'text'>) {
  const { thumbprint, text } = key;
  await assertNotRevoked({ db }, thumbprint);
  await db
    .insertInto('devices')
    .values({ thumbprint, public_key: text, epoch: 0, enrolled_at: nowMs })
    .onConflict((conflict) => conflict.column('thumbprint').doNothing())
    .execute();
}

export async function assertNotRevoked(
  { db }: Pick<DeedScope, 'db'>,
  thumbprint: string,
): Promise<void> {
  if ((await revokedAt(db, thumbprint)) === undefined) return;
  throw new RegistryError(
    'ERR_DEVICE_REVOKED',
    `The device key ${thumbprint} was revoked, and stays so. Make a new key on the device.`,
  );
}

async function revokedAt(db: DeedScope['db'], thumbprint: string): Promise<number | undefined> {
  const device = await db
    .selectFrom('devices')
    .select('revoked_at')
    .where('thumbprint', '=', thumbprint)
    .executeTakeFirst();
  return device?.revoked_at ?? undefined;
}

export async function assertOwner({ db }: DeedScope, ownerId: string | null): Promise<void> {
  if (ownerId === null) return;
  const owner = await db
    .selectFrom('owners')
    .select('id')
    .where('id', '=', ownerId)
    .executeTakeFirst();
  if (owner !== undefined) return;
  const message = `There is no owner ${ownerId}. See the list of owners for the right one.`;
  throw new RegistryError('ERR_OWNER_UNKNOWN', message);
}

/** The row of a name that a device has and that this one may decide about. */
export async function ownRow(scope: DeedScope, name: string, by: By): Promise<BoundRow> {
  const row = await presentRow(scope, name);
  if (by.kind === 'operator') {
    if (row === undefined || !isBound(row)) throw unknownName(name);
    return row;
  }
  if (by.kind === 'device') await assertMayDecide(scope, by.thumbprint);
  if (row === undefined || !isBound(row) || !isOf(row, by)) throw notYours(name);
  return row;
}

/** A row of a name that is held or leads to one that is. */
export type BoundRow = NameRow & { thumbprint: string };

function isBound(row: NameRow): row is BoundRow {
  return (row.state === 'held' || row.state === 'former') && row.thumbprint !== null;
}

function isOf(row: NameRow, by: Exclude<By, { kind: 'operator' }>): boolean {
  return by.kind === 'owner' ? row.owner_id === by.ownerId : row.thumbprint === by.thumbprint;
}

/** A key that was barred has no say in what it still has. */
async function assertMayDecide(scope: DeedScope, thumbprint: string): Promise<void> {
  await assertNotRevoked(scope, thumbprint);
  const device = await scope.db
    .selectFrom('devices')
    .select('thumbprint')
    .where('thumbprint', '=', thumbprint)
    .executeTakeFirst();
  if (device === undefined) throw unknownDevice(thumbprint);
}
