// The certificates that are wanted, page by page, for people: what there is, what comes, what fails.
import type { CertificateName } from '../../../certs/certificate.ts';
import type { RegistryWork } from '../database.ts';
import { PAGE_LIMITS } from '../listings.ts';
import type { CertificatePurpose } from '../schema.ts';
import { parseNames } from './certificate-names.ts';
import type { WorkKey } from './work.ts';

/** absent: none yet · ordered: one is under way · failing: the last attempt failed · issued: it is there. */
export type CertificateState = 'absent' | 'ordered' | 'failing' | 'issued';

export interface ListedCertificate {
  readonly purpose: CertificatePurpose;
  readonly subject: string;
  readonly thumbprint: string;
  readonly names: readonly CertificateName[];
  readonly state: CertificateState;
  /** When it is ordered or renewed next. */
  readonly dueAtMs: number;
  readonly attempts: number;
  readonly lastError: string | undefined;
  readonly lastErrorAtMs: number | undefined;
  readonly ca: string | undefined;
  readonly serial: string | undefined;
  readonly notAfterMs: number | undefined;
}

export interface CertificatesQuery {
  readonly subject?: string;
  /** The last one of the page before. */
  readonly after?: WorkKey;
  readonly limit: number;
}

/** By subject. */
export function listCertificates({
  subject,
  after,
  limit,
}: CertificatesQuery): RegistryWork<readonly ListedCertificate[]> {
  return async (db) => {
    const rows = await db
      .selectFrom('certificate_work as work')
      .leftJoin('certificates', 'certificates.id', 'work.certificate_id')
      .selectAll('work')
      .select(['certificates.ca', 'certificates.serial', 'certificates.not_after'])
      .$if(subject !== undefined, (q) => q.where('work.subject', '=', subject ?? ''))
      .$if(after !== undefined, (q) =>
        q
          .where('work.subject', '>=', after?.subject ?? '')
          .where((eb) =>
            eb.or([
              eb('work.subject', '>', after?.subject ?? ''),
              eb('work.purpose', '>', after?.purpose ?? 'relay'),
              eb.and([
                eb('work.purpose', '=', after?.purpose ?? 'relay'),
                eb('work.thumbprint', '>', after?.thumbprint ?? ''),
              ]),
            ]),
          ),
      )
      .orderBy('work.subject')
      .orderBy('work.purpose')
      .orderBy('work.thumbprint')
      .limit(Math.min(Math.max(1, limit), PAGE_LIMITS.rowsMax))
      .execute();
    return rows.map((row) => ({
      ...{ purpose: row.purpose, subject: row.subject, thumbprint: row.thumbprint },
      names: parseNames(row.names),
      state: stateOf(row),
      ...{ dueAtMs: row.due_at, attempts: row.attempts },
      lastError: row.last_error ?? undefined,
      lastErrorAtMs: row.last_error_at ?? undefined,
      ca: row.ca ?? undefined,
      serial: row.serial ?? undefined,
      notAfterMs: row.not_after ?? undefined,
    }));
  };
}

function stateOf(row: {
  readonly leased_by: string | null;
  readonly attempts: number;
  readonly certificate_id: number | null;
}): CertificateState {
  if (row.leased_by !== null) return 'ordered';
  if (row.attempts > 0) return 'failing';
  return row.certificate_id === null ? 'absent' : 'issued';
}
