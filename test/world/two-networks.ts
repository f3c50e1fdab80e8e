// Two networks on this machine, the vendor's and a home, with one line between them that a test can cut
// as a bad router does: packets vanish, nobody is told. Needs root, `ip`, `nft`, `unshare`, `nsenter`.
// The namespaces live as long as a process of ours that ends with this one.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { within } from './program-process.ts';
import { findProgram } from './requires.ts';

export const RELAY_ADDRESS = '10.99.0.1';
const DEVICE_ADDRESS = '10.99.0.2';
const RELAY_PORT = 443;

const WINDOW = fileURLToPath(new URL('window.ts', import.meta.url));

/** What a suite must ask `requires` for. */
export const NETWORK_PROGRAMS = ['root', 'ip', 'nft', 'unshare', 'nsenter'] as const;

export class TwoNetworks implements AsyncDisposable {
  /** Path of a Unix socket that leads visitors to the relay. */
  readonly door: string;
  readonly #vendor: ChildProcess;
  readonly #home: ChildProcess;

  private constructor(door: string, vendor: ChildProcess, home: ChildProcess) {
    this.door = door;
    this.#vendor = vendor;
    this.#home = home;
  }

  /** The folder is for the socket. */
  static async make(folder: string): Promise<TwoNetworks> {
    const door = join(folder, 'visitors.sock');
    const window = [WINDOW, door, RELAY_ADDRESS, String(RELAY_PORT)];
    const vendor = namespace(process.execPath, ...window);
    const home = namespace('cat');
    const networks = new TwoNetworks(door, vendor, home);
    try {
      if (vendor.stdout === null || home.stdout === null) throw new Error('no pipe');
      await within(once(vendor.stdout, 'data'), 10_000, 'the vendor network');
      home.stdin?.write('\n');
      await within(once(home.stdout, 'data'), 10_000, 'the home network');
      networks.#connect();
    } catch (error) {
      await networks[Symbol.asyncDispose]();
      throw error;
    }
    return networks;
  }

  /** For `ProgramOptions.under`: a program in the vendor's network. */
  get inVendor(): readonly string[] {
    return enter(this.#vendor);
  }

  /** A program in the home. */
  get inHome(): readonly string[] {
    return enter(this.#home);
  }

  /** From now on nothing passes, in either direction, and nobody is told. */
  cut(): void {
    const rules = [
      'table inet cut {',
      'chain in { type filter hook input priority 0; iifname "line" drop; }',
      'chain out { type filter hook output priority 0; oifname "line" drop; }',
      '}',
    ];
    run([...this.inHome, program('nft'), '-f', '-'], rules.join('\n'));
  }

  mend(): void {
    run([...this.inHome, program('nft'), 'delete', 'table', 'inet', 'cut']);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [this.#vendor, this.#home]) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
  }

  #connect(): void {
    const ip = program('ip');
    const [vendor, home] = [this.inVendor, this.inHome];
    const peer = String(this.#home.pid);
    run([...vendor, ip, 'link', 'add', 'line', 'type', 'veth', 'peer', 'line', 'netns', peer]);
    for (const [inside, address] of [
      [vendor, RELAY_ADDRESS],
      [home, DEVICE_ADDRESS],
    ] as const) {
      run([...inside, ip, 'address', 'add', `${address}/24`, 'dev', 'line']);
      for (const link of ['line', 'lo']) run([...inside, ip, 'link', 'set', link, 'up']);
    }
  }
}

/** A process in a network of its own; it reads its stdin and ends with it. */
function namespace(...command: readonly string[]): ChildProcess {
  return spawn(program('unshare'), ['--net', ...command], { stdio: ['pipe', 'pipe', 'inherit'] });
}

function enter(child: ChildProcess): readonly string[] {
  return [program('nsenter'), '--target', String(child.pid), '--net'];
}

function run(command: readonly string[], input = ''): void {
  const [file = '', ...args] = command;
  execFileSync(file, args, { input, timeout: 10_000, stdio: ['pipe', 'ignore', 'inherit'] });
}

function program(name: string): string {
  return findProgram(name) ?? name;
}
