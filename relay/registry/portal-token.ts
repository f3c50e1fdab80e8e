// The portal's secrets: mail links, sessions, OIDC round trips. Only their hashes are stored. Each function
// is the queries of one transaction (`registry.write`, `registry.read`); several may run at once, so what
// must happen once is one statement.
import type { Kysely } from 'kysely';
import type { RegistryWork } from './database.ts';
import type { RegistryTables } from './schema.ts';
import { hashToken, makeToken } from './secret.ts';
import { type Owner, ownerById } from './sign-in.ts';

const HOUR_MS = 3_600_000;

export const SESSION_LIMITS = {
  /** Whoever does not come back within a week signs in again. */
  idleMs: 7 * 24 * HOUR_MS,
  /** However often he comes: a cookie that was stolen ends some day. */
  absoluteMs: 30 * 24 * HOUR_MS,
  /** A session is written again only when so much has passed, not at every request. */
  renewMs: HOUR_MS,
  /** Expired rows thrown away in one transaction: some milliseconds of work. */
  sweepRows: 1_000,
} as const;

export type PortalTokenKind = RegistryTables['portal_tokens']['kind'];

/** Keeps a secret for so long; resolves with its text, which is stored nowhere. */
export function issueToken({
  kind,
  subject,
  ttlMs,
  nowMs,
}: {
  readonly kind: Exclude<PortalTokenKind, 'session'>;
  readonly subject: string;
  readonly ttlMs: number;
  readonly nowMs: number;
}): RegistryWork<string> {
  return (db) => insertToken(db, { kind, subject, issued_at: nowMs, expires_at: nowMs + ttlMs });
}

/** Uses a secret up; of several who try at once, one gets its subject. */
export function redeemToken({
  kind,
  token,
  nowMs,
}: {
  readonly kind: Exclude<PortalTokenKind, 'session'>;
  readonly token: string;
  readonly nowMs: number;
}): RegistryWork<string | undefined> {
  return async (db) => {
    const row = await db
      .deleteFrom('portal_tokens')
      .where('token_hash', '=', hashToken(token))
      .where('kind', '=', kind)
      .returning(['subject', 'expires_at'])
      .executeTakeFirst();
    return row !== undefined && row.expires_at > nowMs ? row.subject : undefined;
  };
}

/** A new session of an owner; resolves with the cookie's value. */
export function startSession({
  ownerId,
  nowMs,
}: {
  readonly ownerId: string;
  readonly nowMs: number;
}): RegistryWork<string> {
  const expires_at = nowMs + SESSION_LIMITS.idleMs;
  return (db) =>
    insertToken(db, { kind: 'session', subject: ownerId, issued_at: nowMs, expires_at });
}

export interface Session {
  readonly owner: Owner;
  readonly expiresAtMs: number;
  /** True now and then: call `renewSession`. */
  readonly renewalDue: boolean;
}

/** A read: whose session it is, unless it has expired. */
export function findSession({ token, nowMs }: SessionUse): RegistryWork<Session | undefined> {
  return async (db) => {
    const row = await db
      .selectFrom('portal_tokens')
      .select(['subject', 'issued_at', 'expires_at'])
      .where('token_hash', '=', hashToken(token))
      .where('kind', '=', 'session')
      .where('expires_at', '>', nowMs)
      .executeTakeFirst();
    const owner = row === undefined ? undefined : await ownerById(row.subject)(db);
    if (row === undefined || owner === undefined) return undefined;
    const gain = sessionEnd(row.issued_at, nowMs) - row.expires_at;
    const renewalDue = gain >= SESSION_LIMITS.renewMs;
    return { owner, expiresAtMs: row.expires_at, renewalDue };
  };
}

/** Puts the idle end off, never past the absolute one. */
export function renewSession({ token, nowMs }: SessionUse): RegistryWork<void> {
  return async (db) => {
    const token_hash = hashToken(token);
    const row = await db
      .selectFrom('portal_tokens')
      .select('issued_at')
      .where('token_hash', '=', token_hash)
      .where('kind', '=', 'session')
      .where('expires_at', '>', nowMs)
      .executeTakeFirst();
    if (row === undefined) return;
    await db
      .updateTable('portal_tokens')
      .set({ expires_at: sessionEnd(row.issued_at, nowMs) })
      .where('token_hash', '=', token_hash)
      .execute();
  };
}

export interface SessionUse {
  readonly token: string;
  readonly nowMs: number;
}

export function endSession(token: string): RegistryWork<void> {
  return async (db) => {
    await db
      .deleteFrom('portal_tokens')
      .where('token_hash', '=', hashToken(token))
      .where('kind', '=', 'session')
      .execute();
  };
}

/** Signs an owner out everywhere. */
export function endSessionsOf(ownerId: string): RegistryWork<void> {
  return async (db) => {
    await db
      .deleteFrom('portal_tokens')
      .where('kind', '=', 'session')
      .where('subject', '=', ownerId)
      .execute();
  };
}

/** Throws away what has expired, a bounded part of it; resolves with how many. */
export function sweepTokens(nowMs: number): RegistryWork<number> {
  return async (db) => {
    const swept = await db
      .deleteFrom('portal_tokens')
      .where('token_hash', 'in', (query) =>
        query
          .selectFrom('portal_tokens')
          .select('token_hash')
          .where('expires_at', '<=', nowMs)
          .limit(SESSION_LIMITS.sweepRows),
      )
      .executeTakeFirst();
    return Number(swept.numDeletedRows);
  };
}

function sessionEnd(issuedAtMs: number, nowMs: number): number {
  const { idleMs, absoluteMs } = SESSION_LIMITS;
  return Math.min(nowMs + idleMs, issuedAtMs + absoluteMs);
}

async function insertToken(
  db: Kysely<RegistryTables>,
  row: Omit<RegistryTables['portal_tokens'], 'token_hash'>,
): Promise<string> {
  const { text, hash: token_hash } = makeToken();
  await db
    .insertInto('portal_tokens')
    .values({ ...row, token_hash })
    .execute();
  return text;
}
