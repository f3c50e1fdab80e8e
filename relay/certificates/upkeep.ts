// Takes away what certificates leave behind in the registry: answers that have ended, and orders that no
// budget reaches any more.
import type { Logger } from 'pino';
import { sweepAnswers } from '../registry/certificates/answers.ts';
import { sweepOrders } from '../registry/certificates/budget.ts';
import type { Registry } from '../registry/registry.ts';

const UPKEEP_LIMITS = {
  /** What is left behind for an hour is some rows. */
  everyMs: 3_600_000,
  /** Of thousands of rows each; the rest is for the next hour. */
  roundsMax: 20,
} as const;

export class Upkeep {
  readonly #parts: UpkeepParts;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#running = this.#sweep();
    }, UPKEEP_LIMITS.everyMs);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  async #sweep(): Promise<void> {
    const { registry, log, now } = this.#parts;
    try {
      for (const sweep of [sweepAnswers, sweepOrders]) {
        for (let round = 0; round < UPKEEP_LIMITS.roundsMax; round += 1) {
          if ((await registry.write(sweep(now()))) === 0) break;
        }
      }
    } catch (error) {
      log.warn({ err: error }, 'certificates: what has ended could not be taken away');
    }
  }
}

export interface UpkeepParts {
  readonly registry: Pick<Registry, 'write'>;
  readonly log: Logger;
  readonly now: () => number;
}
