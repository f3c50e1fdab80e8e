// A vendor under attack: relay and device as processes of their own, a recording workspace behind them,
// and what can be seen of the processes from outside.
import { readdirSync, readFileSync } from 'node:fs';
import { Installation } from '../../world/installation.ts';
import { type ProgramProcess, within } from '../../world/program-process.ts';
import { CORPUS_HOSTNAME } from '../entrance/smuggling-case.ts';
import { RecordingWorkspace } from './recording-workspace.ts';

export type ProgramName = 'relay' | 'device';

const FIGURES_WITHIN_MS = 15_000;

export class AttackedVendor implements AsyncDisposable {
  /** Of the workspace that is attacked. */
  readonly hostname = CORPUS_HOSTNAME;
  readonly port: number;
  readonly ca: string;
  readonly workspace: RecordingWorkspace;
  readonly #installation: Installation;
  readonly #programs: Readonly<Record<ProgramName, ProgramProcess>>;
  readonly #ops: Readonly<Record<ProgramName, string>>;

  private constructor(parts: {
    readonly installation: Installation;
    readonly programs: Readonly<Record<ProgramName, ProgramProcess>>;
    readonly ops: Readonly<Record<ProgramName, string>>;
    readonly workspace: RecordingWorkspace;
  }) {
    this.#installation = parts.installation;
    this.#programs = parts.programs;
    this.#ops = parts.ops;
    this.workspace = parts.workspace;
    this.port = parts.installation.port;
    this.ca = parts.installation.caPem;
  }

  /** `others`: more workspaces of the same device, by name. */
  static async start(others: Readonly<Record<string, string>> = {}): Promise<AttackedVendor> {
    const workspace = await RecordingWorkspace.open();
    const [name = '', device = '', ...zone] = CORPUS_HOSTNAME.split('.');
    const installation = await Installation.make({ zone: zone.join('.'), drainSeconds: 1 });
    const files = await installation.device(device, { [name]: workspace.url, ...others });
    const programs = { relay: await installation.relay(), device: await files.start() };
    const [relay, home] = [await programs.relay.ready(), await programs.device.ready()];
    const ops = { relay: relay.ops.url, device: home.ops.url };
    return new AttackedVendor({ installation, programs, ops, workspace });
  }

  get caFile(): string {
    return this.#installation.ca;
  }

  pid(program: ProgramName): number {
    return this.#programs[program].pid;
  }

  /** One figure of those exposed, with its labels; NaN when there is none. */
  async figure(program: ProgramName, name: string): Promise<number> {
    const answer = await within(
      fetch(`${this.#ops[program]}/metrics`),
      FIGURES_WITHIN_MS,
      `figures of the ${program}`,
    );
    const line = (await answer.text()).split('\n').find((each) => each.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1) ?? Number.NaN);
  }

  /** Streams that the device has been asked to open since its start. */
  async streamsOpened(): Promise<number> {
    const accepted = await this.figure('device', 'waygate_device_streams_accepted');
    return accepted + (await this.figure('device', 'waygate_device_streams_refused'));
  }

  /** The log so far. */
  log(program: ProgramName): string {
    return this.#programs[program].text;
  }

  /** Time on a processor of all threads that still run; exact to microseconds. */
  cpuMs(program: ProgramName): number {
    return cpuMsOf(this.pid(program));
  }

  /** What the process has in memory now. */
  residentBytes(program: ProgramName): number {
    const status = readFileSync(`/proc/${this.pid(program)}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1_024;
  }

  /** Both processes are those that were started, and still serve. */
  async alive(): Promise<boolean> {
    const figures = [
      this.figure('relay', 'process_start_time_seconds'),
      this.figure('device', 'process_start_time_seconds'),
    ];
    const starts = await Promise.all(figures);
    return starts.every((each) => each > 0) && Object.values(this.#programs).every(isRunning);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#installation[Symbol.asyncDispose]();
    await this.workspace[Symbol.asyncDispose]();
  }
}

function isRunning({ running }: ProgramProcess): boolean {
  return running;
}

/** Time on a processor of all threads of a process that still run; exact to microseconds. */
export function cpuMsOf(pid: number): number {
  const folder = `/proc/${pid}/task`;
  const ns = readdirSync(folder).map((thread) =>
    Number(readFileSync(`${folder}/${thread}/schedstat`, 'latin1').split(' ')[0]),
  );
  return ns.reduce((sum, each) => sum + each, 0) / 1e6;
}
