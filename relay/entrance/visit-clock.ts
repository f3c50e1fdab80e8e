// The deadlines of one HTTP/1.1 visit. What is due depends on what the visit waits for; the numbers
// and their reasons are in limits.ts.
import { ENTRANCE_LIMITS } from './limits.ts';
import type { Refusal } from './refusal.ts';
import type { Sweep } from './sweep.ts';

/**
 * idle: no byte of a request yet · head: a head has begun · upload: a request body comes · response:
 * the workspace works, as long as it likes · unseen: the same, and it does not show whether the
 * visitor is still there: he has ended his half, or what he sends waits unread · leaving: both halves
 * should be ended soon
 */
export type Wait = 'idle' | 'head' | 'upload' | 'response' | 'unseen' | 'leaving';

/** What a wait that took too long comes to. */
export type Due = 'leave' | 'cut' | Refusal;

const LATE_HEAD: Refusal = { status: 408, detail: 'its head did not arrive within 10 seconds' };
const SLOW_BODY: Refusal = {
  status: 408,
  detail: 'its body came slower than 500 bytes per second',
};

export class VisitClock {
  readonly #sweep: Sweep;
  #sinceMs: number;
  #bytes = 0;

  constructor(sweep: Sweep) {
    this.#sweep = sweep;
    this.#sinceMs = sweep.nowMs;
  }

  /** A wait begins now; `bytes` have passed so far. */
  restart(bytes = 0): void {
    this.#sinceMs = this.#sweep.nowMs;
    this.#bytes = bytes;
  }

  /** Asked by the sweep, with the bytes that have passed in the direction that is waited for. */
  due(wait: Wait, bytes: number): Due | undefined {
    const waitedMs = this.#sweep.nowMs - this.#sinceMs;
    switch (wait) {
      case 'idle':
        return waitedMs > ENTRANCE_LIMITS.keepAliveIdleMs ? 'leave' : undefined;
      case 'head':
        return waitedMs > ENTRANCE_LIMITS.headTimeoutMs ? LATE_HEAD : undefined;
      case 'upload':
        if (waitedMs <= ENTRANCE_LIMITS.bodyStallWindowMs) return undefined;
        return this.#progress(bytes) < ENTRANCE_LIMITS.bodyBytesPerWindow ? SLOW_BODY : undefined;
      case 'unseen':
        if (waitedMs <= ENTRANCE_LIMITS.unseenIdleMs) return undefined;
        return this.#progress(bytes) === 0 ? 'cut' : undefined;
      case 'leaving':
        return waitedMs > ENTRANCE_LIMITS.leaveTimeoutMs ? 'cut' : undefined;
      case 'response':
        return undefined;
    }
  }

  /** Bytes since the last look; the next window begins. */
  #progress(bytes: number): number {
    const progress = bytes - this.#bytes;
    this.restart(bytes);
    return progress;
  }
}
