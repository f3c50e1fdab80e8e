// The registry's file: opened, migrated, watched. Knows SQLite; knows nothing of names. The file may
// be used by several processes at once, but must not lie on a network file system (WAL).
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Kysely } from 'kysely';
import { Migrator } from 'kysely/migration';
import { MIGRATIONS, type RegistryTables } from './migrations.ts';
import { fileFault, RegistryError } from './registry-error.ts';
import { sqliteDialect } from './sqlite-dialect.ts';

export const DATABASE_LIMITS = {
  /** SQLite waits on our event loop, so it may wait only briefly; the longer waits are ours. */
  busyTimeoutMs: 2,
  /** Somebody else's lock that lasts longer is a fault. */
  lockWaitMs: 5_000,
  /** Between two attempts, jittered, so that many processes do not meet again. */
  retryMs: 15,
} as const;

/** Queries of one transaction. They may run again from the start when another process is in the way. */
export type RegistryWork<Value> = (transaction: Kysely<RegistryTables>) => Promise<Value>;

export type RegistryWrite = <Value>(work: RegistryWork<Value>, waitMs?: number) => Promise<Value>;

export class RegistryDatabase {
  readonly file: string;
  readonly kysely: Kysely<RegistryTables>;
  readonly #sqlite: DatabaseSync;
  readonly #inode: bigint;

  private constructor(file: string, sqlite: DatabaseSync) {
    this.file = file;
    this.#sqlite = sqlite;
    this.kysely = new Kysely<RegistryTables>({ dialect: sqliteDialect(sqlite) });
    this.#inode = inodeOf(file) ?? 0n;
  }

  /** Opens the file and brings it up to date. Only with `create` is a missing one made. */
  static async open(file: string, { create }: { create: boolean }): Promise<RegistryDatabase> {
    const url = pathToFileURL(file);
    url.search = create ? 'mode=rwc' : 'mode=rw';
    return withRetries(file, DATABASE_LIMITS.lockWaitMs, async () => {
      if (create) mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      else if (inodeOf(file) === undefined) throw missing(file);
      const sqlite = new DatabaseSync(url, { timeout: DATABASE_LIMITS.busyTimeoutMs });
      try {
        sqlite.exec('pragma journal_mode = wal; pragma synchronous = full;');
        const database = new RegistryDatabase(file, sqlite);
        await database.#migrate();
        return database;
      } catch (error) {
        if (sqlite.isOpen) sqlite.close();
        throw error;
      }
    });
  }

  /** Runs a transaction that writes; waits for other processes, and tries again, until the deadline. */
  write<Value>(
    work: RegistryWork<Value>,
    waitMs: number = DATABASE_LIMITS.lockWaitMs,
  ): Promise<Value> {
    return withRetries(this.file, waitMs, () => {
      // Without this, a write into a deleted file would be acknowledged and lost.
      if (!this.inPlace) throw missing(this.file);
      return this.kysely.transaction().execute(work);
    });
  }

  /** Runs a transaction that sees one state of all tables. */
  read<Value>(work: RegistryWork<Value>): Promise<Value> {
    return withRetries(this.file, DATABASE_LIMITS.lockWaitMs, () =>
      this.kysely.transaction().setAccessMode('read only').execute(work),
    );
  }

  /** A number that changes when another connection, of this process or another, has written. */
  version(): number {
    return this.#pragma('data_version');
  }

  /** Writes one page, and thereby tells whether that is possible again. */
  probe(): void {
    if (!this.inPlace) throw missing(this.file);
    try {
      this.#sqlite.exec(`pragma user_version = ${this.#pragma('user_version')}`);
    } catch (error) {
      throw fileFault(error, this.file);
    }
  }

  /** False when the path is gone or leads to another file by now. */
  get inPlace(): boolean {
    return inodeOf(this.file) === this.#inode;
  }

  close(): void {
    if (this.#sqlite.isOpen) this.#sqlite.close();
  }

  #pragma(name: 'data_version' | 'user_version'): number {
    try {
      return Number(this.#sqlite.prepare(`pragma ${name}`).get()?.[name]);
    } catch (error) {
      throw fileFault(error, this.file);
    }
  }

  async #migrate(): Promise<void> {
    const provider = { getMigrations: async () => ({ ...MIGRATIONS }) };
    const { error } = await new Migrator({ db: this.kysely, provider }).migrateToLatest();
    if (error === undefined) return;
    if (error instanceof Error && error.message.includes('corrupted migrations')) {
      throw new RegistryError(
        'ERR_REGISTRY_NEWER',
        `The registry ${this.file} was written by a newer version of Waygate. Update this one.`,
        { cause: error },
      );
    }
    throw error;
  }
}

async function withRetries<Value>(
  file: string,
  waitMs: number,
  attempt: () => Promise<Value>,
): Promise<Value> {
  const untilMs = performance.now() + waitMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const fault = fileFault(error, file);
      const busy = fault instanceof RegistryError && fault.code === 'ERR_REGISTRY_BUSY';
      if (!busy || performance.now() >= untilMs) throw fault;
      await sleep(DATABASE_LIMITS.retryMs * (0.5 + Math.random()));
    }
  }
}

function inodeOf(file: string): bigint | undefined {
  return statSync(file, { bigint: true, throwIfNoEntry: false })?.ino;
}

function missing(file: string): RegistryError {
  return new RegistryError(
    'ERR_REGISTRY_MISSING',
    `The registry ${file} is gone, or another file is in its place. Put it back, or a backup of it.`,
  );
}
