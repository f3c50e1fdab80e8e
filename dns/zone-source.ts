// Where a name server gets its zone from, and how it learns of changes: the registry in a relay, memory
// in tests and tools.
import type { RecordSet, ZoneRecord } from './record.ts';
import { recordsBelow, type Zone, type ZoneChange, type ZoneNode } from './zone.ts';

/** One serial to the next, as IXFR tells it (RFC 1995). SOA records are not among them. */
export interface ZoneStep {
  readonly from: number;
  readonly to: number;
  readonly removed: readonly ZoneRecord[];
  readonly added: readonly ZoneRecord[];
}

/** Told after `zone` is the new one; the labels are those below the apex that changed, '' the apex. */
export type ZoneListener = (zone: Zone, changedLabels: readonly string[]) => void;

export interface ZoneSource {
  readonly zone: Zone;
  /** The steps from a serial to the present one, oldest first; undefined when they are not known. */
  stepsSince(serial: number): Promise<readonly ZoneStep[] | undefined>;
  /** The returned function ends it. */
  onChange(listener: ZoneListener): () => void;
}

const MEMORY_ZONE_LIMITS = {
  /** Secondaries that slept longer transfer the whole zone. */
  stepsMax: 1_000,
} as const;

export class MemoryZone implements ZoneSource {
  #zone: Zone;
  readonly #steps: ZoneStep[] = [];
  readonly #listeners = new Set<ZoneListener>();

  constructor(zone: Zone) {
    this.#zone = zone;
  }

  get zone(): Zone {
    return this.#zone;
  }

  apply(changes: Iterable<ZoneChange>): Zone {
    const before = this.#zone;
    const list = [...new Map(changes)];
    const after = before.with(nextSerial(before.serial), list);
    const parts = list.map(([label]) => changedRecords(before, after, label));
    this.#steps.push({
      from: before.serial,
      to: after.serial,
      removed: parts.flatMap((part) => part.removed),
      added: parts.flatMap((part) => part.added),
    });
    if (this.#steps.length > MEMORY_ZONE_LIMITS.stepsMax) this.#steps.shift();
    this.#zone = after;
    const labels = list.map(([label]) => label);
    for (const listener of this.#listeners) listener(after, labels);
    return after;
  }

  async stepsSince(serial: number): Promise<readonly ZoneStep[] | undefined> {
    if (serial === this.#zone.serial) return [];
    const at = this.#steps.findIndex((step) => step.from === serial);
    return at === -1 ? undefined : this.#steps.slice(at);
  }

  onChange(listener: ZoneListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** RFC 1982; 0 is left out, because some software takes it for "none". */
export function nextSerial(serial: number): number {
  return serial === 0xffff_ffff ? 1 : serial + 1;
}

interface RecordChanges {
  readonly removed: readonly ZoneRecord[];
  readonly added: readonly ZoneRecord[];
}

/** What differs below one label between two versions of a zone, record by record. */
function changedRecords(before: Zone, after: Zone, label: string): RecordChanges {
  const owner = label === '' ? before.apex : `${label}.${before.apex}`;
  return changedBelow(owner, nodeAt(before, label), nodeAt(after, label));
}

/** The apex without its SOA: that one changes with every serial, and a transfer says it by itself. */
function nodeAt(zone: Zone, label: string): ZoneNode | undefined {
  if (label !== '') return zone.top.get(label);
  return { sets: zone.apexNode.sets.filter((set) => set !== zone.soa), children: undefined };
}

/** The same for two nodes at one owner, without a zone. */
export function changedBelow(
  owner: string,
  before: ZoneNode | undefined,
  after: ZoneNode | undefined,
): RecordChanges {
  const old = [...recordsBelow(owner, before)];
  const present = [...recordsBelow(owner, after)];
  return { removed: missingFrom(present, old), added: missingFrom(old, present) };
}

/** The records of `wanted` that `known` does not have: same owner, type, TTL and data. */
function missingFrom(known: readonly ZoneRecord[], wanted: readonly ZoneRecord[]): ZoneRecord[] {
  const keys = new Set(
    known.flatMap(({ owner, set }) => set.data.map((data) => recordKey(owner, set, data))),
  );
  return wanted.flatMap(({ owner, set }) => {
    const data = set.data.filter((one) => !keys.has(recordKey(owner, set, one)));
    return data.length === 0 ? [] : [{ owner, set: { ...set, data } }];
  });
}

function recordKey(owner: string, set: RecordSet, data: Buffer): string {
  return `${owner} ${set.type} ${set.ttl} ${data.toString('latin1')}`;
}
