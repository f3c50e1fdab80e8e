// Frames that concern the whole tunnel and no stream: they are counted, judged, and handed on.
import { FRAME } from './frame.ts';
import { FrameRate } from './frame-rate.ts';
import { LIMITS } from './limits.ts';
import type { Outbox } from './outbox.ts';
import type { Pulse } from './pulse.ts';
import { CLOSE } from './wire.ts';

export interface TunnelFrameEvents {
  /** The first drain of the other side. */
  drained(ms: number): void;
  /** False: it is malformed. */
  sync(payload: Buffer): boolean;
  /** Absent: this side tells the news. */
  readonly news: ((payload: Buffer) => void) | undefined;
  /** A listener threw. */
  faulted(error: unknown): void;
}

/** Why the tunnel must be closed. */
export interface Violation {
  readonly code: number;
  readonly reason: string;
}

export class TunnelFrames {
  readonly #outbox: Outbox;
  readonly #pulse: Pulse;
  readonly #events: TunnelFrameEvents;
  readonly #all = new FrameRate(LIMITS.tunnelFramesPerSecondMax, 1_000);
  readonly #news = new FrameRate(LIMITS.newsPerMinuteMax, 60_000);
  #drained = false;

  constructor(outbox: Outbox, pulse: Pulse, events: TunnelFrameEvents) {
    this.#outbox = outbox;
    this.#pulse = pulse;
    this.#events = events;
  }

  receive(type: number, payload: Buffer, nowMs: number): Violation | undefined {
    if (!this.#all.admit(nowMs)) return flood('too many frames for the whole tunnel');
    switch (type) {
      case FRAME.drain:
        return this.#drain(payload);
      case FRAME.sync:
        return this.#events.sync(payload) ? undefined : malformed('a malformed sync');
      case FRAME.news:
        return this.#tellNews(payload, nowMs);
      default:
        return this.#pingOrPong(type, payload, nowMs);
    }
  }

  /** Only the first one counts, or a tunnel could make us connect anew without end. */
  #drain(payload: Buffer): Violation | undefined {
    if (payload.length !== 4) return malformed('a malformed drain');
    if (this.#drained) return undefined;
    this.#drained = true;
    this.#callBack(() => this.#events.drained(payload.readUInt32BE(0)));
    return undefined;
  }

  #tellNews(payload: Buffer, nowMs: number): Violation | undefined {
    const { news } = this.#events;
    if (news === undefined) return malformed('this side tells the news');
    if (!this.#news.admit(nowMs)) return flood('too much news');
    this.#callBack(() => news(payload));
    return undefined;
  }

  #pingOrPong(type: number, payload: Buffer, nowMs: number): Violation | undefined {
    if (payload.length !== 8) return malformed('a malformed ping or pong');
    if (type === FRAME.ping) this.#outbox.put(FRAME.pong, 0, payload);
    else this.#pulse.pong(payload, nowMs);
    return undefined;
  }

  #callBack(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#events.faulted(error);
    }
  }
}

function malformed(fault: string): Violation {
  return { code: CLOSE.protocol, reason: `protocol: ${fault}` };
}

function flood(what: string): Violation {
  return { code: CLOSE.policy, reason: `flood: ${what}` };
}
