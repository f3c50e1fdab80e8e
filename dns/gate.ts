// The first look at a message from anybody, before any parser: is it shaped like something that we
// answer? It reads each byte at most once, follows no compression pointer and allocates nothing, so
// the worst message costs about what an honest one does. Behind it, `query` promises: one question
// whose name has no pointer, at most one OPT record with whole options, nothing else, no byte more.
import { TYPE } from './record.ts';

/**
 * query: answer it · cookie: no question, but an OPT record: who wants only a cookie asks so (RFC 7873,
 * section 5.4) · special: a transfer, NOTIFY, UPDATE, or signed with TSIG: sound in shape, not
 * parsed · notimp, formerr: answer with that code · drop: silence.
 */
export type Verdict = 'query' | 'cookie' | 'special' | 'notimp' | 'formerr' | 'drop';

export const GATE_LIMITS = {
  /** RFC 1035, section 4.1.1. Shorter ones have no ID to answer to. */
  headerBytes: 12,
  /** A question of 259 bytes, padding and a signature fit many times; larger ones feed attacks only. */
  messageBytesMax: 4096,
  /** OPT and TSIG. */
  additionalsMax: 2,
  /** RFC 1035, section 2.3.4. */
  labelBytesMax: 63,
  /** RFC 1035, section 2.3.4: with all length bytes and the root label. */
  nameBytesMax: 255,
} as const;

const QUERY = 0;
const NOTIFY = 4;
const UPDATE = 5;
const ROOT = 0;
const POINTER = 0xc0;
const MALFORMED = -1;

export function gate(message: Buffer): Verdict {
  const { headerBytes, messageBytesMax } = GATE_LIMITS;
  if (message.length < headerBytes || message.length > messageBytesMax) return 'drop';
  const flags = message[2] ?? 0;
  // Two servers that answer answers would never stop.
  if ((flags & 0x80) !== 0) return 'drop';
  const opcode = (flags >> 3) & 0xf;
  if (opcode !== QUERY && opcode !== NOTIFY && opcode !== UPDATE) return 'notimp';
  // Only one question can be answered by one RCODE (RFC 9619).
  if (uint16(message, 4) !== 1) return asksForCookie(message, opcode) ? 'cookie' : 'formerr';
  const nameEnd = skipQuestionName(message);
  if (nameEnd === MALFORMED || nameEnd + 4 > message.length) return 'formerr';
  const type = uint16(message, nameEnd);
  const transfer = opcode !== QUERY || type === TYPE.AXFR || type === TYPE.IXFR;
  const others = uint16(message, 6) + uint16(message, 8);
  if (others > 0 && !transfer) return 'formerr';
  const additionals = uint16(message, 10);
  if (additionals > GATE_LIMITS.additionalsMax) return 'formerr';
  if (additionals === 0 && others === 0) {
    if (nameEnd + 4 !== message.length) return 'formerr';
    return transfer ? 'special' : 'query';
  }
  const shape = walkRecords(message, nameEnd + 4, others);
  if (shape === MALFORMED) return 'formerr';
  return transfer || shape === SIGNED ? 'special' : 'query';
}

function asksForCookie(message: Buffer, opcode: number): boolean {
  if (opcode !== QUERY || uint16(message, 4) !== 0 || uint16(message, 10) !== 1) return false;
  if (uint16(message, 6) + uint16(message, 8) > 0) return false;
  return walkRecords(message, GATE_LIMITS.headerBytes, 0) === SOUND;
}

/** Where the first question's name ends; MALFORMED: it does not, or has a pointer or too many bytes. */
export function skipQuestionName(message: Buffer): number {
  const { headerBytes, labelBytesMax, nameBytesMax } = GATE_LIMITS;
  let at = headerBytes;
  for (;;) {
    if (at >= message.length) return MALFORMED;
    const length = message[at] ?? 0;
    at += 1;
    if (length === ROOT) return at - headerBytes > nameBytesMax ? MALFORMED : at;
    if (length > labelBytesMax) return MALFORMED;
    at += length;
    if (at - headerBytes > nameBytesMax) return MALFORMED;
  }
}

const SOUND = 0;
const SIGNED = 1;

/** Judges everything behind the question: MALFORMED, SOUND, or SIGNED when TSIG is the last. */
function walkRecords(message: Buffer, start: number, others: number): number {
  const records = others + uint16(message, 10);
  let at = start;
  let options = 0;
  for (let index = 0; index < records; index += 1) {
    const ownerEnd = skipOwner(message, at);
    if (ownerEnd === MALFORMED || ownerEnd + 10 > message.length) return MALFORMED;
    const end = ownerEnd + 10 + uint16(message, ownerEnd + 8);
    if (end > message.length) return MALFORMED;
    if (index >= others) {
      const type = uint16(message, ownerEnd);
      if (type === TYPE.TSIG) {
        return index === records - 1 && end === message.length ? SIGNED : MALFORMED;
      }
      options += 1;
      if (type !== TYPE.OPT || options > 1 || ownerEnd !== at + 1) return MALFORMED;
      if (!areOptions(message, ownerEnd + 10, end)) return MALFORMED;
    }
    at = end;
  }
  return at === message.length ? SOUND : MALFORMED;
}

/** An owner may end with a pointer, which is stepped over; nobody here asks where it leads. */
function skipOwner(message: Buffer, start: number): number {
  let at = start;
  while (at < message.length) {
    const length = message[at] ?? 0;
    if (length === ROOT) return at + 1;
    if (length >= POINTER) return at + 2;
    if (length > GATE_LIMITS.labelBytesMax) return MALFORMED;
    at += 1 + length;
    if (at - start > GATE_LIMITS.nameBytesMax) return MALFORMED;
  }
  return MALFORMED;
}

function areOptions(message: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    if (at + 4 > end) return false;
    at += 4 + uint16(message, at + 2);
  }
  return at === end;
}

function uint16(message: Buffer, at: number): number {
  return ((message[at] ?? 0) << 8) | (message[at + 1] ?? 0);
}
