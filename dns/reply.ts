// An answer as a whole message: header, the question as it was asked, byte for byte (letter case is a
// nonce of some resolvers, and RFC 1035 wants the copy), a body, an OPT record for who sent one. One
// object is used for one answer after the other.
import type { Body } from './codec.ts';
import { EDNS_LIMITS, type Query } from './query.ts';
import { TYPE } from './record.ts';
import { CLIENT_COOKIE_BYTES, SERVER_COOKIE_BYTES } from './server-cookies.ts';

const HEADER_BYTES = 12;
const OPT_BYTES = 11;
const COOKIE_OPTION_BYTES = 4 + CLIENT_COOKIE_BYTES + SERVER_COOKIE_BYTES;
const COOKIE = 10;

const QR = 0x80;
const AA = 0x04;
const TC = 0x02;
/** Opcode and RD are copied from the question (RFC 1035, section 4.1.1). */
const OPCODE_AND_RD = 0x79;

export class Reply {
  message: Buffer = Buffer.alloc(HEADER_BYTES);
  readonly query: Query;
  /** Undefined: no records. */
  body: Readonly<Body> | undefined = undefined;
  /** Without a body. */
  rcode = 0;
  truncated = false;
  /** The server's cookie for this client; undefined: none. */
  cookie: Buffer | undefined = undefined;
  /** The serial that an SOA in the body is to have. */
  serial = 0;
  /** By how many places the addresses in the body move. */
  rotation = 0;

  constructor(query: Query) {
    this.query = query;
  }

  /** Without its body: header, question, OPT. */
  get frameBytes(): number {
    if (!this.query.edns) return this.query.questionEnd;
    const cookie = this.cookie === undefined ? 0 : COOKIE_OPTION_BYTES;
    return this.query.questionEnd + OPT_BYTES + cookie;
  }

  get bytes(): number {
    return this.frameBytes + (this.body?.length ?? 0);
  }

  /** Writes `bytes` bytes. */
  writeTo(out: Buffer, start: number): void {
    const { message, query, body } = this;
    this.#writeHeader(out, start);
    for (let at = HEADER_BYTES; at < query.questionEnd; at += 1) out[start + at] = message[at] ?? 0;
    let end = start + query.questionEnd;
    if (body !== undefined) {
      this.#writeBody(out, end, body);
      end += body.length;
    }
    if (query.edns) this.#writeOpt(out, end);
  }

  #writeHeader(out: Buffer, start: number): void {
    const { message, query, body } = this;
    const rcode = body?.rcode ?? this.rcode;
    out[start] = message[0] ?? 0;
    out[start + 1] = message[1] ?? 0;
    const authoritative = body?.authoritative === true ? AA : 0;
    const truncated = this.truncated ? TC : 0;
    out[start + 2] = QR | ((message[2] ?? 0) & OPCODE_AND_RD) | authoritative | truncated;
    out[start + 3] = rcode & 0xf;
    uint16(out, start + 4, query.questionEnd > HEADER_BYTES ? 1 : 0);
    uint16(out, start + 6, body?.answers ?? 0);
    uint16(out, start + 8, body?.authorities ?? 0);
    uint16(out, start + 10, (body?.additionals ?? 0) + (query.edns ? 1 : 0));
  }

  #writeBody(out: Buffer, start: number, body: Readonly<Body>): void {
    copy(body, 0, body.length, out, start);
    if (body.serialAt !== -1) {
      uint16(out, start + body.serialAt, this.serial >>> 16);
      uint16(out, start + body.serialAt + 2, this.serial);
    }
    const shift = body.rotateCount === 0 ? 0 : this.rotation % body.rotateCount;
    if (shift === 0) return;
    const all = body.rotateCount * body.rotateBytes;
    const first = shift * body.rotateBytes;
    copy(body, body.rotateAt + first, all - first, out, start + body.rotateAt);
    copy(body, body.rotateAt, first, out, start + body.rotateAt + all - first);
  }

  /** RFC 6891, section 6.1.2. What bits and options the asker sent besides is not echoed. */
  #writeOpt(out: Buffer, start: number): void {
    const { query, cookie } = this;
    const rcode = this.body?.rcode ?? this.rcode;
    out[start] = 0;
    uint16(out, start + 1, TYPE.OPT);
    uint16(out, start + 3, EDNS_LIMITS.udpBytesMax);
    out[start + 5] = rcode >> 4;
    out[start + 6] = 0;
    uint16(out, start + 7, query.dnssecOk ? 0x8000 : 0);
    uint16(out, start + 9, cookie === undefined ? 0 : COOKIE_OPTION_BYTES);
    if (cookie === undefined) return;
    uint16(out, start + 11, COOKIE);
    uint16(out, start + 13, CLIENT_COOKIE_BYTES + SERVER_COOKIE_BYTES);
    this.message.copy(out, start + 15, query.cookieAt, query.cookieAt + CLIENT_COOKIE_BYTES);
    cookie.copy(out, start + 15 + CLIENT_COOKIE_BYTES);
  }
}

/** Of a few dozen bytes a loop costs less than a call into the engine. */
const LOOP_BYTES_MAX = 96;

function copy(
  { bytes, start }: Readonly<Body>,
  from: number,
  length: number,
  ...[out, to]: [Buffer, number]
): void {
  if (length > LOOP_BYTES_MAX) bytes.copy(out, to, start + from, start + from + length);
  else for (let at = 0; at < length; at += 1) out[to + at] = bytes[start + from + at] ?? 0;
}

function uint16(out: Buffer, at: number, value: number): void {
  out[at] = value >> 8;
  out[at + 1] = value;
}
