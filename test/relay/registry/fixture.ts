// A registry in a directory or a database of its own, with what it logs, and opened behind its back.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Logger, pino } from 'pino';
import { expect, onTestFinished, vi } from 'vitest';
import { type DeviceName, parseDeviceName } from '../../../dns/name.ts';
import { generateKey, type PublicKey } from '../../../relay/protocol/key.ts';
import type { DatabasePlace } from '../../../relay/registry/database.ts';
import type { NamePolicy } from '../../../relay/registry/policy.ts';
import {
  openRegistry,
  type Registry,
  type RegistryLimits,
} from '../../../relay/registry/registry.ts';
import { RegistryError, type RegistryErrorCode } from '../../../relay/registry/registry-error.ts';
import type { PostgresServer } from '../../world/postgres.ts';

/** A server that was killed recovers before it answers. */
const FAULT_WAIT = { timeout: 15_000, interval: 20 } as const;

/** A registry on whichever database. */
export interface AnyWorld {
  readonly place: DatabasePlace;
  readonly lines: Record<string, unknown>[];
  open(limits?: Partial<RegistryLimits>, policy?: Partial<NamePolicy>): Promise<Registry>;
  /** Runs SQL as a stranger would. */
  query(sql: string): Promise<Record<string, unknown>[]>;
}

/** A registry in a file. */
export interface World extends AnyWorld {
  readonly file: string;
  /** Runs SQL on the file as a stranger would. */
  meddle(sql: string): void;
}

export async function makeWorld(): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'waygate-registry-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return worldIn(directory);
}

export function worldIn(directory: string): World {
  const file = join(directory, 'registry.sqlite');
  return {
    file,
    ...worldAt({ kind: 'sqlite', file }),
    query: async (sql) => {
      const database = new DatabaseSync(file, { timeout: 5_000 });
      const rows = database.prepare(sql).all();
      database.close();
      return rows;
    },
    meddle: (sql) => {
      const database = new DatabaseSync(file, { timeout: 5_000 });
      database.exec(sql);
      database.close();
    },
  };
}

/** A registry in a new database of the server. */
export async function postgresWorld(server: PostgresServer): Promise<AnyWorld & { url: string }> {
  const url = await server.createDatabase();
  return {
    url,
    ...worldAt({ kind: 'postgres', url }),
    query: (sql) => server.query(url, sql),
  };
}

function worldAt(place: DatabasePlace): Omit<AnyWorld, 'query'> {
  const lines: Record<string, unknown>[] = [];
  const log: Logger = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return {
    place,
    lines,
    open: async (limits = {}, policy = {}) => {
      const registry = await openRegistry({ database: place, log, limits, policy });
      onTestFinished(() => registry.close());
      return registry;
    },
  };
}

export function deviceName(text: string): DeviceName {
  const name = parseDeviceName(text);
  if (name === undefined) throw new Error(`not a name: ${text}`);
  return name;
}

export function deviceKey(): PublicKey {
  return generateKey('device').publicKey;
}

/** Enrols `count` names for one key in one go. */
export async function enrollMany(registry: Registry, prefix: string, count: number): Promise<void> {
  const key = deviceKey();
  const names = Array.from({ length: count }, (_, at) => deviceName(`${prefix}-${at}`));
  await Promise.all(names.map((name) => registry.enroll({ name, deviceKey: key, actor: 'test' })));
}

/** What the log has of errors, by code, in order. */
export function errorsOf({ lines }: AnyWorld): unknown[] {
  return lines.filter(({ level }) => level === 50).map(({ err }) => Object(err).code);
}

export async function wellAgain(registry: Registry): Promise<void> {
  await vi.waitFor(() => expect(registry.fault).toBeUndefined(), FAULT_WAIT);
}

export async function faultIs(registry: Registry, code: RegistryErrorCode): Promise<void> {
  await vi.waitFor(() => expect(registry.fault?.code).toBe(code), FAULT_WAIT);
}

/** The message of a refusal, which ends with what to do. */
export async function expectRefusal(
  work: Promise<unknown>,
  code: RegistryErrorCode,
): Promise<string> {
  const error: unknown = await work.then(
    () => new Error('it was done'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RegistryError);
  expect(error).toMatchObject({ code });
  return String(error);
}
