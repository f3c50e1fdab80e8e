// What hangs on a name and goes with it, or ends with it: former names that lead to it, a recovery that
// waits, an offer to somebody else, own domains.

import { REVOCATION } from '../certificates/revocation-queue.ts';
import type { DeedScope } from '../deed.ts';
import { type HistoryEntry, record } from '../history.ts';
import { type WaitingRow, waitingRecoveries } from '../recovery-due.ts';
import type { HistoryWord, RegistryTables } from '../schema.ts';
import { endDeviceOrders, replaceDeviceKeys } from './device-certificates.ts';
import { endDomain } from './own-domain.ts';
import type { BoundRow } from './tenure.ts';

type RecoveryRow = RegistryTables['recoveries'];

/** The names that lead to this one. They always have the same key. */
export async function formerNames(
  { db }: DeedScope,
  { name, thumbprint }: Pick<BoundRow, 'name' | 'thumbprint'>,
): Promise<readonly string[]> {
  const rows = await db
    .selectFrom('names')
    .select('name')
    .where('thumbprint', '=', thumbprint)
    .where('state', '=', 'former')
    .where('successor', '=', name)
    .orderBy('name')
    .execute();
  return rows.map((row) => row.name);
}

/** Gives a name, and with it those that lead to it, to another key or owner. */
export async function handOver(
  scope: DeedScope,
  row: BoundRow,
  to: { readonly thumbprint: string; readonly ownerId: string | null },
  { what, actor, detail = null }: HistoryEntry & { readonly what: HistoryWord },
): Promise<void> {
  const names = [row.name, ...(await formerNames(scope, row))];
  const { thumbprint, ownerId: owner_id } = to;
  const change = { thumbprint, owner_id, claimed_at: scope.nowMs };
  await scope.db.updateTable('names').set(change).where('name', 'in', names).execute();
  // The device that had it is lost, or out of its owner's hands, with the keys of its certificates.
  const reason = REVOCATION.keyCompromise;
  const leaves = row.owner_id !== null && row.owner_id !== owner_id;
  for (const name of names) {
    await endDeviceOrders(scope, { name, holder: thumbprint, reason });
    if (leaves && row.thumbprint === thumbprint) {
      await replaceDeviceKeys(scope, { name, thumbprint });
    }
    await record(scope, what, { actor, name, thumbprint, detail });
  }
}

export async function waitingRecovery(
  { db }: DeedScope,
  name: string,
): Promise<WaitingRow | undefined> {
  return waitingRecoveries(db).where('name', '=', name).executeTakeFirst();
}

/** Ends a recovery, and tells the device that asked for it. */
export async function endRecovery(
  { db, nowMs }: DeedScope,
  { id, name, new_thumbprint }: RecoveryRow,
  { state, actor }: { readonly state: 'done' | 'vetoed' | 'withdrawn'; readonly actor: string },
): Promise<void> {
  await db
    .updateTable('recoveries')
    .set({ state, ended_at: nowMs, ended_by: actor })
    .where('id', '=', id)
    .execute();
  await db
    .updateTable('claims')
    .set({ state: state === 'done' ? 'approved' : 'denied' })
    .where('thumbprint', '=', new_thumbprint)
    .where('name', '=', name)
    .where('state', '=', 'recovering')
    .execute();
}

interface End {
  readonly actor: string;
  /** Why, for the history. */
  readonly detail: string;
}

/** Takes back the recovery of a name, if one waits. */
export async function cancelRecovery(scope: DeedScope, name: string, end: End): Promise<void> {
  const waiting = await waitingRecovery(scope, name);
  if (waiting !== undefined) await withdraw(scope, waiting, end);
}

export async function withdraw(scope: DeedScope, row: RecoveryRow, { actor, detail }: End) {
  await endRecovery(scope, row, { state: 'withdrawn', actor });
  const { name, new_thumbprint: thumbprint } = row;
  await record(scope, 'recovery-withdrawn', { actor, name, thumbprint, detail });
}

/** Takes back the offer of a name; false: there was none. */
export async function cancelOffer(
  scope: DeedScope,
  name: string,
  { actor, detail }: End,
): Promise<boolean> {
  const { db, nowMs } = scope;
  const withdrawn = await db
    .updateTable('transfers')
    .set({ state: 'withdrawn', ended_at: nowMs })
    .where('name', '=', name)
    .where('state', '=', 'offered')
    .returning('id')
    .executeTakeFirst();
  if (withdrawn === undefined) return false;
  await record(scope, 'transfer-withdrawn', { actor, name, detail });
  return true;
}

/** Own domains of a name serve nobody else: its next owner proves his own. */
export async function dropDomains(
  scope: DeedScope,
  name: string,
  { actor, detail }: End,
): Promise<void> {
  const rows = await scope.db
    .selectFrom('domains')
    .selectAll()
    .where('name', '=', name)
    .orderBy('domain')
    .execute();
  for (const row of rows) await endDomain(scope, row, { actor, why: detail });
}

/** They are the device's, whatever it is called. */
export async function moveDomains(
  scope: DeedScope,
  { name, to, actor }: { readonly name: string; readonly to: string; readonly actor: string },
): Promise<void> {
  const moved = await scope.db
    .updateTable('domains')
    .set({ name: to })
    .where('name', '=', name)
    .returning('domain')
    .execute();
  for (const { domain } of moved) {
    await record(scope, 'domain-moved', { actor, name: to, detail: domain });
  }
}
