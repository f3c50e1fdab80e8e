// Waygate under test: one relay and one device as separate processes, with the programs' own
// configurations and verbs. The access log is off, as it is for everybody in this bench.
import type { ChildProcess } from 'node:child_process';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { relayFiles } from '../../relay/config.ts';
import type { Ports } from './nginx.ts';
import { message, type Processes } from './processes.ts';

export const ZONE = 'vendor.localhost';

export interface RelayRun {
  readonly child: ChildProcess;
  readonly configFile: string;
  readonly port: number;
  /** File of the certificate authority. */
  readonly ca: string;
  readonly vendorKey: string;
}

/** The registry of a relay that is not yet started, for those who enrol many devices. */
export function relayRegistry(folder: string, name: string): string {
  mkdirSync(join(folder, name), { mode: 0o700 });
  return relayFiles({ state: join(folder, name) }).registry;
}

export async function startRelay(
  processes: Processes,
  folder: string,
  name: string,
): Promise<RelayRun> {
  const state = join(folder, name);
  const configFile = writeConfig(folder, name, {
    zone: ZONE,
    listen: { host: '127.0.0.1', port: 0 },
    state,
    ops: { host: '127.0.0.1', port: 0 },
    accessLog: false,
    drainSeconds: 1,
    // All visitors and devices of a bench come from one address.
    limits: { connectionsPerAddress: 100_000, streamsPerVisitor: 10_000 },
  });
  const child = processes.start(name, 'waygate.ts', ['relay', '--config', configFile]);
  const ready = await message(child, (value) => value['event'] === 'ready');
  return {
    child,
    configFile,
    port: Number(ready['port']),
    ca: String(ready['ca']),
    vendorKey: String(ready['vendorKey']),
  };
}

/** A device called `alice` with the workspaces `bench` and `sink`, once its tunnel is up. */
export async function startDevice(
  processes: Processes,
  folder: string,
  relay: RelayRun,
  ports: Ports,
): Promise<ChildProcess> {
  const configFile = writeConfig(folder, 'device', {
    relay: {
      url: `wss://tunnel.${ZONE}:${relay.port}/`,
      vendorKey: relay.vendorKey,
      ca: relay.ca,
      address: '127.0.0.1',
    },
    key: join(folder, 'device.key'),
    ops: { host: '127.0.0.1', port: 0 },
    workspaces: [
      { name: 'bench', target: `http://127.0.0.1:${ports.bench}` },
      { name: 'sink', target: `http://127.0.0.1:${ports.sink}` },
    ],
  });
  const key = verb('device', 'key', '--config', configFile);
  verb('relay', 'enroll', '--config', relay.configFile, '--name', 'alice', '--device-key', key);
  const child = processes.start('device', 'waygate.ts', ['device', '--config', configFile]);
  await message(child, (value) => value['event'] === 'ready');
  return child;
}

function verb(...args: readonly string[]): string {
  return execFileSync(process.execPath, ['waygate.ts', ...args], { encoding: 'utf8' }).trim();
}

export function writeConfig(folder: string, name: string, value: unknown): string {
  const file = join(folder, `${name}.yaml`);
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(value));
  return file;
}
