// Our wish to end a tunnel in good order: no new streams, the running ones may finish, then it closes.
import { LIMITS } from './limits.ts';

export class Drain {
  #sinceMs = Number.POSITIVE_INFINITY;
  #lastsMs = 0;

  get started(): boolean {
    return this.#sinceMs !== Number.POSITIVE_INFINITY;
  }

  /** Returns the payload of the frame that tells the other side. */
  start(lastsMs: number): Buffer {
    this.#sinceMs = performance.now();
    this.#lastsMs = lastsMs;
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(lastsMs, 0);
    return payload;
  }

  /** Whether the tunnel may be closed: its time is up, or it is empty and the other side has had time. */
  isOver(nowMs: number, streamCount: number): boolean {
    const passedMs = nowMs - this.#sinceMs;
    return passedMs >= this.#lastsMs || (streamCount === 0 && passedMs >= LIMITS.drainEmptyMs);
  }
}
