// What is on its way to a visitor of HTTP/2: the pieces of one turn of the event loop leave in one
// write, and it is known whether he takes anything. Node tells of a write when the last byte of it has
// left, and joins writes that wait: so the stream gets little at a time, and the rest waits here.
import type { ServerHttp2Stream } from 'node:http2';
import { ENTRANCE_LIMITS } from './limits.ts';

/** One write: who takes a kilobyte per second takes it within `writeStallMs`. */
const WRITE_BYTES_MAX = 65_536;

export class Http2Output {
  readonly #stream: ServerHttp2Stream;
  /** Pieces that the stream has not got yet. */
  #pieces: Buffer[] = [];
  #ending = false;
  /** A write has left since the last look. */
  #moved = false;
  #movedAtMs = performance.now();
  readonly #written = (): void => {
    this.#moved = true;
  };

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
  }

  push(bytes: Buffer): void {
    this.#pieces.push(bytes);
  }

  /** Hands to the stream what it takes. False: it has enough for now; its 'drain' goes on. */
  flush(): boolean {
    const stream = this.#stream;
    while (this.#pieces.length > 0 && !stream.writableNeedDrain && !stream.writableEnded) {
      this.#write(this.#next());
    }
    return !stream.writableNeedDrain;
  }

  /** Ends the response behind what was pushed. */
  end(): void {
    this.#ending = true;
    this.flush();
    if (this.#pieces.length === 0 && !this.#stream.writableEnded) this.#stream.end();
  }

  /** Whether the visitor has taken nothing of what waits for him for too long; asked by the sweep. */
  stuck(nowMs: number): boolean {
    const waits = this.#ending || this.#stream.writableNeedDrain;
    if (this.#moved || !waits) this.#movedAtMs = nowMs;
    this.#moved = false;
    return nowMs - this.#movedAtMs > ENTRANCE_LIMITS.writeStallMs;
  }

  /** The last bytes end the stream themselves: that spares a frame. */
  #write(bytes: Buffer): void {
    if (this.#ending && this.#pieces.length === 0) this.#stream.end(bytes, this.#written);
    else this.#stream.write(bytes, this.#written);
  }

  /** Pieces for one write. One that is larger than a write comes from a page of ours, or is alone. */
  #next(): Buffer {
    let count = 0;
    let bytes = 0;
    for (const piece of this.#pieces) {
      bytes += piece.length;
      if (count > 0 && bytes > WRITE_BYTES_MAX) break;
      count += 1;
    }
    const pieces = this.#pieces.splice(0, count);
    const [first] = pieces;
    return first !== undefined && count === 1 ? first : Buffer.concat(pieces);
  }
}
