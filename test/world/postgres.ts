// A PostgreSQL server of one test file: real, in a folder of its own, as a user who is not root, on a
// free port of loopback. It can be stopped, killed and started again; disposing of it leaves nothing.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from 'pg';
import { freePort } from './free-port.ts';
import { newPostgresFolder, POSTGRES_USER, unprivileged } from './postgres-data.ts';

const POSTGRES_TEST_LIMITS = {
  /** A recovery after kill -9 included, on a busy machine. */
  startMs: 30_000,
  /** Between two questions whether it answers. */
  lookMs: 20,
} as const;

export interface PostgresOptions {
  /** Only a test that pulls the plug needs it. */
  readonly fsync?: boolean;
}

export class PostgresServer implements AsyncDisposable {
  readonly port: number;
  readonly #folder: string;
  readonly #fsync: boolean;
  #server: ChildProcess | undefined;
  #databases = 0;

  private constructor(folder: string, port: number, fsync: boolean) {
    this.#folder = folder;
    this.port = port;
    this.#fsync = fsync;
  }

  static async start({ fsync = false }: PostgresOptions = {}): Promise<PostgresServer> {
    const folder = newPostgresFolder();
    const server = new PostgresServer(folder, await freePort(), fsync);
    await server.start();
    return server;
  }

  /** The URL of a database; the password in it must never be seen in a log. */
  url(database: string): string {
    const { name, password } = POSTGRES_USER;
    return `postgres://${name}:${password}@127.0.0.1:${this.port}/${database}`;
  }

  /** A new database, as a URL. */
  async createDatabase(): Promise<string> {
    this.#databases += 1;
    const name = `registry_${this.#databases}`;
    await this.query(this.url('postgres'), `create database ${name}`);
    return this.url(name);
  }

  /** Runs SQL as a stranger would. */
  async query(url: string, sql: string): Promise<Record<string, unknown>[]> {
    const client = new Client(url);
    await client.connect();
    try {
      return (await client.query(sql)).rows ?? [];
    } finally {
      await client.end();
    }
  }

  /** Nothing if it runs. */
  async start(): Promise<void> {
    const deadlineMs = performance.now() + POSTGRES_TEST_LIMITS.startMs;
    for (;;) {
      // What a killed server has left may bar the next one for a moment.
      if (!isRunning(this.#server)) this.#server = this.#spawn();
      const answer = await this.query(this.url('postgres'), 'select 1').catch(Object);
      if (Array.isArray(answer)) return;
      if (performance.now() > deadlineMs) {
        throw new Error('The server of PostgreSQL does not start.', { cause: answer });
      }
      await pause(POSTGRES_TEST_LIMITS.lookMs);
    }
  }

  /** `SIGINT`: fast shutdown. `SIGQUIT`: at once, as after a power cut. `SIGKILL`: without a word. */
  async stop(signal: 'SIGINT' | 'SIGQUIT' | 'SIGKILL' = 'SIGINT'): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined || !isRunning(server)) return;
    const closed = once(server, 'close');
    server.kill(signal);
    await closed;
  }

  #spawn(): ChildProcess {
    const settings = {
      listen_addresses: '127.0.0.1',
      port: String(this.port),
      unix_socket_directories: '',
      max_connections: '200',
      shared_buffers: '64MB',
      fsync: this.#fsync ? 'on' : 'off',
    };
    const [command = '', ...args] = unprivileged('postgres', [
      ...['-D', join(this.#folder, 'data')],
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ]);
    return spawn(command, args, { cwd: this.#folder, stdio: 'ignore' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('SIGQUIT');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function isRunning(server: ChildProcess | undefined): boolean {
  return server !== undefined && server.exitCode === null && server.signalCode === null;
}
