// What the holder of a job (job.ts) writes about it. Each changes nothing and says false when the job is
// not his any more: somebody else has taken it, it is done, or it is not wanted so.
import type { UpdateObject } from 'kysely';
import type { RegistryWork } from '../database.ts';
import type { RegistryTables } from '../schema.ts';
import { askRevocationOfOrders, forgetAbandoned } from './abandoned-orders.ts';
import type { Job, JobOrder } from './job.ts';
import { REVOCATION } from './revocation-queue.ts';
import { NO_LEASE, NO_ORDER } from './work.ts';

const HELD_WORK_LIMITS = {
  /** Of what went wrong, as people read it. */
  errorCharsMax: 1_000,
} as const;

export function keepLease(job: Job, untilMs: number): RegistryWork<boolean> {
  return write(job, { leased_until: untilMs });
}

/**
 * Before anything else is done with the order: who takes the job next goes on with it. It may be one that
 * was abandoned: an authority may give out an open order again to whoever wants the same names.
 */
export function keepOrder(job: Job, { ca, url, key, csr }: JobOrder): RegistryWork<boolean> {
  const order = { order_ca: ca, order_url: url, order_key: key ?? null, order_csr: csr ?? null };
  return async (db) => {
    if (!(await write(job, order)(db))) return false;
    await forgetAbandoned(db, url);
    return true;
  };
}

/** The order is dead, and the next attempt begins another. */
export function forgetOrder(job: Job): RegistryWork<boolean> {
  return write(job, NO_ORDER);
}

/**
 * The same for one that lives, and that nobody goes on with: a device never gets what may come of it.
 * `strange`: what came is for no key that was asked for here, so somebody may have that key.
 */
export function abandonOrder(job: Job, nowMs: number, strange = false): RegistryWork<boolean> {
  return async (db) => {
    // It may have been begun since the job was taken.
    const abandoned = await db
      .selectFrom('certificate_work')
      .select(['subject', 'thumbprint', 'order_url', 'order_ca'])
      .where('purpose', '=', job.purpose)
      .where('subject', '=', job.subject)
      .where('thumbprint', '=', job.thumbprint)
      .execute();
    if (!(await forgetOrder(job)(db))) return false;
    if (job.purpose !== 'device' && !(strange && job.purpose === 'relay')) return true;
    await askRevocationOfOrders(db, abandoned, { reason: REVOCATION.superseded, nowMs });
    return true;
  };
}

export interface Failure {
  readonly message: string;
  readonly nextAtMs: number;
  /** How many in a row by now. */
  readonly attempts: number;
  /** Which authority is tried next. */
  readonly authority: number;
  readonly nowMs?: number;
}

/** Gives the job back after an attempt that failed. An order that lives is kept. */
export function failWork(job: Job, failure: Failure): RegistryWork<boolean> {
  const { message, nextAtMs, attempts, authority, nowMs = Date.now() } = failure;
  return write(job, {
    ...{ due_at: nextAtMs, attempts, authority },
    ...{ last_error: shortened(message), last_error_at: nowMs },
    ...NO_LEASE,
  });
}

/** Gives the job back without an attempt: its turn has not come. Why is told where errors are. */
export function postpone(
  job: Job,
  untilMs: number,
  why: string,
  nowMs: number = Date.now(),
): RegistryWork<boolean> {
  return write(job, {
    ...{ due_at: untilMs, last_error: shortened(why), last_error_at: nowMs },
    ...NO_LEASE,
  });
}

/** The same for work that rests until its device comes, which is called to do so (device-calls.ts). */
export function callDevice(
  job: Job,
  {
    untilMs,
    why,
    nowMs,
  }: { readonly untilMs: number; readonly why: string; readonly nowMs: number },
): RegistryWork<boolean> {
  return write(job, {
    ...{ due_at: untilMs, last_error: shortened(why), last_error_at: nowMs },
    called_at: nowMs,
    ...NO_LEASE,
  });
}

function write(
  { purpose, subject, thumbprint, holder, fence }: Job,
  change: UpdateObject<RegistryTables, 'certificate_work'>,
): RegistryWork<boolean> {
  return async (db) => {
    const row = await db
      .updateTable('certificate_work')
      .set(change)
      .where('purpose', '=', purpose)
      .where('subject', '=', subject)
      .where('thumbprint', '=', thumbprint)
      .where('fence', '=', fence)
      // Given back, it is nobody's.
      .where('leased_by', '=', holder)
      .returning('fence')
      .executeTakeFirst();
    return row !== undefined;
  };
}

function shortened(message: string): string {
  return message.slice(0, HELD_WORK_LIMITS.errorCharsMax);
}
