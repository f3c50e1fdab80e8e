// The registry on a PostgreSQL server that several relays share. Knows PostgreSQL; knows nothing of
// names. A connection that is lost is made again by the next query, so there is nothing to renew.
import { Kysely, PostgresDialect, sql } from 'kysely';
import { Pool, type PoolConfig, types } from 'pg';
import type { RegistryDatabase, RegistryWork } from './database.ts';
import { POSTGRES_ENGINE } from './engine.ts';
import { migrate } from './migrate.ts';
import { postgresFault } from './postgres-fault.ts';
import { CHANNEL, PostgresListener } from './postgres-listener.ts';
import { RegistryError } from './registry-error.ts';
import type { RegistryTables } from './schema.ts';

const POSTGRES_LIMITS = {
  /** Deeds take one, plain writes and readings the others. */
  connectionsMax: 6,
  /** A server on the same continent answers within a fraction of it. */
  connectMs: 5_000,
  /** Somebody else's lock that lasts longer is a fault. */
  lockMs: 5_000,
  /** The server gives a statement up; half a million rows are read in less. */
  statementMs: 20_000,
  /** We give a statement up that the server never answered: the network is gone. */
  silenceMs: 25_000,
  /** Nobody waits longer for a transaction, whatever becomes of it. */
  transactionMs: 10_000,
  /** While it is known to be away, an attempt is only to tell whether it is back. */
  attemptMs: 1_000,
  /** Creating indexes on millions of rows is allowed to take its time. */
  migrationMs: 3_600_000,
  /** Deeds are told at once; this is for whom nothing was told. */
  pollMs: 1_000,
  /** Conflicts with others that are worth another try. */
  attemptsMax: 5,
} as const;

/** All deeds of all processes, one after the other. Any number that nobody else uses: "waygate". */
const DEED_LOCK = 0x77617967617465n;

const INT8 = 20;

/** Opens the database, whose tables are made if absent, and brings it up to date. */
export async function openPostgres(url: string): Promise<RegistryDatabase> {
  const title = titleOf(url);
  const config: PoolConfig = {
    connectionString: url,
    application_name: 'waygate',
    connectionTimeoutMillis: POSTGRES_LIMITS.connectMs,
    keepAlive: true,
    types: { getTypeParser },
  };
  try {
    await migrateOnce(config, title);
  } catch (error) {
    throw postgresFault(error, title);
  }
  return new PostgresDatabase(config, title);
}

class PostgresDatabase implements RegistryDatabase {
  readonly title: string;
  readonly pollMs = POSTGRES_LIMITS.pollMs;
  /** The version tells of deeds only. */
  readonly tellsAll = false;
  noticed: (() => void) | undefined;
  readonly #kysely: Kysely<RegistryTables>;
  readonly #listener: PostgresListener;
  #deeds: Promise<unknown> = Promise.resolve();

  constructor(config: PoolConfig, title: string) {
    this.title = title;
    this.#kysely = new Kysely<RegistryTables>({
      dialect: new PostgresDialect({
        pool: makePool({
          ...config,
          max: POSTGRES_LIMITS.connectionsMax,
          statement_timeout: POSTGRES_LIMITS.statementMs,
          query_timeout: POSTGRES_LIMITS.silenceMs,
          lock_timeout: POSTGRES_LIMITS.lockMs,
          idle_in_transaction_session_timeout: POSTGRES_LIMITS.statementMs,
        }),
      }),
    });
    this.#listener = new PostgresListener(config, () => this.noticed?.());
  }

  /** Deeds of this process wait here and not at the server, where each would hold a connection. */
  perform<Value>(work: RegistryWork<Value>, waitMs?: number): Promise<Value> {
    const turn = this.#deeds.then(() =>
      this.write(async (db) => {
        await sql`select pg_advisory_xact_lock(${DEED_LOCK})`.execute(db);
        const value = await work(db);
        await sql`select pg_notify(${CHANNEL}, '')`.execute(db);
        return value;
      }, waitMs),
    );
    this.#deeds = turn.catch(() => undefined);
    return turn;
  }

  write<Value>(
    work: RegistryWork<Value>,
    waitMs: number = POSTGRES_LIMITS.transactionMs,
  ): Promise<Value> {
    return this.#attempts(waitMs, () => this.#kysely.transaction().execute(work));
  }

  read<Value>(work: RegistryWork<Value>): Promise<Value> {
    // Reading everything takes long; each of its statements has a deadline of its own.
    return this.#attempts(Number.POSITIVE_INFINITY, () =>
      this.#kysely
        .transaction()
        .setIsolationLevel('repeatable read')
        .setAccessMode('read only')
        .execute(work),
    );
  }

  async version(): Promise<string> {
    const query = sql<{ deeds: number | null; serial: number | null }>`
      select (select max(id) from history) as deeds, (select max(serial) from zone) as serial`;
    const { rows } = await this.#attempts(POSTGRES_LIMITS.transactionMs, () =>
      query.execute(this.#kysely),
    );
    return `${rows[0]?.deeds} ${rows[0]?.serial}`;
  }

  /** Writes a row with what stands there already; without rows it is still refused to who may not. */
  async probe(): Promise<void> {
    await this.#attempts(POSTGRES_LIMITS.transactionMs, () =>
      sql`update devices set epoch = epoch
        where thumbprint = (select min(thumbprint) from devices)`.execute(this.#kysely),
    );
  }

  async renew(): Promise<boolean> {
    return false;
  }

  async close(): Promise<void> {
    await this.#listener.close();
    await this.#kysely.destroy();
  }

  async #attempts<Value>(waitMs: number, attempt: () => Promise<Value>): Promise<Value> {
    const deadlineMs = Math.max(waitMs, POSTGRES_LIMITS.attemptMs);
    for (let count = 1; ; count += 1) {
      try {
        return await inTime(attempt(), deadlineMs);
      } catch (error) {
        if (!isConflict(error) || count === POSTGRES_LIMITS.attemptsMax) {
          throw postgresFault(error, this.title);
        }
      }
    }
  }
}

async function migrateOnce(config: PoolConfig, title: string): Promise<void> {
  const pool = makePool({ ...config, max: 2, statement_timeout: POSTGRES_LIMITS.migrationMs });
  const kysely = new Kysely<RegistryTables>({ dialect: new PostgresDialect({ pool }) });
  try {
    await migrate(kysely, POSTGRES_ENGINE, title);
  } finally {
    await kysely.destroy();
  }
}

function makePool(config: PoolConfig): Pool {
  const pool = new Pool(config);
  // A connection that is lost is told by the next query; without listeners it would end the process.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/** Two transactions in each other's way; the next attempt begins anew. */
function isConflict(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === '40001' || code === '40P01';
}

async function inTime<Value>(work: Promise<Value>, deadlineMs: number): Promise<Value> {
  if (deadlineMs === Number.POSITIVE_INFINITY) return work;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('timeout of the transaction')), deadlineMs);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** All our big integers are milliseconds and counts, which a number holds exactly. */
const getTypeParser: typeof types.getTypeParser = (oid: number, format?: 'text' | 'binary') =>
  oid === INT8 ? Number : types.getTypeParser(oid, format);

/** The database and its server, without who asks and how. */
function titleOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed !== undefined && /^postgres(ql)?:$/.test(parsed.protocol)) {
    const server = decodeURIComponent(parsed.hostname) + (parsed.port && `:${parsed.port}`);
    return `registry ${decodeURIComponent(parsed.pathname.slice(1))} at ${server}`;
  }
  throw new RegistryError(
    'ERR_REGISTRY_UNAVAILABLE',
    'The URL of the registry is none of PostgreSQL. Write it as postgres://USER:PASSWORD@HOST:PORT/NAME.',
  );
}
