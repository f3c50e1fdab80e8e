// Rename: the key keeps everything and answers to another name; the old one leads there for its grace
// and stays its owner's. What waits goes along (a recovery, domains), so that renaming is no way out of
// it; an offer ends, for somebody agreed to another name.
import type { DeviceName } from '../../../dns/name.ts';
import { actorText, type By } from '../actor.ts';
import type { Deed, DeedScope } from '../deed.ts';
import { record } from '../history.ts';
import { RegistryError } from '../registry-error.ts';
import { cancelOffer, formerNames, moveDomains } from './attachments.ts';
import { assertChoosable, assertRoom } from './choice.ts';
import { endDeviceOrders } from './device-certificates.ts';
import { quarantined, taken } from './refusal.ts';
import { type BoundRow, hold, isOwn, type NameRow, ownRow, presentRow } from './tenure.ts';

const DAY_MS = 86_400_000;

export const RENAME_LIMITS = {
  /** Names that lead to others and are kept from everybody: one for a mistake, some for a change of mind. */
  formerMax: 5,
  /** Each new name is a certificate, and an old one that nobody gets for a season. */
  perDayMax: 5,
} as const;

export interface Rename {
  readonly name: DeviceName;
  readonly to: DeviceName;
  readonly by: By;
}

export interface Renamed {
  readonly name: string;
  /** How long the old name leads to the new one. */
  readonly formerUntilMs: number;
}

/** To a former name of the same device: the two change places. */
export function rename({ name, to, by }: Rename): Deed<Renamed> {
  return async (scope) => {
    const row = await ownRow(scope, name, by);
    if (row.state !== 'held') throw notHeld(row);
    if (to === name) throw same(name);
    const taker = { thumbprint: row.thumbprint, ownerId: row.owner_id };
    const target = await presentRow(scope, to);
    const own = target !== undefined && isOwn(target, taker);
    if (target?.state === 'held' || target?.state === 'ordered') throw taken(to);
    if (target?.state === 'former' && !own) throw taken(to);
    if (target?.state === 'quarantined' && !own) throw quarantined(to, target.until ?? 0);
    if (by.kind !== 'operator') await assertModest(scope, row, target);
    if (!own) await assertChoosable(scope, { name: to, taker });
    const actor = actorText(by);
    await moveAttachments(scope, { name, to, actor });
    const formerUntilMs = await swap(scope, row, { to, target, actor });
    return { name: to, formerUntilMs };
  };
}

interface Destination {
  readonly to: string;
  readonly target: NameRow | undefined;
  readonly actor: string;
}

async function swap(
  scope: DeedScope,
  row: BoundRow,
  { to, target, actor }: Destination,
): Promise<number> {
  const { name, thumbprint, owner_id: ownerId } = row;
  const older = (await formerNames(scope, row)).filter((each) => each !== to);
  await hold(scope, to, { thumbprint, ownerId }, target);
  const until = scope.nowMs + scope.policy.renameGraceMs;
  const former = { state: 'former', successor: to, until } as const;
  await scope.db.updateTable('names').set(former).where('name', '=', name).execute();
  // The certificate that the device has for it may be shown for the grace, and is revoked when that is
  // over (tenure.ts); there is no other.
  await endDeviceOrders(scope, { name, reason: undefined });
  if (older.length > 0) {
    // They keep their own end.
    const change = { successor: to };
    await scope.db.updateTable('names').set(change).where('name', 'in', older).execute();
  }
  await record(scope, 'renamed', { actor, name: to, thumbprint, detail: `from ${name}` });
  for (const each of [name, ...older]) {
    await record(scope, 'renamed', { actor, name: each, thumbprint, detail: `to ${to}` });
  }
  return until;
}

async function moveAttachments(
  scope: DeedScope,
  { name, to, actor }: { readonly name: string; readonly to: string; readonly actor: string },
): Promise<void> {
  const change = { name: to };
  await cancelOffer(scope, name, { actor, detail: `renamed to ${to}` });
  // Those that were vetoed as well: their cool-down is the device's, not the name's.
  await scope.db.updateTable('recoveries').set(change).where('name', '=', name).execute();
  await scope.db
    .updateTable('claims')
    .set(change)
    .where('name', '=', name)
    .where('state', '=', 'recovering')
    .execute();
  await moveDomains(scope, { name, to, actor });
}

/** Renaming must not be a way to keep many names from others. */
async function assertModest(
  scope: DeedScope,
  { thumbprint, owner_id: ownerId }: BoundRow,
  target: NameRow | undefined,
): Promise<void> {
  const { db, nowMs } = scope;
  if (target === undefined && ownerId !== null) await assertRoom(scope, ownerId);
  const formers = await db
    .selectFrom('names')
    .select(db.fn.countAll().as('count'))
    .where('thumbprint', '=', thumbprint)
    .where('state', '=', 'former')
    .where('until', '>', nowMs)
    .executeTakeFirstOrThrow();
  const { formerMax, perDayMax } = RENAME_LIMITS;
  if (Number(formers.count) >= formerMax && target?.state !== 'former') {
    throw new RegistryError(
      'ERR_TOO_MANY_RENAMES',
      `This device has ${formerMax} former names already. Release one of them, or rename back to one.`,
    );
  }
  const renames = await db
    .selectFrom('history')
    .select(db.fn.countAll().as('count'))
    .where('thumbprint', '=', thumbprint)
    .where('what', '=', 'renamed')
    .where('detail', 'like', 'from %')
    .where('at', '>', nowMs - DAY_MS)
    .executeTakeFirstOrThrow();
  if (Number(renames.count) < perDayMax) return;
  throw new RegistryError(
    'ERR_TOO_MANY_RENAMES',
    `This device was renamed ${perDayMax} times within a day. Try again tomorrow.`,
  );
}

function notHeld({ name, successor }: NameRow): RegistryError {
  return new RegistryError(
    'ERR_NAME_UNKNOWN',
    `The name ${name} only leads to ${successor} any more. Rename that one.`,
  );
}

function same(name: string): RegistryError {
  return new RegistryError(
    'ERR_NAME_TAKEN',
    `The device has the name ${name} already. Choose another name.`,
  );
}
