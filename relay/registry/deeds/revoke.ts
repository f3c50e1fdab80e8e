// Bars a key for ever. Its names stay with it until they are released or replaced; it gets no others.
import type { Deed } from '../deed.ts';
import { record } from '../history.ts';
import { unknownDevice } from '../registry-error.ts';
import { withdraw } from './attachments.ts';
import { endOrdersOf } from './device-certificates.ts';

export interface Revocation {
  readonly thumbprint: string;
  readonly actor: string;
}

/** The same again changes nothing. */
export function revoke({ thumbprint, actor }: Revocation): Deed<void> {
  return async (scope) => {
    const { db, nowMs } = scope;
    const device = await db
      .selectFrom('devices')
      .select('revoked_at')
      .where('thumbprint', '=', thumbprint)
      .executeTakeFirst();
    if (device === undefined) throw unknownDevice(thumbprint);
    if (device.revoked_at !== null) return;
    await db
      .updateTable('devices')
      .set({ revoked_at: nowMs })
      .where('thumbprint', '=', thumbprint)
      .execute();
    await record(scope, 'revoked', { actor, thumbprint });
    await endOrdersOf(scope, thumbprint);
    await db
      .updateTable('claims')
      .set({ state: 'denied' })
      .where('thumbprint', '=', thumbprint)
      .where('state', '=', 'open')
      .execute();
    const recoveries = await db
      .selectFrom('recoveries')
      .selectAll()
      .where('new_thumbprint', '=', thumbprint)
      .where('state', '=', 'waiting')
      .execute();
    const end = { actor, detail: 'the new key was revoked' };
    for (const recovery of recoveries) await withdraw(scope, recovery, end);
  };
}
