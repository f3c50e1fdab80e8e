// From the texts of `zone_labels` to nodes of a zone. The targets of own domains, each with a text of
// its own, are put together below the one label `to`.
import { setImmediate as turn } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import { TYPE } from '../../dns/record.ts';
import { Zone, type ZoneChange, type ZoneNode } from '../../dns/zone.ts';
import { changedBelow, type ZoneStep } from '../../dns/zone-source.ts';
import type { ZoneText } from '../../dns/zone-text.ts';
import type { RegistryTables } from './schema.ts';
import type { JournalRow } from './zone-journal.ts';

const CONTENT_LIMITS = {
  /** Rows between two turns of the event loop: some 10 ms. */
  batchMax: 10_000,
} as const;

/** The label below which all targets of own domains lie. */
const TARGETS = 'to';

/** What is there now below a label of `zone_labels`. */
export interface LabelText {
  readonly label: string;
  readonly records: string | null;
}

/** All of it, in a transaction of the caller. */
export async function readContent(
  db: Kysely<RegistryTables>,
  text: ZoneText,
  serial: number,
): Promise<Zone> {
  const batches: ZoneChange[][] = [];
  const targets = new Map<string, ZoneNode>();
  let after: string | undefined;
  for (;;) {
    let query = db.selectFrom('zone_labels').select(['label', 'records']).orderBy('label');
    if (after !== undefined) query = query.where('label', '>', after);
    const rows = await query.limit(CONTENT_LIMITS.batchMax).execute();
    const last = rows.at(-1);
    if (last === undefined) break;
    after = last.label;
    const changes: ZoneChange[] = [];
    for (const { label, records } of rows) {
      const target = targetOf(label);
      if (target === undefined) changes.push([label, text.parse(label, records)]);
      else placeTarget(targets, target, text.parse(TARGETS, records));
    }
    batches.push(changes);
    await turn();
  }
  if (targets.size > 0) batches.push([[TARGETS, { sets: [], children: targets }]]);
  return Zone.of(text.apex, serial, batches.flat());
}

/** The zone after these labels have changed. */
export function withLabels(
  zone: Zone,
  text: ZoneText,
  serial: number,
  labels: Iterable<LabelText>,
): Zone {
  const changes: ZoneChange[] = [];
  let targets: Map<string, ZoneNode> | undefined;
  for (const { label, records } of labels) {
    const target = targetOf(label);
    if (target === undefined) {
      changes.push([label, records === null ? undefined : text.parse(label, records)]);
      continue;
    }
    targets ??= new Map(zone.top.get(TARGETS)?.children);
    if (records === null) targets.delete(target);
    else placeTarget(targets, target, text.parse(TARGETS, records));
  }
  if (targets !== undefined) {
    changes.push([TARGETS, targets.size > 0 ? { sets: [], children: targets } : undefined]);
  }
  return zone.with(serial, changes);
}

/** The first label below the zone of what a row is about. */
export function firstLabel(label: string): string {
  return targetOf(label) === undefined ? label : TARGETS;
}

/** The rows after `from`, oldest first, as steps. */
export function stepsOf(text: ZoneText, from: number, rows: readonly JournalRow[]): ZoneStep[] {
  const steps: ZoneStep[] = [];
  for (const [to, changes] of Map.groupBy(rows, ({ serial }) => serial)) {
    const parts = changes.map((row) => {
      const first = firstLabel(row.label);
      const owner = first === '' ? text.apex : `${first}.${text.apex}`;
      return changedBelow(owner, nodeOf(text, first, row.before), nodeOf(text, first, row.after));
    });
    steps.push({
      from: steps.at(-1)?.to ?? from,
      to,
      removed: parts.flatMap((part) => part.removed),
      added: parts.flatMap((part) => part.added),
    });
  }
  return steps;
}

/** Without the SOA, which every step changes and a transfer tells by itself. */
function nodeOf(text: ZoneText, label: string, records: string | null): ZoneNode | undefined {
  if (records === null) return undefined;
  const node = text.parse(label, records);
  if (label !== '') return node;
  return { ...node, sets: node.sets.filter(({ type }) => type !== TYPE.SOA) };
}

/** `x7k2` of `x7k2.to`. */
function targetOf(label: string): string | undefined {
  return label.endsWith(`.${TARGETS}`) ? label.slice(0, -TARGETS.length - 1) : undefined;
}

function placeTarget(targets: Map<string, ZoneNode>, target: string, node: ZoneNode): void {
  const child = node.children?.get(target);
  if (child !== undefined) targets.set(target, child);
}
