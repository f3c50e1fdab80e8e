// When a recovery is due. Where its owner is told by mail, the delay counts from the moment when the mail
// server has taken the letter about it, or it is certain that it never will: so long that letter lies in
// `letters` under the id of the recovery, whatever the row says, and nothing ends (deeds/letter-end.ts).
// The row has meanwhile the moment that would be right if the letter had been taken at once.
import type { Kysely } from 'kysely';
import type { RegistryTables } from './schema.ts';

export interface RecoveryTimes {
  readonly begunAtMs: number;
  readonly dueAtMs: number;
  /** Nobody can say yet when it is due. */
  readonly waitsForMail: boolean;
}

export type WaitingRow = RegistryTables['recoveries'] & {
  /** Of the letter that it waits for. */
  readonly letter_id: string | null;
};

/** The recoveries that wait, each with its letter. */
export function waitingRecoveries(db: Kysely<RegistryTables>) {
  return db
    .selectFrom('recoveries')
    .leftJoin('letters', 'letters.id', 'recoveries.id')
    .selectAll('recoveries')
    .select('letters.id as letter_id')
    .where('recoveries.state', '=', 'waiting');
}

export function timesOf(row: Pick<WaitingRow, 'begun_at' | 'due_at' | 'letter_id'>): RecoveryTimes {
  const { begun_at: begunAtMs, due_at: dueAtMs, letter_id } = row;
  return { begunAtMs, dueAtMs, waitsForMail: letter_id !== null };
}

/** When the name goes, unless somebody objects; while a letter waits, it does not go before that. */
export function dueMs({ begunAtMs, dueAtMs, waitsForMail }: RecoveryTimes, nowMs: number): number {
  return waitsForMail ? Math.max(dueAtMs, nowMs + (dueAtMs - begunAtMs)) : dueAtMs;
}
