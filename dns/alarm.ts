// A wait that can be ended early. A ring while nobody waits is remembered for the next one.
export class Alarm {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** True when it rang, false when the time has passed; without a time only a ring ends it. */
  async wait(ms?: number): Promise<boolean> {
    if (!this.#rung) {
      await new Promise<void>((settle) => {
        const timer = ms === undefined ? undefined : setTimeout(settle, ms);
        this.#wake = () => {
          clearTimeout(timer);
          settle();
        };
      });
    }
    const rung = this.#rung;
    this.#rung = false;
    this.#wake = undefined;
    return rung;
  }
}
