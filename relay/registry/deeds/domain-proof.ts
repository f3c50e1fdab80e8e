// Who has proven an own domain: at most one name at a time, and nobody gets it from another without a
// proof of his own. What the DNS says was looked up outside; here it is judged beside the rows as they
// are now. A row is named by its target, so that one which was removed and added anew is another.
import type { Deed, DeedScope } from '../deed.ts';
import { record } from '../history.ts';
import { type DomainRow, endDomain } from './own-domain.ts';
import { CLOCK } from './tenure.ts';

const PROOF_LIMITS = {
  /** So many domains and this share of all failing at once is a fault of ours: nobody is suspended. */
  failingMin: 5,
  failingShare: 0.5,
} as const;

export interface DomainProof {
  readonly target: string;
  /** All values that were seen at `_waygate.<domain>`. */
  readonly seen: ReadonlySet<string>;
  /** When they were looked up, in milliseconds since 1970. */
  readonly lookedAtMs: number;
}

export type ProofOutcome =
  | {
      readonly kind: 'proven';
      /** It was something else before: pending, or suspended. */
      readonly changed: boolean;
      /** Who had it until now, and has no row any more. */
      readonly displaced: DomainRow | undefined;
    }
  /** Another account's proof is there as well, and that one has the domain. */
  | { readonly kind: 'held-by-another' }
  /** The row is gone, or its proof is not among what was seen. */
  | { readonly kind: 'void' };

/** Only for a row whose domain leads to us, which whoever calls has seen. */
export function proveDomain({ target, seen, lookedAtMs }: DomainProof): Deed<ProofOutcome> {
  return async (scope) => {
    const row = await byTarget(scope, target);
    if (row === undefined || !seen.has(row.proof)) return { kind: 'void' };
    const holder = await findHolder(scope, row.domain);
    const other = holder?.target === target ? undefined : holder;
    if (other?.state === 'proven') {
      // Proven since: what was looked up before that tells nothing of it.
      const younger = (other.proven_at ?? 0) >= lookedAtMs;
      if (younger || seen.has(other.proof)) return { kind: 'held-by-another' };
    }
    if (other !== undefined) {
      await endDomain(scope, other, { actor: CLOCK, why: 'another account has proven it' });
    }
    const changed = row.state !== 'proven';
    if (changed) await makeProven(scope, row);
    return { kind: 'proven', changed, displaced: other };
  };
}

export type SuspensionOutcome =
  | 'suspended'
  /** So many fail at once that it is no fault of theirs. */
  | 'spared'
  /** It is not proven, or gone. */
  | 'void';

/** Takes a domain out of service; its row, target and proof stay, so that it can come back. */
export function suspendDomain({
  target,
  why,
}: {
  readonly target: string;
  readonly why: string;
}): Deed<SuspensionOutcome> {
  return async (scope) => {
    const row = await byTarget(scope, target);
    if (row?.state !== 'proven') return 'void';
    if (await mostFail(scope)) return 'spared';
    await scope.db
      .updateTable('domains')
      .set({ state: 'suspended' })
      .where('target', '=', target)
      .execute();
    const { name, domain } = row;
    const detail = `${domain} (${why})`;
    await record(scope, 'domain-suspended', { actor: CLOCK, name, detail });
    return 'suspended';
  };
}

async function makeProven(scope: DeedScope, row: DomainRow): Promise<void> {
  const { name, domain, target } = row;
  await scope.db
    .updateTable('domains')
    .set({ state: 'proven', proven_at: scope.nowMs, failing_since: null })
    .where('target', '=', target)
    .execute();
  await record(scope, 'domain-proven', { actor: CLOCK, name, detail: domain });
}

function byTarget({ db }: DeedScope, target: string): Promise<DomainRow | undefined> {
  return db.selectFrom('domains').selectAll().where('target', '=', target).executeTakeFirst();
}

/** Proven or suspended: there is at most one. */
function findHolder({ db }: DeedScope, domain: string): Promise<DomainRow | undefined> {
  return db
    .selectFrom('domains')
    .selectAll()
    .where('domain', '=', domain)
    .where('state', 'in', ['proven', 'suspended'])
    .executeTakeFirst();
}

async function mostFail({ db }: DeedScope): Promise<boolean> {
  const { proven, failing } = await db
    .selectFrom('domains')
    .select([db.fn.countAll().as('proven'), db.fn.count('failing_since').as('failing')])
    .where('state', '=', 'proven')
    .executeTakeFirstOrThrow();
  const { failingMin, failingShare } = PROOF_LIMITS;
  return Number(failing) >= failingMin && Number(failing) > Number(proven) * failingShare;
}
