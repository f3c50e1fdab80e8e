// Where things lie in a DNS message (RFC 1035, section 4): header, questions, records, without reading
// what is in them. For messages that the gate lets pass unseen: signed ones, transfers, answers of
// other servers. A message that does not end exactly with its last record is malformed: undefined.
import { lowerByte } from './domain-name.ts';

export const HEADER_BYTES = 12;

const LAYOUT_LIMITS = {
  /** Requests have four; the rest is room for large sets in answers to questions of ours. */
  recordsMax: 512,
  /** A pointer leads backwards only, so an honest name has a few and a chain of them is an attack. */
  pointersMax: 8,
  /** RFC 1035, section 2.3.4: with all length bytes and the root label. */
  nameBytesMax: 255,
} as const;

export type Section = 'answer' | 'authority' | 'additional';

export interface RecordPlace {
  readonly section: Section;
  /** Where the owner begins. */
  readonly start: number;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  readonly dataStart: number;
  readonly end: number;
}

export interface Layout {
  readonly opcode: number;
  readonly response: boolean;
  readonly truncated: boolean;
  readonly rcode: number;
  /** Only of messages with exactly one question, which all of ours are. */
  readonly question: {
    /** Canonical: uncompressed and in lower case. */
    readonly name: Buffer;
    readonly type: number;
    readonly class: number;
    readonly end: number;
  };
  readonly records: readonly RecordPlace[];
}

export function layoutOf(message: Buffer): Layout | undefined {
  if (message.length < HEADER_BYTES || message.readUInt16BE(4) !== 1) return undefined;
  const name = readName(message, HEADER_BYTES);
  if (name === undefined || name.end + 4 > message.length) return undefined;
  const question = {
    name: name.wire,
    type: message.readUInt16BE(name.end),
    class: message.readUInt16BE(name.end + 2),
    end: name.end + 4,
  };
  const records = recordsOf(message, question.end);
  if (records === undefined) return undefined;
  const flags = message.readUInt16BE(2);
  return {
    opcode: (flags >> 11) & 0xf,
    response: (flags & 0x8000) !== 0,
    truncated: (flags & 0x0200) !== 0,
    rcode: flags & 0xf,
    question,
    records,
  };
}

const SECTIONS: readonly (readonly [Section, number])[] = [
  ['answer', 6],
  ['authority', 8],
  ['additional', 10],
];

function recordsOf(message: Buffer, start: number): readonly RecordPlace[] | undefined {
  const records: RecordPlace[] = [];
  let at = start;
  for (const [section, countAt] of SECTIONS) {
    for (let left = message.readUInt16BE(countAt); left > 0; left -= 1) {
      const record = recordAt(message, at, section);
      if (record === undefined || records.length === LAYOUT_LIMITS.recordsMax) return undefined;
      records.push(record);
      at = record.end;
    }
  }
  return at === message.length ? records : undefined;
}

function recordAt(message: Buffer, start: number, section: Section): RecordPlace | undefined {
  const at = skipName(message, start);
  if (at === undefined || at + 10 > message.length) return undefined;
  const end = at + 10 + message.readUInt16BE(at + 8);
  if (end > message.length) return undefined;
  return {
    section,
    start,
    type: message.readUInt16BE(at),
    class: message.readUInt16BE(at + 2),
    ttl: message.readUInt32BE(at + 4),
    dataStart: at + 10,
    end,
  };
}

/** Where a name ends, without following its pointer. */
export function skipName(message: Buffer, start: number): number | undefined {
  for (let at = start; at - start < LAYOUT_LIMITS.nameBytesMax; ) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length >= 0xc0) return at + 2;
    if (length > 63) return undefined;
    if (length === 0) return at + 1;
    at += length + 1;
  }
  return undefined;
}

/** A name in canonical form, and where it ends at its place in the message. */
export function readName(
  message: Buffer,
  start: number,
): { readonly wire: Buffer; readonly end: number } | undefined {
  const end = skipName(message, start);
  const labels: Buffer[] = [];
  let bytes = 1;
  let at = start;
  for (let pointers = 0; end !== undefined; ) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length >= 0xc0) {
      const to = ((length & 0x3f) << 8) | (message[at + 1] ?? 0xff);
      pointers += 1;
      if (to >= at || to < HEADER_BYTES || pointers > LAYOUT_LIMITS.pointersMax) return undefined;
      at = to;
    } else if (length > 63 || at + length >= message.length) {
      return undefined;
    } else {
      labels.push(message.subarray(at, at + length + 1));
      bytes += length === 0 ? 0 : length + 1;
      if (bytes > LAYOUT_LIMITS.nameBytesMax) return undefined;
      if (length === 0) return { wire: lowerName(labels), end };
      at += length + 1;
    }
  }
  return undefined;
}

/** Length bytes are below 64 and capital letters above: one pass over all bytes lowers letters only. */
function lowerName(labels: readonly Buffer[]): Buffer {
  const wire = Buffer.concat(labels);
  for (const [at, byte] of wire.entries()) wire[at] = lowerByte(byte);
  return wire;
}
