// Transfer: a name goes to another owner, and both agree: one offers it to a mail address, the owner of
// that address accepts with the code. The device key stays bound, and names that lead to this one go
// along; own domains do not, for they are the customer's and not the name's.
import type { DeviceName } from '../../../dns/name.ts';
import { actorText, type By } from '../actor.ts';
import type { Deed, DeedScope } from '../deed.ts';
import { record } from '../history.ts';
import { dueMs, timesOf } from '../recovery-due.ts';
import { RegistryError } from '../registry-error.ts';
import type { RegistryTables } from '../schema.ts';
import { hashTypedCode, makeCode, makeId } from '../secret.ts';
import { MAIL_ISSUER, mailSubject } from '../sign-in.ts';
import { cancelOffer, dropDomains, handOver, waitingRecovery } from './attachments.ts';
import { assertRoom } from './choice.ts';
import { notYours, recoveryWaits } from './refusal.ts';
import { assertOwner, type BoundRow, isOwn, ownRow, presentRow } from './tenure.ts';

export interface Offer {
  readonly name: DeviceName;
  readonly by: By;
  readonly toEmail: string;
}

export interface OfferReceipt {
  /** Told once, here. */
  readonly code: string;
  readonly expiresAtMs: number;
}

/** Takes the place of an older offer. Only an owner can offer, or the operator in his place. */
export function offerTransfer({ name, by, toEmail }: Offer): Deed<OfferReceipt> {
  return async (scope) => {
    const { nowMs, policy } = scope;
    const row = await ownRow(scope, name, by);
    const { owner_id: from_owner_id } = row;
    if (row.state !== 'held' || from_owner_id === null || by.kind === 'device')
      throw notYours(name);
    await assertNoRecovery(scope, name);
    const actor = actorText(by);
    await cancelOffer(scope, name, { actor, detail: 'another offer was made' });
    const [id, code] = [makeId(), makeCode('transfer')];
    const expiresAtMs = nowMs + policy.transferTtlMs;
    await scope.db
      .insertInto('transfers')
      .values({
        ...{ id, code_hash: code.hash, name, from_owner_id, to_email: mailSubject(toEmail) },
        offered_at: nowMs,
        expires_at: expiresAtMs,
        state: 'offered',
        ended_at: null,
      })
      .execute();
    await record(scope, 'transfer-offered', { actor, name, detail: id });
    return { code: code.text, expiresAtMs };
  };
}

export type AcceptanceOutcome =
  | { readonly kind: 'transferred'; readonly name: string; readonly fromOwnerId: string }
  /** Wrong, expired, used, withdrawn. */
  | { readonly kind: 'wrong-code' };

/** The code has 100 bits, so wrong ones need no count. */
export function acceptTransfer({
  code,
  ownerId,
}: {
  readonly code: string;
  readonly ownerId: string;
}): Deed<AcceptanceOutcome> {
  return async (scope) => {
    await assertOwner(scope, ownerId);
    const offer = await findOffer(scope, code);
    if (offer === undefined) return { kind: 'wrong-code' };
    const { id, name, from_owner_id: from, to_email: address } = offer;
    const row = await presentRow(scope, name);
    if (row?.state !== 'held' || row.thumbprint === null) return { kind: 'wrong-code' };
    if (row.owner_id !== from) return { kind: 'wrong-code' };
    await assertAddressee(scope, { ownerId, address });
    await assertNoRecovery(scope, name);
    if (!isOwn(row, { thumbprint: null, ownerId })) {
      await assertRoom(scope, ownerId);
      await give(scope, { ...row, thumbprint: row.thumbprint }, { ownerId, id });
    }
    await scope.db
      .updateTable('transfers')
      .set({ state: 'accepted', ended_at: scope.nowMs })
      .where('id', '=', id)
      .execute();
    return { kind: 'transferred', name, fromOwnerId: from };
  };
}

/** By the owner or the operator. */
export function withdrawTransfer({
  name,
  by,
}: {
  readonly name: DeviceName;
  readonly by: By;
}): Deed<void> {
  return async (scope) => {
    await ownRow(scope, name, by);
    if (by.kind === 'device') throw notYours(name);
    const end = { actor: actorText(by), detail: 'withdrawn' };
    if (await cancelOffer(scope, name, end)) return;
    const message = `The name ${name} is offered to nobody. See its history for what became of it.`;
    throw new RegistryError('ERR_TRANSFER_UNKNOWN', message);
  };
}

async function give(
  scope: DeedScope,
  row: BoundRow,
  { ownerId, id }: { readonly ownerId: string; readonly id: string },
): Promise<void> {
  const actor = `owner:${ownerId}`;
  await dropDomains(scope, row.name, { actor, detail: 'the name has another owner' });
  const detail = `${id} from owner ${row.owner_id}`;
  const to = { thumbprint: row.thumbprint, ownerId };
  await handOver(scope, row, to, { what: 'transferred', actor, detail });
}

async function findOffer(
  { db, nowMs }: DeedScope,
  code: string,
): Promise<RegistryTables['transfers'] | undefined> {
  const hash = hashTypedCode('transfer', code);
  if (hash === undefined) return undefined;
  return db
    .selectFrom('transfers')
    .selectAll()
    .where('code_hash', '=', hash)
    .where('state', '=', 'offered')
    .where('expires_at', '>', nowMs)
    .executeTakeFirst();
}

/** Only an address that he has proven counts, not one that somebody says of him. */
async function assertAddressee(
  { db }: DeedScope,
  { ownerId, address }: { readonly ownerId: string; readonly address: string },
): Promise<void> {
  const identity = await db
    .selectFrom('identities')
    .select('owner_id')
    .where('issuer', '=', MAIL_ISSUER)
    .where('subject', '=', address)
    .where('owner_id', '=', ownerId)
    .executeTakeFirst();
  if (identity !== undefined) return;
  throw new RegistryError(
    'ERR_NOT_YOURS',
    'The name is offered to another mail address. Sign in with the address that the offer was sent to.',
  );
}

async function assertNoRecovery(scope: DeedScope, name: string): Promise<void> {
  const waiting = await waitingRecovery(scope, name);
  if (waiting !== undefined) throw recoveryWaits(name, dueMs(timesOf(waiting), scope.nowMs));
}
