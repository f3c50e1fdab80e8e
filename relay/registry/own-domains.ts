// The rows of own domains for whoever looks at what their DNS says (relay/domains/): whose they are, which
// are due, and what was found. None of this changes what is served; that is deeds/domain-proof.ts.
import { type Kysely, sql } from 'kysely';
import { parseAddresses } from './addresses.ts';
import { takeTurn } from './certificates/turn.ts';
import type { RegistryWork } from './database.ts';
import type { DomainRow } from './deeds/own-domain.ts';
import type { RegistryTables } from './schema.ts';

const LISTING_LIMITS = {
  /** Of one owner or device: twenty for each of his names; what is more than this is not listed. */
  rowsMax: 1_000,
} as const;

/** Whose: of an owner, of a device, or of anybody. */
export type DomainHolder =
  | { readonly ownerId: string }
  | { readonly thumbprint: string }
  | 'anybody';

export interface DomainQuery {
  readonly of: DomainHolder;
  readonly domain?: string | undefined;
  readonly name?: string | undefined;
}

/** With whose it is: nobody's looks keep those of others waiting. */
export type HeldDomain = DomainRow & { readonly owner_id: string | null };

/** By domain and name. */
export function listDomains({ of, domain, name }: DomainQuery): RegistryWork<HeldDomain[]> {
  return (db) => {
    let query = db
      .selectFrom('domains')
      .innerJoin('names', 'names.name', 'domains.name')
      .selectAll('domains')
      .select('names.owner_id')
      .where('names.state', '=', 'held');
    if (of !== 'anybody') {
      query =
        'ownerId' in of
          ? query.where('names.owner_id', '=', of.ownerId)
          : query.where('names.thumbprint', '=', of.thumbprint);
    }
    if (domain !== undefined) query = query.where('domains.domain', '=', domain);
    if (name !== undefined) query = query.where('domains.name', '=', name);
    return query
      .orderBy('domains.domain')
      .orderBy('domains.name')
      .limit(LISTING_LIMITS.rowsMax)
      .execute();
  };
}

/** The row that has proven the domain, suspended or not. */
export function domainHolder(domain: string): RegistryWork<HeldDomain | undefined> {
  return (db) =>
    db
      .selectFrom('domains')
      .leftJoin('names', 'names.name', 'domains.name')
      .selectAll('domains')
      .select('names.owner_id')
      .where('domains.domain', '=', domain)
      .where('domains.state', 'in', ['proven', 'suspended'])
      .executeTakeFirst();
}

/** Cheaper than to take none. */
export function areDomainsDue(nowMs: number): RegistryWork<boolean> {
  return async (db) => {
    const row = await due(db, nowMs).select('target').limit(1).executeTakeFirst();
    return row !== undefined;
  };
}

export interface DueDomains {
  readonly nowMs: number;
  /** Nobody else takes them for so long; whoever looks says when the next look is due. */
  readonly leaseMs: number;
  readonly max: number;
  /** Of one holder, with those that are under way. */
  readonly perHolderMax: number;
  /** How many are under way, by holder (`holderOf`). */
  readonly underWay: ReadonlyMap<string, number>;
}

/** Who waits for his own looks, and not for those of others: an owner, or a name that has none. */
export function holderOf({
  owner_id: ownerId,
  name,
}: Pick<HeldDomain, 'owner_id' | 'name'>): string {
  return ownerId === null ? `name ${name}` : `owner ${ownerId}`;
}

/** In turn by holder, first those who have the fewest under way; of one holder the longest due first. */
export function takeDueDomains(taking: DueDomains): RegistryWork<HeldDomain[]> {
  const { nowMs, leaseMs } = taking;
  return async (db) => {
    const owners = new Map(
      (await chooseDue(db, taking)).map(({ target, owner_id: ownerId }) => [target, ownerId]),
    );
    if (owners.size === 0) return [];
    const rows = await db
      .updateTable('domains')
      .set({ check_due_at: nowMs + leaseMs })
      .where('target', 'in', [...owners.keys()])
      .where('check_due_at', '<=', nowMs)
      .returningAll()
      .execute();
    return rows.map((row) => ({ ...row, owner_id: owners.get(row.target) ?? null }));
  };
}

type DueRow = Pick<HeldDomain, 'target' | 'name' | 'owner_id'>;

/** Round after round, in each of which every holder has one more. */
async function chooseDue(
  db: Kysely<RegistryTables>,
  { nowMs, max, perHolderMax, underWay }: DueDomains,
): Promise<readonly DueRow[]> {
  const chosen = new Map<string, DueRow>();
  const count = new Map(underWay);
  const full = (each: number) =>
    [...count].flatMap(([holder, has]) => (has < each ? [] : [holder]));
  for (let each = 1; each <= perHolderMax && chosen.size < max; ) {
    const rows = await due(db, nowMs)
      .leftJoin('names', 'names.name', 'domains.name')
      .select(['domains.target', 'domains.name', 'names.owner_id'])
      .where('domains.target', 'not in', ['', ...chosen.keys()])
      .where(HOLDER, 'not in', ['', ...full(each)])
      .orderBy('domains.check_due_at')
      .limit(max - chosen.size)
      .execute();
    for (const row of rows) {
      const holder = holderOf(row);
      const has = count.get(holder) ?? 0;
      if (has >= each) continue;
      chosen.set(row.target, row);
      count.set(holder, has + 1);
    }
    // Whoever has fewer is behind those of the same holders, or there is nobody.
    if (rows.length === 0) each += 1;
  }
  return [...chosen.values()];
}

/** As `holderOf` has it. */
const HOLDER = sql<string>`case when names.owner_id is null then 'name ' || domains.name
  else 'owner ' || names.owner_id end`;

/** It is due now, and before all others of its holder: somebody has asked. */
export function hastenDomain({ target }: Pick<DomainRow, 'target'>): RegistryWork<unknown> {
  return (db) =>
    db.updateTable('domains').set({ check_due_at: 0 }).where('target', '=', target).execute();
}

/** Looks that a clock far ahead has put off, by which no other domain is looked at either, are due now. */
export function recallDomains(nowMs: number): RegistryWork<unknown> {
  return (db) =>
    db
      .updateTable('domains')
      .set({ check_due_at: nowMs })
      .where('check_due_at', '>', nowMs + FAR_MS)
      .execute();
}

/** Every domain is looked at once a day. */
const FAR_MS = 2 * 86_400_000;

/** By its index, which begins with the state. */
function due(db: Kysely<RegistryTables>, nowMs: number) {
  return db
    .selectFrom('domains')
    .where('domains.state', 'in', ['pending', 'proven', 'suspended'])
    .where('domains.check_due_at', '<=', nowMs);
}

export interface NotedFinding {
  readonly target: string;
  readonly finding: string;
  readonly checkedAtMs: number;
  readonly checkDueAtMs: number;
  readonly failingSinceMs: number | null;
}

/** What a look has found. Resolves with the row as it is now; `undefined`: it is gone. */
export function noteFinding(noted: NotedFinding): RegistryWork<DomainRow | undefined> {
  return (db) =>
    db
      .updateTable('domains')
      .set({
        finding: noted.finding,
        checked_at: noted.checkedAtMs,
        check_due_at: noted.checkDueAtMs,
        failing_since: noted.failingSinceMs,
      })
      .where('target', '=', noted.target)
      .returningAll()
      .executeTakeFirst();
}

/** Whether a domain still fails, or not, since the same moment. Until the end of the transaction it stays so. */
export function failsSince({
  target,
  failing_since,
}: Pick<DomainRow, 'target' | 'failing_since'>): RegistryWork<boolean> {
  return async (db) => {
    await takeTurn(db, 'domain-news');
    const row = await db
      .selectFrom('domains')
      .select('failing_since')
      .where('target', '=', target)
      .executeTakeFirst();
    return row?.failing_since === failing_since;
  };
}

export interface RelayAddresses {
  /** What the zone tells of at present. */
  readonly present: ReadonlySet<string>;
  /** Besides, those of relays that are away: who enters addresses by hand does not follow each restart. */
  readonly known: ReadonlySet<string>;
}

export function relayAddresses(): RegistryWork<RelayAddresses> {
  return async (db) => {
    const relays = await db.selectFrom('relays').select(['addresses', 'alive']).execute();
    const of = (rows: typeof relays) =>
      new Set(rows.flatMap(({ addresses }) => parseAddresses(addresses)));
    return { present: of(relays.filter(({ alive }) => alive === 1)), known: of(relays) };
  };
}
