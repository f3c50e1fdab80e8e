// How long to wait before the next attempt to reach a relay.

export const BACK_OFF = {
  firstMs: 1_000,
  /** Growth per failure. At 2 the fourth attempt after a relay's death may come only after 7 s. */
  growth: 1.5,
  /** A fleet that waits this long, jittered, does not storm a relay that comes back. */
  longestMs: 30_000,
  /** A tunnel that was up for so long was a success; a shorter one counts as one more failure. */
  stableMs: 10_000,
} as const;

export class BackOff {
  #failures = 0;
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Milliseconds to wait: half of the step for certain, the other half by chance. */
  next(): number {
    const stepMs = Math.min(
      BACK_OFF.longestMs,
      BACK_OFF.firstMs * BACK_OFF.growth ** this.#failures,
    );
    this.#failures = Math.min(this.#failures + 1, 16);
    return stepMs / 2 + (this.#random() * stepMs) / 2;
  }

  /** A tunnel has ended after it was up for so long. */
  lived(ms: number): void {
    if (ms >= BACK_OFF.stableMs) this.#failures = 0;
  }
}
