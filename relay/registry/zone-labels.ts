// What is to be published below labels, computed from the registry's rows as they are in a transaction.
import { type Kysely, sql } from 'kysely';
import type { ApexSettings } from '../../dns/apex.ts';
import { EDGE_LABEL } from '../../dns/zone-text.ts';
import { parseAddresses } from './addresses.ts';
import type { RegistryTables } from './schema.ts';
import {
  type Addresses,
  apexText,
  type ChallengeRow,
  deviceText,
  edgeText,
  nameServerText,
  PLAIN_DEVICE,
  serviceText,
  splitAddresses,
  targetText,
  ZONE_CHALLENGE,
  zoneChallengeText,
} from './zone-records.ts';

type Transaction = Kysely<RegistryTables>;

/** Of names; the others are nobody's at present. */
const PUBLISHED_STATES = ['held', 'former'] as const;

const APEX = '';
const TARGETS = '.to';

/** A text per label; undefined: nothing is published there. Few labels: all are parameters of queries. */
export async function labelTexts(
  db: Transaction,
  settings: ApexSettings,
  labels: readonly string[],
): Promise<ReadonlyMap<string, string | undefined>> {
  const rows = await readRows(db, settings, labels);
  return new Map(labels.map((label) => [label, textOf(settings, label, rows)]));
}

/** Whether something of its own is published below the label: a held name, a host of the vendor. */
export async function isPublished(
  db: Transaction,
  settings: ApexSettings,
  label: string,
): Promise<boolean> {
  const texts = await labelTexts(db, settings, [label]);
  return label !== APEX && texts.get(label) !== undefined;
}

/** The labels that the settings alone make. */
export function vendorLabels({ zone, nameServers, services }: ApexSettings): string[] {
  const inZone = nameServers.filter(({ host }) => host.endsWith(`.${zone}`));
  const hosts = inZone.map(({ host }) => host.slice(0, -zone.length - 1));
  return [APEX, EDGE_LABEL, ZONE_CHALLENGE, ...services, ...hosts];
}

/** Makes every published name a plain device, without a look at each. */
export async function publishPlainDevices(db: Transaction): Promise<void> {
  await db
    .insertInto('zone_labels')
    .columns(['label', 'records'])
    .expression((from) =>
      from
        .selectFrom('names')
        .select(['name', sql.lit(PLAIN_DEVICE).as('records')])
        .where('state', 'in', PUBLISHED_STATES),
    )
    .execute();
}

/** All labels that may be more than a plain device. */
export async function specialLabels(db: Transaction, settings: ApexSettings): Promise<string[]> {
  const names = await db
    .selectFrom('names')
    .innerJoin('devices', 'devices.thumbprint', 'names.thumbprint')
    .select('names.name')
    .where('names.state', 'in', PUBLISHED_STATES)
    .where('devices.lan_addresses', 'is not', null)
    .execute();
  const challenges = await db.selectFrom('challenges').select('label').distinct().execute();
  const domains = await db.selectFrom('domains').select('target').execute();
  return [
    ...new Set([
      ...vendorLabels(settings),
      ...names.map(({ name }) => name),
      ...challenges.map(({ label }) => label),
      ...domains.map(({ target }) => `${target}${TARGETS}`),
    ]),
  ];
}

interface Rows {
  /** By name: the LAN addresses of its device, as stored. */
  readonly devices: ReadonlyMap<string, string | null>;
  readonly challenges: ReadonlyMap<string, readonly ChallengeRow[]>;
  /** By label of its target: the proof of an own domain. */
  readonly targets: ReadonlyMap<string, string>;
  readonly edge: Addresses;
}

async function readRows(
  db: Transaction,
  settings: ApexSettings,
  labels: readonly string[],
): Promise<Rows> {
  const vendor = new Set(vendorLabels(settings));
  const targets = labels.filter((label) => label.endsWith(TARGETS));
  const names = labels.filter((label) => !vendor.has(label) && !label.endsWith(TARGETS));
  const needsEdge = labels.includes(APEX) || labels.includes(EDGE_LABEL);
  return {
    devices: await readDevices(db, names),
    challenges: await readChallenges(db, labels),
    targets: await readTargets(db, targets),
    edge: needsEdge ? await readEdge(db) : NO_ADDRESSES,
  };
}

function textOf(settings: ApexSettings, label: string, rows: Rows): string | undefined {
  const { devices, targets, edge } = rows;
  const challenges = rows.challenges.get(label) ?? [];
  if (label === APEX) return apexText(settings, edge);
  if (label === EDGE_LABEL) return edgeText(settings, edge);
  if (label === ZONE_CHALLENGE) return zoneChallengeText(settings, challenges);
  if (settings.services.includes(label)) return serviceText(settings, label, challenges);
  const server = nameServerText(settings, label);
  if (server !== undefined) return server;
  const proof = targets.get(label);
  if (proof !== undefined) return targetText(settings, label, proof, challenges);
  const lan = devices.get(label);
  if (lan === undefined) return undefined;
  return deviceText(settings, label, splitAddresses(parseAddresses(lan)), challenges);
}

async function readDevices(
  db: Transaction,
  names: readonly string[],
): Promise<Map<string, string | null>> {
  if (names.length === 0) return new Map();
  const rows = await db
    .selectFrom('names')
    .leftJoin('devices', 'devices.thumbprint', 'names.thumbprint')
    .select(['names.name', 'devices.lan_addresses'])
    .where('names.name', 'in', names)
    .where('names.state', 'in', PUBLISHED_STATES)
    .execute();
  return new Map(rows.map((row) => [row.name, row.lan_addresses]));
}

async function readChallenges(
  db: Transaction,
  labels: readonly string[],
): Promise<Map<string, ChallengeRow[]>> {
  const rows = await db
    .selectFrom('challenges')
    .select(['label', 'owner', 'value'])
    .where('label', 'in', labels)
    .execute();
  return Map.groupBy(rows, ({ label }) => label);
}

async function readTargets(
  db: Transaction,
  labels: readonly string[],
): Promise<Map<string, string>> {
  if (labels.length === 0) return new Map();
  const targets = labels.map((label) => label.slice(0, -TARGETS.length));
  const rows = await db
    .selectFrom('domains')
    .select(['target', 'proof'])
    .where('target', 'in', targets)
    .execute();
  return new Map(rows.map(({ target, proof }) => [`${target}${TARGETS}`, proof]));
}

const NO_ADDRESSES: Addresses = { v4: [], v6: [] };

async function readEdge(db: Transaction): Promise<Addresses> {
  const rows = await db.selectFrom('relays').select('addresses').where('alive', '=', 1).execute();
  return splitAddresses(rows.flatMap(({ addresses }) => parseAddresses(addresses)));
}
