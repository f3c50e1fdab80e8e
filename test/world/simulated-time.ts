// A clock whose time passes when a test says so, for one program that waits by it: each wait that is due
// ends in its turn, and time goes on once the program waits again.
import type { ClockSources } from '../../device-client/clock.ts';

export class SimulatedTime implements ClockSources {
  /** Since 1970, at the beginning; a test may set the machine's clock wrong. */
  startMs: number;
  #elapsedMs = 0;
  #waiting: { readonly dueMs: number; readonly end: () => void } | undefined;
  #idle: (() => void)[] = [];

  constructor(startMs = Date.now()) {
    this.startMs = startMs;
  }

  readonly wallMs = (): number => this.startMs + this.#elapsedMs;
  readonly monotonicMs = (): number => this.#elapsedMs;

  readonly wait = (ms: number, signal: AbortSignal): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const end = (): void => {
      this.#waiting = undefined;
      resolve();
    };
    if (signal.aborted) return Promise.resolve();
    signal.addEventListener('abort', end, { once: true });
    this.#waiting = { dueMs: this.#elapsedMs + ms, end };
    for (const told of this.#idle.splice(0)) told();
    return promise;
  };

  /** Until the program has nothing more to do now. */
  async idle(): Promise<void> {
    if (this.#waiting === undefined) await new Promise<void>((told) => this.#idle.push(told));
  }

  async pass(ms: number): Promise<void> {
    const untilMs = this.#elapsedMs + ms;
    for (;;) {
      await this.idle();
      const next = this.#waiting;
      if (next === undefined || next.dueMs > untilMs) break;
      this.#elapsedMs = Math.max(this.#elapsedMs, next.dueMs);
      next.end();
    }
    this.#elapsedMs = untilMs;
  }
}
