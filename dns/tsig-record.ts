// The TSIG record (RFC 8945, section 4.2): found in a message and taken off it, or put at its end.
//
//   owner: the key's name   type 250   class ANY   TTL 0
//   algorithm's name · time signed (48 bits) · fudge (16) · MAC size (16) · MAC · original ID (16) ·
//   error (16) · other length (16) · other data
import type { Layout, RecordPlace } from './message-layout.ts';
import { readName } from './message-layout.ts';
import { CLASS, TYPE } from './record.ts';

export interface TsigRecord {
  /** Canonical, as is the algorithm. */
  readonly keyName: Buffer;
  readonly algorithm: Buffer;
  /** Seconds since 1970. */
  readonly timeSigned: number;
  readonly fudge: number;
  readonly mac: Buffer;
  readonly originalId: number;
  readonly error: number;
  readonly other: Buffer;
}

export const TSIG_ERROR = { NONE: 0, BADSIG: 16, BADKEY: 17, BADTIME: 18, BADTRUNC: 22 } as const;

export type TsigSearch =
  | { readonly kind: 'absent' }
  /** FORMERR: not the last, more than one, or not to be read. */
  | { readonly kind: 'malformed' }
  /** `bare` is the message before it was signed: without the record, with the original ID. */
  | { readonly kind: 'found'; readonly record: TsigRecord; readonly bare: Buffer };

export function findTsig(message: Buffer, { records }: Layout): TsigSearch {
  const places = records.filter(({ type }) => type === TYPE.TSIG);
  const place = records.at(-1);
  if (places.length === 0 || place === undefined) return { kind: 'absent' };
  if (places.length > 1 || places[0] !== place || place.section !== 'additional') {
    return { kind: 'malformed' };
  }
  const record = readRecord(message, place);
  if (record === undefined) return { kind: 'malformed' };
  const bare = Buffer.from(message.subarray(0, place.start));
  bare.writeUInt16BE(message.readUInt16BE(10) - 1, 10);
  bare.writeUInt16BE(record.originalId, 0);
  return { kind: 'found', record, bare };
}

function readRecord(message: Buffer, place: RecordPlace): TsigRecord | undefined {
  // Neither is in the record's own digest in another form, so neither may be anything else.
  if (place.class !== CLASS.ANY || place.ttl !== 0) return undefined;
  const keyName = readName(message, place.start);
  const algorithm = readName(message, place.dataStart);
  if (keyName === undefined || algorithm === undefined) return undefined;
  const at = algorithm.end;
  if (at + 10 > place.end) return undefined;
  const macEnd = at + 10 + message.readUInt16BE(at + 8);
  if (macEnd + 6 > place.end) return undefined;
  if (macEnd + 6 + message.readUInt16BE(macEnd + 4) !== place.end) return undefined;
  return {
    keyName: keyName.wire,
    algorithm: algorithm.wire,
    timeSigned: message.readUIntBE(at, 6),
    fudge: message.readUInt16BE(at + 6),
    mac: message.subarray(at + 10, macEnd),
    originalId: message.readUInt16BE(macEnd),
    error: message.readUInt16BE(macEnd + 2),
    other: message.subarray(macEnd + 6, place.end),
  };
}

/** The message with the record at its end. */
export function appendTsig(message: Buffer, record: TsigRecord): Buffer {
  const { keyName, algorithm, mac, other } = record;
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(TYPE.TSIG, 0);
  fixed.writeUInt16BE(CLASS.ANY, 2);
  fixed.writeUInt16BE(algorithm.length + 16 + mac.length + other.length, 8);
  const macSize = Buffer.alloc(2);
  macSize.writeUInt16BE(mac.length, 0);
  const rest = Buffer.alloc(6);
  rest.writeUInt16BE(record.originalId, 0);
  rest.writeUInt16BE(record.error, 2);
  rest.writeUInt16BE(other.length, 4);
  const parts = [message, keyName, fixed, algorithm, timersOf(record), macSize, mac, rest, other];
  const signed = Buffer.concat(parts);
  signed.writeUInt16BE(message.readUInt16BE(10) + 1, 10);
  return signed;
}

/** How many bytes the record takes, for whoever must leave room. */
export function tsigBytes(key: {
  nameWire: Buffer;
  algorithmWire: Buffer;
  macBytes: number;
}): number {
  return key.nameWire.length + 10 + key.algorithmWire.length + 16 + key.macBytes;
}

/** Time signed and fudge, as they are on the wire and in digests (RFC 8945, section 5.3.1). */
export function timersOf({ timeSigned, fudge }: TsigRecord): Buffer {
  const timers = Buffer.alloc(8);
  timers.writeUIntBE(timeSigned, 0, 6);
  timers.writeUInt16BE(fudge, 6);
  return timers;
}

/** Time as six bytes of Other Data, for BADTIME. */
export function timeBytes(seconds: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(seconds, 0, 6);
  return bytes;
}
