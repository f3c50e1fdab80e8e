// What time has ended: orders, offers, the grace of former names, quarantines, own domains that nobody
// proved, and recoveries that were due. Run it now and then; names are judged by their times anyway
// (tenure.ts), so a late run harms nobody but those who wait for a recovery. One run does a bounded part;
// run it again while it does any.
import { sweepAttempts } from '../attempts.ts';
import type { Deed, DeedScope } from '../deed.ts';
import { waitingRecoveries } from '../recovery-due.ts';
import { cancelOffer } from './attachments.ts';
import { DOMAIN_LIMITS, endDomain } from './own-domain.ts';
import { finishRecovery } from './recovery.ts';
import { CLOCK, endState } from './tenure.ts';

const LAPSE_LIMITS = {
  /** Of each kind in one transaction, during which other deeds wait: some tens of milliseconds. */
  rowsMax: 200,
  /** How long what is over can still be looked up; the history stays. */
  memoryMs: 90 * 86_400_000,
  /** A device asks for its claim every few seconds; after a day it knows, or is switched off. */
  claimMemoryMs: 86_400_000,
} as const;

export type Lapsed =
  | { readonly kind: 'order-lapsed' | 'rename-lapsed' | 'freed'; readonly name: string }
  | { readonly kind: 'transfer-lapsed'; readonly name: string }
  /** It was not proven in time. */
  | { readonly kind: 'domain-lapsed'; readonly name: string }
  | {
      readonly kind: 'recovered' | 'recovery-withdrawn';
      readonly name: string;
      readonly ownerId: string;
      readonly oldThumbprint: string;
      readonly newThumbprint: string;
    };

/** What has happened, for mails and logs. Recoveries first: they need names that are still held. */
export function lapse(): Deed<readonly Lapsed[]> {
  return async (scope) => {
    const done = [
      ...(await lapseRecoveries(scope)),
      ...(await lapseTransfers(scope)),
      ...(await lapseNames(scope)),
      ...(await lapseDomains(scope)),
    ];
    await sweepAttempts(scope);
    await sweepClaims(scope);
    await sweepEnded(scope);
    return done;
  };
}

async function lapseRecoveries(scope: DeedScope): Promise<Lapsed[]> {
  const due = await waitingRecoveries(scope.db)
    .where('letters.id', 'is', null)
    .where('recoveries.due_at', '<=', scope.nowMs)
    .orderBy('recoveries.due_at')
    .orderBy('recoveries.id')
    .limit(LAPSE_LIMITS.rowsMax)
    .execute();
  const done: Lapsed[] = [];
  for (const recovery of due) {
    const kind = (await finishRecovery(scope, recovery)) ? 'recovered' : 'recovery-withdrawn';
    const { name, owner_id: ownerId } = recovery;
    const keys = {
      oldThumbprint: recovery.old_thumbprint,
      newThumbprint: recovery.new_thumbprint,
    };
    done.push({ kind, name, ownerId, ...keys });
  }
  return done;
}

async function lapseTransfers(scope: DeedScope): Promise<Lapsed[]> {
  const over = await scope.db
    .selectFrom('transfers')
    .select('name')
    .where('state', '=', 'offered')
    .where('expires_at', '<=', scope.nowMs)
    .limit(LAPSE_LIMITS.rowsMax)
    .execute();
  for (const { name } of over) await cancelOffer(scope, name, { actor: CLOCK, detail: 'expired' });
  return over.map(({ name }) => ({ kind: 'transfer-lapsed', name }));
}

async function lapseDomains(scope: DeedScope): Promise<Lapsed[]> {
  const over = await scope.db
    .selectFrom('domains')
    .selectAll()
    .where('state', '=', 'pending')
    .where('added_at', '<=', scope.nowMs - DOMAIN_LIMITS.pendingMs)
    .orderBy('target')
    .limit(LAPSE_LIMITS.rowsMax)
    .execute();
  for (const row of over) {
    await endDomain(scope, row, { actor: CLOCK, why: 'it was not proven in time' });
  }
  return over.map(({ name }) => ({ kind: 'domain-lapsed', name }));
}

async function lapseNames(scope: DeedScope): Promise<Lapsed[]> {
  const done: Lapsed[] = [];
  for (const [state, kind] of ENDS) {
    const over = await scope.db
      .selectFrom('names')
      .selectAll()
      .where('state', '=', state)
      .where('until', '<=', scope.nowMs)
      .orderBy('until')
      .orderBy('name')
      .limit(LAPSE_LIMITS.rowsMax)
      .execute();
    for (const row of over) {
      await endState(scope, row);
      done.push({ kind, name: row.name });
    }
  }
  return done;
}

const ENDS = [
  ['ordered', 'order-lapsed'],
  ['former', 'rename-lapsed'],
  ['quarantined', 'freed'],
] as const;

async function sweepClaims({ db, nowMs }: DeedScope): Promise<void> {
  await db
    .deleteFrom('claims')
    .where('id', 'in', (query) =>
      query
        .selectFrom('claims')
        .select('id')
        .where('expires_at', '<=', nowMs - LAPSE_LIMITS.claimMemoryMs)
        .where('state', '!=', 'recovering')
        .limit(LAPSE_LIMITS.rowsMax),
    )
    .execute();
}

async function sweepEnded({ db, nowMs }: DeedScope): Promise<void> {
  const before = nowMs - LAPSE_LIMITS.memoryMs;
  for (const table of ['recoveries', 'transfers'] as const) {
    await db
      .deleteFrom(table)
      .where('id', 'in', (query) =>
        query
          .selectFrom(table)
          .select('id')
          .where('ended_at', '<=', before)
          .limit(LAPSE_LIMITS.rowsMax),
      )
      .execute();
  }
}
