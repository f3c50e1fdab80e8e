// Own domains of a name: where a customer's DNS has to lead, and what it has to say. The target is
// random for each, so that a record which somebody forgot in his DNS is of use to nobody else.
import {
  type DeviceName,
  type Hostname,
  parseHostname,
  splitHostname,
  type WorkspaceName,
} from '../../../dns/name.ts';
import { actorText, type By } from '../actor.ts';
import type { Deed, DeedScope } from '../deed.ts';
import { record } from '../history.ts';
import { RegistryError } from '../registry-error.ts';
import type { RegistryTables } from '../schema.ts';
import { makeProof, makeTargetLabel } from '../secret.ts';
import { notYours } from './refusal.ts';
import { ownRow } from './tenure.ts';

const DOMAIN_LIMITS = {
  /** Each is checked again before every renewal of its certificate; a person has one or two. */
  perNameMax: 20,
  /** Whoever does not prove a domain for so long does not keep others from it. */
  pendingMs: 7 * 86_400_000,
} as const;

declare const ownDomainBrand: unique symbol;

/** A hostname that can be somebody's own: it has nothing to do with the zone. */
export type OwnDomain = Hostname & { readonly [ownDomainBrand]: true };

export function parseOwnDomain(text: string, zone: Hostname): OwnDomain | undefined {
  const hostname = parseHostname(text);
  if (hostname === undefined || !hostname.includes('.')) return undefined;
  const related = splitHostname(hostname, zone).kind !== 'outside' || zone.endsWith(`.${hostname}`);
  return related ? undefined : (hostname as OwnDomain);
}

export interface DomainRecords {
  /** The label of its CNAME target, `<target>.to.<zone>`. */
  readonly target: string;
  /** The value of its TXT record. */
  readonly proof: string;
}

/** The same again tells the same records. */
export function addDomain({
  name,
  domain,
  workspace,
  by,
}: {
  readonly name: DeviceName;
  readonly domain: OwnDomain;
  readonly workspace?: WorkspaceName;
  readonly by: By;
}): Deed<DomainRecords> {
  return async (scope) => {
    const { state } = await ownRow(scope, name, by);
    if (state !== 'held') throw notYours(name);
    const row = await findDomain(scope, domain);
    if (row?.name === name) return row;
    await assertDomainFree(scope, domain);
    const { count } = await scope.db
      .selectFrom('domains')
      .select(scope.db.fn.countAll().as('count'))
      .where('name', '=', name)
      .executeTakeFirstOrThrow();
    if (Number(count) >= DOMAIN_LIMITS.perNameMax) throw tooMany(name);
    return insertDomain(scope, { name, domain, workspace: workspace ?? null }, actorText(by));
  };
}

export function removeDomain({
  domain,
  by,
}: {
  readonly domain: OwnDomain;
  readonly by: By;
}): Deed<void> {
  return async (scope) => {
    const row = await findDomain(scope, domain);
    if (row === undefined) throw unknown(domain);
    await ownRow(scope, row.name, by).catch((error: unknown) => {
      // Whose it is, a stranger does not learn.
      const strange = error instanceof RegistryError && STRANGE.has(error.code);
      throw strange ? unknown(domain) : error;
    });
    await deleteDomain(scope, row, actorText(by));
  };
}

/** Refuses a domain that another name has, or that is ordered with one. */
export async function assertDomainFree(scope: DeedScope, domain: OwnDomain): Promise<void> {
  const row = await findDomain(scope, domain);
  const ordered = await scope.db
    .selectFrom('orders')
    .select('id')
    .where('domain', '=', domain)
    .where('redeemed_at', 'is', null)
    .where('expires_at', '>', scope.nowMs)
    .executeTakeFirst();
  if ((row === undefined || isStale(scope, row)) && ordered === undefined) return;
  throw new RegistryError(
    'ERR_DOMAIN_TAKEN',
    `The domain ${domain} belongs to another name already. Remove it there first.`,
  );
}

/** Adds a domain that is free, or that somebody left unproven; `undefined`: it is neither. */
export async function addOrderedDomain(
  scope: DeedScope,
  { name, domain }: { readonly name: string; readonly domain: string },
  actor: string,
): Promise<boolean> {
  const row = await findDomain(scope, domain);
  if (row !== undefined && !isStale(scope, row)) return row.name === name;
  await insertDomain(scope, { name, domain, workspace: null }, actor);
  return true;
}

type DomainRow = RegistryTables['domains'];

function findDomain({ db }: DeedScope, domain: string): Promise<DomainRow | undefined> {
  return db.selectFrom('domains').selectAll().where('domain', '=', domain).executeTakeFirst();
}

function isStale({ nowMs }: DeedScope, { state, added_at }: DomainRow): boolean {
  return state === 'pending' && added_at <= nowMs - DOMAIN_LIMITS.pendingMs;
}

async function insertDomain(
  scope: DeedScope,
  row: Pick<DomainRow, 'name' | 'domain' | 'workspace'>,
  actor: string,
): Promise<DomainRecords> {
  const stale = await findDomain(scope, row.domain);
  if (stale !== undefined) await deleteDomain(scope, stale, actor);
  const records = { target: makeTargetLabel(), proof: makeProof() };
  await scope.db
    .insertInto('domains')
    .values({ ...row, ...records, state: 'pending', added_at: scope.nowMs })
    .execute();
  scope.touch(`${records.target}.to`);
  await record(scope, 'domain-added', { actor, name: row.name, detail: row.domain });
  return records;
}

async function deleteDomain(
  scope: DeedScope,
  { domain, name, target }: DomainRow,
  actor: string,
): Promise<void> {
  await scope.db.deleteFrom('domains').where('domain', '=', domain).execute();
  scope.touch(`${target}.to`);
  await record(scope, 'domain-removed', { actor, name, detail: domain });
}

const STRANGE: ReadonlySet<string> = new Set(['ERR_NOT_YOURS', 'ERR_NAME_UNKNOWN']);

function unknown(domain: OwnDomain): RegistryError {
  return new RegistryError(
    'ERR_DOMAIN_UNKNOWN',
    `None of your names has the domain ${domain}. See the list of your domains.`,
  );
}

function tooMany(name: DeviceName): RegistryError {
  return new RegistryError(
    'ERR_TOO_MANY_DOMAINS',
    `The name ${name} has ${DOMAIN_LIMITS.perNameMax} domains. Remove one that is not used.`,
  );
}
