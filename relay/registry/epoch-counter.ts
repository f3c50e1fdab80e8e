// Epochs: a number per device key that grows with every tunnel, so that of two relays or processes
// which both believe to hold the device the later one wins. Requests that come together share one
// transaction: when ten thousand devices reconnect at once, one commit each would take a minute.
import { sql } from 'kysely';
import type { RegistryWrite } from './database.ts';
import { RegistryError, unknownDevice } from './registry-error.ts';

const EPOCH_LIMITS = {
  /** Requests in one transaction: a few milliseconds of work. */
  batchMax: 500,
  /** Requests that wait; beyond it devices are told to come back. */
  waitingMax: 50_000,
  /** Devices must not wait for a broken file. */
  lockWaitMs: 1_000,
} as const;

interface Waiting {
  readonly thumbprint: string;
  readonly resolve: (epoch: number) => void;
  readonly reject: (error: unknown) => void;
}

export class EpochCounter {
  readonly #write: RegistryWrite;
  /** The highest epoch of each key that we know of; it also mends a file that has fallen behind. */
  readonly #highest = new Map<string, number>();
  #waiting: Waiting[] = [];
  #running = false;

  constructor(write: RegistryWrite) {
    this.#write = write;
  }

  /** Rejects for an unknown key and when too many wait, never because of the file. */
  next(thumbprint: string, admissible: boolean): Promise<number> {
    if (!admissible) return Promise.reject(unknownDevice(thumbprint));
    if (this.#waiting.length >= EPOCH_LIMITS.waitingMax) {
      const message = 'Too many devices connect at once. They come back by themselves.';
      return Promise.reject(new RegistryError('ERR_REGISTRY_BUSY', message));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ thumbprint, resolve, reject });
      if (this.#running) return;
      this.#running = true;
      setImmediate(() => void this.#run());
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, EPOCH_LIMITS.batchMax);
      this.#waiting = this.#waiting.slice(batch.length);
      await this.#draw(batch);
    }
    this.#running = false;
  }

  async #draw(batch: readonly Waiting[]): Promise<void> {
    const wanted = Map.groupBy(batch, ({ thumbprint }) => thumbprint);
    let written: ReadonlyMap<string, number>;
    try {
      written = await this.#advance(wanted);
    } catch (error) {
      if (!(error instanceof RegistryError)) {
        for (const { reject } of batch) reject(error);
        return;
      }
      written = new Map();
    }
    for (const [thumbprint, requests] of wanted) {
      const known = (this.#highest.get(thumbprint) ?? 0) + requests.length;
      const highest = Math.max(known, written.get(thumbprint) ?? 0);
      this.#highest.set(thumbprint, highest);
      const first = highest - requests.length + 1;
      for (const [index, { resolve }] of requests.entries()) resolve(first + index);
    }
  }

  /** The new highest epoch of each key, on the disk. */
  #advance(wanted: ReadonlyMap<string, readonly Waiting[]>): Promise<ReadonlyMap<string, number>> {
    return this.#write(async (db) => {
      const written = new Map<string, number>();
      for (const [thumbprint, { length }] of wanted) {
        const known = this.#highest.get(thumbprint) ?? 0;
        const row = await db
          .updateTable('devices')
          .set({
            epoch: sql`(case when epoch < ${known} then ${known} else epoch end) + ${length}`,
          })
          .where('thumbprint', '=', thumbprint)
          .returning('epoch')
          .executeTakeFirst();
        if (row !== undefined) written.set(thumbprint, Number(row.epoch));
      }
      return written;
    }, EPOCH_LIMITS.lockWaitMs);
  }
}
