// The processes of one bench run: started in groups of their own, measured through /proc, and ended
// whatever happens, together with what they have started.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { findProgram } from '../world/requires.ts';

const LIMITS = {
  /** A server that does not listen after this is broken. */
  listenMs: 20_000,
  /** From SIGTERM to SIGKILL. */
  stopMs: 6_000,
} as const;

/** Linux counts processor time in hundredths of a second (USER_HZ), whatever the kernel's own tick. */
const TICK_US = 10_000;

export class Processes implements AsyncDisposable {
  readonly #folder: string;
  readonly #children: ChildProcess[] = [];

  /** Logs of the processes go into the folder. */
  constructor(folder: string) {
    this.#folder = folder;
    // On the way out there is no time to ask.
    process.on('exit', () => {
      for (const child of this.#children) signalGroup(child, 'SIGKILL');
    });
  }

  /** Starts a program of the machine, or Node for a `.ts` file. */
  start(label: string, program: string, args: readonly string[]): ChildProcess {
    const isScript = program.endsWith('.ts');
    const path = isScript ? process.execPath : (findProgram(program) ?? program);
    // The kernel ends them when we are killed and can do nothing any more.
    const leash = ['--pdeathsig', 'TERM', path, ...(isScript ? [program] : []), ...args];
    const child = spawn('setpriv', leash, {
      cwd: process.cwd(),
      // A group of its own: Ctrl-C comes to us alone, and the end of a child reaches its children.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', ...(isScript ? (['ipc'] as const) : [])],
    });
    const log = createWriteStream(join(this.#folder, `${label}.log`), { flags: 'a' });
    child.stdout?.pipe(log);
    child.stderr?.pipe(log);
    child.on('error', (error) => log.write(`${error.message}\n`));
    this.#children.push(child);
    return child;
  }

  async stop(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await Promise.race([ended, pause(LIMITS.stopMs, undefined, { ref: false })]);
    signalGroup(child, 'SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#children.map((child) => this.stop(child)));
  }
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The whole group is gone already.
  }
}

/** The next message of a child that satisfies the condition; rejects when the child ends. */
export async function message(
  child: ChildProcess,
  wanted: (value: Readonly<Record<string, unknown>>) => boolean,
): Promise<Readonly<Record<string, unknown>>> {
  const stopped = new AbortController();
  const ended = once(child, 'exit', { signal: stopped.signal }).then(([code]) => {
    throw new Error(`A process ended with ${code} before it was ready; see its log.`);
  });
  ended.catch(() => undefined);
  try {
    for (;;) {
      const [value] = await Promise.race([once(child, 'message'), ended]);
      if (wanted(value)) return value;
    }
  } finally {
    stopped.abort();
  }
}

/** Resolves once somebody listens there; rejects at once when the process that should has ended. */
export async function listening(port: number, child?: ChildProcess): Promise<void> {
  const deadline = performance.now() + LIMITS.listenMs;
  while (!(await accepts(port))) {
    if (performance.now() > deadline || (child !== undefined && child.exitCode !== null))
      throw new Error(`Nobody listens on port ${port}; see the logs.`);
    await pause(20);
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** A port that was free a moment ago; for programs that cannot choose one themselves. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('The system gave no port.');
  return address.port;
}

/** Processor time of the process and of all below it that live, in microseconds. */
export function cpuUs(pid: number): number {
  const ticks = family(pid).map((each) => {
    const fields = statFields(each);
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  });
  return ticks.reduce((sum, each) => sum + each, 0) * TICK_US;
}

/** Memory of the process and of all below it, in KiB; `VmHWM` is the peak, `VmRSS` what is used now. */
export function memoryKib(pid: number, kind: 'VmHWM' | 'VmRSS'): number {
  return family(pid)
    .map((each) => Number(new RegExp(`^${kind}:\\s+(\\d+)`, 'm').exec(statusText(each))?.[1] ?? 0))
    .reduce((sum, each) => sum + each, 0);
}

/** The process and its descendants. */
function family(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (/^\d+$/.test(name)) parents.set(Number(name), Number(statFields(Number(name))[1] ?? 0));
  }
  const found = [pid];
  for (let index = 0; index < found.length; index += 1) {
    for (const [child, parent] of parents) if (parent === found[index]) found.push(child);
  }
  return found;
}

/** The fields of /proc/PID/stat behind the name, which may contain anything: state, parent, ... */
function statFields(pid: number): string[] {
  const text = procFile(pid, 'stat');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function statusText(pid: number): string {
  return procFile(pid, 'status');
}

/** Empty when the process has ended meanwhile. */
function procFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}
