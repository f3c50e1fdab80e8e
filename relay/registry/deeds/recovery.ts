// Recoveries: a name goes to a new key of its owner, for the device with the old one is lost. Whoever
// stole the owner's mail could ask for that as well; therefore it takes a while, the old device and the
// owner are told, and each can veto it.
import type { PublicKey } from '../../protocol/key.ts';
import { actorText, type By } from '../actor.ts';
import type { Deed, DeedScope } from '../deed.ts';
import { record } from '../history.ts';
import { dueMs, timesOf } from '../recovery-due.ts';
import { RegistryError } from '../registry-error.ts';
import type { RegistryTables } from '../schema.ts';
import { makeId } from '../secret.ts';
import { cancelOffer, endRecovery, handOver, waitingRecovery, withdraw } from './attachments.ts';
import { recoveryWaits } from './refusal.ts';
import { admit, assertNotRevoked, type BoundRow, CLOCK, presentRow } from './tenure.ts';

/** In delays of a recovery (24 h, unless the vendor says otherwise). */
const RECOVERY_LIMITS = {
  /** After a veto nobody is asked again for three days; each further veto doubles it. */
  cooldown: 3,
  /** More would keep an owner from his name whose thief has only the device; the operator can help. */
  cooldownMax: 30,
  /** Older vetoes are forgiven. */
  memory: 90,
} as const;

export type RecoveryRow = RegistryTables['recoveries'];

export interface BegunRecovery {
  readonly id: string;
  /** Not before: see recovery-due.ts. */
  readonly dueAtMs: number;
  /** False: it was begun before, for the same key. */
  readonly isNew: boolean;
}

/** Begins one, or tells again of the one that waits for the same key. */
export async function beginRecovery(
  scope: DeedScope,
  row: BoundRow,
  {
    ownerId,
    key,
  }: { readonly ownerId: string; readonly key: Pick<PublicKey, 'thumbprint' | 'text'> },
): Promise<BegunRecovery> {
  const { db, nowMs, policy } = scope;
  const { name, thumbprint: old } = row;
  const actor = `owner:${ownerId}`;
  const waiting = await waitingRecovery(scope, name);
  if (waiting?.new_thumbprint === key.thumbprint) {
    return { id: waiting.id, dueAtMs: dueMs(timesOf(waiting), nowMs), isNew: false };
  }
  if (waiting !== undefined) throw recoveryWaits(name, dueMs(timesOf(waiting), nowMs));
  await assertNotRevoked(scope, key.thumbprint);
  await assertCooledDown(scope, name);
  await cancelOffer(scope, name, { actor, detail: 'a recovery began' });
  const id = makeId();
  const due_at = nowMs + policy.recoveryDelayMs;
  await db
    .insertInto('recoveries')
    .values({
      ...{ id, name, due_at, owner_id: ownerId, old_thumbprint: old },
      new_thumbprint: key.thumbprint,
      new_public_key: key.text,
      begun_at: nowMs,
      state: 'waiting',
      ended_at: null,
      ended_by: null,
    })
    .execute();
  const detail = `${id}, due ${new Date(due_at).toISOString()}, from ${old}`;
  await record(scope, 'recovery-begun', { actor, name, thumbprint: key.thumbprint, detail });
  return { id, dueAtMs: due_at, isNew: true };
}

export interface EndedRecovery {
  readonly name: string;
  readonly ownerId: string;
}

interface Ending {
  readonly id: string;
  readonly by: By;
}

/** By the old device, the owner or the operator. */
export function vetoRecovery({ id, by }: Ending): Deed<EndedRecovery> {
  return async (scope) => {
    if (by.kind === 'device') await assertNotRevoked(scope, by.thumbprint);
    const row = await openRecovery(scope, id);
    const may =
      by.kind === 'operator' ||
      (by.kind === 'owner' && row.owner_id === by.ownerId) ||
      (by.kind === 'device' && row.old_thumbprint === by.thumbprint);
    if (!may) throw unknown(id);
    const { name, old_thumbprint: thumbprint, owner_id: ownerId } = row;
    const actor = actorText(by);
    await endRecovery(scope, row, { state: 'vetoed', actor });
    await record(scope, 'recovery-vetoed', { actor, name, thumbprint, detail: id });
    return { name, ownerId };
  };
}

/** By the owner who began it, or the operator. Unlike a veto it is no reproach. */
export function withdrawRecovery({ id, by }: Ending): Deed<EndedRecovery> {
  return async (scope) => {
    const row = await openRecovery(scope, id);
    const may = by.kind === 'operator' || (by.kind === 'owner' && row.owner_id === by.ownerId);
    if (!may) throw unknown(id);
    await withdraw(scope, row, { actor: actorText(by), detail: id });
    return { name: row.name, ownerId: row.owner_id };
  };
}

/** Does what was waiting, if it still can be done; false: it was withdrawn instead. */
export async function finishRecovery(scope: DeedScope, recovery: RecoveryRow): Promise<boolean> {
  const { id, name, owner_id: ownerId, old_thumbprint, new_thumbprint: thumbprint } = recovery;
  const row = await presentRow(scope, name);
  if (row?.state !== 'held' || row.thumbprint !== old_thumbprint || row.owner_id !== ownerId) {
    await withdraw(scope, recovery, { actor: CLOCK, detail: 'the name has changed hands' });
    return false;
  }
  await admit(scope, { thumbprint, text: recovery.new_public_key });
  await endRecovery(scope, recovery, { state: 'done', actor: CLOCK });
  const entry = { what: 'recovered', actor: `owner:${ownerId}`, detail: id } as const;
  await handOver(scope, { ...row, thumbprint: old_thumbprint }, { thumbprint, ownerId }, entry);
  return true;
}

async function openRecovery({ db }: DeedScope, id: string): Promise<RecoveryRow> {
  const row = await db
    .selectFrom('recoveries')
    .selectAll()
    .where('id', '=', id)
    .where('state', '=', 'waiting')
    .executeTakeFirst();
  if (row === undefined) throw unknown(id);
  return row;
}

async function assertCooledDown({ db, nowMs, policy }: DeedScope, name: string): Promise<void> {
  const { cooldown, cooldownMax, memory } = RECOVERY_LIMITS;
  const { recoveryDelayMs } = policy;
  const vetoes = await db
    .selectFrom('recoveries')
    .select('ended_at')
    .where('name', '=', name)
    .where('state', '=', 'vetoed')
    .where('ended_at', '>', nowMs - memory * recoveryDelayMs)
    .execute();
  if (vetoes.length === 0) return;
  const last = Math.max(...vetoes.map(({ ended_at }) => ended_at ?? 0));
  const delays = Math.min(cooldown * 2 ** (vetoes.length - 1), cooldownMax);
  const until = last + delays * recoveryDelayMs;
  if (until <= nowMs) return;
  throw new RegistryError(
    'ERR_RECOVERY_COOLING',
    `A recovery of ${name} was vetoed. Another can begin from ${new Date(until).toISOString()} on; ` +
      'if the device is not yours any more, ask the operator to replace its key.',
  );
}

/** The same for one that is over, and one of somebody else. */
function unknown(id: string): RegistryError {
  return new RegistryError(
    'ERR_RECOVERY_UNKNOWN',
    `No recovery ${id} waits for you. See the list of your names for those that do.`,
  );
}
