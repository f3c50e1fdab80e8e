// DER (X.690, section 10), read strictly and written: the few structures that certificates and requests
// are made of. A reader throws DerError on everything that is not the one encoding of its value, and never
// reads outside of its bytes.

export class DerError extends Error {
  override readonly name = 'DerError';
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  sequence: 0x30,
  set: 0x31,
} as const;

export interface DerElement {
  readonly tag: number;
  readonly content: Buffer;
  /** With tag and length. */
  readonly whole: Buffer;
}

/** Reads the elements of a constructed one, or of a whole text, in turn. */
export class DerReader {
  #rest: Buffer;

  constructor(bytes: Buffer) {
    this.#rest = bytes;
  }

  get done(): boolean {
    return this.#rest.length === 0;
  }

  /** The tag of the next element; undefined at the end. */
  get tag(): number | undefined {
    return this.#rest[0];
  }

  next(tag?: number): DerElement {
    const bytes = this.#rest;
    const found = bytes[0];
    if (found === undefined) throw new DerError('an element is missing');
    if ((found & 0x1f) === 0x1f) throw new DerError('a long tag');
    if (tag !== undefined && found !== tag) throw new DerError(`tag ${found} instead of ${tag}`);
    const { header, length } = readLength(bytes);
    const end = header + length;
    if (end > bytes.length) throw new DerError('an element is longer than its place');
    this.#rest = bytes.subarray(end);
    return { tag: found, content: bytes.subarray(header, end), whole: bytes.subarray(0, end) };
  }

  /** Into the next element, which has that tag. */
  enter(tag: number): DerReader {
    return new DerReader(this.next(tag).content);
  }

  /** Nothing may be left. */
  end(): void {
    if (!this.done) throw new DerError('more than expected');
  }
}

function readLength(bytes: Buffer): { header: number; length: number } {
  const first = bytes[1];
  if (first === undefined) throw new DerError('a length is missing');
  if (first < 0x80) return { header: 2, length: first };
  const count = first & 0x7f;
  // No certificate has 16 MiB; no octet is the indefinite length of BER.
  if (count < 1 || count > 3 || bytes.length < 2 + count) throw new DerError('an odd length');
  const length = bytes.readUIntBE(2, count);
  const shortest = length < 0x80 ? 0 : Math.ceil(Math.log2(length + 1) / 8);
  if (count !== shortest) throw new DerError('a length that is not the shortest');
  return { header: 2 + count, length };
}

/** One element with what it holds. */
export function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag, ...lengthBytes(body.length)]), body]);
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest >>= 8) bytes.unshift(rest & 0xff);
  return [0x80 | bytes.length, ...bytes];
}

/** An object identifier, written `2.5.29.17`. */
export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...arcs] = text.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const arc of arcs) {
    const groups = [arc & 0x7f];
    for (let rest = arc >>> 7; rest > 0; rest >>>= 7) groups.unshift(0x80 | (rest & 0x7f));
    bytes.push(...groups);
  }
  return der(TAG.oid, Buffer.from(bytes));
}
