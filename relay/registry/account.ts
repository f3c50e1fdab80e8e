// What an owner sees of himself at the portal: his sessions, the offers of his names, how he signs in;
// and looking at secrets of the portal without using them up. Sessions are told apart by the hashes of
// their tokens, which open nothing.
import type { RegistryWork } from './database.ts';
import type { RegistryTables } from './schema.ts';
import { hashToken } from './secret.ts';

export interface ListedSession {
  readonly id: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export interface ListedOffer {
  readonly name: string;
  readonly toEmail: string;
  readonly expiresAtMs: number;
}

const ACCOUNT_LIMITS = {
  /** More sessions than a person has browsers; the newest are shown. */
  sessionsMax: 100,
  /** One per name. */
  offersMax: 1_000,
} as const;

/** The id of a session in lists. */
export function sessionId(token: string): string {
  return hashToken(token);
}

/** The newest first. */
export function listSessions(
  ownerId: string,
  nowMs: number,
): RegistryWork<readonly ListedSession[]> {
  return async (db) => {
    const rows = await db
      .selectFrom('portal_tokens')
      .select(['token_hash', 'issued_at', 'expires_at'])
      .where('kind', '=', 'session')
      .where('subject', '=', ownerId)
      .where('expires_at', '>', nowMs)
      .orderBy('issued_at', 'desc')
      .limit(ACCOUNT_LIMITS.sessionsMax)
      .execute();
    return rows.map((row) => ({
      id: row.token_hash,
      issuedAtMs: row.issued_at,
      expiresAtMs: row.expires_at,
    }));
  };
}

/** False: the owner has no such session. */
export function endListedSession(ownerId: string, id: string): RegistryWork<boolean> {
  return async (db) => {
    const ended = await db
      .deleteFrom('portal_tokens')
      .where('kind', '=', 'session')
      .where('subject', '=', ownerId)
      .where('token_hash', '=', id)
      .executeTakeFirst();
    return Number(ended.numDeletedRows) > 0;
  };
}

/** Leaves this one. */
export function endOtherSessions(ownerId: string, id: string): RegistryWork<void> {
  return async (db) => {
    await db
      .deleteFrom('portal_tokens')
      .where('kind', '=', 'session')
      .where('subject', '=', ownerId)
      .where('token_hash', '!=', id)
      .execute();
  };
}

/** The offers of an owner's names that can be accepted. */
export function listOffers(ownerId: string, nowMs: number): RegistryWork<readonly ListedOffer[]> {
  return async (db) => {
    const rows = await db
      .selectFrom('transfers')
      .select(['name', 'to_email', 'expires_at'])
      .where('from_owner_id', '=', ownerId)
      .where('state', '=', 'offered')
      .where('expires_at', '>', nowMs)
      .limit(ACCOUNT_LIMITS.offersMax)
      .execute();
    return rows.map((row) => ({
      name: row.name,
      toEmail: row.to_email,
      expiresAtMs: row.expires_at,
    }));
  };
}

type TokenKind = Exclude<RegistryTables['portal_tokens']['kind'], 'session'>;

/** Whose secret it is, without using it up. */
export function peekToken(
  kind: TokenKind,
  token: string,
  nowMs: number,
): RegistryWork<string | undefined> {
  return async (db) => {
    const row = await db
      .selectFrom('portal_tokens')
      .select('subject')
      .where('token_hash', '=', hashToken(token))
      .where('kind', '=', kind)
      .where('expires_at', '>', nowMs)
      .executeTakeFirst();
    return row?.subject;
  };
}

/** How many secrets of this kind somebody could use now. */
export function countTokens(kind: TokenKind, subject: string, nowMs: number): RegistryWork<number> {
  return async (db) => {
    const { count } = await db
      .selectFrom('portal_tokens')
      .select(db.fn.countAll().as('count'))
      .where('kind', '=', kind)
      .where('subject', '=', subject)
      .where('expires_at', '>', nowMs)
      .executeTakeFirstOrThrow();
    return Number(count);
  };
}
