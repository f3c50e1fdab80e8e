// One program of `waygate try`, as a process of its own. Its output goes straight into its log file,
// so that it needs nobody to read it; what it tells over IPC is heard here. A program that restarts
// is started again whenever it ends by itself, until it does nothing but end.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TryError } from './try-error.ts';
import { lastErrors, logBytes, parseProgramMessage, turnLog } from './try-log.ts';

export interface ProcessPlan {
  readonly name: 'relay' | 'device' | 'dns';
  readonly configFile: string;
  readonly logFile: string;
  readonly restarts: boolean;
  /** For its start, when that waits for others. */
  readonly readyTimeoutMs?: number | undefined;
  /** A line for a person. */
  say(line: string): void;
}

const PROCESS_LIMITS = {
  /** Node starts within a second; a loaded machine may take many. */
  readyTimeoutMs: 30_000,
  /** Above the drain time that the programs get; then they are killed. */
  stopTimeoutMs: 8_000,
  /** Who lives for less long has a reason to die that a restart does not cure. */
  quickDeathMs: 10_000,
  /** So many in a row, and it is given up. */
  quickDeathsMax: 6,
  /** Before the first restart; doubled with each quick death. */
  restartDelayMs: 100,
} as const;

const WAYGATE = fileURLToPath(new URL('waygate.ts', import.meta.url));

export class TryProcess implements AsyncDisposable {
  readonly #plan: ProcessPlan;
  readonly #ready = Promise.withResolvers<void>();
  readonly #hopeless = Promise.withResolvers<TryError>();
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #state: 'starting' | 'serving' | 'waiting' | 'stopping' = 'starting';
  #opsUrl = '';
  #lastWords: string | undefined;
  #logStart = 0;
  #spawnedAtMs = 0;
  #quickDeaths = 0;

  constructor(plan: ProcessPlan) {
    this.#plan = plan;
  }

  /** Of the process that runs now. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Where its Prometheus text is. */
  get metrics(): string {
    return `${this.#opsUrl}/metrics`;
  }

  /** Settles when the program has died too often to be started again. */
  get hopeless(): Promise<TryError> {
    return this.#hopeless.promise;
  }

  /** Settles when the program says that it is ready, or rejects with what kept it from that. */
  async start(): Promise<void> {
    await turnLog(this.#plan.logFile);
    if (this.#state === 'stopping') return;
    this.#spawn();
    const { readyTimeoutMs = PROCESS_LIMITS.readyTimeoutMs } = this.#plan;
    const timer = setTimeout(() => {
      const seconds = readyTimeoutMs / 1_000;
      this.#ready.reject(this.#failure(`was not ready within ${seconds} s`));
    }, readyTimeoutMs);
    await this.#ready.promise.finally(() => clearTimeout(timer));
  }

  /** Gracefully, within a bound. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#state = 'stopping';
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === undefined || !isAlive(child)) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), PROCESS_LIMITS.stopTimeoutMs);
    await ended;
    clearTimeout(timer);
  }

  /** At once. */
  kill(): void {
    this.#state = 'stopping';
    this.#child?.kill('SIGKILL');
  }

  #spawn(): void {
    const { name, configFile, logFile } = this.#plan;
    this.#logStart = logBytes(logFile);
    this.#spawnedAtMs = performance.now();
    const log = openSync(logFile, 'a', 0o600);
    const child = spawn(process.execPath, [WAYGATE, name, '--config', configFile], {
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    child.on('message', (message) => this.#hear(message));
    child.on('exit', (code, signal) => this.#end(child, signal ?? `exit code ${code}`));
    // The system could not make the process; `exit` does not come then.
    child.on('error', (error) => {
      if (child.pid === undefined) this.#end(child, error.message);
    });
    this.#child = child;
  }

  #hear(value: unknown): void {
    const message = parseProgramMessage(value);
    if (message === undefined || this.#state === 'stopping') return;
    const { name, say } = this.#plan;
    switch (message.event) {
      case 'ready':
        this.#opsUrl = message.ops.url;
        this.#lastWords = undefined;
        if (this.#state === 'waiting') say(`${name}: serves again`);
        this.#state = 'serving';
        this.#ready.resolve();
        return;
      case 'not-ready':
        this.#lastWords = message.why;
        say(`${name}: ${message.why}`);
        if (this.#state === 'serving') this.#state = 'waiting';
        return;
      case 'failed':
        this.#lastWords = message.message;
        return;
    }
  }

  #end(child: ChildProcess, how: string): void {
    if (this.#state === 'stopping' || child !== this.#child) return;
    const { name, restarts, say } = this.#plan;
    const ended = `${name}: process ${child.pid ?? '(none)'} is gone (${how})`;
    if (this.#state === 'starting') {
      this.#ready.reject(this.#failure(`did not start (${how})`));
    } else if (!restarts) {
      say(`${ended} and stays away, like a box at home that was unplugged`);
    } else {
      this.#restartAfter(ended);
    }
  }

  #restartAfter(ended: string): void {
    const livedMs = performance.now() - this.#spawnedAtMs;
    this.#quickDeaths = livedMs < PROCESS_LIMITS.quickDeathMs ? this.#quickDeaths + 1 : 0;
    if (this.#quickDeaths > PROCESS_LIMITS.quickDeathsMax) {
      this.#hopeless.resolve(this.#failure(`died ${this.#quickDeaths} times in a row`));
      return;
    }
    const delayMs = PROCESS_LIMITS.restartDelayMs * 2 ** Math.max(0, this.#quickDeaths - 1);
    this.#restart = setTimeout(() => {
      this.#spawn();
      this.#plan.say(`${ended}; started again as process ${this.pid}`);
      this.#state = 'waiting';
    }, delayMs);
  }

  #failure(what: string): TryError {
    const { name, logFile } = this.#plan;
    const words = this.#lastWords ?? lastErrors(logFile, this.#logStart).join('\n');
    const why = words === '' ? '.' : `: ${words}`;
    return new TryError(`The ${name} ${what}${why}\nIts log: ${logFile}`);
  }
}

function isAlive(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}
