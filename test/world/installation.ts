// A vendor and devices as somebody installs them: a folder each, with relay.yaml or device.yaml, keys
// and state, and a process for each program. What a test changes it writes into the files.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { caFile, openAuthority } from '../../certs/authority.ts';
import { openStore } from '../../certs/store.ts';
import { readConfig } from '../../config-file.ts';
import { parseDeviceName, parseHostname } from '../../dns/name.ts';
import { relayFiles, relaySchema } from '../../relay/config.ts';
import { loadOrCreateKey, type PublicKey } from '../../relay/protocol/key.ts';
import { openRegistry, type Registry } from '../../relay/registry/registry.ts';
import { registryPlace } from '../../relay/registry-place.ts';
import { freePort } from './free-port.ts';
import { type ProgramOptions, ProgramProcess } from './program-process.ts';

export const ZONE = 'vendor.test';

export interface VendorOptions {
  readonly zone?: string;
  /** Where the relay listens. */
  readonly address?: string;
  readonly drainSeconds?: number;
  /** The registry's database; without it a file in the state directory. */
  readonly postgresUrl?: string;
  /** More lines for relay.yaml. */
  readonly more?: string;
  /** The state directory, when it is not one in the vendor's folder. */
  readonly state?: string;
}

/** Everything that belongs to one vendor in one test; disposing of it leaves nothing behind. */
export class Installation implements AsyncDisposable {
  readonly folder: string;
  readonly zone: string;
  readonly address: string;
  readonly port: number;
  readonly vendorKey: PublicKey;
  readonly relayConfig: string;
  #ca: { readonly file: string; readonly pem: string };
  readonly #programs: ProgramProcess[] = [];

  private constructor(facts: {
    readonly folder: string;
    readonly zone: string;
    readonly address: string;
    readonly port: number;
    readonly vendorKey: PublicKey;
    readonly ca: { readonly file: string; readonly pem: string };
  }) {
    this.folder = facts.folder;
    this.zone = facts.zone;
    this.address = facts.address;
    this.port = facts.port;
    this.vendorKey = facts.vendorKey;
    this.#ca = facts.ca;
    this.relayConfig = join(facts.folder, 'relay.yaml');
  }

  static async make(options: VendorOptions = {}): Promise<Installation> {
    const { address = '127.0.0.1', drainSeconds = 2, more = '' } = options;
    const folder = mkdtempSync(join(tmpdir(), 'waygate-faults-'));
    const state = options.state ?? join(folder, 'relay');
    const files = relayFiles({ state });
    const zone = parseHostname(options.zone ?? ZONE);
    if (zone === undefined) throw new Error(`${options.zone} is no zone`);
    const store = await openStore(files.certificates);
    const { caPem } = await openAuthority(store, zone);
    const vendor = await loadOrCreateKey(files.vendorKey, 'vendor');
    const port = address === '127.0.0.1' ? await freePort() : 443;
    const urlFile = join(folder, 'postgres-url');
    if (options.postgresUrl !== undefined) {
      writeFileSync(urlFile, `${options.postgresUrl}\n`, { mode: 0o600 });
    }
    const registry =
      options.postgresUrl === undefined ? '' : `registry: { postgresUrlFile: "${urlFile}" }\n`;
    writeFileSync(
      join(folder, 'relay.yaml'),
      `zone: ${zone}\nlisten: { host: "${address}", port: ${port} }\nstate: "${state}"\n` +
        `ops: { host: 127.0.0.1, port: 0 }\ndrainSeconds: ${drainSeconds}\n${registry}${more}`,
    );
    const ca = { file: caFile(store, zone), pem: caPem };
    return new Installation({ folder, zone, address, port, vendorKey: vendor.publicKey, ca });
  }

  /** Whom visitors and devices trust: the relay's own authority, unless `trust` has said another. */
  get ca(): string {
    return this.#ca.file;
  }

  get caPem(): string {
    return this.#ca.pem;
  }

  /** The relay gets its certificates elsewhere. */
  trust(pem: string): void {
    const file = join(this.folder, 'root.pem');
    writeFileSync(file, pem);
    this.#ca = { file, pem };
  }

  /** A relay that serves. */
  async relay(options?: ProgramOptions): Promise<ProgramProcess> {
    const relay = this.run('relay', this.relayConfig, options);
    await relay.ready();
    return relay;
  }

  /** A process that may or may not come up; it is gone when the installation is. */
  run(
    program: 'relay' | 'device' | 'dns',
    configFile: string,
    options?: ProgramOptions,
  ): ProgramProcess {
    const process = new ProgramProcess(program, configFile, options);
    this.#programs.push(process);
    return process;
  }

  /** The files of a device that holds this name. */
  async device(name: string, workspaces: Readonly<Record<string, string>>): Promise<DeviceFiles> {
    const files = new DeviceFiles(this, name);
    const key = await files.makeKey();
    const deviceName = parseDeviceName(name);
    if (deviceName === undefined) throw new Error(`${name} is no device name`);
    await this.withRegistry((registry) =>
      registry.enroll({ name: deviceName, deviceKey: key, actor: 'test' }),
    );
    files.write({ workspaces });
    return files;
  }

  /** The registry, as another process than the relay sees and changes it. */
  async withRegistry<Value>(work: (registry: Registry) => Promise<Value>): Promise<Value> {
    const database = await registryPlace(readConfig(this.relayConfig, relaySchema));
    const registry = await openRegistry({ database, log: pino({ level: 'silent' }) });
    try {
      return await work(registry);
    } finally {
      await registry.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#programs.toReversed()) await program[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What device.yaml says; the rest is right unless a test makes it wrong. */
export interface DeviceSettings {
  readonly workspaces: Readonly<Record<string, string>>;
  readonly vendorKey?: string;
  readonly url?: string;
  readonly address?: string;
  /** Path of the key file. */
  readonly key?: string;
  /** More lines. */
  readonly more?: string;
}

export class DeviceFiles {
  readonly name: string;
  readonly configFile: string;
  readonly keyFile: string;
  readonly #vendor: Installation;

  constructor(vendor: Installation, name: string) {
    const folder = join(vendor.folder, name);
    mkdirSync(folder, { recursive: true });
    this.#vendor = vendor;
    this.name = name;
    this.configFile = join(folder, 'device.yaml');
    this.keyFile = join(folder, 'device.key');
  }

  async makeKey(): Promise<PublicKey> {
    return (await loadOrCreateKey(this.keyFile, 'device')).publicKey;
  }

  write(settings: DeviceSettings): void {
    const { ca, zone, address, port, vendorKey } = this.#vendor;
    const lines = Object.entries(settings.workspaces).map(
      ([name, target]) => `  - { name: ${name}, target: "${target}" }`,
    );
    writeFileSync(
      this.configFile,
      `relay:\n  url: "${settings.url ?? `wss://tunnel.${zone}:${port}/`}"\n` +
        `  vendorKey: "${settings.vendorKey ?? vendorKey.text}"\n` +
        `  ca: "${ca}"\n  address: "${settings.address ?? address}"\n` +
        `key: "${settings.key ?? this.keyFile}"\nops: { host: 127.0.0.1, port: 0 }\n` +
        `workspaces:\n${lines.join('\n')}\n${settings.more ?? ''}`,
    );
  }

  setKeyMode(mode: number): void {
    chmodSync(this.keyFile, mode);
  }

  /** A device whose tunnel is up. */
  async start(options?: ProgramOptions): Promise<ProgramProcess> {
    const device = this.run(options);
    await device.ready();
    return device;
  }

  run(options?: ProgramOptions): ProgramProcess {
    return this.#vendor.run('device', this.configFile, options);
  }
}
