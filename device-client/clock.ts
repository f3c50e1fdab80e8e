// The time by the relay's clock. A device may have none, or a wrong one: then certificates would be asked
// for too early or never. So the relay tells it, where nobody in between can: in its hello, which the
// vendor's key signs, and in answers over a connection that was proven. From then on the monotonic clock
// counts, so nothing that sets the machine's clock matters; what sleep took from it the next word mends.
// Until the relay has told it, the machine's clock is all there is.
import { setTimeout as delay } from 'node:timers/promises';

export interface ClockSources {
  /** Epoch, in milliseconds. */
  readonly wallMs: () => number;
  /** Grows evenly, from any start. */
  readonly monotonicMs: () => number;
  /** Resolves after that time, or when the signal is aborted. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
}

const MACHINE: ClockSources = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  wait: (ms, signal) => delay(ms, undefined, { signal, ref: false }).catch(() => undefined),
};

export class Clock {
  readonly #sources: ClockSources;
  /** The relay's time less the monotonic one. */
  #offsetMs: number | undefined;

  constructor(sources: ClockSources = MACHINE) {
    this.#sources = sources;
  }

  /** Milliseconds since 1970: by the relay when it has told, else by this machine. */
  now(): number {
    const { wallMs, monotonicMs } = this.#sources;
    return this.#offsetMs === undefined ? wallMs() : monotonicMs() + this.#offsetMs;
  }

  /** Whether the relay has told the time since the start. */
  get isTold(): boolean {
    return this.#offsetMs !== undefined;
  }

  /** For how long something took or is to wait; says nothing of the time. */
  monotonicMs(): number {
    return this.#sources.monotonicMs();
  }

  wait(ms: number, signal: AbortSignal): Promise<void> {
    return this.#sources.wait(ms, signal);
  }

  /** The relay says that it is this late now. What is no time is ignored. */
  learn(relayMs: number): void {
    if (!Number.isSafeInteger(relayMs) || relayMs <= 0) return;
    // Told times are whole seconds and travel a moment: small differences are no news.
    if (this.isTold && Math.abs(relayMs - this.now()) < STEP_MS) return;
    this.#offsetMs = relayMs - this.#sources.monotonicMs();
  }
}

const STEP_MS = 2_000;
