// The end of certificates: replaced, or not wanted any more. The rows stay, the private keys do not. Those
// keys have never left the relays, so that nobody can show such a certificate any more, and none of them is
// revoked: of a name that was released, and of an own domain that was removed or lost to another owner, it
// would tell visitors nothing. Certificates whose key a device has are another matter (revocation-queue.ts).
import type { Kysely } from 'kysely';
import type { CertificatePurpose, RegistryTables } from '../schema.ts';

export interface Wipe {
  readonly purpose: CertificatePurpose;
  /** One, or some. */
  readonly subject: string | readonly string[];
  /** Absent: whichever. */
  readonly thumbprint?: string;
  /** The one that stays. */
  readonly except?: number;
  readonly nowMs: number;
}

export async function wipe(
  db: Kysely<RegistryTables>,
  { purpose, subject, thumbprint, except, nowMs }: Wipe,
): Promise<void> {
  const subjects = typeof subject === 'string' ? [subject] : [...subject];
  if (subjects.length === 0) return;
  await db
    .updateTable('certificates')
    .set({ key: null, replaced_at: nowMs, window_due_at: null })
    .where('subject', 'in', subjects)
    .where('purpose', '=', purpose)
    .$if(thumbprint !== undefined, (q) => q.where('thumbprint', '=', thumbprint ?? ''))
    .$if(except !== undefined, (q) => q.where('id', '!=', except ?? 0))
    .where('replaced_at', 'is', null)
    .execute();
}
