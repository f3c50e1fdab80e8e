// Answers as bytes, ready to stand behind a question: the hot path of the name server. The key is the
// question in lower case; everything that differs between askers (ID, letter case, EDNS, cookie) lies
// outside of a body. All entries live in one block of memory, so a full cache costs the garbage
// collector nothing; when the block is full, all is forgotten. Once most of it is taken, only what is
// asked for a second time is admitted, so that a flood of random names washes nothing out. When the zone changes, an entry of a changed
// label is stale at once; a changed apex or edge, which other answers lead to, empties the cache.
import { type Body, emptyBody } from './codec.ts';
import { lowerByte } from './domain-name.ts';
import type { Query } from './query.ts';

const CACHE_LIMITS = {
  /** Room for 200,000 answers; the system gives the memory only as it is used. */
  bytes: 32 * 1024 * 1024,
  /** Answers beyond come rarely, by TCP, and writing them anew costs little compared to sending them. */
  bodyBytesMax: 4096,
  /** A slot per 64 bytes: an entry has about 150, so that most slots are free. */
  bytesPerSlot: 64,
  /** How far an entry may lie from its place; beyond, it takes the place of another. */
  probes: 8,
  /** Beyond that part only questions that have come before are admitted. */
  freelyTaken: 0.75,
  /** Bits, one per hash of a question that has come before: half a megabyte. */
  seenBits: 1 << 22,
  /** How many of them are set before all are cleared: a tenth, the part of strangers then admitted. */
  seenMax: 400_000,
  /** Labels are told apart by 16 bits of a hash; a label that shares them is forgotten with it. */
  labels: 1 << 16,
} as const;

/** Fields of an entry as 32-bit words, before its question and its body. */
const FIELD = {
  hash: 0,
  generation: 1,
  label: 2,
  keyBytes: 3,
  bodyBytes: 4,
  flags: 5,
  answers: 6,
  authorities: 7,
  additionals: 8,
  serialAt: 9,
  rotateAt: 10,
  rotateCount: 11,
  rotateBytes: 12,
} as const;
const FIELDS = 13;
const AUTHORITATIVE = 0x10;

export class AnswerCache {
  readonly #bytes: Buffer;
  readonly #words: Int32Array;
  /** The word at which an entry begins, plus one; 0: free. */
  readonly #slots: Int32Array;
  readonly #seen = new Int32Array(CACHE_LIMITS.seenBits / 32);
  #seenCount = 0;
  readonly #generations = new Int32Array(CACHE_LIMITS.labels);
  #nextWord = 0;
  /** The label of the entry found last, as `labelKey` gives it. */
  label = 0;
  /** The entry found last, until the next call. */
  readonly body: Body;

  constructor(bytes: number = CACHE_LIMITS.bytes) {
    this.#bytes = Buffer.alloc(bytes - (bytes % 4));
    this.#words = new Int32Array(this.#bytes.buffer, this.#bytes.byteOffset, bytes >> 2);
    const slots = 2 ** Math.ceil(Math.log2(bytes / CACHE_LIMITS.bytesPerSlot));
    this.#slots = new Int32Array(slots);
    this.body = emptyBody(this.#bytes);
    this.body.authoritative = true;
  }

  /** True: `body` is the answer to the question of this message. */
  find(message: Buffer, query: Query): boolean {
    const mask = this.#slots.length - 1;
    for (let probe = 0; probe < CACHE_LIMITS.probes; probe += 1) {
      const word = (this.#slots[(query.hash + probe) & mask] ?? 0) - 1;
      if (word === -1) return false;
      if (!this.#isFor(word, message, query)) continue;
      const label = this.#field(word, FIELD.label);
      if (this.#field(word, FIELD.generation) !== this.#generations[label]) return false;
      this.label = label;
      this.#load(word);
      return true;
    }
    return false;
  }

  /** Keeps an answer while there is room, or if its question has come before. `label`: the first below the apex, by its key. */
  keep(message: Buffer, query: Query, body: Readonly<Body>, label: number): void {
    const keyBytes = query.questionEnd - 12;
    const words = FIELDS + ((keyBytes + body.length + 3) >> 2);
    if (body.length > CACHE_LIMITS.bodyBytesMax || words > this.#words.length) return;
    if (!this.#isAdmitted(query.hash)) return;
    if (this.#nextWord + words > this.#words.length) this.clear();
    const word = this.#nextWord;
    this.#nextWord += words;
    this.#store(word, query, body, label);
    const keyAt = (word + FIELDS) * 4;
    for (let at = 0; at < keyBytes; at += 1) {
      this.#bytes[keyAt + at] = lowerByte(message[12 + at] ?? 0);
    }
    body.bytes.copy(this.#bytes, keyAt + keyBytes, body.start, body.start + body.length);
    this.#slots[this.#freeSlot(message, query)] = word + 1;
  }

  /** Makes stale whatever was answered about these labels. */
  forget(labels: Iterable<string>): void {
    for (const label of labels) {
      const key = labelKey(label);
      this.#generations[key] = (this.#generations[key] ?? 0) + 1;
    }
  }

  clear(): void {
    this.#slots.fill(0);
    this.#nextWord = 0;
  }

  #isFor(word: number, message: Buffer, query: Query): boolean {
    if (this.#field(word, FIELD.hash) !== query.hash) return false;
    const keyBytes = query.questionEnd - 12;
    if (this.#field(word, FIELD.keyBytes) !== keyBytes) return false;
    const keyAt = (word + FIELDS) * 4;
    for (let at = 0; at < keyBytes; at += 1) {
      if (this.#bytes[keyAt + at] !== lowerByte(message[12 + at] ?? 0)) return false;
    }
    return true;
  }

  /** The place of a stale entry of the same question, a free one, or the first, whose entry goes. */
  #freeSlot(message: Buffer, query: Query): number {
    const mask = this.#slots.length - 1;
    for (let probe = 0; probe < CACHE_LIMITS.probes; probe += 1) {
      const slot = (query.hash + probe) & mask;
      const word = (this.#slots[slot] ?? 0) - 1;
      if (word === -1 || this.#isFor(word, message, query)) return slot;
    }
    return query.hash & mask;
  }

  #isAdmitted(hash: number): boolean {
    if (this.#nextWord < this.#words.length * CACHE_LIMITS.freelyTaken) return true;
    const at = (hash >>> 5) & (this.#seen.length - 1);
    const bits = this.#seen[at] ?? 0;
    if ((bits & (1 << hash)) !== 0) return true;
    this.#seen[at] = bits | (1 << hash);
    this.#seenCount += 1;
    if (this.#seenCount > CACHE_LIMITS.seenMax) {
      this.#seen.fill(0);
      this.#seenCount = 0;
    }
    return false;
  }

  #store(word: number, query: Query, body: Readonly<Body>, label: number): void {
    const words = this.#words;
    words[word + FIELD.hash] = query.hash;
    words[word + FIELD.generation] = this.#generations[label] ?? 0;
    words[word + FIELD.label] = label;
    words[word + FIELD.keyBytes] = query.questionEnd - 12;
    words[word + FIELD.bodyBytes] = body.length;
    words[word + FIELD.flags] = body.rcode | (body.authoritative ? AUTHORITATIVE : 0);
    words[word + FIELD.answers] = body.answers;
    words[word + FIELD.authorities] = body.authorities;
    words[word + FIELD.additionals] = body.additionals;
    words[word + FIELD.serialAt] = body.serialAt;
    words[word + FIELD.rotateAt] = body.rotateAt;
    words[word + FIELD.rotateCount] = body.rotateCount;
    words[word + FIELD.rotateBytes] = body.rotateBytes;
  }

  #load(word: number): void {
    const { body } = this;
    const flags = this.#field(word, FIELD.flags);
    body.start = (word + FIELDS) * 4 + this.#field(word, FIELD.keyBytes);
    body.length = this.#field(word, FIELD.bodyBytes);
    body.rcode = flags & 0xf;
    body.authoritative = (flags & AUTHORITATIVE) !== 0;
    body.answers = this.#field(word, FIELD.answers);
    body.authorities = this.#field(word, FIELD.authorities);
    body.additionals = this.#field(word, FIELD.additionals);
    body.serialAt = this.#field(word, FIELD.serialAt);
    body.rotateAt = this.#field(word, FIELD.rotateAt);
    body.rotateCount = this.#field(word, FIELD.rotateCount);
    body.rotateBytes = this.#field(word, FIELD.rotateBytes);
  }

  #field(word: number, field: number): number {
    return this.#words[word + field] ?? 0;
  }
}

/** 16 bits that stand for a label. */
export function labelKey(label: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < label.length; at += 1) {
    hash = Math.imul(hash ^ label.charCodeAt(at), 0x01000193);
  }
  return (hash ^ (hash >>> 16)) & (CACHE_LIMITS.labels - 1);
}
