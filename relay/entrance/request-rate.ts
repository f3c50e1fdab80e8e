// How many requests one visitor address asks in a second, where an operator has set a bound. Windows
// of one second, begun anew by the sweep: exact enough to stop a flood, and no timer per request.
import { addressOwner } from './address-count.ts';
import type { Sweep, Swept } from './sweep.ts';

export class RequestRate implements Swept {
  readonly #perSecond: number;
  /** No larger than the number of addresses that have a connection. */
  readonly #counts = new Map<string, number>();

  constructor(perSecond: number, sweep: Sweep) {
    this.#perSecond = perSecond;
    sweep.add(this);
  }

  /** Counts one more request; true when it is one too many. */
  exceeded(address: string): boolean {
    const owner = addressOwner(address);
    const count = (this.#counts.get(owner) ?? 0) + 1;
    this.#counts.set(owner, count);
    return count > this.#perSecond;
  }

  sweep(): void {
    this.#counts.clear();
  }
}
