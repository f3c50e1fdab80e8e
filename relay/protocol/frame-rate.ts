// How many frames of a kind one side takes within a time.

export class FrameRate {
  readonly #perMs: number;
  readonly #max: number;
  /** The first frame begins the first time. */
  #fromMs = Number.NEGATIVE_INFINITY;
  #frames = 0;

  constructor(max: number, perMs: number) {
    this.#max = max;
    this.#perMs = perMs;
  }

  /** Counts a frame. False: they come too fast. */
  admit(nowMs: number): boolean {
    if (nowMs - this.#fromMs > this.#perMs) {
      this.#fromMs = nowMs;
      this.#frames = 0;
    }
    this.#frames += 1;
    return this.#frames <= this.#max;
  }
}
