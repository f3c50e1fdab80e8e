// From the rows of the registry to what the zone publishes, in the deed's own transaction: so a name
// and its records change together or not at all. What is published lies in `zone_labels`, and what
// each serial changed in `zone_journal`, for IXFR and for name servers in other processes.
//
// Nothing is published until a name server has said what the zone is (configure-apex.ts); then all is.
import type { Kysely } from 'kysely';
import type { ApexSettings } from '../../dns/apex.ts';
import type { DeedScope } from './deed.ts';
import type { RegistryTables } from './schema.ts';
import { forgetJournal, pruneJournal } from './zone-journal.ts';
import { labelTexts, publishPlainDevices, specialLabels } from './zone-labels.ts';
import { isLaterSerial, serialAfter } from './zone-serial.ts';

const PUBLICATION_LIMITS = {
  /** Labels whose rows are read at once: well below the parameters that a query may have. */
  batchMax: 200,
  /** A deed that changes more is told as a whole new zone, which is then the shorter message. */
  stepLabelsMax: 10_000,
} as const;

/** The one row of `zone`. */
export const ZONE_ROW = 1;

type Transaction = Kysely<RegistryTables>;
type PublishScope = Pick<DeedScope, 'db' | 'nowMs'>;

/** Counts what this file would publish otherwise for the same rows: another one has all made anew. */
const FORMAT = 1;

export interface PublishedZone {
  readonly serial: number;
  readonly settings: ApexSettings;
  /** As stored; equal texts publish the same. */
  readonly text: string;
}

interface LabelChange {
  readonly label: string;
  readonly before: string | null;
  readonly after: string | null;
}

/** Brings the published records of these labels up to date. One serial, or none if all is as it was. */
export async function publish(scope: PublishScope, labels: ReadonlySet<string>): Promise<boolean> {
  if (labels.size === 0) return false;
  const zone = await readZone(scope.db);
  if (zone === undefined) return false;
  const changes = await changesOf(scope.db, zone.settings, [...labels]);
  if (changes.length === 0) return false;
  await applyChanges(scope.db, changes);
  await journal(scope, zone.serial, changes);
  return true;
}

/** Computes all that is published from the rows, whatever was published before. */
export async function publishAll(scope: PublishScope): Promise<void> {
  const { db } = scope;
  const zone = await readZone(db);
  if (zone === undefined) return;
  await db.deleteFrom('zone_labels').execute();
  await publishPlainDevices(db);
  for (const batch of batches(await specialLabels(db, zone.settings))) {
    const texts = await labelTexts(db, zone.settings, batch);
    const rows = [...texts].flatMap(([label, records]) =>
      records === undefined ? [] : [{ label, records }],
    );
    await upsertLabels(db, rows);
  }
  await forgetJournal(db);
  await journal(scope, zone.serial, []);
}

/** A new serial for the same content; see zone-serial.ts for when that is needed. */
export async function renewSerial(scope: PublishScope, above = 0): Promise<void> {
  const zone = await readZone(scope.db);
  if (zone === undefined) return;
  const stored = isLaterSerial(above, zone.serial) ? above : zone.serial;
  await journal(scope, stored, []);
}

/** Undefined until a name server has told its settings. */
export async function readZone(db: Transaction): Promise<PublishedZone | undefined> {
  const row = await db
    .selectFrom('zone')
    .select(['serial', 'apex'])
    .where('id', '=', ZONE_ROW)
    .executeTakeFirst();
  if (row === undefined || row.apex === '') return undefined;
  const { settings }: { readonly settings: ApexSettings } = JSON.parse(row.apex);
  return { serial: Number(row.serial), settings, text: row.apex };
}

export function settingsText(settings: ApexSettings): string {
  return JSON.stringify({ format: FORMAT, settings });
}

async function changesOf(
  db: Transaction,
  settings: ApexSettings,
  labels: readonly string[],
): Promise<LabelChange[]> {
  const changes: LabelChange[] = [];
  for (const batch of batches(labels)) {
    const wanted = await labelTexts(db, settings, batch);
    const rows = await db
      .selectFrom('zone_labels')
      .select(['label', 'records'])
      .where('label', 'in', batch)
      .execute();
    const stored = new Map(rows.map(({ label, records }) => [label, records]));
    for (const label of batch) {
      const before = stored.get(label) ?? null;
      const after = wanted.get(label) ?? null;
      if (before !== after) changes.push({ label, before, after });
    }
  }
  return changes;
}

async function applyChanges(db: Transaction, changes: readonly LabelChange[]): Promise<void> {
  for (const batch of batches(changes)) {
    const gone = batch.filter(({ after }) => after === null).map(({ label }) => label);
    if (gone.length > 0) await db.deleteFrom('zone_labels').where('label', 'in', gone).execute();
    const present = batch.flatMap(({ label, after }) =>
      after === null ? [] : [{ label, records: after }],
    );
    if (present.length > 0) await upsertLabels(db, present);
  }
}

async function upsertLabels(
  db: Transaction,
  rows: readonly RegistryTables['zone_labels'][],
): Promise<void> {
  for (const batch of batches(rows)) {
    await db
      .insertInto('zone_labels')
      .values([...batch])
      .onConflict((conflict) =>
        conflict.column('label').doUpdateSet((row) => ({ records: row.ref('excluded.records') })),
      )
      .execute();
  }
}

/**
 * Writes the next serial and what it changed. A step that changes no label, or too many to tell, has a
 * row for the apex as it is: so every serial is found in the journal, until it is too old.
 */
async function journal(
  { db, nowMs }: PublishScope,
  stored: number,
  changes: readonly LabelChange[],
): Promise<void> {
  const serial = serialAfter(stored, nowMs);
  const whole = changes.length > PUBLICATION_LIMITS.stepLabelsMax;
  if (whole) await forgetJournal(db);
  const told = whole || changes.length === 0 ? [await apexAsItIs(db)] : changes;
  for (const batch of batches(told)) {
    await db
      .insertInto('zone_journal')
      .values(batch.map((change) => ({ serial, ...change })))
      .execute();
  }
  await db.updateTable('zone').set({ serial }).where('id', '=', ZONE_ROW).execute();
  await pruneJournal(db, { serial, last: stored, nowMs });
}

async function apexAsItIs(db: Transaction): Promise<LabelChange> {
  const row = await db
    .selectFrom('zone_labels')
    .select('records')
    .where('label', '=', '')
    .executeTakeFirst();
  return { label: '', before: row?.records ?? null, after: row?.records ?? null };
}

function* batches<Item>(items: readonly Item[]): Generator<readonly Item[]> {
  for (let start = 0; start < items.length; start += PUBLICATION_LIMITS.batchMax) {
    yield items.slice(start, start + PUBLICATION_LIMITS.batchMax);
  }
}
