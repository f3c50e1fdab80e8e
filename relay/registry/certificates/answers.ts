// What any relay answers an authority that looks at an own domain: whichever it happens to ask.
import type { RegistryWork } from '../database.ts';
import type { RegistryTables } from '../schema.ts';

const CHALLENGE_ANSWER_LIMITS = {
  /** Rows that one sweep takes away, so that it stays short. */
  sweepMax: 1_000,
} as const;

export interface AnswerKey {
  readonly hostname: string;
  readonly kind: RegistryTables['challenge_answers']['kind'];
  readonly token: string;
}

export interface ChallengeAnswer extends AnswerKey {
  readonly keyAuthorization: string;
  readonly expiresAtMs: number;
}

/** The same again changes when it ends. */
export function showAnswer(answer: ChallengeAnswer): RegistryWork<void> {
  const { hostname, kind, token } = answer;
  const said = { key_authorization: answer.keyAuthorization, expires_at: answer.expiresAtMs };
  return async (db) => {
    await db
      .insertInto('challenge_answers')
      .values({ hostname, kind, token, ...said })
      .onConflict((conflict) => conflict.columns(['hostname', 'kind', 'token']).doUpdateSet(said))
      .execute();
  };
}

export function hideAnswer({ hostname, kind, token }: AnswerKey): RegistryWork<void> {
  return async (db) => {
    await db
      .deleteFrom('challenge_answers')
      .where('hostname', '=', hostname)
      .where('kind', '=', kind)
      .where('token', '=', token)
      .execute();
  };
}

/** All that have not ended, those first that end last. */
export function listAnswers({
  nowMs,
  max,
}: {
  readonly nowMs: number;
  readonly max: number;
}): RegistryWork<readonly ChallengeAnswer[]> {
  return async (db) => {
    const rows = await db
      .selectFrom('challenge_answers')
      .selectAll()
      .where('expires_at', '>', nowMs)
      .orderBy('expires_at', 'desc')
      .limit(max)
      .execute();
    return rows.map((row) => ({
      ...{ hostname: row.hostname, kind: row.kind, token: row.token },
      ...{ keyAuthorization: row.key_authorization, expiresAtMs: row.expires_at },
    }));
  };
}

/** Takes away what has ended; returns how much. */
export function sweepAnswers(nowMs: number): RegistryWork<number> {
  return async (db) => {
    const ended = await db
      .selectFrom('challenge_answers')
      .select(['hostname', 'kind', 'token'])
      .where('expires_at', '<=', nowMs)
      .limit(CHALLENGE_ANSWER_LIMITS.sweepMax)
      .execute();
    for (const answer of ended) {
      await db
        .deleteFrom('challenge_answers')
        .where((eb) => eb.and(answer))
        .where('expires_at', '<=', nowMs)
        .execute();
    }
    return ended.length;
  };
}
