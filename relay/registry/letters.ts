// Letters that wait to be sent. Whoever has a reason for one puts it here in the transaction that is the
// reason, so that neither is there without the other; relays take what is due, each letter by one of them
// at a time. Taking puts the next time off: that is the lease, and it ends by itself when a relay dies.
// Every taking has a number of its own, and whoever has an older one writes nothing any more. How a letter
// ends is a deed (deeds/letter-end.ts), for something may have waited for that.
import type { Kysely } from 'kysely';
import { takeTurn } from './certificates/turn.ts';
import type { RegistryWork } from './database.ts';
import { RegistryError } from './registry-error.ts';
import type { RegistryTables } from './schema.ts';
import { makeId } from './secret.ts';

export const LETTER_LIMITS = {
  /** Waiting for one address: someone with a hundred devices hears of all of them after an outage. */
  perAddressMax: 200,
  /** Besides, of letters that somebody must be able to act on: no flood of others displaces them. */
  urgentMax: 50,
  /** Nothing is put off for longer: whoever did that had a clock that was ahead. */
  aheadMs: 2 * 3_600_000,
  /** What nobody sends, since no relay has a mail server any more; whoever sends gives up sooner. */
  forgetMs: 7 * 86_400_000,
} as const;

export interface KeptLetter {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  /** The deed must not be done without it. */
  readonly urgent?: boolean;
  /** The id of a recovery that it tells of, whose delay begins when this letter ends (recovery-due.ts). */
  readonly recovery?: string | undefined;
  /** What carries a secret (relay/portal/letters.ts) is not kept: it would be readable here. */
  readonly secret?: undefined;
}

/**
 * To be run in the transaction of its reason. False: too many wait for that address, and it is not kept;
 * one that is urgent is refused by throwing instead, so that its deed is not done.
 */
export function keepLetter(letter: KeptLetter, nowMs: number): RegistryWork<boolean> {
  const { to, subject, text, urgent = false, recovery } = letter;
  return async (db) => {
    const { perAddressMax, urgentMax } = LETTER_LIMITS;
    if ((await countFor(db, to)) >= perAddressMax + (urgent ? urgentMax : 0)) {
      if (urgent) throw tooMany();
      return false;
    }
    await db
      .insertInto('letters')
      .values({
        ...{ id: recovery ?? makeId(), to_address: to, subject, body: text },
        ...{ queued_at: nowMs, due_at: nowMs, attempts: 0, fence: 0 },
      })
      .execute();
    return true;
  };
}

/** A letter that a relay has taken, and the right to say what became of it. */
export interface TakenLetter {
  readonly id: string;
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly keptAtMs: number;
  /** That have failed. */
  readonly attempts: number;
  readonly fence: number;
}

/** A look that writes nothing: most of the time there is none. */
export function areLettersDue(nowMs: number): RegistryWork<boolean> {
  return async (db) => {
    const found = await due(db, nowMs).select('id').limit(1).executeTakeFirst();
    return found !== undefined;
  };
}

/** Those that wait longest. Nobody else takes them before the lease has ended. */
export function takeLetters({
  nowMs,
  leaseMs,
  max,
}: {
  readonly nowMs: number;
  readonly leaseMs: number;
  readonly max: number;
}): RegistryWork<readonly TakenLetter[]> {
  return async (db) => {
    // Without it, all who look at once would want the same rows, and wait for each other's.
    await takeTurn(db, 'letters');
    const found = await due(db, nowMs).select('id').orderBy('due_at').limit(max).execute();
    if (found.length === 0) return [];
    const rows = await db
      .updateTable('letters')
      .set((eb) => ({ due_at: nowMs + leaseMs, fence: eb('fence', '+', 1) }))
      .where(
        'id',
        'in',
        found.map(({ id }) => id),
      )
      .returningAll()
      .execute();
    return rows
      .toSorted((one, other) => one.queued_at - other.queued_at)
      .map((row) => ({
        ...{ id: row.id, to: row.to_address, subject: row.subject, text: row.body },
        ...{ keptAtMs: row.queued_at, attempts: row.attempts, fence: row.fence },
      }));
  };
}

/** It was not sent. False: somebody else has it by now. */
export function deferLetter(
  { id, fence, attempts }: TakenLetter,
  untilMs: number,
): RegistryWork<boolean> {
  return async (db) => {
    const row = await db
      .updateTable('letters')
      .set({ due_at: untilMs, attempts: attempts + 1 })
      .where('id', '=', id)
      .where('fence', '=', fence)
      .returning('id')
      .executeTakeFirst();
    return row !== undefined;
  };
}

export interface LetterCount {
  readonly waiting: number;
  /** When the one that waits longest was written. */
  readonly oldestMs: number | undefined;
}

export function countLetters(): RegistryWork<LetterCount> {
  return async (db) => {
    const { waiting, oldest } = await db
      .selectFrom('letters')
      .select(({ fn }) => [fn.countAll().as('waiting'), fn.min('queued_at').as('oldest')])
      .executeTakeFirstOrThrow();
    return { waiting: Number(waiting), oldestMs: oldest === null ? undefined : Number(oldest) };
  };
}

type Db = Kysely<RegistryTables>;

function due(db: Db, nowMs: number) {
  const bogus = nowMs + LETTER_LIMITS.aheadMs;
  return db
    .selectFrom('letters')
    .where((eb) => eb.or([eb('due_at', '<=', nowMs), eb('due_at', '>', bogus)]));
}

async function countFor(db: Db, to: string): Promise<number> {
  const { waiting } = await db
    .selectFrom('letters')
    .select(({ fn }) => fn.countAll().as('waiting'))
    .where('to_address', '=', to)
    .executeTakeFirstOrThrow();
  return Number(waiting);
}

function tooMany(): RegistryError {
  return new RegistryError(
    'ERR_TOO_MANY_LETTERS',
    'Too many letters to the owner wait to be sent, and this must not be done without telling him. ' +
      'Try again in an hour.',
  );
}
