// Waiting for something that is told by no single event: the condition is asked again at each change.
import { within } from '../../world/program-process.ts';

/** Longer than anything that works takes on a busy machine. */
const WAIT_MS = 15_000;

interface Waiting {
  readonly holds: () => boolean;
  readonly done: () => void;
}

export class Watch {
  #waiting: Waiting[] = [];

  /** Something has happened that a condition may depend on. */
  changed(): void {
    if (this.#waiting.length === 0) return;
    const due = this.#waiting.filter(({ holds }) => holds());
    if (due.length === 0) return;
    this.#waiting = this.#waiting.filter((each) => !due.includes(each));
    for (const { done } of due) done();
  }

  /** Resolves when the condition holds; rejects after `ms`, with the words of `what`. */
  async until(holds: () => boolean, what: string, ms = WAIT_MS): Promise<void> {
    if (holds()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting: Waiting = { holds, done: resolve };
    this.#waiting.push(waiting);
    try {
      await within(promise, ms, what);
    } finally {
      this.#waiting = this.#waiting.filter((each) => each !== waiting);
    }
  }
}
