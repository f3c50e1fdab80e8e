// Message bodies of HTTP/1.1: where one ends, and the bytes in it, handed on as they come. Chunked
// coding is read strictly (RFC 9112 section 7.1) and written anew, so that what one side takes for
// framing is never decided by the other.
import { type Fields, isFieldText, isTokenCode, isTrailerName, readFieldLines } from './fields.ts';

/** How a body is framed. `close`: it ends with the connection (responses only). */
export type Body =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'close' };

export interface BodySink {
  /** A piece of the body; a view of the bytes that were read. */
  bodyBytes(slice: Buffer): void;
  /** Called at most once, after the last piece, with those trailers that may be passed on. */
  bodyTrailers(fields: Fields): void;
}

export const BODY_LIMITS = {
  /** As many as can tell a number up to 2^53, with leading zeros. */
  sizeDigitsMax: 16,
  /** Per chunk. Nothing we know sends extensions; unbounded ones were an attack on servers. */
  extensionBytesMax: 256,
  /** Trailers are kept until they are whole; a status and some digests need far less. */
  trailerBytesMax: 8 * 1024,
  /** gRPC sends three, and seldom more than ten of an application's own. */
  trailersMax: 32,
} as const;

export const CRLF = '\r\n';
export const LAST_CHUNK = '0\r\n\r\n';

/** What stands before the bytes of one chunk; CRLF stands after them. Not for zero bytes. */
export function chunkHead(bytes: number): string {
  return `${bytes.toString(16)}\r\n`;
}

/** The end of a chunked body: the last chunk, the trailers, the empty line. */
export function writeTrailers(fields: Fields): string {
  let text = '0\r\n';
  for (let at = 0; at < fields.length; at += 2) text += `${fields[at]}: ${fields[at + 1]}\r\n`;
  return text + CRLF;
}

type State =
  | 'done'
  | 'data'
  | 'toClose'
  | 'size'
  | 'extension'
  | 'sizeLf'
  | 'dataCr'
  | 'dataLf'
  | 'trailers'
  | 'fault';

/** Finds the end of one body after another; one object serves a whole connection. */
export class BodyReader {
  #state: State = 'done';
  #chunked = false;
  /** Bytes to come of the body, or of the chunk. */
  #rest = 0;
  #digits = 0;
  #text = '';
  /** The last four bytes of the trailer section, to see its end in any split. */
  #lastFour = 0;
  #fault: string | undefined;

  /** The whole body has been read. */
  get done(): boolean {
    return this.#state === 'done';
  }

  /** What is wrong with the framing, in words for a person. Nothing more is read then. */
  get fault(): string | undefined {
    return this.#fault;
  }

  start(body: Body): void {
    this.#fault = undefined;
    this.#chunked = body.kind === 'chunked';
    this.#rest = body.kind === 'length' ? body.bytes : 0;
    if (body.kind === 'chunked') this.#startSize();
    else if (body.kind === 'close') this.#state = 'toClose';
    else this.#state = this.#rest === 0 ? 'done' : 'data';
  }

  /** Reads on from `offset`; returns the offset of the first byte that is not of this body. */
  read(bytes: Buffer, offset: number, sink: BodySink): number {
    let at = offset;
    while (at < bytes.length) {
      switch (this.#state) {
        case 'done':
        case 'fault':
          return at;
        case 'toClose':
          sink.bodyBytes(piece(bytes, at, bytes.length));
          return bytes.length;
        case 'data':
          at = this.#readData(bytes, at, sink);
          break;
        case 'trailers':
          at = this.#readTrailers(bytes, at, sink);
          break;
        default:
          this.#readFraming(this.#state, bytes[at] ?? 0);
          at += 1;
      }
    }
    return at;
  }

  #readData(bytes: Buffer, at: number, sink: BodySink): number {
    const end = Math.min(bytes.length, at + this.#rest);
    this.#rest -= end - at;
    if (this.#rest === 0) this.#state = this.#chunked ? 'dataCr' : 'done';
    sink.bodyBytes(piece(bytes, at, end));
    return end;
  }

  #readFraming(state: State, byte: number): void {
    if (state === 'size') this.#readSize(byte);
    else if (state === 'extension') this.#readExtension(byte);
    else if (state === 'sizeLf') this.#endSize(byte);
    else if (state === 'dataCr') this.#expect(byte, CR, 'dataLf');
    else if (byte === LF) this.#startSize();
    else this.#fail('a chunk is longer than its size says');
  }

  #startSize(): void {
    this.#state = 'size';
    this.#rest = 0;
    this.#digits = 0;
    this.#text = '';
  }

  #readSize(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.#digits += 1;
      this.#rest = this.#rest * 16 + digit;
      const tooMuch = this.#rest > Number.MAX_SAFE_INTEGER;
      if (this.#digits > BODY_LIMITS.sizeDigitsMax || tooMuch) this.#fail('a chunk is too large');
    } else if (this.#digits === 0) this.#fail('a chunk has no size');
    else if (byte === CR) this.#state = 'sizeLf';
    else if (byte === SEMICOLON) {
      this.#text = ';';
      this.#state = 'extension';
    } else this.#fail('a chunk size has a character that is no hexadecimal digit');
  }

  #readExtension(byte: number): void {
    if (byte !== CR) {
      this.#text += String.fromCharCode(byte);
      if (this.#text.length > BODY_LIMITS.extensionBytesMax)
        this.#fail('a chunk extension is too long');
      else if (byte === LF) this.#fail('a line of chunked coding does not end with CR and LF');
    } else if (isExtension(this.#text)) this.#state = 'sizeLf';
    else this.#fail('a chunk extension is malformed');
  }

  #endSize(byte: number): void {
    this.#text = '';
    this.#lastFour = CR_LF;
    this.#expect(byte, LF, this.#rest === 0 ? 'trailers' : 'data');
  }

  #expect(byte: number, expected: number, next: State): void {
    if (byte === expected) this.#state = next;
    else if (next === 'dataLf') this.#fail('a chunk is longer than its size says');
    else this.#fail('a line of chunked coding does not end with CR and LF');
  }

  #readTrailers(bytes: Buffer, from: number, sink: BodySink): number {
    let at = from;
    while (at < bytes.length) {
      const byte = bytes[at] ?? 0;
      at += 1;
      if (byte === LF && (this.#lastFour & 255) !== CR) {
        this.#fail('a trailer line does not end with CR and LF');
        return at;
      }
      this.#lastFour = (this.#lastFour << 8) | byte;
      if (this.#lastFour !== EMPTY_LINE) continue;
      this.#keepTrailers(bytes, from, at);
      if (this.#state === 'trailers') this.#endTrailers(sink);
      return at;
    }
    this.#keepTrailers(bytes, from, at);
    return at;
  }

  #keepTrailers(bytes: Buffer, from: number, to: number): void {
    const tooLong = this.#text.length + (to - from) > BODY_LIMITS.trailerBytesMax;
    if (tooLong) this.#fail('the trailers are too large');
    else this.#text += bytes.toString('latin1', from, to);
  }

  #endTrailers(sink: BodySink): void {
    const fields: string[] = [];
    const fault = readFieldLines(this.#text, 0, BODY_LIMITS.trailersMax, fields);
    this.#text = '';
    if (fault !== undefined) return this.#fail(`in the trailers ${fault.detail}`);
    this.#state = 'done';
    const allowed: string[] = [];
    for (let at = 0; at < fields.length; at += 2) {
      const name = fields[at] ?? '';
      if (isTrailerName(name)) allowed.push(name, fields[at + 1] ?? '');
    }
    if (allowed.length > 0) sink.bodyTrailers(allowed);
  }

  #fail(fault: string): void {
    this.#state = 'fault';
    this.#fault = fault;
    this.#text = '';
  }
}

/** The whole buffer when that is what it is: no second view of it is made. */
function piece(bytes: Buffer, from: number, to: number): Buffer {
  return from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to);
}

/** -1: no digit. */
function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/**
 * `;name`, `;name=token` or `;name="quoted"`, any number of them, without white space. They are
 * dropped, so only their end matters; it must not be doubtful.
 */
function isExtension(text: string): boolean {
  let at = 0;
  while (at < text.length) {
    if (text.charCodeAt(at) !== SEMICOLON) return false;
    const name = at + 1;
    at = tokenEnd(text, name);
    if (at === name) return false;
    if (text.charCodeAt(at) !== EQUALS) continue;
    const value = at + 1;
    at = text.charCodeAt(value) === QUOTE ? quotedEnd(text, value) : tokenEnd(text, value);
    if (at === value) return false;
  }
  return true;
}

function tokenEnd(text: string, from: number): number {
  let at = from;
  while (isTokenCode(text.charCodeAt(at))) at += 1;
  return at;
}

/** The index after the closing quote, or `from` when there is none. */
function quotedEnd(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return isFieldText(text.slice(from, at)) ? at + 1 : from;
    if (code === BACKSLASH) at += 1;
  }
  return from;
}

const CR = 13;
const LF = 10;
const QUOTE = 34;
const SEMICOLON = 59;
const EQUALS = 61;
const BACKSLASH = 92;
const CR_LF = 0x0d0a;
const EMPTY_LINE = 0x0d0a0d0a;
