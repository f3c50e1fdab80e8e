// When each device was last seen: in memory at once, in the file now and then, in one transaction.
import type { RegistryWork, RegistryWrite } from './database.ts';
import { RegistryError } from './registry-error.ts';

type RegistryRead = <Value>(work: RegistryWork<Value>) => Promise<Value>;

/** Rows in one transaction: a few milliseconds of work between two turns of the event loop. */
const BATCH_MAX = 500;

export class SightingLog {
  readonly #write: RegistryWrite;
  /** One entry per device of the registry, so the registry bounds it. */
  readonly #latestMs = new Map<string, number>();
  #unwritten = new Map<string, number>();

  constructor(write: RegistryWrite) {
    this.#write = write;
  }

  /** Keeps the later of two times. */
  mark(thumbprint: string, atMs: number): void {
    if (atMs <= (this.#latestMs.get(thumbprint) ?? 0)) return;
    this.#latestMs.set(thumbprint, atMs);
    this.#unwritten.set(thumbprint, atMs);
  }

  /** The latest that anybody has marked. Never rejects: without the file, what this process knows. */
  async lastMs(thumbprint: string, read: RegistryRead): Promise<number | undefined> {
    const marked = this.#latestMs.get(thumbprint);
    try {
      const stored = await read((db) =>
        db
          .selectFrom('devices')
          .select('last_seen_at')
          .where('thumbprint', '=', thumbprint)
          .executeTakeFirst(),
      );
      const storedMs = Number(stored?.last_seen_at ?? 0);
      return Math.max(storedMs, marked ?? 0) || undefined;
    } catch (error) {
      if (error instanceof RegistryError) return marked;
      throw error;
    }
  }

  /** Writes what is new. What cannot be written stays for the next time. */
  async flush(): Promise<void> {
    const entries = [...this.#unwritten];
    this.#unwritten = new Map();
    for (let start = 0; start < entries.length; start += BATCH_MAX) {
      try {
        await this.#store(entries.slice(start, start + BATCH_MAX));
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        for (const [thumbprint, atMs] of entries.slice(start)) {
          if (!this.#unwritten.has(thumbprint)) this.#unwritten.set(thumbprint, atMs);
        }
        return;
      }
    }
  }

  #store(entries: readonly (readonly [string, number])[]): Promise<void> {
    return this.#write(async (db) => {
      for (const [thumbprint, atMs] of entries) {
        await db
          .updateTable('devices')
          .set({ last_seen_at: atMs })
          .where('thumbprint', '=', thumbprint)
          .where((row) => row.or([row('last_seen_at', 'is', null), row('last_seen_at', '<', atMs)]))
          .execute();
      }
    });
  }
}
