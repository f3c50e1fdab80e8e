// Joins two links: what comes out of one goes into the other, in both directions, with half-close.
// Credit goes back only for what the other one has taken.
import type { Link, LinkEvents } from './link.ts';
import type { ResetReason } from './reset-reason.ts';

/** Called once, when the first of the two breaks; not called when both ended in peace. */
export type OnBroken = (reason: ResetReason, detail: string) => void;

export function splice(one: Link, other: Link, onBroken?: OnBroken): void {
  one.events = new Half(one, other, onBroken);
  other.events = new Half(other, one, onBroken);
}

/** Listens to `from` and writes to `to`. */
class Half implements LinkEvents {
  readonly #from: Link;
  readonly #to: Link;
  readonly #onBroken: OnBroken | undefined;
  #heldBytes = 0;

  constructor(from: Link, to: Link, onBroken: OnBroken | undefined) {
    this.#from = from;
    this.#to = to;
    this.#onBroken = onBroken;
  }

  data(bytes: Buffer): void {
    if (this.#to.write(bytes)) this.#from.taken(bytes.length);
    else this.#heldBytes += bytes.length;
  }

  end(): void {
    this.#to.end();
  }

  broken(reason: ResetReason, detail: string): void {
    this.#to.reset(reason, detail);
    this.#onBroken?.(reason, detail);
  }

  /** `from` takes bytes again: the other half may give back what it holds. */
  drain(): void {
    const other = this.#to.events;
    if (other instanceof Half) other.#release();
  }

  #release(): void {
    const bytes = this.#heldBytes;
    this.#heldBytes = 0;
    if (bytes > 0) this.#from.taken(bytes);
  }
}
