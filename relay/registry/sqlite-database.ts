// The registry in a file: opened, migrated, watched. Knows SQLite; knows nothing of names. The file may
// be used by several processes at once, but must not lie on a network file system (WAL).
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Kysely } from 'kysely';
import type { RegistryDatabase, RegistryWork } from './database.ts';
import { SQLITE_ENGINE } from './engine.ts';
import { migrate } from './migrate.ts';
import { RegistryError } from './registry-error.ts';
import type { RegistryTables } from './schema.ts';
import { sqliteDialect } from './sqlite-dialect.ts';
import { fileFault } from './sqlite-fault.ts';

export const SQLITE_LIMITS = {
  /** SQLite waits on our event loop, so it may wait only briefly; the longer waits are ours. */
  busyTimeoutMs: 2,
  /** Somebody else's lock that lasts longer is a fault. */
  lockWaitMs: 5_000,
  /** Between two attempts, jittered, so that many processes do not meet again. */
  retryMs: 15,
  /** A look costs two system calls and a read of shared memory: some 10 µs. */
  pollMs: 50,
  /** Whoever exchanges the file exchanges its -wal too, in steps; opened between them, both are lost. */
  settleMs: 200,
} as const;

/** Opens the file, made if absent, and brings it up to date. */
export function openSqlite(file: string): Promise<RegistryDatabase> {
  return withRetries(file, SQLITE_LIMITS.lockWaitMs, async () => {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    return new SqliteDatabase(file, await Connection.open(file, 'rwc'));
  });
}

class SqliteDatabase implements RegistryDatabase {
  readonly title: string;
  readonly pollMs = SQLITE_LIMITS.pollMs;
  readonly tellsAll = true;
  /** SQLite tells nobody, so it is looked at often. */
  noticed: (() => void) | undefined;
  readonly #file: string;
  #connection: Connection;
  /** The file that has taken the place of ours, and since when. */
  #newcomer = { inode: 0n, sinceMs: 0 };
  #closed = false;

  constructor(file: string, connection: Connection) {
    this.title = `registry ${file}`;
    this.#file = file;
    this.#connection = connection;
  }

  /** SQLite has one writer at a time anyway. */
  perform<Value>(work: RegistryWork<Value>, waitMs?: number): Promise<Value> {
    return this.write(work, waitMs);
  }

  write<Value>(
    work: RegistryWork<Value>,
    waitMs: number = SQLITE_LIMITS.lockWaitMs,
  ): Promise<Value> {
    return withRetries(this.#file, waitMs, () => {
      // Without this, a write into a deleted file would be acknowledged and lost.
      this.#connection.assertInPlace();
      return this.#connection.kysely.transaction().execute(work);
    });
  }

  read<Value>(work: RegistryWork<Value>): Promise<Value> {
    return withRetries(this.#file, SQLITE_LIMITS.lockWaitMs, () =>
      this.#connection.kysely.transaction().setAccessMode('read only').execute(work),
    );
  }

  async version(): Promise<string> {
    return this.#guard(() => this.#connection.dataVersion());
  }

  async probe(): Promise<void> {
    this.#guard(() => {
      this.#connection.assertInPlace();
      this.#connection.touch();
    });
  }

  /** A connection that failed once, or whose file was exchanged, is not trusted again. */
  async renew(fault: boolean): Promise<boolean> {
    if (!this.#connection.inPlace) this.#assertSettled();
    else if (!fault) return false;
    const fresh = await withRetries(this.#file, SQLITE_LIMITS.lockWaitMs, () =>
      Connection.open(this.#file, 'rw'),
    );
    const stale = this.#closed ? fresh : this.#connection;
    if (!this.#closed) this.#connection = fresh;
    stale.close();
    return true;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#connection.close();
  }

  #assertSettled(): void {
    const inode = inodeOf(this.#file);
    if (inode === undefined) throw missing(this.#file);
    const nowMs = performance.now();
    if (inode !== this.#newcomer.inode) this.#newcomer = { inode, sinceMs: nowMs };
    if (nowMs - this.#newcomer.sinceMs < SQLITE_LIMITS.settleMs) throw missing(this.#file);
  }

  #guard<Value>(work: () => Value): Value {
    try {
      return work();
    } catch (error) {
      throw fileFault(error, this.#file);
    }
  }
}

class Connection {
  readonly kysely: Kysely<RegistryTables>;
  readonly #file: string;
  readonly #sqlite: DatabaseSync;
  readonly #inode: bigint;
  #dataVersion: StatementSync | undefined;

  private constructor(file: string, sqlite: DatabaseSync) {
    this.#file = file;
    this.#sqlite = sqlite;
    this.kysely = new Kysely<RegistryTables>({ dialect: sqliteDialect(sqlite) });
    this.#inode = inodeOf(file) ?? 0n;
  }

  /** Only with `rwc` is a missing file made. */
  static async open(file: string, mode: 'rw' | 'rwc'): Promise<Connection> {
    const url = pathToFileURL(file);
    url.search = `mode=${mode}`;
    const sqlite = new DatabaseSync(url, { timeout: SQLITE_LIMITS.busyTimeoutMs });
    try {
      sqlite.exec('pragma journal_mode = wal; pragma synchronous = full;');
      const connection = new Connection(file, sqlite);
      await migrate(connection.kysely, SQLITE_ENGINE, `registry ${file}`);
      return connection;
    } catch (error) {
      if (sqlite.isOpen) sqlite.close();
      throw error;
    }
  }

  /** False when the path is gone or leads to another file by now. */
  get inPlace(): boolean {
    return inodeOf(this.#file) === this.#inode;
  }

  assertInPlace(): void {
    if (!this.inPlace) throw missing(this.#file);
  }

  dataVersion(): string {
    this.#dataVersion ??= this.#sqlite.prepare('pragma data_version');
    return String(this.#dataVersion.get()?.['data_version']);
  }

  /** Writes one page with what stands there already. */
  touch(): void {
    const { user_version: present } = this.#sqlite.prepare('pragma user_version').get() ?? {};
    this.#sqlite.exec(`pragma user_version = ${Number(present)}`);
  }

  close(): void {
    if (this.#sqlite.isOpen) this.#sqlite.close();
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
      await sleep(SQLITE_LIMITS.retryMs * (0.5 + Math.random()));
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
