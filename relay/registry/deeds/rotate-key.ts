// A device takes a new key while it still has the old one: everything that the old one has goes to the
// new one at once, and the old one is barred. (A device that lost its key goes through a recovery.)
import type { PublicKey } from '../../protocol/key.ts';
import { moveShare } from '../certificates/order-share.ts';
import type { Deed, DeedScope } from '../deed.ts';
import { record } from '../history.ts';
import { RegistryError, unknownDevice } from '../registry-error.ts';
import { moveDeviceKeys } from './device-certificates.ts';
import { assertNotRevoked } from './tenure.ts';

export interface Rotation {
  /** Of the old key, which asks for it. */
  readonly thumbprint: string;
  readonly newKey: PublicKey;
}

/** Resolves with the names that have gone along. */
export function rotateKey({ thumbprint, newKey }: Rotation): Deed<readonly string[]> {
  return async (scope) => {
    const { db, nowMs } = scope;
    const device = await db
      .selectFrom('devices')
      .selectAll()
      .where('thumbprint', '=', thumbprint)
      .executeTakeFirst();
    if (device === undefined) throw unknownDevice(thumbprint);
    await assertNotRevoked(scope, thumbprint);
    const inserted = await db
      .insertInto('devices')
      .values({
        ...device,
        thumbprint: newKey.thumbprint,
        public_key: newKey.text,
        epoch: 0,
        enrolled_at: nowMs,
      })
      .onConflict((conflict) => conflict.column('thumbprint').doNothing())
      .returning('thumbprint')
      .executeTakeFirst();
    if (inserted === undefined) throw known(newKey.thumbprint);
    const names = await moveNames(scope, thumbprint, newKey.thumbprint);
    await moveWaiting(scope, thumbprint, newKey);
    await moveDeviceKeys(scope, { from: thumbprint, to: newKey.thumbprint });
    await moveShare(db, { from: thumbprint, to: newKey.thumbprint });
    await db
      .updateTable('devices')
      .set({ revoked_at: nowMs })
      .where('thumbprint', '=', thumbprint)
      .execute();
    const entry = { actor: `device:${thumbprint}`, detail: `to ${newKey.thumbprint}` };
    await record(scope, 'key-rotated', { ...entry, thumbprint });
    for (const name of names) {
      const detail = `from ${thumbprint}`;
      await record(scope, 'key-rotated', { ...entry, name, thumbprint: newKey.thumbprint, detail });
    }
    return names;
  };
}

async function moveNames(
  { db }: DeedScope,
  from: string,
  thumbprint: string,
): Promise<readonly string[]> {
  const moved = await db
    .updateTable('names')
    .set({ thumbprint })
    .where('thumbprint', '=', from)
    .returning('name')
    .execute();
  await db
    .updateTable('orders')
    .set({ redeemed_by: thumbprint })
    .where('redeemed_by', '=', from)
    .execute();
  return moved.map(({ name }) => name).toSorted();
}

/** What waits for the device, or against it, waits on. */
async function moveWaiting({ db }: DeedScope, from: string, newKey: PublicKey): Promise<void> {
  const { thumbprint, text } = newKey;
  await db
    .updateTable('recoveries')
    .set({ old_thumbprint: thumbprint })
    .where('old_thumbprint', '=', from)
    .where('state', '=', 'waiting')
    .execute();
  await db
    .updateTable('recoveries')
    .set({ new_thumbprint: thumbprint, new_public_key: text })
    .where('new_thumbprint', '=', from)
    .where('state', '=', 'waiting')
    .execute();
  await db
    .updateTable('claims')
    .set({ thumbprint, public_key: text })
    .where('thumbprint', '=', from)
    .where('state', 'in', ['open', 'recovering'])
    .execute();
}

function known(thumbprint: string): RegistryError {
  return new RegistryError(
    'ERR_KEY_KNOWN',
    `The device key ${thumbprint} is known already. Make a fresh key on the device.`,
  );
}
