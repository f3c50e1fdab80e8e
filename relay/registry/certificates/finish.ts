// A certificate that has come: stored, the present one from then on, and the one before it wiped. All of
// it happens or nothing; told twice, it is stored once.
import type { Kysely } from 'kysely';
import type { CertificateName } from '../../../certs/certificate.ts';
import type { RegistryWork } from '../database.ts';
import type { RegistryTables } from '../schema.ts';
import { formatNames } from './certificate-names.ts';
import type { Job } from './job.ts';
import { takeTurn } from './turn.ts';
import { wipe } from './wipe.ts';
import { NO_LEASE, NO_ORDER, URGENCY } from './work.ts';

export interface IssuedCertificate {
  readonly ca: string;
  readonly orderUrl: string;
  readonly serial: string;
  /** PEM, the leaf first. */
  readonly chain: string;
  /** Sealed; null: the device has it. */
  readonly key: string | null;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly names: readonly CertificateName[];
  readonly renewAtMs: number;
  readonly nowMs?: number;
}

/** False: the job is not the holder's any more, and nothing was changed. */
export function finishWork(job: Job, issued: IssuedCertificate): RegistryWork<boolean> {
  return async (db) => {
    // Numbers are committed in the order in which they are given out: who polls for greater ones
    // (present.ts) misses none.
    await takeTurn(db, 'finish');
    const stored = await db
      .selectFrom('certificates')
      .select('id')
      .where('order_url', '=', issued.orderUrl)
      .executeTakeFirst();
    if (stored !== undefined) return isPresent(db, job, stored.id);
    if (!(await release(db, job, issued))) return false;
    const nowMs = issued.nowMs ?? Date.now();
    const { purpose, subject, thumbprint } = job;
    const { id } = await db
      .insertInto('certificates')
      .values({
        ...{ purpose, subject, thumbprint, names: formatNames(issued.names) },
        ...{ ca: issued.ca, order_url: issued.orderUrl, serial: issued.serial },
        ...{ key: issued.key, chain: issued.chain },
        ...{ not_before: issued.notBeforeMs, not_after: issued.notAfterMs, issued_at: nowMs },
        // The authority is asked at once when it wants this one renewed.
        window_due_at: nowMs,
      })
      .returning('id')
      .executeTakeFirstOrThrow();
    await row(db.updateTable('certificate_work').set({ certificate_id: id }), job).execute();
    await wipe(db, { purpose, subject, thumbprint, except: id, nowMs });
    return true;
  };
}

type Db = Kysely<RegistryTables>;

/** The job is done, if it still is the holder's. */
async function release(db: Db, job: Job, issued: IssuedCertificate): Promise<boolean> {
  const update = db.updateTable('certificate_work').set((eb) => ({
    urgency: eb
      .case()
      .when('urgency', '=', URGENCY.zone)
      .then(eb.ref('urgency'))
      .else(issued.notAfterMs)
      .end(),
    due_at: issued.renewAtMs,
    ...{ attempts: 0, last_error: null, last_error_at: null, authority: 0 },
    ...NO_ORDER,
    ...NO_LEASE,
  }));
  const released = await row(update, job)
    .where('fence', '=', job.fence)
    .where('leased_by', '=', job.holder)
    .returning('fence')
    .executeTakeFirst();
  return released !== undefined;
}

async function isPresent(db: Db, job: Job, id: number): Promise<boolean> {
  const present = db.selectFrom('certificate_work').select('fence');
  const found = await row(present, job).where('certificate_id', '=', id).executeTakeFirst();
  return found !== undefined;
}

interface Restricted<Query> {
  where(column: 'purpose' | 'subject' | 'thumbprint', operator: '=', value: string): Query;
}

function row<Query extends Restricted<Query>>(
  query: Query,
  { purpose, subject, thumbprint }: Job,
): Query {
  return query
    .where('purpose', '=', purpose)
    .where('subject', '=', subject)
    .where('thumbprint', '=', thumbprint);
}
