// A person confirms the code that a device shows: the device's key is bound to the name that he chose.
// A name that he already has with another key goes through a recovery (recovery.ts).
import type { DeviceName } from '../../../dns/name.ts';
import type { Deed, DeedScope } from '../deed.ts';
import { record } from '../history.ts';
import type { RegistryTables } from '../schema.ts';
import { handOver } from './attachments.ts';
import { assertChoosable, assertRoom } from './choice.ts';
import { endClaim, guessClaim, type TypedClaim } from './claim.ts';
import { type BegunRecovery, beginRecovery } from './recovery.ts';
import { closeOrder } from './redeem-order.ts';
import { quarantined, taken } from './refusal.ts';
import { admit, assertOwner, hold, isOwn, type NameRow, presentRow } from './tenure.ts';

export interface Approval extends TypedClaim {
  readonly name: DeviceName;
}

export type ApprovalOutcome =
  | { readonly kind: 'bound'; readonly name: string }
  | ({ readonly kind: 'recovering'; readonly name: string } & BegunRecovery)
  | { readonly kind: 'wrong-code' };

type ClaimRow = RegistryTables['claims'];

/** The same owner may say the same again: his browser may not have heard the answer. */
export function approveClaim(approval: Approval): Deed<ApprovalOutcome> {
  return async (scope) => {
    const { name, ownerId } = approval;
    await assertOwner(scope, ownerId);
    const row = await presentRow(scope, name);
    const said = (claim: ClaimRow): boolean =>
      claim.name === name &&
      ((claim.state === 'approved' && isHeldBy(row, claim, ownerId)) ||
        (claim.state === 'recovering' && isOther(row, claim, ownerId)));
    const claim = await guessClaim(scope, approval, (each) => each.state === 'open' || said(each));
    if (claim === undefined) return { kind: 'wrong-code' };
    if (claim.state === 'approved') return { kind: 'bound', name };
    if (isOther(row, claim, ownerId)) {
      const key = { thumbprint: claim.thumbprint, text: claim.public_key };
      const begun = await beginRecovery(scope, row, { ownerId, key });
      await endClaim(scope, claim, { state: 'recovering', name });
      return { kind: 'recovering', name, ...begun };
    }
    await bind(scope, approval, { claim, row });
    await endClaim(scope, claim, { state: 'approved', name });
    return { kind: 'bound', name };
  };
}

interface Binding {
  readonly claim: ClaimRow;
  readonly row: NameRow | undefined;
}

async function bind(scope: DeedScope, { name, ownerId }: Approval, { claim, row }: Binding) {
  const { thumbprint, public_key: text } = claim;
  const taker = { thumbprint, ownerId };
  const entry = { actor: `owner:${ownerId}`, detail: `claim ${claim.id}` };
  await admit(scope, { thumbprint, text });
  if (row?.state === 'held') {
    const bound = { ...row, thumbprint };
    // The operator gave it to this key for nobody in particular, and the key asks for this owner.
    if (row.thumbprint !== thumbprint || row.owner_id !== null) {
      if (isHeldBy(row, claim, ownerId)) return;
      throw taken(name);
    }
    await assertRoom(scope, ownerId);
    return handOver(scope, bound, taker, { ...entry, what: 'transferred' });
  }
  const own = row !== undefined && isOwn(row, taker);
  if (row?.state === 'ordered' && !(own && row.owner_id === ownerId)) throw taken(name);
  // With another key, that would be a recovery without its delay.
  if (row?.state === 'former' && !(own && row.thumbprint === thumbprint)) throw taken(name);
  if (row?.state === 'quarantined' && !own) throw quarantined(name, row.until ?? 0);
  if (!own) {
    await assertRoom(scope, ownerId);
    await assertChoosable(scope, { name, taker });
  }
  await closeOrder(scope, name, thumbprint);
  await hold(scope, name, taker, row);
  await record(scope, 'enrolled', { ...entry, name, thumbprint });
}

function isHeldBy(row: NameRow | undefined, { thumbprint }: ClaimRow, ownerId: string): boolean {
  return row?.state === 'held' && row.thumbprint === thumbprint && row.owner_id === ownerId;
}

/** His own name, with another key. */
function isOther(
  row: NameRow | undefined,
  { thumbprint }: ClaimRow,
  ownerId: string,
): row is NameRow & { thumbprint: string } {
  if (row?.state !== 'held' || row.thumbprint === null) return false;
  return row.owner_id === ownerId && row.thumbprint !== thumbprint;
}
