// A registry whose clock the test moves, on each database that there is, with owners and keys for its
// deeds. Deeds are done through real connections; `another` opens one more to the same database.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import type { DatabasePlace } from '../../../../relay/registry/database.ts';
import type { Deed } from '../../../../relay/registry/deed.ts';
import { claimState, openClaim } from '../../../../relay/registry/deeds/claim.ts';
import { type Enrolment, enroll } from '../../../../relay/registry/deeds/enroll.ts';
import { listHistory, listNames } from '../../../../relay/registry/listings.ts';
import type { NamePolicy } from '../../../../relay/registry/policy.ts';
import { openRegistry, type Registry } from '../../../../relay/registry/registry.ts';
import type { RegistryErrorCode } from '../../../../relay/registry/registry-error.ts';
import { signIn } from '../../../../relay/registry/sign-in.ts';
import { PostgresServer } from '../../../world/postgres.ts';
import { requires } from '../../../world/requires.ts';
import { deviceKey, deviceName, expectRefusal } from '../fixture.ts';

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

export const operator = { kind: 'operator', user: 'root' } as const;

export interface Engine {
  readonly engine: string;
  place(): Promise<DatabasePlace>;
}

const need = requires('initdb', 'setpriv');

/** One server and one database for the file of tests. */
let shared: { readonly server: PostgresServer; readonly url: string } | undefined;

beforeAll(async () => {
  if (need.skip) return;
  const server = await PostgresServer.start();
  shared = { server, url: await server.createDatabase() };
}, 60_000);

afterAll(() => shared?.server[Symbol.asyncDispose]());

export const ENGINES: readonly Engine[] = [
  { engine: 'SQLite', place: sqlitePlace },
  ...(need.skip ? [] : [{ engine: 'PostgreSQL', place: postgresPlace }]),
];

/** Emptied for every test: making another, with its tables, takes several times as long. */
async function postgresPlace(): Promise<DatabasePlace> {
  if (shared === undefined) throw new Error('The server has not started.');
  const { server, url } = shared;
  const tables = await server.query(
    url,
    "select tablename from pg_tables where schemaname = 'public' and tablename not like 'kysely%'",
  );
  const names = tables.map(({ tablename }) => String(tablename)).join(', ');
  if (names !== '') await server.query(url, `truncate ${names} restart identity`);
  return { kind: 'postgres', url };
}

async function sqlitePlace(): Promise<DatabasePlace> {
  const directory = await mkdtemp(join(tmpdir(), 'waygate-deeds-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return { kind: 'sqlite', file: join(directory, 'registry.sqlite') };
}

export class DeedWorld {
  nowMs = Date.UTC(2026, 10, 1);
  readonly #open: () => Promise<Registry>;
  #registry: Registry | undefined;

  private constructor(database: DatabasePlace, policy: Partial<NamePolicy>) {
    this.#open = async () => {
      const log = pino({ level: 'silent' });
      const registry = await openRegistry({ database, log, policy, now: () => this.nowMs });
      onTestFinished(() => registry.close());
      return registry;
    };
  }

  static async of(engine: Engine, policy: Partial<NamePolicy> = {}): Promise<DeedWorld> {
    const world = new DeedWorld(await engine.place(), policy);
    world.#registry = await world.#open();
    return world;
  }

  get registry(): Registry {
    if (this.#registry === undefined) throw new Error('not open');
    return this.#registry;
  }

  another(): Promise<Registry> {
    return this.#open();
  }

  do<Value>(deed: Deed<Value>): Promise<Value> {
    return this.registry.perform(deed);
  }

  async owner(address: string): Promise<string> {
    const input = { issuer: 'mailto', subject: address, emailVerified: true, nowMs: this.nowMs };
    return (await this.registry.write(signIn(input))).id;
  }

  /** A name for a fresh key. */
  async enrolled(text: string, change: Partial<Enrolment> = {}) {
    const [name, key] = [deviceName(text), change.deviceKey ?? deviceKey()];
    await this.do(enroll({ name, deviceKey: key, actor: 'cli:root', ...change }));
    return { name, key, device: { kind: 'device', thumbprint: key.thumbprint } } as const;
  }

  /** The code that a key shows, and how to ask for its claim. */
  async claim(key = deviceKey(), address = '192.0.2.7') {
    const { id, code } = await this.do(openClaim({ deviceKey: key, address }));
    const { thumbprint } = key;
    const state = () => this.registry.read(claimState({ id, thumbprint, nowMs: this.nowMs }));
    return { key, id, code, state };
  }

  /** State, key or successor of a name; `undefined`: it is free. */
  async row(name: string) {
    const [row] = await this.registry.read(listNames({ name, limit: 1 }));
    return row;
  }

  /** The history of a name, the oldest first: who, what, why. */
  async history(name?: string): Promise<string[]> {
    const query = name === undefined ? {} : { name };
    const rows = await this.registry.read(listHistory({ ...query, limit: 1_000 }));
    return rows.toReversed().map(({ actor, what, detail }) => `${actor} ${what} ${detail ?? ''}`);
  }

  async refused(deed: Deed<unknown>, code: RegistryErrorCode): Promise<string> {
    return expectRefusal(this.do(deed), code);
  }
}
