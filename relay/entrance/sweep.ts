// Deadlines of many connections by one timer: each second every one of them is asked whether its
// time is up. So a request sets no timer, only a number.

/** Something with a deadline. It closes itself when its time is up. */
export interface Swept {
  sweep(nowMs: number): void;
}

const SWEEP_MS = 1_000;

export class Sweep {
  /** Monotonic milliseconds, at most one sweep old: exact enough for deadlines of seconds. */
  nowMs = performance.now();
  readonly #swept = new Set<Swept>();
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => this.#run(), SWEEP_MS);
    this.#timer.unref();
  }

  get size(): number {
    return this.#swept.size;
  }

  add(swept: Swept): void {
    this.#swept.add(swept);
  }

  delete(swept: Swept): void {
    this.#swept.delete(swept);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #run(): void {
    this.nowMs = performance.now();
    for (const swept of this.#swept) swept.sweep(this.nowMs);
  }
}
