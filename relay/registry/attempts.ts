// Wrong guesses at short codes, counted by who guesses. A count grows only by wrong tries and is not
// washed away by right ones; while it is full, further tries are neither judged nor counted, so that
// the lock ends by itself.
import { decodeIpv6, encodeIpv4, encodeIpv6 } from '../../dns/ip-text.ts';
import type { DeedScope } from './deed.ts';

export const ATTEMPT_LIMITS = {
  /** A person mistypes twice; 40 bits are not found in five tries an hour. */
  failuresMax: 5,
  /** Without a wrong try for so long, all is forgotten. */
  memoryMs: 3_600_000,
  /** Old rows thrown away in one transaction. */
  sweepRows: 1_000,
} as const;

type Scope = Pick<DeedScope, 'db' | 'nowMs'>;

/** Whether one of these has guessed wrong too often: what it tries is then as good as wrong. */
export async function isLocked(
  { db, nowMs }: Scope,
  guessers: readonly string[],
): Promise<boolean> {
  const full = await db
    .selectFrom('attempts')
    .select('subject')
    .where('subject', 'in', [...guessers])
    .where('failures', '>=', ATTEMPT_LIMITS.failuresMax)
    .where('since', '>', nowMs - ATTEMPT_LIMITS.memoryMs)
    .executeTakeFirst();
  return full !== undefined;
}

/** Counts a wrong try for each of these. `since` is the time of the last one. */
export async function countWrong({ db, nowMs }: Scope, guessers: readonly string[]): Promise<void> {
  for (const subject of guessers) {
    const row = { failures: 1, since: nowMs };
    await db
      .insertInto('attempts')
      .values({ subject, ...row })
      .onConflict((conflict) =>
        conflict.column('subject').doUpdateSet(({ eb, ref }) => ({
          failures: eb
            .case()
            .when('attempts.since', '>', nowMs - ATTEMPT_LIMITS.memoryMs)
            .then(eb('attempts.failures', '+', 1))
            .else(1)
            .end(),
          since: ref('excluded.since'),
        })),
      )
      .execute();
  }
}

/** Throws away what is forgotten. */
export async function sweepAttempts({ db, nowMs }: Scope): Promise<void> {
  await db
    .deleteFrom('attempts')
    .where('subject', 'in', (query) =>
      query
        .selectFrom('attempts')
        .select('subject')
        .where('since', '<=', nowMs - ATTEMPT_LIMITS.memoryMs)
        .limit(ATTEMPT_LIMITS.sweepRows),
    )
    .execute();
}

/**
 * The network that an address is counted with: `192.0.2.0/24`, `2001:db8:0:100::/56`. A provider gives
 * one customer as much as that, so single addresses would cost a guesser nothing.
 */
export function networkOf(address: string): string {
  const [bare = ''] = address.split('%', 1);
  const v6 = encodeIpv6(bare);
  const v4 = encodeIpv4(bare) ?? (v6 === undefined ? undefined : mappedIpv4(v6));
  if (v4 !== undefined) return `${v4.subarray(0, 3).join('.')}.0/24`;
  if (v6 === undefined) return 'no address';
  return `${decodeIpv6(v6.fill(0, 7))}/56`;
}

/** `::ffff:192.0.2.1`: how a socket for both families shows an IPv4 address. */
function mappedIpv4(v6: Buffer): Buffer | undefined {
  const prefix = v6.subarray(0, 12).toString('hex');
  return prefix === '00000000000000000000ffff' ? v6.subarray(12) : undefined;
}
