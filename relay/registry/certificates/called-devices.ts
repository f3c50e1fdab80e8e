// Devices that were called to come with a new key for a certificate (held-work.ts), for every relay that
// has a tunnel to one of them.
import { sql } from 'kysely';
import type { RegistryWork } from '../database.ts';

export const CALLED_LIMITS = {
  /** Of one look; looks come every few seconds. */
  rowsMax: 1_000,
} as const;

export interface CalledDevice {
  readonly thumbprint: string;
  readonly subject: string;
  readonly atMs: number;
}

/** Those that were called after that time and have not come yet, the earliest first. */
export function calledAfter(sinceMs: number): RegistryWork<readonly CalledDevice[]> {
  return async (db) => {
    const rows = await db
      .selectFrom('certificate_work')
      .select(['thumbprint', 'subject', 'called_at'])
      .where(sql<boolean>`called_at is not null`)
      .where('called_at', '>', sinceMs)
      .where('purpose', '=', 'device')
      .orderBy('called_at')
      .limit(CALLED_LIMITS.rowsMax)
      .execute();
    return rows.map(({ thumbprint, subject, called_at }) => ({
      ...{ thumbprint, subject },
      atMs: called_at ?? 0,
    }));
  };
}
