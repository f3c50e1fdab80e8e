// A zone as it is at one serial: immutable, so that an answer, a transfer and a change never see half
// of each other. A next version shares with this one every part that did not change. Below the apex
// there are no cuts: everything in the zone is answered with authority.
import type { Hostname } from './name.ts';
import { findSet, type RecordSet, TYPE, type ZoneRecord } from './record.ts';
import { ShardedMap } from './sharded-map.ts';

/** One owner and what lies below it. Without sets it is an empty non-terminal (RFC 4592, 2.2.2). */
export interface ZoneNode {
  readonly sets: readonly RecordSet[];
  /** By label, in lower case, a character per byte; `*` is the wildcard. */
  readonly children: ReadonlyMap<string, ZoneNode> | undefined;
}

/** A first label below the apex, or '' for the apex itself, and what is there now: undefined: nothing. */
export type ZoneChange = readonly [label: string, node: ZoneNode | undefined];

export class Zone {
  readonly apex: Hostname;
  readonly serial: number;
  readonly soa: RecordSet;
  /** The apex with its SOA; its children are in `top`. */
  readonly apexNode: ZoneNode;
  /** By first label below the apex. */
  readonly top: ShardedMap<ZoneNode>;

  private constructor(
    apex: Hostname,
    serial: number,
    apexNode: ZoneNode,
    top: ShardedMap<ZoneNode>,
  ) {
    const soa = findSet(apexNode.sets, TYPE.SOA);
    if (soa === undefined) throw new Error(`The zone ${apex} has no SOA record at its apex.`);
    this.apex = apex;
    this.serial = serial;
    this.soa = soaWithSerial(soa, serial);
    this.apexNode = {
      sets: apexNode.sets.map((set) => (set === soa ? this.soa : set)),
      children: undefined,
    };
    this.top = top;
  }

  /** The changes must hold '', the apex, with its SOA; the serial in that SOA does not matter. */
  static of(apex: Hostname, serial: number, changes: Iterable<ZoneChange>): Zone {
    const nodes = [...changes];
    const apexNode = nodes.findLast(([label]) => label === '')?.[1];
    if (apexNode === undefined) throw new Error(`The zone ${apex} has no records at its apex.`);
    const below = nodes.filter(([label]) => label !== '').map(withoutEmpty);
    return new Zone(apex, serial, apexNode, ShardedMap.of<ZoneNode>([]).with(below));
  }

  /** The node at exactly these labels, the one next to the apex first; [] is the apex. */
  find(labels: readonly string[]): ZoneNode | undefined {
    const [first, ...rest] = labels;
    if (first === undefined) return this.apexNode;
    let node = this.top.get(first);
    for (const label of rest) node = node?.children?.get(label);
    return node;
  }

  /** The next version; this one stays as it is. The apex cannot go. */
  with(serial: number, changes: Iterable<ZoneChange>): Zone {
    let apexNode = this.apexNode;
    const below = new Map<string, ZoneNode | undefined>();
    for (const [label, node] of changes) {
      if (label !== '') below.set(...withoutEmpty([label, node]));
      else if (node !== undefined) apexNode = node;
    }
    const top = below.size === 0 ? this.top : this.top.with(below);
    return new Zone(this.apex, serial, apexNode, top);
  }

  /** Every record set, the SOA first, then the rest of the apex; for a transfer and for tools. */
  *records(): Generator<ZoneRecord> {
    yield { owner: this.apex, set: this.soa };
    for (const set of this.apexNode.sets) {
      if (set !== this.soa) yield { owner: this.apex, set };
    }
    for (const label of this.top.keys()) {
      yield* recordsBelow(`${label}.${this.apex}`, this.top.get(label));
    }
  }
}

/** A label with nothing below it does not exist; left in, it would be an empty non-terminal. */
function withoutEmpty([label, node]: ZoneChange): [string, ZoneNode | undefined] {
  const empty = node?.sets.length === 0 && node.children === undefined;
  return [label, empty ? undefined : node];
}

/** The sets of a node and of all below it. */
export function* recordsBelow(owner: string, node: ZoneNode | undefined): Generator<ZoneRecord> {
  if (node === undefined) return;
  for (const set of node.sets) yield { owner, set };
  for (const [label, child] of node.children ?? []) yield* recordsBelow(`${label}.${owner}`, child);
}

/** The serial lies 20 bytes before the end of the RDATA, before four numbers of 32 bits. */
export function soaWithSerial(soa: RecordSet, serial: number): RecordSet {
  const data = Buffer.from(soa.data[0] ?? Buffer.alloc(20));
  data.writeUInt32BE(serial, data.length - 20);
  return { ...soa, data: [data] };
}
