// A visitor who asks again and again, over a new connection each time, and notes whatever is no whole answer.
import { setTimeout as pause } from 'node:timers/promises';
import { ask, type Door } from './visits.ts';

const EVERY_MS = 100;

export class PatientVisitor implements AsyncDisposable {
  readonly #door: Door;
  readonly #url: string;
  readonly #faults: string[] = [];
  readonly #loop: Promise<void>;
  #answered = 0;
  #going = true;

  constructor(door: Door, url: string) {
    this.#door = door;
    this.#url = url;
    this.#loop = this.#ask();
  }

  async stop(): Promise<{ readonly answered: number; readonly faults: readonly string[] }> {
    this.#going = false;
    await this.#loop;
    return { answered: this.#answered, faults: this.#faults };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #ask(): Promise<void> {
    while (this.#going) {
      try {
        const { status } = await ask(this.#door, this.#url);
        if (status === 200) this.#answered += 1;
        else this.#faults.push(`status ${status}`);
      } catch (error) {
        this.#faults.push(String(error));
      }
      await pause(EVERY_MS);
    }
  }
}
