// The request body of one HTTP/2 stream on its way to a workspace, in HTTP/1.1 framing. What came in
// one turn of the event loop goes on together: a visitor who puts each byte into a frame of its own
// must not cost the tunnel three, and a workspace a read, per byte.
import type { ServerHttp2Stream } from 'node:http2';
import { CRLF, chunkHead, LAST_CHUNK, writeTrailers } from './body.ts';
import { type Fields, isFieldText, isTrailerName } from './fields.ts';
import { ENTRANCE_LIMITS } from './limits.ts';

/** Why a request is refused whose upload is `tooSlow()`. */
export const TOO_SLOW = {
  status: 408,
  detail: 'the request body came slower than 500 bytes per second',
} as const;

/** A request that has arrived; what it consists of may all come in the turn before it begins. */
export class Arrived {
  readonly stream: ServerHttp2Stream;
  readonly head: readonly string[];
  /** The stream ended with its head. */
  readonly bodiless: boolean;
  /** Those that may be passed on. */
  trailers: Fields = [];

  constructor(stream: ServerHttp2Stream, head: readonly string[], bodiless: boolean) {
    this.stream = stream;
    this.head = head;
    this.bodiless = bodiless;
    if (bodiless) return;
    stream.on('trailers', (_object: unknown, _flags: number, raw?: Fields) => {
      this.trailers = allowedTrailers(raw ?? []);
    });
  }
}

export class Http2Upload {
  /** Bytes of the body so far. */
  bytes = 0;
  /** The whole body has come. */
  done = false;
  readonly #arrived: Arrived;
  readonly #stream: ServerHttp2Stream;
  /** False: no room until `drain()`. */
  readonly #write: (bytes: Buffer | string) => boolean;
  /** What this turn has brought, in order. */
  #pieces: Buffer[] = [];
  #chunked = false;
  #full = false;
  /** Since when, and after how many bytes, its speed is measured. */
  #sinceMs = 0;
  #sinceBytes = 0;

  constructor(arrived: Arrived, write: (bytes: Buffer | string) => boolean) {
    this.#arrived = arrived;
    this.#stream = arrived.stream;
    this.#write = write;
  }

  begin(chunked: boolean, nowMs: number): void {
    const stream = this.#stream;
    this.#sinceMs = nowMs;
    this.#chunked = chunked;
    stream.on('data', (bytes: Buffer) => {
      this.bytes += bytes.length;
      if (this.#pieces.push(bytes) === 1) setImmediate(this.#sendPieces);
    });
    stream.on('end', () => {
      // Node ends streams that were reset as if they had come to their end.
      if (stream.aborted || stream.destroyed) return;
      this.#sendPieces();
      this.done = true;
      if (!chunked) return;
      const { trailers } = this.#arrived;
      this.#send(trailers.length === 0 ? LAST_CHUNK : writeTrailers(trailers));
    });
  }

  /** Nobody wants the rest: it is thrown away, so that the stream can come to its end. */
  abandon(): void {
    this.#full = false;
    this.#stream.resume();
  }

  /** There is room again. */
  drain(nowMs: number): void {
    if (!this.#full) return;
    this.#full = false;
    this.#sinceMs = nowMs;
    this.#sinceBytes = this.bytes;
    this.#stream.resume();
  }

  /** Whether the visitor makes no progress, though there is room. */
  tooSlow(nowMs: number): boolean {
    if (this.done || this.#full || nowMs - this.#sinceMs < ENTRANCE_LIMITS.bodyStallWindowMs) {
      return false;
    }
    const bytes = this.bytes - this.#sinceBytes;
    this.#sinceMs = nowMs;
    this.#sinceBytes = this.bytes;
    return bytes < ENTRANCE_LIMITS.bodyBytesPerWindow;
  }

  readonly #sendPieces = (): void => {
    const pieces = this.#pieces;
    const [first] = pieces;
    if (first === undefined) return;
    this.#pieces = [];
    const bytes = pieces.length === 1 ? first : Buffer.concat(pieces);
    if (this.#chunked) this.#send(chunkHead(bytes.length));
    this.#send(bytes);
    if (this.#chunked) this.#send(CRLF);
  };

  #send(bytes: Buffer | string): void {
    if (this.#write(bytes) || this.#full) return;
    this.#full = true;
    this.#stream.pause();
  }
}

function allowedTrailers(raw: Fields): Fields {
  const fields: string[] = [];
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] ?? '';
    const value = raw[at + 1] ?? '';
    if (isTrailerName(name) && isFieldText(value)) fields.push(name, value);
  }
  return fields;
}
