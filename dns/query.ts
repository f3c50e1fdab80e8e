// What an admitted message asks: where its question lies, and its EDNS (RFC 6891). One object is used
// for one message after the other; it holds positions in the message and copies nothing.
import { GATE_LIMITS, skipQuestionName } from './gate.ts';
import { TYPE } from './record.ts';

export const EDNS_LIMITS = {
  /** RFC 1035, section 4.2.1: what anybody takes by UDP. */
  udpBytesPlain: 512,
  /** Larger packets are cut into fragments on some paths, and those are lost or forged. */
  udpBytesMax: 1232,
} as const;

/** Root owner, type, class, TTL, length; options follow. */
const OPT_BYTES = 11;
const COOKIE = 10;
/** RFC 7873, section 4: 8 bytes of the client's, then 8 to 32 of the server's or none. */
const CLIENT_COOKIE_BYTES = 8;
const COOKIE_BYTES_MAX = 40;

export class Query {
  /** Behind type and class; 12 when the message has no question that can be read. */
  questionEnd = 0;
  type = 0;
  class = 0;
  /** Equal for questions that differ in letter case alone. */
  hash = 0;
  edns = false;
  ednsVersion = 0;
  dnssecOk = false;
  /** What the answer may have by UDP. */
  udpBytes = 0;
  /** Where the cookie option's data lies; 0: there is none. */
  cookieAt = 0;
  cookieBytes = 0;
  /** An option that must be answered with FORMERR. */
  malformed = false;

  /** The message has passed the gate as 'query', or as 'special' without its TSIG. */
  read(message: Buffer): void {
    this.#reset();
    this.#readQuestion(message, skipQuestionName(message));
    this.hash = hashQuestion(message, this.questionEnd);
    if (message.length > this.questionEnd) this.#readOptions(message);
  }

  /** The message has passed the gate as 'cookie': it has no question. */
  readCookie(message: Buffer): void {
    this.#reset();
    this.questionEnd = GATE_LIMITS.headerBytes;
    this.#readOptions(message);
  }

  /**
   * Of a message that is refused: its question and its EDNS, if one can tell. `optAt`: where its OPT
   * lies, if that is known; otherwise it is looked for behind the question alone.
   */
  readRefused(message: Buffer, optAt?: number): void {
    this.#reset();
    this.questionEnd = GATE_LIMITS.headerBytes;
    const questions = uint16(message, 4);
    if (questions > 0) {
      const nameEnd = questions === 1 ? skipQuestionName(message) : -1;
      if (nameEnd === -1 || nameEnd + 4 > message.length) return;
      this.#readQuestion(message, nameEnd);
    }
    const bare = uint16(message, 6) + uint16(message, 8) === 0 && uint16(message, 10) > 0;
    const at = optAt ?? (bare ? this.questionEnd : message.length);
    if (at + OPT_BYTES <= message.length && isOpt(message, at)) this.#readOpt(message, at);
  }

  #reset(): void {
    this.edns = false;
    this.ednsVersion = 0;
    this.dnssecOk = false;
    this.udpBytes = EDNS_LIMITS.udpBytesPlain;
    this.cookieAt = 0;
    this.cookieBytes = 0;
    this.malformed = false;
  }

  #readQuestion(message: Buffer, nameEnd: number): void {
    this.type = uint16(message, nameEnd);
    this.class = uint16(message, nameEnd + 2);
    this.questionEnd = nameEnd + 4;
  }

  #readOpt(message: Buffer, at: number): void {
    this.edns = true;
    const { udpBytesPlain, udpBytesMax } = EDNS_LIMITS;
    this.udpBytes = Math.min(udpBytesMax, Math.max(udpBytesPlain, uint16(message, at + 3)));
    this.ednsVersion = message[at + 6] ?? 0;
    this.dnssecOk = ((message[at + 7] ?? 0) & 0x80) !== 0;
  }

  #readOptions(message: Buffer): void {
    this.#readOpt(message, this.questionEnd);
    let option = this.questionEnd + OPT_BYTES;
    while (option < message.length) {
      const length = uint16(message, option + 2);
      // Of two cookies the first counts (RFC 7873, section 5.2).
      if (uint16(message, option) === COOKIE && this.cookieAt === 0) {
        this.cookieAt = option + 4;
        this.cookieBytes = length;
        this.malformed = !isCookieLength(length);
      }
      option += 4 + length;
    }
  }
}

/**
 * Four bytes at a time, for this is the longest loop of an answer. The bit in which upper and lower
 * case differ is set in all of them: what becomes alike by that besides is told apart by the cache.
 */
function hashQuestion(message: Buffer, end: number): number {
  let hash = end;
  let at: number = GATE_LIMITS.headerBytes;
  for (; at + 4 <= end; at += 4) hash = mix(hash, uint32(message, at) | 0x2020_2020);
  // Type and class are four bytes: the last word overlaps the one before, or stands alone.
  return mix(hash, uint32(message, end - 4));
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x85eb_ca6b);
  return mixed ^ (mixed >>> 15);
}

function isCookieLength(bytes: number): boolean {
  if (bytes === CLIENT_COOKIE_BYTES) return true;
  return bytes >= 2 * CLIENT_COOKIE_BYTES && bytes <= COOKIE_BYTES_MAX;
}

function isOpt(message: Buffer, at: number): boolean {
  return message[at] === 0 && uint16(message, at + 1) === TYPE.OPT;
}

function uint16(message: Buffer, at: number): number {
  return ((message[at] ?? 0) << 8) | (message[at + 1] ?? 0);
}

function uint32(message: Buffer, at: number): number {
  return (uint16(message, at) << 16) | uint16(message, at + 2);
}
