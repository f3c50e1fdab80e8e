// What is on its way to a visitor of HTTP/2: the pieces of one turn of the event loop leave in one write,
// and it is known since when he takes nothing.
import type { ServerHttp2Stream } from 'node:http2';
import { ENTRANCE_LIMITS } from './limits.ts';

export class Http2Output {
  readonly #stream: ServerHttp2Stream;
  /** Pieces that came in this turn. */
  #pieces: Buffer[] = [];
  /** Since when the visitor takes nothing, 0: he does; and how much waits for him. */
  #stalledSinceMs = 0;
  #waitingBytes = 0;

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
  }

  push(bytes: Buffer): void {
    this.#pieces.push(bytes);
  }

  /** Takes back what was pushed and has not left. */
  take(): Buffer | undefined {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces.length < 2 ? pieces[0] : Buffer.concat(pieces);
  }

  /** False: the stream has enough for now; its 'drain' goes on. */
  flush(nowMs: number): boolean {
    const bytes = this.take();
    if (bytes !== undefined) this.#stream.write(bytes);
    if (!this.#stream.writableNeedDrain) return true;
    this.#stalledSinceMs ||= nowMs;
    return false;
  }

  /** Ends the response with these bytes; what was pushed and not taken is not part of it. */
  end(last: Buffer | undefined, nowMs: number): void {
    this.#pieces = [];
    if (!this.#stream.writableEnded) this.#stream.end(last);
    this.#stalledSinceMs ||= nowMs;
  }

  drained(): void {
    this.#stalledSinceMs = 0;
  }

  /** Whether the visitor has taken nothing of what waits for him for too long; asked by the sweep. */
  stuck(nowMs: number): boolean {
    if (this.#stalledSinceMs === 0) return false;
    const waiting = this.#stream.writableLength;
    if (waiting !== this.#waitingBytes) {
      this.#waitingBytes = waiting;
      this.#stalledSinceMs = nowMs;
    }
    return nowMs - this.#stalledSinceMs > ENTRANCE_LIMITS.writeStallMs;
  }
}
