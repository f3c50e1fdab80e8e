// A letter ends: the mail server has taken it, or it is given up. The delay of a recovery that it tells the
// owner of counts from this moment, and the transaction that ends the letter is what says so: a letter is
// there, and the recovery waits, or it is gone, and the recovery is due.
import type { Deed, DeedScope } from '../deed.ts';
import { record } from '../history.ts';
import { LETTER_LIMITS, type TakenLetter } from '../letters.ts';
import { type WaitingRow, waitingRecoveries } from '../recovery-due.ts';
import { CLOCK } from './tenure.ts';

export type LetterEnd = 'sent' | 'given-up';

/** False: somebody else has it by now. */
export function endLetter({ id, fence }: TakenLetter, how: LetterEnd): Deed<boolean> {
  return async (scope) => {
    const { db } = scope;
    const recovery = await waitingRecoveries(db).where('letters.id', '=', id).executeTakeFirst();
    const ended = await db
      .deleteFrom('letters')
      .where('id', '=', id)
      .where('fence', '=', fence)
      .returning('id')
      .executeTakeFirst();
    if (ended === undefined) return false;
    if (recovery !== undefined) await beginDelay(scope, recovery, how);
    return true;
  };
}

/** Throws away what nobody has sent or given up; resolves with how many. */
export function sweepLetters(): Deed<number> {
  return async (scope) => {
    const { db, nowMs } = scope;
    const before = nowMs - LETTER_LIMITS.forgetMs;
    const recoveries = await waitingRecoveries(db)
      .where('letters.queued_at', '<', before)
      .execute();
    const swept = await db.deleteFrom('letters').where('queued_at', '<', before).executeTakeFirst();
    for (const recovery of recoveries) await beginDelay(scope, recovery, 'given-up');
    return Number(swept.numDeletedRows);
  };
}

/** Whole, from now on. */
async function beginDelay(scope: DeedScope, row: WaitingRow, how: LetterEnd): Promise<void> {
  const { db, nowMs } = scope;
  const { id, name, new_thumbprint: thumbprint, begun_at, due_at } = row;
  // Clocks of relays differ: it is never shorter than it was said to be.
  const due = Math.max(due_at, nowMs + (due_at - begun_at));
  await db.updateTable('recoveries').set({ due_at: due }).where('id', '=', id).execute();
  const what = how === 'sent' ? 'recovery-told' : 'recovery-not-told';
  const why = how === 'sent' ? '' : ': the letter to the owner could not be delivered';
  const detail = `${id}, due ${new Date(due).toISOString()}${why}`;
  await record(scope, what, { actor: CLOCK, name, thumbprint, detail });
}
