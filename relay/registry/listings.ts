// What the registry has, page by page, for people: names, owners, history, orders. Each function is the
// queries of one read (`registry.read`). Pages follow a key, not a count, so that they stay right and
// cheap while rows come and go.
import type { Kysely } from 'kysely';
import type { RegistryWork } from './database.ts';
import { type RecoveryTimes, timesOf, type WaitingRow, waitingRecoveries } from './recovery-due.ts';
import type { HistoryWord, NameState, RegistryTables } from './schema.ts';

export const PAGE_LIMITS = {
  /** Rows of a page, whatever was asked for: some hundred KiB of JSON. */
  rowsMax: 1_000,
} as const;

export interface ListedName {
  readonly name: string;
  readonly state: NameState;
  readonly thumbprint: string | undefined;
  readonly ownerId: string | undefined;
  readonly claimedAtMs: number;
  readonly successor: string | undefined;
  readonly untilMs: number | undefined;
  readonly lastSeenAtMs: number | undefined;
  readonly software: string | undefined;
  readonly revoked: boolean;
}

export interface NamesQuery {
  readonly name?: string;
  readonly state?: NameState;
  readonly ownerId?: string;
  readonly thumbprint?: string;
  /** The last name of the page before. */
  readonly after?: string;
  readonly limit: number;
}

/** By name. */
export function listNames(query: NamesQuery): RegistryWork<readonly ListedName[]> {
  const { name, state, ownerId, thumbprint, after, limit } = query;
  return async (db) => {
    const rows = await db
      .selectFrom('names')
      .leftJoin('devices', 'devices.thumbprint', 'names.thumbprint')
      .selectAll('names')
      .select(['devices.last_seen_at', 'devices.software', 'devices.revoked_at'])
      .$if(name !== undefined, (q) => q.where('names.name', '=', name ?? ''))
      .$if(state !== undefined, (q) => q.where('names.state', '=', state ?? 'held'))
      .$if(ownerId !== undefined, (q) => q.where('names.owner_id', '=', ownerId ?? ''))
      .$if(thumbprint !== undefined, (q) => q.where('names.thumbprint', '=', thumbprint ?? ''))
      .$if(after !== undefined, (q) => q.where('names.name', '>', after ?? ''))
      .orderBy('names.name')
      .limit(rowsOf(limit))
      .execute();
    return rows.map((row) => ({
      name: row.name,
      state: row.state,
      thumbprint: row.thumbprint ?? undefined,
      ownerId: row.owner_id ?? undefined,
      claimedAtMs: row.claimed_at,
      successor: row.successor ?? undefined,
      untilMs: row.until ?? undefined,
      lastSeenAtMs: row.last_seen_at ?? undefined,
      software: row.software ?? undefined,
      revoked: row.revoked_at !== null,
    }));
  };
}

export interface ListedOwner {
  readonly id: string;
  readonly email: string | undefined;
  readonly createdAtMs: number;
  /** Of all states but quarantined. */
  readonly names: number;
}

/** By id. */
export function listOwners({
  email,
  after,
  limit,
}: {
  readonly email?: string;
  /** The last id of the page before. */
  readonly after?: string;
  readonly limit: number;
}): RegistryWork<readonly ListedOwner[]> {
  return async (db) => {
    const rows = await db
      .selectFrom('owners')
      .selectAll('owners')
      .select((row) =>
        row
          .selectFrom('names')
          .select(row.fn.countAll().as('names'))
          .whereRef('names.owner_id', '=', 'owners.id')
          .where('names.state', '!=', 'quarantined')
          .as('names'),
      )
      .$if(email !== undefined, (q) => q.where('email', '=', email ?? ''))
      .$if(after !== undefined, (q) => q.where('id', '>', after ?? ''))
      .orderBy('id')
      .limit(rowsOf(limit))
      .execute();
    return rows.map((row) => ({
      id: row.id,
      email: row.email ?? undefined,
      createdAtMs: row.created_at,
      names: Number(row.names),
    }));
  };
}

export interface ListedDeed {
  readonly id: number;
  readonly atMs: number;
  readonly actor: string;
  readonly what: HistoryWord;
  readonly name: string | undefined;
  readonly thumbprint: string | undefined;
  readonly detail: string | undefined;
}

/** The newest first. */
export function listHistory({
  name,
  thumbprint,
  presentTenure = false,
  before,
  limit,
}: {
  readonly name?: string;
  readonly thumbprint?: string;
  /** Only what happened since the name was given to whom it belongs to now: the rest is not his. */
  readonly presentTenure?: boolean;
  /** The last id of the page before. */
  readonly before?: number;
  readonly limit: number;
}): RegistryWork<readonly ListedDeed[]> {
  return async (db) => {
    const first = presentTenure && name !== undefined ? await tenureBegan(db, name) : 0;
    const rows = await db
      .selectFrom('history')
      .selectAll()
      .$if(name !== undefined, (q) => q.where('name', '=', name ?? ''))
      .$if(thumbprint !== undefined, (q) => q.where('thumbprint', '=', thumbprint ?? ''))
      .$if(before !== undefined, (q) => q.where('id', '<', before ?? 0))
      .where('id', '>=', first)
      .orderBy('id', 'desc')
      .limit(rowsOf(limit))
      .execute();
    return rows.map((row) => ({
      id: row.id,
      atMs: row.at,
      actor: row.actor,
      what: row.what,
      name: row.name ?? undefined,
      thumbprint: row.thumbprint ?? undefined,
      detail: row.detail ?? undefined,
    }));
  };
}

/** Deeds that give a name to somebody. */
const TENURE_WORDS = ['ordered', 'enrolled', 'transferred'] as const;

async function tenureBegan(db: Kysely<RegistryTables>, name: string): Promise<number> {
  const row = await db
    .selectFrom('history')
    .select(db.fn.max('id').as('id'))
    .where('name', '=', name)
    .where((is) =>
      is.or([
        is('what', 'in', TENURE_WORDS),
        // The name that a device was given by a rename; the row of its old name says `to`.
        is.and([is('what', '=', 'renamed'), is('detail', 'like', 'from %')]),
      ]),
    )
    .executeTakeFirst();
  return Number(row?.id ?? 0);
}

export interface ListedOrder {
  readonly id: string;
  readonly name: string;
  readonly domain: string | undefined;
  readonly serial: string | undefined;
  readonly ownerId: string | undefined;
  readonly orderedAtMs: number;
  readonly expiresAtMs: number;
  readonly redeemedAtMs: number | undefined;
}

/** By id; without those that have lapsed. */
export function listOrders({
  open,
  after,
  nowMs,
  limit,
}: {
  /** Only those that can still be redeemed. */
  readonly open?: boolean;
  readonly after?: string;
  readonly nowMs: number;
  readonly limit: number;
}): RegistryWork<readonly ListedOrder[]> {
  return async (db) => {
    const rows = await db
      .selectFrom('orders')
      .selectAll()
      .$if(open === true, (q) => q.where('redeemed_at', 'is', null).where('expires_at', '>', nowMs))
      .$if(after !== undefined, (q) => q.where('id', '>', after ?? ''))
      .orderBy('id')
      .limit(rowsOf(limit))
      .execute();
    return rows.map((row) => ({
      id: row.id,
      name: row.name,
      domain: row.domain ?? undefined,
      serial: row.serial ?? undefined,
      ownerId: row.owner_id ?? undefined,
      orderedAtMs: row.ordered_at,
      expiresAtMs: row.expires_at,
      redeemedAtMs: row.redeemed_at ?? undefined,
    }));
  };
}

export interface ListedRecovery extends RecoveryTimes {
  readonly id: string;
  readonly name: string;
  readonly ownerId: string;
  readonly oldThumbprint: string;
  readonly newThumbprint: string;
}

/** Those that wait: of an owner, or against a key. */
export function listRecoveries(
  of: { readonly ownerId: string } | { readonly oldThumbprint: string },
): RegistryWork<readonly ListedRecovery[]> {
  return async (db) => {
    const waiting = waitingRecoveries(db);
    const rows = await ('ownerId' in of
      ? waiting.where('owner_id', '=', of.ownerId)
      : waiting.where('old_thumbprint', '=', of.oldThumbprint)
    )
      .orderBy('recoveries.due_at')
      .limit(PAGE_LIMITS.rowsMax)
      .execute();
    return rows.map(toListedRecovery);
  };
}

function toListedRecovery(row: WaitingRow): ListedRecovery {
  return {
    id: row.id,
    name: row.name,
    ownerId: row.owner_id,
    oldThumbprint: row.old_thumbprint,
    newThumbprint: row.new_thumbprint,
    ...timesOf(row),
  };
}

function rowsOf(limit: number): number {
  return Math.max(1, Math.min(Math.trunc(limit), PAGE_LIMITS.rowsMax));
}
