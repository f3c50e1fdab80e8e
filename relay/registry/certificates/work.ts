// Which certificates are wanted. One row for each, from when it is wanted until it is not any more,
// whether or not there is one already.
import type { Kysely } from 'kysely';
import type { CertificateName } from '../../../certs/certificate.ts';
import type { RegistryWork } from '../database.ts';
import type { CertificatePurpose, RegistryTables } from '../schema.ts';
import { askRevocationOfOrders } from './abandoned-orders.ts';
import { formatNames } from './certificate-names.ts';
import { REVOCATION } from './revocation-queue.ts';
import { wipe } from './wipe.ts';

/**
 * In what order work is done; above zero it is when the present certificate ends, and where that is soon
 * it goes before what is absent (job.ts).
 */
export const URGENCY = { zone: -2, asked: -1, absent: 0 } as const;

export interface WorkKey {
  readonly purpose: CertificatePurpose;
  readonly subject: string;
  /** Empty, but for `device`. */
  readonly thumbprint: string;
}

export interface Wanted {
  readonly purpose: CertificatePurpose;
  readonly subject: string;
  readonly thumbprint?: string;
  readonly names: readonly CertificateName[];
  readonly csr?: string;
  readonly urgency?: number;
  readonly nowMs?: number;
}

/**
 * True: there is something to do now, since it was not wanted before, or with other names or another CSR.
 * Whoever works on what it was before has lost his lease by that.
 */
export function want(wanted: Wanted): RegistryWork<boolean> {
  const { purpose, subject, thumbprint = '', csr = null, urgency = URGENCY.absent } = wanted;
  const { nowMs = Date.now() } = wanted;
  const names = formatNames(wanted.names);
  return async (db) => {
    const due = { urgency, due_at: nowMs };
    if (purpose === 'device') await abandonOrders(db, { subject, thumbprint, csr, nowMs });
    const row = await db
      .insertInto('certificate_work')
      .values({
        purpose,
        subject,
        thumbprint,
        names,
        csr,
        ...due,
        attempts: 0,
        authority: 0,
        fence: 0,
      })
      .onConflict((conflict) =>
        conflict
          .columns(['purpose', 'subject', 'thumbprint'])
          .doUpdateSet((eb) => ({
            ...{ names, csr, ...due, ...NO_ORDER, ...NO_LEASE },
            ...{ attempts: 0, last_error: null, last_error_at: null, called_at: null },
            fence: eb('certificate_work.fence', '+', 1),
          }))
          .where((eb) =>
            eb.or([
              eb('certificate_work.names', '!=', names),
              eb(eb.fn.coalesce('certificate_work.csr', eb.val('')), '!=', csr ?? ''),
            ]),
          ),
      )
      .returning('fence')
      .executeTakeFirst();
    return row !== undefined;
  };
}

interface NextRequest extends Pick<WorkKey, 'subject' | 'thumbprint'> {
  readonly csr: string | null;
  readonly nowMs: number;
}

/** A device comes with another key while one is being signed: nobody takes what comes of that. */
async function abandonOrders(
  db: Kysely<RegistryTables>,
  { subject, thumbprint, csr, nowMs }: NextRequest,
): Promise<void> {
  const abandoned = await db
    .selectFrom('certificate_work')
    .select(['subject', 'thumbprint', 'order_url', 'order_ca'])
    .where('purpose', '=', 'device')
    .where('subject', '=', subject)
    .where('thumbprint', '=', thumbprint)
    .where('csr', '!=', csr)
    .execute();
  await askRevocationOfOrders(db, abandoned, { reason: REVOCATION.superseded, nowMs });
}

/** Without a thumbprint: of all devices. The keys are wiped; what was issued stays known. */
export function unwant({
  nowMs = Date.now(),
  ...key
}: Pick<WorkKey, 'purpose' | 'subject'> & {
  readonly thumbprint?: string;
  readonly nowMs?: number;
}): RegistryWork<boolean> {
  const { purpose, subject, thumbprint } = key;
  return async (db) => {
    const rows = await db
      .deleteFrom('certificate_work')
      .where('purpose', '=', purpose)
      .where('subject', '=', subject)
      .$if(thumbprint !== undefined, (q) => q.where('thumbprint', '=', thumbprint ?? ''))
      .returning('thumbprint')
      .execute();
    await wipe(db, { ...key, nowMs });
    return rows.length > 0;
  };
}

/** A person wants it now, whatever has failed before. Returns what the certificates are for. */
export function askNow({
  subject,
  nowMs = Date.now(),
}: {
  readonly subject: string;
  readonly nowMs?: number;
}): RegistryWork<readonly CertificatePurpose[]> {
  return async (db) => {
    const rows = await db
      .updateTable('certificate_work')
      .set((eb) => ({
        urgency: eb
          .case()
          .when('urgency', '<', URGENCY.asked)
          .then(eb.ref('urgency'))
          .else(URGENCY.asked)
          .end(),
        due_at: nowMs,
        attempts: 0,
      }))
      .where('subject', '=', subject)
      .returning('purpose')
      .execute();
    return rows.map((row) => row.purpose);
  };
}

/** As a row is without an order under way. */
export const NO_ORDER = {
  order_url: null,
  order_ca: null,
  order_key: null,
  order_csr: null,
} as const;
/** As a row is that nobody works on. */
export const NO_LEASE = { leased_by: null, leased_until: null } as const;
