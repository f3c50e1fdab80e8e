// When authorities want certificates renewed (RFC 9773). They are asked again and again: a window that
// moves to today tells of a certificate that is about to be revoked.
import { sql } from 'kysely';
import type { RegistryWork } from '../database.ts';
import type { CertificatePurpose } from '../schema.ts';
import { URGENCY } from './work.ts';

export interface DueWindow {
  readonly id: number;
  readonly purpose: CertificatePurpose;
  readonly subject: string;
  readonly ca: string;
  readonly chain: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** The certificates whose authority is to be asked, those first that wait longest. */
export function windowsDue({
  nowMs,
  max,
}: {
  readonly nowMs: number;
  readonly max: number;
}): RegistryWork<readonly DueWindow[]> {
  return async (db) => {
    const rows = await db
      .selectFrom('certificates')
      .select(['id', 'purpose', 'subject', 'ca', 'chain', 'not_before', 'not_after'])
      .where(sql<boolean>`replaced_at is null`)
      .where('window_due_at', '<=', nowMs)
      .orderBy('window_due_at')
      .limit(max)
      .execute();
    return rows.map(({ not_before: notBeforeMs, not_after: notAfterMs, ...row }) => ({
      ...row,
      notBeforeMs,
      notAfterMs,
    }));
  };
}

/**
 * Keeps what the authority has said (`undefined`: it has no windows), when to ask again (null: never),
 * and when the certificate is renewed. False: it was replaced meanwhile.
 */
export function keepWindow(
  id: number,
  window: { readonly startMs: number; readonly endMs: number } | undefined,
  dueAtMs: number | null,
  renewAtMs: number,
): RegistryWork<boolean> {
  return async (db) => {
    const kept = await db
      .updateTable('certificates')
      .set({
        window_start: window?.startMs ?? null,
        window_end: window?.endMs ?? null,
        window_due_at: dueAtMs,
      })
      .where('id', '=', id)
      .where('replaced_at', 'is', null)
      .returning(['purpose', 'subject', 'thumbprint'])
      .executeTakeFirst();
    if (kept === undefined) return false;
    await db
      .updateTable('certificate_work')
      .set({ due_at: renewAtMs })
      .where('purpose', '=', kept.purpose)
      .where('subject', '=', kept.subject)
      .where('thumbprint', '=', kept.thumbprint)
      .where('certificate_id', '=', id)
      // What is asked for, under way or failing has its own time.
      .where((eb) =>
        eb.or([
          eb('urgency', '>', 0),
          eb.and([eb('urgency', '=', URGENCY.zone), eb('due_at', '>', renewAtMs)]),
        ]),
      )
      .where('leased_by', 'is', null)
      .where('attempts', '=', 0)
      .execute();
    return true;
  };
}

/** The authority has not answered: what it said before stays. */
export function askWindowLater(id: number, dueAtMs: number): RegistryWork<void> {
  return async (db) => {
    await db
      .updateTable('certificates')
      .set({ window_due_at: dueAtMs })
      .where('id', '=', id)
      .where('replaced_at', 'is', null)
      .execute();
  };
}
