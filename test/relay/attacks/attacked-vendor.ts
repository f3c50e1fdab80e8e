// A vendor under attack: relay and device as processes of their own (`waygate try`), a recording
// workspace behind them, and what can be seen of the processes from outside.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { within } from '../../world/program-process.ts';
import { type Ready, readyLine, startTrial, type Trial } from '../../world/trial.ts';
import { CORPUS_HOSTNAME } from '../entrance/smuggling-case.ts';
import { RecordingWorkspace } from './recording-workspace.ts';

export type ProgramName = 'relay' | 'device';

/** Four processes of Node, started while other suites run. */
const START_WITHIN_MS = 60_000;
const FIGURES_WITHIN_MS = 15_000;

export class AttackedVendor implements AsyncDisposable {
  /** Of the workspace that is attacked. */
  readonly hostname = CORPUS_HOSTNAME;
  readonly port: number;
  readonly ca: string;
  readonly workspace: RecordingWorkspace;
  readonly #folder: string;
  readonly #trial: Trial;
  readonly #ready: Ready;

  private constructor(
    folder: string,
    started: { readonly trial: Trial; readonly ready: Ready },
    workspace: RecordingWorkspace,
  ) {
    this.#folder = folder;
    this.#trial = started.trial;
    this.#ready = started.ready;
    this.workspace = workspace;
    this.port = started.ready.relay.port;
    this.ca = readFileSync(started.ready.ca, 'utf8');
  }

  /** `others`: more workspaces of the same device, NAME=URL. */
  static async start(...others: readonly string[]): Promise<AttackedVendor> {
    const workspace = await RecordingWorkspace.open();
    const folder = mkdtempSync(join(tmpdir(), 'waygate-attack-'));
    const [name = ''] = CORPUS_HOSTNAME.split('.', 1);
    const given = [`${name}=${workspace.url}`, ...others].flatMap((each) => ['--workspace', each]);
    const trial = startTrial(folder, '--port', '0', '--json', ...given);
    const ready = await within(readyLine(trial), START_WITHIN_MS, 'a vendor that serves');
    return new AttackedVendor(folder, { trial, ready }, workspace);
  }

  get caFile(): string {
    return this.#ready.ca;
  }

  pid(program: ProgramName): number {
    return this.#ready[program].pid;
  }

  /** One figure of those exposed, with its labels; NaN when there is none. */
  async figure(program: ProgramName, name: string): Promise<number> {
    const answer = await within(
      fetch(this.#ready[program].metrics),
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
    return readFileSync(join(this.#folder, `${program}.log`), 'utf8');
  }

  /** Time on a processor of all threads that still run; exact to microseconds. */
  cpuMs(program: ProgramName): number {
    const folder = `/proc/${this.pid(program)}/task`;
    const ns = readdirSync(folder).map((thread) =>
      Number(readFileSync(`${folder}/${thread}/schedstat`, 'latin1').split(' ')[0]),
    );
    return ns.reduce((sum, each) => sum + each, 0) / 1e6;
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
    return starts.every((each) => each > 0) && this.#trial.child.exitCode === null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#trial.child.kill('SIGTERM');
    await this.#trial.ended;
    await this.workspace[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
