// The text in which a registry keeps what a zone has below one first label: JSON, an array of entries
// [owner relative to the zone, TTL, type, [RDATA in presentation form, ...]], in a fixed order, so that
// equal records are equal texts. The apex has the label '' and the owner ''. The empty text is a plain
// device: the name and everything below it lead to the edge. All plain devices share one node, so a
// million of them cost a slot of a map each.
import { encodeName, splitName } from './domain-name.ts';
import type { Hostname } from './name.ts';
import { parseRdata, rdataText } from './rdata.ts';
import { findSet, isMetaType, parseType, type RecordSet, TYPE, typeName } from './record.ts';
import { recordsBelow, type ZoneNode } from './zone.ts';

/** Its addresses are the relays that are alive; every device name is a CNAME to it. */
export const EDGE_LABEL = 'edge';

export const ZONE_TEXT_LIMITS = {
  /** As long as browsers keep an address whatever they are told. */
  plainDeviceTtlS: 60,
  /** RFC 2181, section 8. */
  ttlMaxS: 0x7fff_ffff,
  /** A set is served and transferred whole; so it must fit a message of 65,535 bytes. */
  setBytesMax: 60_000,
  /** What a record takes in a message besides its data: pointer, type, class, TTL, length. */
  recordBytes: 12,
} as const;

/** Owner relative to the zone, TTL in seconds, type, RDATA in presentation form. */
export type ZoneEntry = readonly [
  owner: string,
  ttl: number,
  type: string,
  data: readonly string[],
];

export class ZoneTextError extends Error {
  readonly code = 'ERR_ZONE_TEXT';
  override readonly name = 'ZoneTextError';
}

export class ZoneText {
  readonly apex: Hostname;
  /** The node that the empty text stands for. */
  readonly plainDevice: ZoneNode;

  constructor(apex: Hostname) {
    this.apex = apex;
    const edge = encodeName(`${EDGE_LABEL}.${apex}`);
    if (edge === undefined) throw new ZoneTextError(`${apex} is no name of a zone.`);
    const ttl = ZONE_TEXT_LIMITS.plainDeviceTtlS;
    const sets = [{ type: TYPE.CNAME, ttl, data: [edge] }];
    this.plainDevice = { sets, children: new Map([['*', { sets, children: undefined }]]) };
  }

  /** Throws a ZoneTextError that names the entry at fault. */
  parse(label: string, text: string): ZoneNode {
    if (text === '' && label !== '') return this.plainDevice;
    let entries: unknown;
    try {
      entries = JSON.parse(text);
    } catch {
      throw new ZoneTextError(`The records of '${label}' are no JSON.`);
    }
    if (!Array.isArray(entries)) throw new ZoneTextError(`The records of '${label}' are no array.`);
    return this.fromEntries(label, entries);
  }

  fromEntries(label: string, entries: readonly unknown[]): ZoneNode {
    const root = draft();
    for (const entry of entries) {
      try {
        this.#place(root, label, entry);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new ZoneTextError(`The record ${JSON.stringify(entry)} of '${label}': ${why}`);
      }
    }
    return finish(root);
  }

  /** The same bytes for the same records, in whatever order they were given. */
  format(label: string, node: ZoneNode): string {
    if (node === this.plainDevice) return '';
    return zoneEntriesText(this.entries(label, node));
  }

  entries(label: string, node: ZoneNode): ZoneEntry[] {
    return [...recordsBelow(label, node)].map(({ owner, set }) => [
      owner,
      set.ttl,
      typeName(set.type),
      set.data.map((data) => rdataText(set.type, data)),
    ]);
  }

  #place(root: DraftNode, label: string, entry: unknown): void {
    const [owner, ttl, typeText, texts] = shapeOf(entry);
    const type = parseType(typeText) ?? 0;
    if (isMetaType(type)) throw new Error(`'${typeText}' is no type of record.`);
    const labels = splitName(owner)?.reverse();
    if (labels === undefined) throw new Error('its owner is no domain name.');
    if (!labels.every(isPlainLabel)) throw new Error('its owner has a dot or a byte by an escape.');
    if (encodeName(`${owner === '' ? '' : `${owner}.`}${this.apex}`) === undefined) {
      throw new Error('its owner is too long below the zone.');
    }
    const below = label === '' ? labels : labels.slice(1);
    if (label === '' ? labels.length > 0 : labels[0] !== label) {
      throw new Error(`its owner does not lie below '${label}'.`);
    }
    const node = descend(root, below);
    const set = parseSet(type, ttl, texts);
    judgePlace(set, labels, node.sets);
    node.sets.push(set);
  }
}

/** Owners are what people and programs choose; with plain labels their text has one reading. */
function isPlainLabel(label: string): boolean {
  return /^[!-~]+$/.test(label) && !label.includes('.');
}

/** Entries as text, in the fixed order. */
export function zoneEntriesText(entries: readonly ZoneEntry[]): string {
  const keyed = entries.map(([owner, ttl, type, data]): [string, ZoneEntry] => [
    `${owner.split('.').reverse().join('.')} ${type}`,
    [owner, ttl, type, [...data].sort()],
  ]);
  keyed.sort(([one], [other]) => (one < other ? -1 : Number(one > other)));
  return JSON.stringify(keyed.map(([, entry]) => entry));
}

interface DraftNode {
  readonly sets: RecordSet[];
  readonly children: Map<string, DraftNode>;
}

function draft(): DraftNode {
  return { sets: [], children: new Map() };
}

function descend(root: DraftNode, labels: readonly string[]): DraftNode {
  let node = root;
  for (const label of labels) {
    let child = node.children.get(label);
    if (child === undefined) {
      child = draft();
      node.children.set(label, child);
    }
    node = child;
  }
  return node;
}

function finish(node: DraftNode): ZoneNode {
  if (node.children.size === 0) return { sets: node.sets, children: undefined };
  const children = new Map<string, ZoneNode>();
  for (const [label, child] of node.children) children.set(label, finish(child));
  return { sets: node.sets, children };
}

function shapeOf(entry: unknown): ZoneEntry {
  if (!Array.isArray(entry) || entry.length !== 4) throw new Error('it is not an array of four.');
  const [owner, ttl, type, data]: readonly unknown[] = entry;
  if (typeof owner !== 'string') throw new Error('its owner is no text.');
  if (typeof ttl !== 'number' || !Number.isInteger(ttl) || ttl < 0) {
    throw new Error('its TTL is no whole number of seconds.');
  }
  if (ttl > ZONE_TEXT_LIMITS.ttlMaxS) throw new Error('its TTL is beyond 31 bits.');
  if (typeof type !== 'string') throw new Error('its type is no text.');
  if (!Array.isArray(data) || data.length === 0) throw new Error('it has no data.');
  const texts = data.filter((text: unknown) => typeof text === 'string');
  if (texts.length !== data.length) throw new Error('its data are no texts.');
  return [owner, ttl, type, texts];
}

function parseSet(type: number, ttl: number, texts: readonly string[]): RecordSet {
  const data = new Map<string, Buffer>();
  let bytes = 0;
  for (const text of texts) {
    const wire = parseRdata(type, text);
    if (wire === undefined) throw new Error(`'${text}' is no data of its type.`);
    if (data.has(wire.toString('latin1'))) throw new Error(`'${text}' is there twice.`);
    data.set(wire.toString('latin1'), wire);
    bytes += ZONE_TEXT_LIMITS.recordBytes + wire.length;
  }
  if (bytes > ZONE_TEXT_LIMITS.setBytesMax) throw new Error('its data fit no message.');
  return { type, ttl, data: [...data.values()] };
}

/** `labels` count from the apex. What would cut the zone, or makes an owner mean two things, is refused. */
function judgePlace(
  set: RecordSet,
  labels: readonly string[],
  present: readonly RecordSet[],
): void {
  const atApex = labels.length === 0;
  if (findSet(present, set.type) !== undefined)
    throw new Error('its owner has such a set already.');
  if (set.type === TYPE.SOA && (!atApex || set.data.length !== 1)) {
    throw new Error('a zone has one SOA, at its apex.');
  }
  if (!atApex && (set.type === TYPE.NS || set.type === TYPE.DS)) {
    throw new Error('nothing below the apex is delegated.');
  }
  if (set.type === TYPE.DNAME) throw new Error('DNAME is not served.');
  if (labels.slice(0, -1).includes('*')) throw new Error('nothing lies below a wildcard.');
  const alias = set.type === TYPE.CNAME;
  if (alias && (atApex || set.data.length !== 1)) {
    throw new Error('a CNAME has one target, and no place at the apex.');
  }
  if (present.length > 0 && (alias || findSet(present, TYPE.CNAME) !== undefined)) {
    throw new Error('beside a CNAME nothing else can be (RFC 1034, section 3.6.2).');
  }
}
