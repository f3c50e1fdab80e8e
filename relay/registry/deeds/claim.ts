// Claims: a device without a name shows a short code, and a person who is signed in confirms it
// (approve-claim.ts). The code is guarded by the quarter of an hour that it lives, and by the count of
// wrong tries; whatever is wrong with one, the answer is the same.
import type { DeviceName } from '../../../dns/name.ts';
import type { PublicKey } from '../../protocol/key.ts';
import { countWrong, isLocked, networkOf } from '../attempts.ts';
import type { RegistryWork } from '../database.ts';
import type { Deed, DeedScope } from '../deed.ts';
import { dueMs, timesOf, waitingRecoveries } from '../recovery-due.ts';
import { RegistryError } from '../registry-error.ts';
import type { RegistryTables } from '../schema.ts';
import { hashTypedCode, makeCode, makeId } from '../secret.ts';
import { assertNotRevoked } from './tenure.ts';

export const CLAIM_LIMITS = {
  /** A workshop sets up a tray of devices at once, behind one address. */
  openPerNetworkMax: 50,
  /** With so many open, a guess at 40 bits is right once in 20 million times. */
  openMax: 50_000,
} as const;

export interface ClaimRequest {
  readonly deviceKey: PublicKey;
  readonly wantedName?: DeviceName;
  /** What the device calls itself, for the person to compare. */
  readonly software?: string;
  /** Where it asks from. */
  readonly address: string;
}

export interface ClaimReceipt {
  readonly id: string;
  /** Told once, here. */
  readonly code: string;
  readonly expiresAtMs: number;
}

export interface Claim {
  readonly id: string;
  readonly thumbprint: string;
  readonly wantedName: string | undefined;
  readonly software: string | undefined;
  readonly address: string;
  readonly openedAtMs: number;
  readonly expiresAtMs: number;
}

export interface ClaimState {
  readonly state: 'open' | 'approved' | 'recovering' | 'denied' | 'expired';
  readonly name?: string;
  /** When the name will be the device's, if nobody objects. */
  readonly dueAtMs?: number;
  /** Then it is not before that (recovery-due.ts). */
  readonly waitsForMail?: true;
}

/** What a person types. */
export interface TypedClaim {
  readonly code: string;
  readonly ownerId: string;
  /** The address of his browser: wrong tries count for its network as well. */
  readonly from?: string;
}

type ClaimRow = RegistryTables['claims'];

/** Takes the place of the key's older claim. */
export function openClaim(request: ClaimRequest): Deed<ClaimReceipt> {
  return async (scope) => {
    const { deviceKey, wantedName = null, software = null, address } = request;
    const { thumbprint, text: public_key } = deviceKey;
    const { db, nowMs, policy } = scope;
    await assertNotRevoked(scope, thumbprint);
    await db
      .deleteFrom('claims')
      .where('thumbprint', '=', thumbprint)
      .where('state', '=', 'open')
      .execute();
    const network = networkOf(address);
    await assertFewOpen(scope, network);
    const [id, code] = [makeId(), makeCode('claim')];
    const expiresAtMs = nowMs + policy.claimTtlMs;
    await db
      .insertInto('claims')
      .values({
        ...{ id, code_hash: code.hash, thumbprint, public_key, software, address, network },
        wanted_name: wantedName,
        opened_at: nowMs,
        expires_at: expiresAtMs,
        state: 'open',
        name: null,
      })
      .execute();
    return { id, code: code.text, expiresAtMs };
  };
}

/** How a claim stands; only its own key may know. */
export function claimState(query: {
  readonly id: string;
  readonly thumbprint: string;
  readonly nowMs: number;
}): RegistryWork<ClaimState | undefined> {
  return async (db) => {
    const row = await db
      .selectFrom('claims')
      .select(['state', 'name', 'expires_at'])
      .where('id', '=', query.id)
      .where('thumbprint', '=', query.thumbprint)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    if (row.state === 'open' && row.expires_at <= query.nowMs) return { state: 'expired' };
    if (row.name === null) return { state: row.state };
    if (row.state !== 'recovering') return { state: row.state, name: row.name };
    const recovery = await waitingRecoveries(db)
      .where('name', '=', row.name)
      .where('new_thumbprint', '=', query.thumbprint)
      .executeTakeFirst();
    if (recovery === undefined) return { state: row.state, name: row.name };
    const times = timesOf(recovery);
    const waits = times.waitsForMail ? { waitsForMail: true as const } : {};
    return { state: row.state, name: row.name, dueAtMs: dueMs(times, query.nowMs), ...waits };
  };
}

export type FoundClaim =
  | { readonly kind: 'found'; readonly claim: Claim }
  | { readonly kind: 'wrong-code' };

/** Shows a person the device that he is about to confirm. */
export function findClaim(typed: TypedClaim): Deed<FoundClaim> {
  return async (scope) => {
    const row = await guessClaim(scope, typed, isOpen);
    if (row === undefined) return { kind: 'wrong-code' };
    const claim = {
      id: row.id,
      thumbprint: row.thumbprint,
      wantedName: row.wanted_name ?? undefined,
      software: row.software ?? undefined,
      address: row.address,
      openedAtMs: row.opened_at,
      expiresAtMs: row.expires_at,
    };
    return { kind: 'found', claim };
  };
}

export function denyClaim(
  typed: TypedClaim,
): Deed<{ readonly kind: 'denied' } | { readonly kind: 'wrong-code' }> {
  return async (scope) => {
    const row = await guessClaim(scope, typed, isOpen);
    if (row === undefined) return { kind: 'wrong-code' };
    await endClaim(scope, row, { state: 'denied', name: null });
    return { kind: 'denied' };
  };
}

/**
 * The claim of a code that was typed, if it is one that `judge` accepts and has not expired. All else is
 * a wrong try; while the guesser is locked, whatever he types is as good as wrong.
 */
export async function guessClaim(
  scope: DeedScope,
  { code, ownerId, from }: TypedClaim,
  judge: (row: ClaimRow) => boolean,
): Promise<ClaimRow | undefined> {
  const network = from === undefined ? [] : [`claim ${networkOf(from)}`];
  const guessers = [`claim owner:${ownerId}`, ...network];
  if (await isLocked(scope, guessers)) return undefined;
  const hash = hashTypedCode('claim', code);
  const row = await scope.db
    .selectFrom('claims')
    .selectAll()
    .where('code_hash', '=', hash ?? '')
    .executeTakeFirst();
  if (row !== undefined && row.expires_at > scope.nowMs && judge(row)) return row;
  await countWrong(scope, guessers);
  return undefined;
}

function isOpen({ state }: ClaimRow): boolean {
  return state === 'open';
}

export async function endClaim(
  { db }: DeedScope,
  { id }: Pick<ClaimRow, 'id'>,
  end: Pick<ClaimRow, 'state' | 'name'>,
): Promise<void> {
  await db.updateTable('claims').set(end).where('id', '=', id).execute();
}

async function assertFewOpen({ db, nowMs }: DeedScope, network: string): Promise<void> {
  const open = db
    .selectFrom('claims')
    .select(db.fn.countAll().as('count'))
    .where('state', '=', 'open')
    .where('expires_at', '>', nowMs);
  const here = await open.where('network', '=', network).executeTakeFirstOrThrow();
  const all = await open.executeTakeFirstOrThrow();
  const { openPerNetworkMax, openMax } = CLAIM_LIMITS;
  if (Number(here.count) < openPerNetworkMax && Number(all.count) < openMax) return;
  throw new RegistryError(
    'ERR_TOO_MANY_CLAIMS',
    'Too many devices wait to be confirmed already. Confirm or deny some of them, or try again in a ' +
      'quarter of an hour.',
  );
}
