// The certificates that are wanted, page by page, for people: what there is, what comes, what fails.
import type { CertificateName } from '../../../certs/certificate.ts';
import type { RegistryWork } from '../database.ts';
import { PAGE_LIMITS } from '../listings.ts';
import type { CertificatePurpose, RegistryTables } from '../schema.ts';
import { parseNames, parseSubject } from './certificate-names.ts';
import { UNREADABLE } from './job.ts';
import type { WorkKey } from './work.ts';

/**
 * absent: none yet · ordered: one is under way · failing: the last attempt failed · issued: it is there ·
 * unreadable: what the registry holds of it is not what was written, and it is left alone.
 */
export type CertificateProgress = 'absent' | 'ordered' | 'failing' | 'issued' | 'unreadable';

export interface ListedCertificate {
  readonly purpose: CertificatePurpose;
  readonly subject: string;
  readonly thumbprint: string;
  /** Empty where they cannot be read. */
  readonly names: readonly CertificateName[];
  readonly state: CertificateProgress;
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
      ...progressOf(row),
      ...{ dueAtMs: row.due_at, attempts: row.attempts },
      lastErrorAtMs: row.last_error_at ?? undefined,
      ca: row.ca ?? undefined,
      serial: row.serial ?? undefined,
      notAfterMs: row.not_after ?? undefined,
    }));
  };
}

type WorkRow = RegistryTables['certificate_work'];

/** One row that somebody has spoilt must not keep people from the others. */
function progressOf(row: WorkRow): Pick<ListedCertificate, 'names' | 'state' | 'lastError'> {
  try {
    parseSubject(row.subject);
    const names = parseNames(row.names);
    return { names, state: stateOf(row), lastError: row.last_error ?? undefined };
  } catch {
    return { names: [], state: 'unreadable', lastError: UNREADABLE };
  }
}

function stateOf(row: WorkRow): CertificateProgress {
  if (row.leased_by !== null) return 'ordered';
  if (row.attempts > 0) return 'failing';
  return row.certificate_id === null ? 'absent' : 'issued';
}
