// Gives a name to a device key, by the operator's word.
import type { DeviceName } from '../../../dns/name.ts';
import type { PublicKey } from '../../protocol/key.ts';
import type { Deed, DeedScope } from '../deed.ts';
import { record } from '../history.ts';
import { RegistryError } from '../registry-error.ts';
import { cancelOffer, cancelRecovery, handOver } from './attachments.ts';
import { assertChoosable } from './choice.ts';
import { quarantined } from './refusal.ts';
import {
  admit,
  assertOwner,
  type BoundRow,
  hold,
  isOwn,
  type NameRow,
  presentRow,
} from './tenure.ts';

export interface Enrolment {
  readonly name: DeviceName;
  readonly deviceKey: PublicKey;
  /** Who did it, for the history: `cli:root`, `owner:17`. */
  readonly actor: string;
  /** The thumbprint of the key that loses the name by this, when a device got a new key. */
  readonly replacing?: string;
  /** Absent: the name stays its owner's, or nobody's in particular. */
  readonly ownerId?: string;
  /** Gives it even if it looks like another. */
  readonly allowLookalike?: boolean;
}

export type EnrolOutcome = 'enrolled' | 'replaced' | 'unchanged';

/** The same key again changes nothing; with an owner, a name that had none becomes his. */
export function enroll(enrolment: Enrolment): Deed<EnrolOutcome> {
  return async (scope) => {
    const { name, deviceKey, ownerId = null } = enrolment;
    await admit(scope, deviceKey);
    await assertOwner(scope, ownerId);
    const row = await presentRow(scope, name);
    if (row?.state !== 'held' || row.thumbprint === null) return enrollFree(scope, enrolment, row);
    return enrollHeld(scope, enrolment, { ...row, thumbprint: row.thumbprint });
  };
}

async function enrollFree(
  scope: DeedScope,
  enrolment: Enrolment,
  row: NameRow | undefined,
): Promise<EnrolOutcome> {
  const { name, deviceKey, actor, ownerId = null, allowLookalike } = enrolment;
  const { thumbprint } = deviceKey;
  const taker = { thumbprint, ownerId };
  const own = row !== undefined && isOwn(row, taker);
  if (row?.state === 'ordered') throw ordered(name);
  if (row?.state === 'former' && !own) throw redirects(name, row);
  if (row?.state === 'quarantined' && !own) throw quarantined(name, row.until ?? 0);
  if (!own) await assertChoosable(scope, { name, taker, allowLookalike });
  await hold(scope, name, { thumbprint, ownerId: ownerId ?? row?.owner_id ?? null }, row);
  await record(scope, 'enrolled', { actor, name, thumbprint });
  return 'enrolled';
}

async function enrollHeld(
  scope: DeedScope,
  enrolment: Enrolment,
  row: BoundRow,
): Promise<EnrolOutcome> {
  const { name, deviceKey, actor, replacing, ownerId = null } = enrolment;
  const { thumbprint } = deviceKey;
  const sameOwner = ownerId === null || ownerId === row.owner_id;
  if (row.thumbprint === thumbprint && sameOwner) return 'unchanged';
  if (row.owner_id !== null && !sameOwner) throw owned(name);
  if (row.thumbprint !== thumbprint && row.thumbprint !== replacing) throw held(name, row);
  await cancelRecovery(scope, name, { actor, detail: 'replaced by the operator' });
  await cancelOffer(scope, name, { actor, detail: 'replaced by the operator' });
  const to = { thumbprint, ownerId: ownerId ?? row.owner_id };
  const replaced = row.thumbprint !== thumbprint;
  const what = replaced ? 'replaced' : 'transferred';
  const detail = replaced ? row.thumbprint : `to owner ${ownerId}`;
  await handOver(scope, row, to, { what, actor, detail });
  return replaced ? 'replaced' : 'enrolled';
}

function held(name: DeviceName, { thumbprint }: BoundRow): RegistryError {
  return new RegistryError(
    'ERR_NAME_TAKEN',
    `The name ${name} belongs to the device key ${thumbprint}. Choose another name; or, if that ` +
      'device got a new key, say that this one replaces it.',
  );
}

function owned(name: DeviceName): RegistryError {
  return new RegistryError(
    'ERR_NAME_TAKEN',
    `The name ${name} belongs to another owner. Choose another name; or let him offer it.`,
  );
}

function ordered(name: DeviceName): RegistryError {
  return new RegistryError(
    'ERR_NAME_TAKEN',
    `The name ${name} is ordered. Choose another name; or withdraw the order first.`,
  );
}

function redirects(name: DeviceName, { successor }: NameRow): RegistryError {
  return new RegistryError(
    'ERR_NAME_TAKEN',
    `The name ${name} still leads to ${successor}. Choose another name; or release it first.`,
  );
}
