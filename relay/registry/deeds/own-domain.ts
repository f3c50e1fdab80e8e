// Own domains of a name: where a customer's DNS has to lead, and what it has to say. Whoever wants a
// domain gets a row with records of its own; that somebody else wants it too, or has it, keeps nobody
// from asking, for only the DNS decides (domain-proof.ts). The target is random for each, so that a
// record which somebody forgot in his DNS is of use to nobody else.
import {
  type DeviceName,
  type Hostname,
  parseHostname,
  splitHostname,
  type WorkspaceName,
} from '../../../dns/name.ts';
import { actorText, type By } from '../actor.ts';
import { unwant } from '../certificates/work.ts';
import type { Deed, DeedScope } from '../deed.ts';
import { record } from '../history.ts';
import { RegistryError } from '../registry-error.ts';
import type { RegistryTables } from '../schema.ts';
import { makeProof, makeTargetLabel } from '../secret.ts';
import { notYours } from './refusal.ts';
import { ownRow } from './tenure.ts';

export const DOMAIN_LIMITS = {
  /** Each is looked at every day, and before every renewal of its certificate; a person has one or two. */
  perNameMax: 20,
  /** Who has not entered the records by then has given it up; adding it again gives new ones. */
  pendingMs: 7 * 86_400_000,
  /** `_acme-challenge.` in front of it must be a name as well. */
  charsMax: 237,
  /** As many as certificate authorities sign for. */
  labelsMax: 10,
} as const;

declare const ownDomainBrand: unique symbol;

/** A hostname that can be somebody's own: it has nothing to do with the zone. */
export type OwnDomain = Hostname & { readonly [ownDomainBrand]: true };

export type DomainRow = RegistryTables['domains'];

export function parseOwnDomain(text: string, zone: Hostname): OwnDomain | undefined {
  const hostname = parseHostname(text);
  if (hostname === undefined || hostname.length > DOMAIN_LIMITS.charsMax) return undefined;
  const labels = hostname.split('.').length;
  if (labels < 2 || labels > DOMAIN_LIMITS.labelsMax) return undefined;
  const related = splitHostname(hostname, zone).kind !== 'outside' || zone.endsWith(`.${hostname}`);
  return related ? undefined : (hostname as OwnDomain);
}

export interface WantedDomain {
  readonly name: DeviceName;
  readonly domain: OwnDomain;
  /** Without it the domain leads to the whole device. */
  readonly workspace?: WorkspaceName | undefined;
  /** What lies one label below belongs to it too. */
  readonly wildcard?: boolean | undefined;
  readonly by: By;
}

export interface DomainRecords {
  /** The label of its CNAME target, `<target>.to.<zone>`. */
  readonly target: string;
  /** The value of its TXT record. */
  readonly proof: string;
}

/** The same again tells the same records, and may lead it to another workspace. */
export function addDomain(wanted: WantedDomain): Deed<DomainRecords> {
  return async (scope) => {
    const { name, domain, by, workspace = null, wildcard = false } = wanted;
    const { state } = await ownRow(scope, name, by);
    if (state !== 'held') throw notYours(name);
    const actor = actorText(by);
    const row = await findDomain(scope, { name, domain });
    if (row === undefined) {
      await assertRoom(scope, name);
      return insertDomain(scope, { name, domain, workspace, wildcard: Number(wildcard) }, actor);
    }
    if ((row.wildcard === 1) !== wildcard) throw otherKind(row);
    if (row.workspace !== workspace) {
      await scope.db
        .updateTable('domains')
        .set({ workspace })
        .where('target', '=', row.target)
        .execute();
      await record(scope, 'domain-changed', { actor, name, detail: domain });
    }
    return row;
  };
}

export interface DomainRemoval {
  readonly domain: Hostname;
  /** Only from this one; otherwise from all names that `by` may decide about. */
  readonly name?: DeviceName | undefined;
  readonly by: By;
}

/** Resolves with what was removed. */
export function removeDomain({ domain, name, by }: DomainRemoval): Deed<readonly DomainRow[]> {
  return async (scope) => {
    let query = scope.db.selectFrom('domains').selectAll().where('domain', '=', domain);
    if (name !== undefined) query = query.where('name', '=', name);
    const removed: DomainRow[] = [];
    for (const row of await query.orderBy('name').execute()) {
      if (!(await mayDecide(scope, row.name, by))) continue;
      await endDomain(scope, row, { actor: actorText(by) });
      removed.push(row);
    }
    if (removed.length === 0) throw unknownDomain(domain);
    return removed;
  };
}

/** At the first boot of a device whose order has a domain; its name has none yet, or this one. */
export async function addOrderedDomain(
  scope: DeedScope,
  { name, domain }: { readonly name: string; readonly domain: string },
  actor: string,
): Promise<void> {
  if ((await findDomain(scope, { name, domain })) !== undefined) return;
  await insertDomain(scope, { name, domain, workspace: null, wildcard: 0 }, actor);
}

/**
 * Takes the row away, and with it the certificate of a domain that was served. Its target and its proof
 * are worth nothing from now on.
 */
export async function endDomain(
  scope: DeedScope,
  row: Pick<DomainRow, 'domain' | 'name' | 'target' | 'state'>,
  { actor, why }: { readonly actor: string; readonly why?: string },
): Promise<void> {
  const { domain, name, target, state } = row;
  await scope.db.deleteFrom('domains').where('target', '=', target).execute();
  if (state !== 'pending') {
    await unwant({ purpose: 'domain', subject: domain, nowMs: scope.nowMs })(scope.db);
  }
  scope.touch(`${target}.to`);
  const detail = why === undefined ? domain : `${domain} (${why})`;
  await record(scope, 'domain-removed', { actor, name, detail });
}

function findDomain(
  { db }: Pick<DeedScope, 'db'>,
  { name, domain }: Pick<DomainRow, 'name' | 'domain'>,
): Promise<DomainRow | undefined> {
  return db
    .selectFrom('domains')
    .selectAll()
    .where('domain', '=', domain)
    .where('name', '=', name)
    .executeTakeFirst();
}

async function insertDomain(
  scope: DeedScope,
  row: Pick<DomainRow, 'name' | 'domain' | 'workspace' | 'wildcard'>,
  actor: string,
): Promise<DomainRecords> {
  const records = { target: makeTargetLabel(), proof: makeProof() };
  const { nowMs } = scope;
  const times = { state: 'pending', added_at: nowMs, check_due_at: nowMs } as const;
  await scope.db
    .insertInto('domains')
    .values({ ...row, ...records, ...times })
    .execute();
  scope.touch(`${records.target}.to`);
  await record(scope, 'domain-added', { actor, name: row.name, detail: row.domain });
  return records;
}

async function assertRoom({ db }: DeedScope, name: string): Promise<void> {
  const { count } = await db
    .selectFrom('domains')
    .select(db.fn.countAll().as('count'))
    .where('name', '=', name)
    .executeTakeFirstOrThrow();
  if (Number(count) < DOMAIN_LIMITS.perNameMax) return;
  throw new RegistryError(
    'ERR_TOO_MANY_DOMAINS',
    `The name ${name} has ${DOMAIN_LIMITS.perNameMax} domains. Remove one that is not used.`,
  );
}

/** Whose it is, a stranger does not learn. */
async function mayDecide(scope: DeedScope, name: string, by: By): Promise<boolean> {
  try {
    await ownRow(scope, name, by);
    return true;
  } catch (error) {
    if (error instanceof RegistryError && STRANGE.has(error.code)) return false;
    throw error;
  }
}

const STRANGE: ReadonlySet<string> = new Set(['ERR_NOT_YOURS', 'ERR_NAME_UNKNOWN']);

export function unknownDomain(domain: Hostname): RegistryError {
  return new RegistryError(
    'ERR_DOMAIN_UNKNOWN',
    `None of your names has the domain ${domain}. See the list of your domains.`,
  );
}

function otherKind({ name, domain, wildcard }: DomainRow): RegistryError {
  const is = wildcard === 1 ? 'as a wildcard' : 'without a wildcard';
  return new RegistryError(
    'ERR_DOMAIN_TAKEN',
    `The name ${name} has the domain ${domain} ${is} already. Remove it first, then add it again; ` +
      'its records will be others.',
  );
}
