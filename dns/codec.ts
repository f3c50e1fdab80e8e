// The record sections of an answer as bytes. dns2 writes the names, which is the intricate part: its
// Packet.Name.encode compresses each name against those already written (RFC 1035, section 4.1.4).
// Header, question, OPT and the fixed fields of records are written here, and RDATA comes ready from
// rdata.ts, because dns2 would spoil them: TXT strings beyond 255 bytes lose their length, IPv6 texts
// with an IPv4 tail become other addresses, SRV targets are compressed, truncation drops the OPT
// record, and its own writer keeps an element per bit. Its name table takes text: labels therefore
// come from wireLabels(), which has no dots and no letters beyond ASCII in them. Compressed are owners
// and the names in NS, CNAME and SOA, no others (RFC 3597, section 4).
import { Packet } from 'dns2';
import type { Answer } from './answer.ts';
import { wireLabels } from './domain-name.ts';
import { CLASS, type RecordSet, TYPE, type ZoneRecord } from './record.ts';

export const CODEC_LIMITS = {
  /** A length in TCP has 16 bits (RFC 1035, section 4.2.2). */
  messageBytesMax: 65_535,
  /** A record is written before it is known to be too long: RDATA, owner and fixed fields. */
  recordBytesMax: 65_535 + 265,
} as const;

/** The sections of an answer behind its question, and what may be changed in them without parsing. */
export interface Body {
  bytes: Buffer;
  start: number;
  length: number;
  rcode: number;
  authoritative: boolean;
  truncated: boolean;
  answers: number;
  authorities: number;
  additionals: number;
  /** Where the serial of an SOA lies behind `start`; -1: there is none. */
  serialAt: number;
  /** Addresses that may change places: where behind `start`, how many, how long each is; 0: none. */
  rotateAt: number;
  rotateCount: number;
  rotateBytes: number;
}

/** An answer without records, in bytes that are yet to be written. */
export function emptyBody(bytes: Buffer): Body {
  return {
    bytes,
    start: 0,
    length: 0,
    rcode: 0,
    authoritative: false,
    truncated: false,
    answers: 0,
    authorities: 0,
    additionals: 0,
    serialAt: -1,
    rotateAt: 0,
    rotateCount: 0,
    rotateBytes: 0,
  };
}

export interface AnswerPlace {
  readonly start: number;
  readonly end: number;
  readonly shared?: number;
}

/** What dns2 writes names with, over bytes and not bits. */
class ByteWriter extends Packet.Writer {
  readonly bytes = Buffer.alloc(CODEC_LIMITS.messageBytesMax + CODEC_LIMITS.recordBytesMax);
  /** Places of the names written so far, by their text; dns2 keeps it. */
  readonly names = new Map<string, number>();
  at = 0;

  /** Where the pointers written so far lie. */
  readonly pointers: number[] = [];

  /** dns2 writes a byte, of a moved character the low one, or, with 16 bits, a pointer. */
  override write(value: number, bits: number): void {
    if (bits === 16) {
      this.pointers.push(this.at);
      this.uint16(value);
    } else this.bytes[this.at++] = value;
  }

  uint16(value: number): void {
    this.bytes[this.at++] = value >> 8;
    this.bytes[this.at++] = value;
  }

  override byteLength(): number {
    return this.at;
  }
}

export class AnswerWriter {
  readonly #writer = new ByteWriter();
  readonly #body: Body = emptyBody(this.#writer.bytes);

  /**
   * Writes what fits before `end`, whole sets only, to stand behind a question with these labels that
   * ends at `start`. The body is good until the next call. `shared`: how many of the last labels names
   * in the answer may lead to besides the whole question; without it, all.
   */
  write(
    answer: Answer,
    labels: readonly string[],
    { start, end, shared = labels.length }: AnswerPlace,
  ): Readonly<Body> {
    const body = this.#body;
    const writer = this.#writer;
    body.start = start;
    body.rcode = answer.rcode;
    body.authoritative = answer.authoritative;
    body.truncated = false;
    body.serialAt = -1;
    body.rotateCount = 0;
    writer.at = start;
    writer.pointers.length = 0;
    this.#rememberQuestion(labels, labels.length - shared);
    body.answers = this.#section(answer.answer, end, false);
    body.authorities = body.truncated ? 0 : this.#section(answer.authority, end, false);
    body.additionals = body.truncated ? 0 : this.#section(answer.additional, end, true);
    body.length = writer.at - start;
    return body;
  }

  /** Where in the body written last the pointers to other names than the question lie. */
  get pointers(): number[] {
    const { bytes, pointers } = this.#writer;
    const { start } = this.#body;
    return pointers.flatMap((at) => (bytes.readUInt16BE(at) === TO_QUESTION ? [] : [at - start]));
  }

  /** The question lies at 12; names in the answer lead back into it. */
  #rememberQuestion(labels: readonly string[], passed: number): void {
    const { names } = this.#writer;
    names.clear();
    let at = 12;
    for (let first = 0; first < labels.length; first += 1) {
      if (first === 0 || first >= passed) names.set(labels.slice(first).join('.'), at);
      at += 1 + (labels[first] ?? '').length;
    }
  }

  /**
   * How many records were written. A set that does not fit is left out whole, and everything behind
   * it; that is told with TC, but not of what nobody asked for (RFC 2181, section 9).
   */
  #section(records: readonly ZoneRecord[], end: number, optional: boolean): number {
    const writer = this.#writer;
    let count = 0;
    for (const { owner, set } of records) {
      const setStart = writer.at;
      for (const data of set.data) {
        this.#record(owner, set, data);
        if (writer.at > end) {
          writer.at = setStart;
          this.#body.truncated ||= !optional;
          this.#body.rotateCount = 0;
          return count;
        }
      }
      count += set.data.length;
      this.#noteRotation(set, setStart);
    }
    return count;
  }

  #record(owner: string, set: RecordSet, data: Buffer): void {
    const writer = this.#writer;
    Packet.Name.encode(owner, writer);
    writer.uint16(set.type);
    writer.uint16(CLASS.IN);
    writer.uint16(set.ttl >>> 16);
    writer.uint16(set.ttl);
    const dataStart = writer.at + 2;
    writer.at = dataStart;
    this.#data(set.type, data);
    const after = writer.at;
    writer.at = dataStart - 2;
    writer.uint16(after - dataStart);
    writer.at = after;
  }

  #data(type: number, data: Buffer): void {
    const names = NAMES_IN_DATA.get(type) ?? 0;
    let at = 0;
    for (let name = 0; name < names; name += 1) {
      const labels = wireLabels(data, at);
      Packet.Name.encode(labels.join('.'), this.#writer);
      for (const label of labels) at += 1 + label.length;
      at += 1;
    }
    if (type === TYPE.SOA) this.#body.serialAt = this.#writer.at - this.#body.start;
    this.#writer.at += data.copy(this.#writer.bytes, this.#writer.at, at);
  }

  #noteRotation({ type, data }: RecordSet, setStart: number): void {
    if ((type !== TYPE.A && type !== TYPE.AAAA) || data.length < 2) return;
    // A pointer as owner, and as all are the same, each record is as long as the first.
    const bytes = 12 + (data[0]?.length ?? 0);
    if (this.#writer.at - setStart !== bytes * data.length) return;
    this.#body.rotateAt = setStart - this.#body.start;
    this.#body.rotateCount = data.length;
    this.#body.rotateBytes = bytes;
  }
}

/** The pointer to the question's name. */
const TO_QUESTION = 0xc00c;

/** How many names the RDATA begins with, of types whose names may be compressed. */
const NAMES_IN_DATA: ReadonlyMap<number, number> = new Map([
  [TYPE.NS, 1],
  [TYPE.CNAME, 1],
  [TYPE.SOA, 2],
]);
