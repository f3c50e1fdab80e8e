// The certificates that are served now, and how relays hear of new ones.
import type { CertificateName } from '../../../certs/certificate.ts';
import type { RegistryWork } from '../database.ts';
import type { CertificatePurpose } from '../schema.ts';
import { parseNames } from './certificate-names.ts';
import { URGENCY, type WorkKey } from './work.ts';

export const PRESENT_LIMITS = {
  /** Of one look for new ones: some hundred a second, and looks every few seconds. */
  changesMax: 1_000,
} as const;

export interface PresentCertificate {
  readonly id: number;
  readonly chain: string;
  /** Sealed. */
  readonly key: string;
  readonly notAfterMs: number;
}

/** Of a device name, the zone or an own domain; `undefined`: there is none, or none yet. */
export function presentCertificate({
  subject,
}: {
  readonly subject: string;
}): RegistryWork<PresentCertificate | undefined> {
  return async (db) => {
    const row = await db
      .selectFrom('certificate_work')
      .innerJoin('certificates', 'certificates.id', 'certificate_work.certificate_id')
      .select(['certificates.id', 'certificates.chain', 'certificates.key'])
      .select('certificates.not_after')
      .where('certificate_work.subject', '=', subject)
      .where('certificate_work.purpose', 'in', ['relay', 'domain'])
      .executeTakeFirst();
    if (row === undefined || row.key === null) return undefined;
    return { id: row.id, chain: row.chain, key: row.key, notAfterMs: row.not_after };
  };
}

/** A certificate that is wanted: how far it is, and the present one. */
export interface WantedCertificate {
  readonly names: readonly CertificateName[];
  readonly csr: string | undefined;
  readonly dueAtMs: number;
  /** Somebody has asked for another one than there is. */
  readonly asked: boolean;
  readonly attempts: number;
  readonly lastError: string | undefined;
  readonly present:
    | {
        readonly id: number;
        readonly names: readonly CertificateName[];
        readonly chain: string;
        readonly issuedAtMs: number;
        readonly notAfterMs: number;
        /** When its authority wants it renewed, as it has said last. */
        readonly window: { readonly startMs: number; readonly endMs: number } | undefined;
      }
    | undefined;
}

/** `undefined`: nobody wants it. */
export function certificateFor({
  purpose,
  subject,
  thumbprint,
}: WorkKey): RegistryWork<WantedCertificate | undefined> {
  return async (db) => {
    const row = await db
      .selectFrom('certificate_work as work')
      .leftJoin('certificates', 'certificates.id', 'work.certificate_id')
      .select(['work.names', 'work.csr', 'work.due_at', 'work.attempts', 'work.last_error'])
      .select('work.urgency')
      .select(['certificates.id', 'certificates.names as present_names', 'certificates.chain'])
      .select(['certificates.issued_at', 'certificates.not_after'])
      .select(['certificates.window_start', 'certificates.window_end'])
      .where('work.purpose', '=', purpose)
      .where('work.subject', '=', subject)
      .where('work.thumbprint', '=', thumbprint)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    return {
      names: parseNames(row.names),
      csr: row.csr ?? undefined,
      dueAtMs: row.due_at,
      asked: row.urgency === URGENCY.asked,
      attempts: row.attempts,
      lastError: row.last_error ?? undefined,
      present:
        row.id === null
          ? undefined
          : {
              id: row.id,
              names: parseNames(row.present_names ?? '[]'),
              chain: row.chain ?? '',
              issuedAtMs: row.issued_at ?? 0,
              notAfterMs: row.not_after ?? 0,
              window:
                row.window_start === null || row.window_end === null
                  ? undefined
                  : { startMs: row.window_start, endMs: row.window_end },
            },
    };
  };
}

export interface CertificateChange {
  readonly id: number;
  readonly subject: string;
  readonly purpose: CertificatePurpose;
}

/** In the order in which they came; as many as `changesMax` means that there may be more. */
export function changesAfter(id: number): RegistryWork<readonly CertificateChange[]> {
  return (db) =>
    db
      .selectFrom('certificates')
      .select(['id', 'subject', 'purpose'])
      .where('id', '>', id)
      .orderBy('id')
      .limit(PRESENT_LIMITS.changesMax)
      .execute();
}

/** From where on to look for changes; zero: there was none ever. */
export function lastCertificateId(): RegistryWork<number> {
  return async (db) => {
    const { id } = await db
      .selectFrom('certificates')
      .select((eb) => eb.fn.max('id').as('id'))
      .executeTakeFirstOrThrow();
    return id ?? 0;
  };
}
