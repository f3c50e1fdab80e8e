// Work that is taken, for a time. Each taking has a number of its own, greater than those before: whoever
// did not come back in time finds the work with a greater one, and whatever he writes changes nothing.
import type { Kysely, Selectable, SelectQueryBuilder, SqlBool } from 'kysely';
import { sql } from 'kysely';
import type { CertificateName } from '../../../certs/certificate.ts';
import type { Hostname } from '../../../dns/name.ts';
import type { RegistryWork } from '../database.ts';
import type { CertificatePurpose, RegistryTables } from '../schema.ts';
import { parseNames, parseSubject } from './certificate-names.ts';
import { takeTurn } from './turn.ts';
import { NO_LEASE, URGENCY, type WorkKey } from './work.ts';

const JOB_LIMITS = {
  /** Taken in one go: each is an order that is under way at the same time. */
  takenMax: 100,
  /** Of renewals that are due, so many that wait longest are sorted by when they end. */
  renewalsLook: 1_000,
  /**
   * What ends so soon goes before names without a certificate, which the zone's serves: a thousand new
   * names that wait for a budget must not keep those that are served from being renewed at all.
   */
  endsSoonMs: 7 * 86_400_000,
  /** A row that cannot be read is looked at again so much later: somebody has to put it right. */
  unreadableMs: 86_400_000,
  /** No lease is longer: whoever took it had a clock that was ahead, and may be gone. */
  leaseAheadMs: 3_600_000,
} as const;

/** Everything about one certificate that is wanted, and the right to write about it. */
export interface Job extends WorkKey {
  readonly subject: Hostname;
  readonly names: readonly CertificateName[];
  /** `device`: base64 of DER. */
  readonly csr: string | undefined;
  readonly urgency: number;
  readonly dueAtMs: number;
  readonly attempts: number;
  readonly lastError: string | undefined;
  readonly lastErrorAtMs: number | undefined;
  /** Which authority is tried, by its place in the configuration. */
  readonly authority: number;
  /** An order that somebody has begun. */
  readonly order: JobOrder | undefined;
  readonly holder: string;
  readonly fence: number;
  readonly leasedUntilMs: number;
  readonly present: JobCertificate | undefined;
}

export interface JobOrder {
  readonly ca: string;
  readonly url: string;
  /** Sealed; `undefined`: the device has it. */
  readonly key: string | undefined;
  /** Base64 of DER. */
  readonly csr: string | undefined;
}

/** The certificate that the next one replaces. */
export interface JobCertificate {
  readonly id: number;
  readonly ca: string;
  readonly names: readonly CertificateName[];
  /** Its identifier for `replaces` is in it (certs/chain.ts). */
  readonly chain: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly window: { readonly startMs: number; readonly endMs: number } | undefined;
}

export interface Taking {
  readonly holder: string;
  readonly nowMs: number;
  readonly leaseMs: number;
  readonly max: number;
  /** Absent: all. */
  readonly purposes?: readonly CertificatePurpose[];
  /** Called for every row that cannot be read: it is put off, and the others are taken. */
  readonly unreadable?: (row: UnreadableWork) => void;
}

export interface UnreadableWork extends WorkKey {
  readonly error: unknown;
}

/** The most urgent work that is due and that nobody has. */
export function takeWork(taking: Taking): RegistryWork<readonly Job[]> {
  return async (db) => {
    const max = Math.min(taking.max, JOB_LIMITS.takenMax);
    if (max <= 0) return [];
    // Without it, all who look at once would want the same rows, and most go away with nothing.
    await takeTurn(db, 'take');
    const found = await candidates(db, taking, max);
    const { holder, nowMs, leaseMs } = taking;
    const wanted = found.toSorted(bySooner(nowMs)).slice(0, max);
    if (wanted.length === 0) return [];
    const rows = await db
      .updateTable('certificate_work')
      .set((eb) => ({
        leased_by: holder,
        leased_until: nowMs + leaseMs,
        fence: eb('fence', '+', 1),
      }))
      .where((eb) =>
        eb.or(
          wanted.map(({ purpose, subject, thumbprint }) =>
            eb.and({ purpose, subject, thumbprint }),
          ),
        ),
      )
      // Between the two statements somebody may have changed it.
      .where('due_at', '<=', nowMs)
      .where(isFree(nowMs))
      .returningAll()
      .execute();
    const present = await presentOf(db, rows);
    const jobs: Job[] = [];
    for (const row of rows.toSorted(bySooner(nowMs))) {
      const job = readJob(row, holder, present);
      if (!('error' in job)) jobs.push(job);
      else {
        await putOff(db, job, nowMs);
        taking.unreadable?.(job);
      }
    }
    return jobs;
  };
}

type Db = Kysely<RegistryTables>;
type WorkRow = RegistryTables['certificate_work'];
type Candidate = Pick<WorkRow, 'purpose' | 'subject' | 'thumbprint' | 'urgency' | 'due_at'>;

/** From each part of the index its beginning, so that the look costs the same with a million rows. */
async function candidates(
  db: Db,
  { nowMs, purposes = ['relay', 'device', 'domain'] }: Taking,
  max: number,
): Promise<readonly Candidate[]> {
  const parts = purposes.flatMap((purpose) => {
    const due = db
      .selectFrom('certificate_work')
      .select(['purpose', 'subject', 'thumbprint', 'urgency', 'due_at'])
      .where('purpose', '=', purpose)
      .where('due_at', '<=', nowMs)
      .where(isFree(nowMs))
      .orderBy('due_at');
    const urgent = Object.values(URGENCY).map((urgency) =>
      due.where('urgency', '=', urgency).limit(max),
    );
    const renewals = due.where(sql<boolean>`urgency > 0`).limit(JOB_LIMITS.renewalsLook);
    return [...urgent, renewals].map((part) => db.selectFrom(part.as('part')).selectAll());
  });
  const all = parts.reduce<Part | undefined>((sum, part) => sum?.unionAll(part) ?? part, undefined);
  return all === undefined ? [] : all.execute();
}

type Part = SelectQueryBuilder<{ part: Candidate }, 'part', Candidate>;

function isFree(nowMs: number): ReturnType<typeof sql<SqlBool>> {
  const bogus = nowMs + JOB_LIMITS.leaseAheadMs;
  return sql`(leased_until is null or leased_until <= ${nowMs} or leased_until > ${bogus})`;
}

function bySooner(nowMs: number): (one: Candidate, other: Candidate) => number {
  const rank = ({ urgency }: Candidate) =>
    urgency > 0 && urgency < nowMs + JOB_LIMITS.endsSoonMs ? ENDS_SOON : urgency;
  return (one, other) =>
    rank(one) - rank(other) ||
    one.urgency - other.urgency ||
    one.due_at - other.due_at ||
    (one.subject < other.subject ? -1 : Number(one.subject > other.subject));
}

/** After what a person has asked for. */
const ENDS_SOON = (URGENCY.asked + URGENCY.absent) / 2;

async function presentOf(
  db: Db,
  rows: readonly WorkRow[],
): Promise<ReadonlyMap<number, PresentRow>> {
  const ids = rows.flatMap(({ certificate_id: id }) => (id === null ? [] : [id]));
  if (ids.length === 0) return new Map();
  const found = await db
    .selectFrom('certificates')
    .select(['id', 'ca', 'names', 'chain', 'not_before', 'not_after'])
    .select(['window_start', 'window_end'])
    .where('id', 'in', ids)
    .execute();
  return new Map(found.map((row) => [row.id, row]));
}

type PresentRow = Pick<
  Selectable<RegistryTables['certificates']>,
  'id' | 'ca' | 'names' | 'chain' | 'not_before' | 'not_after' | 'window_start' | 'window_end'
>;

function certificateOf(row: PresentRow): JobCertificate {
  return {
    ...{ id: row.id, ca: row.ca, names: parseNames(row.names), chain: row.chain },
    ...{ notBeforeMs: row.not_before, notAfterMs: row.not_after },
    window:
      row.window_start === null || row.window_end === null
        ? undefined
        : { startMs: row.window_start, endMs: row.window_end },
  };
}

/** Told with the others that fail, for that is what it does. */
async function putOff(
  db: Db,
  { purpose, subject, thumbprint }: WorkKey,
  nowMs: number,
): Promise<void> {
  await db
    .updateTable('certificate_work')
    .set((eb) => ({
      due_at: nowMs + JOB_LIMITS.unreadableMs,
      attempts: eb('attempts', '+', 1),
      ...{ last_error: UNREADABLE, last_error_at: nowMs, ...NO_LEASE },
    }))
    .where('purpose', '=', purpose)
    .where('subject', '=', subject)
    .where('thumbprint', '=', thumbprint)
    .execute();
}

/** What people are told of a row that cannot be read, and what to do. */
export const UNREADABLE =
  'What the registry holds of this certificate cannot be read, so it is not ordered. Restore it from a ' +
  'copy of the registry, or remove the name or domain and add it again.';

/** One row that somebody has spoilt must not keep all others from their certificates. */
function readJob(
  row: WorkRow,
  holder: string,
  present: ReadonlyMap<number, PresentRow>,
): Job | UnreadableWork {
  try {
    return jobOf(row, holder, present);
  } catch (error) {
    const { purpose, subject, thumbprint } = row;
    return { purpose, subject, thumbprint, error };
  }
}

function jobOf(row: WorkRow, holder: string, presents: ReadonlyMap<number, PresentRow>): Job {
  const present = row.certificate_id === null ? undefined : presents.get(row.certificate_id);
  const { purpose, thumbprint, urgency, attempts, authority, fence } = row;
  return {
    ...{ purpose, subject: parseSubject(row.subject), thumbprint },
    ...{ urgency, attempts, authority, fence, holder },
    names: parseNames(row.names),
    csr: row.csr ?? undefined,
    dueAtMs: row.due_at,
    lastError: row.last_error ?? undefined,
    lastErrorAtMs: row.last_error_at ?? undefined,
    order: orderOf(row),
    leasedUntilMs: row.leased_until ?? 0,
    present: present === undefined ? undefined : certificateOf(present),
  };
}

function orderOf({ order_url: url, order_ca: ca, ...row }: WorkRow): JobOrder | undefined {
  if (url === null || ca === null) return undefined;
  return { ca, url, key: row.order_key ?? undefined, csr: row.order_csr ?? undefined };
}
