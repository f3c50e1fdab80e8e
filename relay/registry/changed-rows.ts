// The present rows of all names and keys that the history tells of since a moment.
import type { Kysely } from 'kysely';
import { timesOf, waitingRecoveries } from './recovery-due.ts';
import type { HistoryWord, RegistryTables } from './schema.ts';
import type { ServedDomainRow } from './served-domains.ts';
import type { NameRow, RegisteredDevice, RegistryChange } from './snapshot.ts';

const CHANGED_LIMITS = {
  /** Deeds that are followed one by one. Beyond it, reading everything is not much more. */
  deedsMax: 20_000,
  /** Values in one `in (...)`: both databases take more, and plan it worse. */
  listMax: 500,
} as const;

type Transaction = Kysely<RegistryTables>;

export interface Changed extends RegistryChange {
  /** Every name in it. */
  readonly about: ReadonlySet<string>;
  /** Every key in it, by its thumbprint. */
  readonly keys: ReadonlySet<string>;
}

/** `undefined`: too many. */
export async function readChanged(db: Transaction, sinceId: number): Promise<Changed | undefined> {
  const deeds = await db
    .selectFrom('history')
    .select(['name', 'thumbprint', 'what', 'detail'])
    .where('id', '>', sinceId)
    .orderBy('id')
    .limit(CHANGED_LIMITS.deedsMax + 1)
    .execute();
  if (deeds.length > CHANGED_LIMITS.deedsMax) return undefined;
  const about = new Set(deeds.flatMap(({ name }) => name ?? []));
  const keys = new Set(deeds.flatMap(({ thumbprint }) => thumbprint ?? []));
  // A deed on a key alone is about all names that the key has by now.
  const bare = new Set(
    deeds.flatMap(({ name, thumbprint }) => (name === null ? (thumbprint ?? []) : [])),
  );
  const namesOf = (list: readonly string[]) =>
    db.selectFrom('names').select('name').where('thumbprint', 'in', list).execute();
  for (const { name } of await inParts(bare, namesOf)) about.add(name);
  const domains = await readDomains(db, new Set(deeds.flatMap(domainsIn)));
  // Whoever has the wildcard above a domain loses a hostname to it, or gets one back.
  for (const [, row] of domains) if (row?.wildcard === 1) about.add(row.name);
  const names = await readNames(db, about);
  for (const { thumbprint } of names) if (thumbprint !== null) keys.add(thumbprint);
  return { about, keys, names, devices: await readDevices(db, keys), domains };
}

const DOMAIN_WORDS: ReadonlySet<HistoryWord> = new Set([
  'domain-added',
  'domain-changed',
  'domain-proven',
  'domain-suspended',
  'domain-moved',
  'domain-removed',
] as const);

/** Of `app.example.org`, or `app.example.org (why)`: that domain, and the one above it. */
function domainsIn({
  what,
  detail,
}: Pick<RegistryTables['history'], 'what' | 'detail'>): readonly string[] {
  const domain = DOMAIN_WORDS.has(what) ? detail?.split(' ', 1)[0] : undefined;
  return domain === undefined ? [] : [domain, domain.slice(domain.indexOf('.') + 1)];
}

async function readDomains(
  db: Transaction,
  about: ReadonlySet<string>,
): Promise<[string, ServedDomainRow | undefined][]> {
  const rows = await inParts(about, (list) =>
    db
      .selectFrom('domains')
      .select(['domain', 'name', 'workspace', 'wildcard'])
      .where('domain', 'in', list)
      .where('state', '=', 'proven')
      .execute(),
  );
  const served = new Map(rows.map((row) => [row.domain, row]));
  return [...about].map((domain) => [domain, served.get(domain)]);
}

/** What the snapshot shows of these names, in the order of the names. */
export async function readNames(db: Transaction, about: ReadonlySet<string>): Promise<NameRow[]> {
  const rows = await inParts(about, (list) =>
    db
      .selectFrom('names')
      .select(['name', 'state', 'thumbprint', 'successor'])
      .where('name', 'in', list)
      .execute(),
  );
  const waiting = await inParts(about, (list) =>
    waitingRecoveries(db).where('name', 'in', list).execute(),
  );
  const row = new Map(rows.map((one) => [one.name, one]));
  const recovery = new Map(
    waiting.map((one) => [
      one.name,
      { id: one.id, oldThumbprint: one.old_thumbprint, ...timesOf(one) },
    ]),
  );
  return [...about].map((name) => {
    const present = row.get(name) ?? { name, state: undefined, thumbprint: null, successor: null };
    const waits = recovery.get(name);
    return waits === undefined ? present : { ...present, recovery: waits };
  });
}

async function readDevices(
  db: Transaction,
  keys: ReadonlySet<string>,
): Promise<RegisteredDevice[]> {
  const rows = await inParts(keys, (list) =>
    db
      .selectFrom('devices')
      .select(['thumbprint', 'public_key', 'revoked_at'])
      .where('thumbprint', 'in', list)
      .execute(),
  );
  return rows.map(({ thumbprint, public_key: publicKey, revoked_at: revokedAt }) => ({
    thumbprint,
    publicKey,
    revoked: revokedAt !== null,
  }));
}

async function inParts<Row>(
  values: ReadonlySet<string>,
  select: (list: readonly string[]) => Promise<readonly Row[]>,
): Promise<Row[]> {
  const all = [...values];
  const rows: Row[] = [];
  for (let start = 0; start < all.length; start += CHANGED_LIMITS.listMax) {
    rows.push(...(await select(all.slice(start, start + CHANGED_LIMITS.listMax))));
  }
  return rows;
}
