// A relay and one device that serve: what a journey starts once and sends its visitors through. Two
// real processes with configurations of their own, and what a test wants to know of them. Use it
// with `await using`, or dispose of it in `afterAll`.
import { readFileSync } from 'node:fs';
import { Installation, ZONE } from './installation.ts';
import {
  type LogLine,
  type ProgramOptions,
  type ProgramProcess,
  within,
} from './program-process.ts';

export type ProgramName = 'relay' | 'device';

const NAME = 'alice';

/** By name and labels, as exposed: `waygate_entrance_requests_total{status="2xx"}`. */
export type Metrics = ReadonlyMap<string, number>;

const METRICS_WITHIN_MS = 10_000;

/** Fits `Door`. */
export class Vendor implements AsyncDisposable {
  readonly address: string;
  readonly port: number;
  readonly caPem: string;
  /** The same as a file, for programs that are not ours. */
  readonly ca: string;
  readonly #installation: Installation;
  readonly #programs: Readonly<Record<ProgramName, ProgramProcess>>;
  readonly #ops: Readonly<Record<ProgramName, string>>;

  constructor(parts: {
    readonly installation: Installation;
    readonly programs: Readonly<Record<ProgramName, ProgramProcess>>;
    readonly ops: Readonly<Record<ProgramName, string>>;
  }) {
    this.#installation = parts.installation;
    this.#programs = parts.programs;
    this.#ops = parts.ops;
    this.address = parts.installation.address;
    this.port = parts.installation.port;
    this.caPem = parts.installation.caPem;
    this.ca = parts.installation.ca;
  }

  /** `code.alice.vendor.test` */
  hostname(workspace: string): string {
    return `${workspace}.${NAME}.${ZONE}`;
  }

  /** The same with the port: what a Host field says. */
  host(workspace: string): string {
    return `${this.hostname(workspace)}:${this.port}`;
  }

  url(workspace: string, target = '/'): string {
    return `https://${this.host(workspace)}${target}`;
  }

  program(name: ProgramName): ProgramProcess {
    return this.#programs[name];
  }

  logOf(name: ProgramName): readonly LogLine[] {
    return this.#programs[name].log;
  }

  async metrics(name: ProgramName): Promise<Metrics> {
    const asked = fetch(`${this.#ops[name]}/metrics`);
    const answer = await within(asked, METRICS_WITHIN_MS, `metrics of the ${name}`);
    const found = new Map<string, number>();
    for (const line of (await answer.text()).split('\n')) {
      const at = line.lastIndexOf(' ');
      if (at > 0 && !line.startsWith('#')) found.set(line.slice(0, at), Number(line.slice(at + 1)));
    }
    return found;
  }

  /** One figure; 0 when it is not there. */
  async metric(name: ProgramName, key: string): Promise<number> {
    return (await this.metrics(name)).get(key) ?? 0;
  }

  /** What the process has in memory now. */
  residentBytes(name: ProgramName): number {
    const status = readFileSync(`/proc/${this.#programs[name].pid}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1_024;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#installation[Symbol.asyncDispose]();
  }
}

/** Starts both programs; the device publishes these workspaces (NAME: URL). */
export async function startVendor(
  workspaces: Readonly<Record<string, string>>,
  options: ProgramOptions & { readonly relayConfig?: string } = {},
): Promise<Vendor> {
  const { relayConfig: more = '', ...how } = options;
  const installation = await Installation.make({ more });
  try {
    const files = await installation.device(NAME, workspaces);
    const relay = await installation.relay(how);
    const device = await files.start(how);
    const ops = { relay: (await relay.ready()).ops.url, device: (await device.ready()).ops.url };
    return new Vendor({ installation, programs: { relay, device }, ops });
  } catch (error) {
    await installation[Symbol.asyncDispose]();
    throw error;
  }
}
