// What each device ran when it last connected: in memory at once, in the registry now and then.
import type { RegistryWrite } from './database.ts';
import { RegistryError } from './registry-error.ts';

const SOFTWARE_LIMITS = {
  /** A storm of returning devices is written in a few transactions; a crash forgets no more than this. */
  flushMs: 5_000,
  /** Rows in one transaction: a few milliseconds of work between two turns of the event loop. */
  batchMax: 500,
} as const;

export class SoftwareLog {
  readonly #write: RegistryWrite;
  /** What was told and is not written; the registry bounds it, since only its devices are admitted. */
  #unwritten = new Map<string, string>();
  /** What was written by this process, so that a device that comes back costs nothing. */
  readonly #written = new Map<string, string>();
  readonly #timer: NodeJS.Timeout;

  constructor(write: RegistryWrite) {
    this.#write = write;
    this.#timer = setInterval(() => void this.flush(), SOFTWARE_LIMITS.flushMs).unref();
  }

  mark(thumbprint: string, software: string): void {
    if (this.#written.get(thumbprint) === software) return;
    this.#unwritten.set(thumbprint, software);
  }

  /** What cannot be written now stays for the next time. */
  async flush(): Promise<void> {
    const entries = [...this.#unwritten];
    this.#unwritten = new Map();
    for (let start = 0; start < entries.length; start += SOFTWARE_LIMITS.batchMax) {
      const batch = entries.slice(start, start + SOFTWARE_LIMITS.batchMax);
      try {
        await this.#store(batch);
        for (const [thumbprint, software] of batch) this.#written.set(thumbprint, software);
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        for (const [thumbprint, software] of entries.slice(start)) {
          if (!this.#unwritten.has(thumbprint)) this.#unwritten.set(thumbprint, software);
        }
        return;
      }
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  #store(batch: readonly (readonly [string, string])[]): Promise<void> {
    return this.#write(async (db) => {
      for (const [thumbprint, software] of batch) {
        await db
          .updateTable('devices')
          .set({ software })
          .where('thumbprint', '=', thumbprint)
          .execute();
      }
    });
  }
}
