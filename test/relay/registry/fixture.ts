// A registry in a directory of its own, with what it logs, and its file opened behind its back.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Logger, pino } from 'pino';
import { onTestFinished } from 'vitest';
import { type DeviceName, parseDeviceName } from '../../../dns/name.ts';
import { generateKey, type PublicKey } from '../../../relay/protocol/key.ts';
import {
  openRegistry,
  type Registry,
  type RegistryLimits,
} from '../../../relay/registry/registry.ts';

export interface World {
  readonly file: string;
  readonly lines: Record<string, unknown>[];
  open(limits?: Partial<RegistryLimits>): Promise<Registry>;
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
  const lines: Record<string, unknown>[] = [];
  const log: Logger = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return {
    file,
    lines,
    open: async (limits = {}) => {
      const registry = await openRegistry({ file, log, limits });
      onTestFinished(() => registry.close());
      return registry;
    },
    meddle: (sql) => {
      const database = new DatabaseSync(file, { timeout: 5_000 });
      database.exec(sql);
      database.close();
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
