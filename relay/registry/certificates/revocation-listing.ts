// Which certificates are to be revoked or were, page by page, for people; and how many, for metrics.
import type { RegistryWork } from '../database.ts';
import { PAGE_LIMITS } from '../listings.ts';
import { withRevocations } from './revocation-queue.ts';

/** revoking: its authority is yet to do so · revoked: it has · ended: it ended before that. */
export type RevocationState = 'revoking' | 'revoked' | 'ended';

export interface ListedRevocation {
  readonly id: number;
  readonly subject: string;
  readonly thumbprint: string;
  readonly state: RevocationState;
  /** RFC 5280, section 5.3.1. */
  readonly reason: number;
  readonly ca: string;
  /** `undefined`: what came of its order is not known yet. */
  readonly serial: string | undefined;
  readonly notAfterMs: number | undefined;
  readonly askedAtMs: number;
  /** When the authority is asked next. */
  readonly dueAtMs: number;
  readonly attempts: number;
  readonly lastError: string | undefined;
  readonly endedAtMs: number | undefined;
}

export interface RevocationsQuery {
  readonly subject?: string;
  /** Of the last one of the page before. */
  readonly after?: number;
  readonly limit: number;
  readonly nowMs: number;
}

/** In the order in which it was asked for; those whose certificate has ended only where `subject` is told. */
export function listRevocations({
  subject,
  after = 0,
  limit,
  nowMs,
}: RevocationsQuery): RegistryWork<readonly ListedRevocation[]> {
  return async (transaction) => {
    const rows = await withRevocations(transaction)
      .selectFrom('certificate_revocations as asked')
      .leftJoin('certificates', 'certificates.id', 'asked.certificate_id')
      .selectAll('asked')
      .select(['certificates.serial', 'certificates.not_after'])
      .where('asked.id', '>', after)
      // An order of which nothing came is nothing to tell of.
      .where((eb) => eb.or([eb('outcome', 'is', null), eb('outcome', '!=', 'nothing')]))
      .$if(subject !== undefined, (q) => q.where('asked.subject', '=', subject ?? ''))
      .$if(subject === undefined, (q) => q.where('asked.until', '>', nowMs))
      .orderBy('asked.id')
      .limit(Math.min(Math.max(1, limit), PAGE_LIMITS.rowsMax))
      .execute();
    return rows.map((row) => ({
      ...{ id: row.id, subject: row.subject, thumbprint: row.thumbprint, ca: row.ca },
      state: row.ended_at === null ? 'revoking' : row.outcome === 'revoked' ? 'revoked' : 'ended',
      ...{ reason: row.reason, attempts: row.attempts },
      ...{ serial: row.serial ?? undefined, notAfterMs: row.not_after ?? undefined },
      ...{ askedAtMs: row.asked_at, dueAtMs: row.due_at },
      ...{ lastError: row.last_error ?? undefined, endedAtMs: row.ended_at ?? undefined },
    }));
  };
}

export interface RevocationFigures {
  /** That are yet to be revoked. */
  readonly waiting: number;
  /** Of these, those that their authority was asked for in vain. */
  readonly failing: number;
  /** From when on the oldest of the failing ones is to be revoked. */
  readonly oldestFailureMs: number | undefined;
}

/** They are few: whoever waits is done within seconds, unless an authority is away. */
export function revocationFigures(): RegistryWork<RevocationFigures> {
  return async (transaction) => {
    const rows = await withRevocations(transaction)
      .selectFrom('certificate_revocations')
      .select((eb) => [eb.fn.countAll().as('rows'), eb.fn.min('wanted_at').as('oldest')])
      .select((eb) => eb.case().when('attempts', '>', 0).then(1).else(0).end().as('failing'))
      .where('ended_at', 'is', null)
      .groupBy('failing')
      .execute();
    const failing = rows.find((row) => Number(row.failing) === 1);
    return {
      waiting: rows.reduce((sum, row) => sum + Number(row.rows), 0),
      failing: Number(failing?.rows ?? 0),
      oldestFailureMs: failing === undefined ? undefined : Number(failing.oldest),
    };
  };
}

/** Whether a device is to give up a certificate that nobody follows any more, or was. */
export function isGivenUp({
  subject,
  thumbprint,
}: {
  readonly subject: string;
  readonly thumbprint: string;
}): RegistryWork<boolean> {
  return async (transaction) => {
    const row = await withRevocations(transaction)
      .selectFrom('certificate_revocations')
      .select('id')
      .where('subject', '=', subject)
      .where('thumbprint', '=', thumbprint)
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  };
}
