// Whether the other side of a tunnel still lives: pings, silence, round trips, and the comparison
// of live streams. A dead peer is invisible to TCP for many minutes; here for at most 30 seconds.
import { FRAME } from './frame.ts';
import { LIMITS } from './limits.ts';
import type { Outbox } from './outbox.ts';

export interface PulseEvents {
  /** Nothing was heard for `deadAfterMs`. */
  silent(): void;
  /** Every `pulseMs`. */
  beat(nowMs: number): void;
  /** The payload of a sync frame, made when it is due. */
  syncPayload(): Buffer;
}

export class Pulse {
  /** The shortest round trip so far; undefined before the first pong. */
  roundTripMs: number | undefined = undefined;
  readonly #outbox: Outbox;
  readonly #events: PulseEvents;
  readonly #timer: NodeJS.Timeout;
  #heardAtMs = performance.now();
  #beatAtMs = performance.now();
  #pingAtMs = 0;
  /** Pings that were answered. */
  #pongs = 0;
  #syncAtMs = performance.now();

  constructor(outbox: Outbox, events: PulseEvents) {
    this.#outbox = outbox;
    this.#events = events;
    this.#timer = setInterval(() => this.#beat(performance.now()), LIMITS.pulseMs);
    this.#sendPing(performance.now());
  }

  heard(nowMs: number): void {
    this.#heardAtMs = nowMs;
  }

  /** A ping carries the time at which it left; only the answer to the last one tells anything. */
  pong(payload: Buffer, nowMs: number): void {
    if (payload.readDoubleBE(0) !== this.#pingAtMs) return;
    const tookMs = nowMs - this.#pingAtMs;
    this.roundTripMs = Math.min(this.roundTripMs ?? tookMs, tookMs);
    this.#pongs += 1;
    if (this.#pongs < LIMITS.firstPings) this.#sendPing(nowMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #beat(nowMs: number): void {
    // A beat that comes late means that we ourselves stood still (a suspended machine, a stopped
    // process): what arrived meanwhile is still unread, so the silence is counted anew, shortly.
    const stoodStill = nowMs - this.#beatAtMs > 2 * LIMITS.pulseMs;
    this.#beatAtMs = nowMs;
    if (stoodStill) this.#heardAtMs = Math.max(this.#heardAtMs, nowMs - LIMITS.deadAfterMs / 2);
    if (nowMs - this.#heardAtMs >= LIMITS.deadAfterMs) return this.#events.silent();
    this.#outbox.beat();
    this.#events.beat(nowMs);
    if (nowMs - this.#pingAtMs >= LIMITS.pingEveryMs) this.#sendPing(nowMs);
    if (nowMs - this.#syncAtMs >= LIMITS.syncEveryMs) {
      this.#syncAtMs = nowMs;
      this.#outbox.put(FRAME.sync, 0, this.#events.syncPayload());
    }
  }

  #sendPing(nowMs: number): void {
    this.#pingAtMs = nowMs;
    const payload = Buffer.allocUnsafe(8);
    payload.writeDoubleBE(nowMs, 0);
    this.#outbox.put(FRAME.ping, 0, payload);
  }
}
