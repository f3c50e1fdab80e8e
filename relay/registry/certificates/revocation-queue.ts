// Certificates that are to be revoked, until their authority has done so. Only those whose key a device
// has: those of the relay's own keys need none, since the keys never left it and were wiped (wipe.ts). What
// is asked for belongs to the deed that takes the name from the device, and is written with it. A row that
// is done stays, as the ledger does; what is asked for twice is asked for once.
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { RegistryWork } from '../database.ts';
import type { RegistryTables } from '../schema.ts';
import { takeTurn } from './turn.ts';

/** Of RFC 5280, section 5.3.1, those that authorities take from whoever has ordered the certificate. */
export const REVOCATION = { keyCompromise: 1, superseded: 4, cessationOfOperation: 5 } as const;
export type RevocationReason = (typeof REVOCATION)[keyof typeof REVOCATION];

/** revoked: the authority has · ended: it ended before that · nothing: no certificate came of the order. */
export type RevocationOutcome = 'revoked' | 'ended' | 'nothing';

const QUEUE_LIMITS = {
  /** As with orders: no lease is longer, whatever the clock of its holder said. */
  leaseAheadMs: 3_600_000,
  /** Of what went wrong, as people read it. */
  errorCharsMax: 1_000,
} as const;

export type RevocationTables = {
  certificate_revocations: {
    id: number;
    /** Null: all that is known is the order, which was under way. */
    certificate_id: number | null;
    order_url: string | null;
    ca: string;
    subject: string;
    thumbprint: string;
    reason: number;
    asked_at: number;
    /** From when on it is to be revoked. */
    wanted_at: number;
    /** When its authority is asked next. */
    due_at: number;
    /** When there is nothing left to revoke. */
    until: number;
    attempts: number;
    last_error: string | null;
    leased_by: string | null;
    leased_until: number | null;
    fence: number;
    ended_at: number | null;
    outcome: RevocationOutcome | null;
  };
};

type Db = Kysely<RegistryTables & RevocationTables>;

/** The same transaction, which knows the table as well. */
export function withRevocations(transaction: Kysely<RegistryTables>): Db {
  return transaction.withTables<RevocationTables>();
}

export interface Asking {
  readonly reason: RevocationReason;
  readonly nowMs: number;
  /** Absent: now. */
  readonly dueAtMs?: number;
}

/** Which certificates of devices. */
export type OfDevices =
  | { readonly thumbprint: string }
  /** All of whose name it is, but those of one device. */
  | { readonly from: string; readonly to: string; readonly but: string }
  | { readonly from: string; readonly to: string; readonly only: string };

/** Asks for all that have not ended; a device may have keys of some that others have followed. */
export async function askRevocations(
  transaction: Kysely<RegistryTables>,
  which: OfDevices,
  { reason, nowMs, dueAtMs = nowMs }: Asking,
): Promise<void> {
  const those =
    'thumbprint' in which
      ? sql`thumbprint = ${which.thumbprint} and thumbprint != ''`
      : sql`subject >= ${which.from} and subject < ${which.to} and ${
          'but' in which ? sql`thumbprint != ${which.but}` : sql`thumbprint = ${which.only}`
        }`;
  // A key that may be known to others is a worse reason than any that was given before. What is due is
  // never put off: else whoever hands a device to and fro would keep its old keys.
  await sql`
    insert into certificate_revocations
      (certificate_id, ca, subject, thumbprint, reason, asked_at, wanted_at, due_at, until)
    select id, ca, subject, thumbprint, cast(${reason} as integer), cast(${nowMs} as bigint),
      cast(${dueAtMs} as bigint), cast(${dueAtMs} as bigint), not_after
    from certificates where purpose = 'device' and not_after > ${nowMs} and ${those}
    on conflict (certificate_id) do update
      set reason = excluded.reason, wanted_at = ${sooner('wanted_at')}, due_at = ${sooner('due_at')}
      where certificate_revocations.ended_at is null
        and certificate_revocations.reason != ${REVOCATION.keyCompromise}`.execute(transaction);
}

/** Of a row that is there and one that was to be added. */
function sooner(column: 'wanted_at' | 'due_at'): RawBuilder<number> {
  const [there, added] = ['certificate_revocations', 'excluded'].map((each) =>
    sql.ref(`${each}.${column}`),
  );
  return sql`case when ${added} < ${there} then ${added} else ${there} end`;
}

/** One that is to be revoked, and the right to write about it. */
export interface Revocation {
  readonly id: number;
  readonly ca: string;
  readonly subject: string;
  readonly thumbprint: string;
  readonly reason: number;
  /** PEM; `undefined`: it is to be found out what came of the order. */
  readonly chain: string | undefined;
  readonly orderUrl: string | undefined;
  readonly askedAtMs: number;
  readonly untilMs: number;
  readonly attempts: number;
  readonly holder: string;
  readonly fence: number;
}

export interface RevocationTaking {
  readonly holder: string;
  readonly nowMs: number;
  readonly leaseMs: number;
  readonly max: number;
  /** Authorities that are left alone just now: theirs stay due. */
  readonly resting?: readonly string[];
}

/** Whether any is due: a look at an index, and no transaction that writes. */
export function isRevocationDue({
  nowMs,
  resting = [],
}: Pick<RevocationTaking, 'nowMs' | 'resting'>): RegistryWork<boolean> {
  return async (transaction) => {
    const due = await withRevocations(transaction)
      .selectFrom('certificate_revocations')
      .select('id')
      .where('ended_at', 'is', null)
      .where('due_at', '<=', nowMs)
      .$if(resting.length > 0, (q) => q.where('ca', 'not in', resting))
      .limit(1)
      .executeTakeFirst();
    return due !== undefined;
  };
}

/** Those that are due and that nobody has, the oldest first. */
export function takeRevocations(taking: RevocationTaking): RegistryWork<readonly Revocation[]> {
  const { holder, nowMs, leaseMs, max, resting = [] } = taking;
  return async (transaction) => {
    const db = withRevocations(transaction);
    await takeTurn(transaction, 'revoke');
    const bogus = nowMs + QUEUE_LIMITS.leaseAheadMs;
    const due = await db
      .selectFrom('certificate_revocations')
      .select('id')
      .where('ended_at', 'is', null)
      .where('due_at', '<=', nowMs)
      .$if(resting.length > 0, (q) => q.where('ca', 'not in', resting))
      .where(
        sql<boolean>`(leased_until is null or leased_until <= ${nowMs} or leased_until > ${bogus})`,
      )
      .orderBy('due_at')
      .limit(max)
      .execute();
    if (due.length === 0) return [];
    const ids = due.map(({ id }) => id);
    await db
      .updateTable('certificate_revocations')
      .set((eb) => ({
        leased_by: holder,
        leased_until: nowMs + leaseMs,
        fence: eb('fence', '+', 1),
      }))
      .where('id', 'in', ids)
      .execute();
    const rows = await db
      .selectFrom('certificate_revocations as asked')
      .leftJoin('certificates', 'certificates.id', 'asked.certificate_id')
      .selectAll('asked')
      .select('certificates.chain')
      .where('asked.id', 'in', ids)
      .orderBy('asked.due_at')
      .execute();
    return rows.map((row) => ({
      ...{ id: row.id, ca: row.ca, subject: row.subject, thumbprint: row.thumbprint, holder },
      ...{ reason: row.reason, attempts: row.attempts, fence: row.fence },
      ...{ askedAtMs: row.asked_at, untilMs: row.until },
      ...{ chain: row.chain ?? undefined, orderUrl: row.order_url ?? undefined },
    }));
  };
}

/** False, as with the next ones: somebody else has it by now, and nothing was changed. */
export function endRevocation(
  revocation: Revocation,
  outcome: RevocationOutcome,
  nowMs: number,
): RegistryWork<boolean> {
  return write(revocation, { ended_at: nowMs, outcome, last_error: null });
}

export function putOffRevocation(
  revocation: Revocation,
  { message, attempts, nextAtMs }: { message: string; attempts: number; nextAtMs: number },
): RegistryWork<boolean> {
  const last_error = message.slice(0, QUEUE_LIMITS.errorCharsMax);
  return write(revocation, { due_at: nextAtMs, attempts, last_error });
}

function write(
  { id, fence, holder }: Revocation,
  change: Partial<RevocationTables['certificate_revocations']>,
): RegistryWork<boolean> {
  return async (transaction) => {
    const row = await withRevocations(transaction)
      .updateTable('certificate_revocations')
      .set({ ...change, leased_by: null, leased_until: null })
      .where('id', '=', id)
      .where('fence', '=', fence)
      .where('leased_by', '=', holder)
      .returning('id')
      .executeTakeFirst();
    return row !== undefined;
  };
}
