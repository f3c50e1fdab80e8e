// A relay, a device or a name server as a process of its own, as systemd would run it, with everything it says: its
// messages to a parent and its log lines. It ends with this process, whatever happens: the programs
// stop when their IPC channel closes.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { waygateFile } from './program-place.ts';

/** A line of the program's log; what is not JSON is only a `msg`. */
export interface LogLine {
  readonly msg: string;
  readonly level: number;
  readonly [field: string]: unknown;
}

/** What the program tells its parent when it serves. */
export interface ReadyMessage {
  readonly event: 'ready';
  readonly ops: { readonly url: string };
  readonly port?: number;
}

export interface ProgramOptions {
  /** Runs it below another command, such as `faketime`, that becomes the program (exec). */
  readonly under?: readonly string[];
}

/** Node starts within a second; a loaded machine may take many. */
const READY_WITHIN_MS = 30_000;

export class ProgramProcess implements AsyncDisposable {
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  readonly log: LogLine[] = [];
  readonly #child: ChildProcess;
  readonly #ready = Promise.withResolvers<ReadyMessage>();
  readonly #said: Buffer[] = [];
  #listeners: ((line: LogLine) => void)[] = [];

  constructor(
    program: 'relay' | 'device' | 'dns',
    configFile: string,
    options: ProgramOptions = {},
  ) {
    const command = [
      ...(options.under ?? []),
      ...[process.execPath, waygateFile(), program, '--config', configFile],
    ];
    this.#child = spawn(command[0] ?? '', command.slice(1), {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.on('message', (message) => {
      if (isReady(message)) this.#ready.resolve(message);
    });
    if (this.#child.stderr !== null) {
      this.#child.stderr.on('data', (part: Buffer) => this.#said.push(part));
      createInterface({ input: this.#child.stderr }).on('line', (text) => this.#heard(text));
    }
    this.ended = once(this.#child, 'close').then(([code, signal]) => code ?? signal);
    this.#ready.promise.catch(() => undefined);
    void this.ended.then((how) => {
      this.#ready.reject(new Error(`the ${program} ended (${how}): ${this.words()}`));
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What it has written, byte for byte. */
  get text(): string {
    return Buffer.concat(this.#said).toString();
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Settles once the program has said that it serves. */
  ready(): Promise<ReadyMessage> {
    return within(this.#ready.promise, READY_WITHIN_MS, 'the program to be ready');
  }

  /** The first line that matches, of those said already and those to come. */
  said(pattern: RegExp, withinMs: number): Promise<LogLine> {
    return this.saidAfter(0, pattern, withinMs);
  }

  /** The same, without the first `from` lines (`log.length` at some moment). */
  saidAfter(from: number, pattern: RegExp, withinMs: number): Promise<LogLine> {
    const known = this.log.slice(from).find(({ msg }) => pattern.test(msg));
    if (known !== undefined) return Promise.resolve(known);
    const heard = new Promise<LogLine>((settle) => {
      this.#listeners.push((line) => {
        if (pattern.test(line.msg)) settle(line);
      });
    });
    return within(heard, withinMs, `the log line ${pattern}`).catch((error: Error) => {
      throw new Error(`${error.message}; it said: ${this.words()}`);
    });
  }

  /** Whether a line like that was said, and how often. */
  count(pattern: RegExp): number {
    return this.log.filter(({ msg }) => pattern.test(msg)).length;
  }

  words(): string {
    return this.log.map(({ msg }) => msg).join(' | ');
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it by this signal; resolves when it is gone. */
  async end(signal: NodeJS.Signals): Promise<number | string> {
    this.#child.kill(signal);
    return await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.running) await this.end('SIGKILL');
  }

  #heard(text: string): void {
    const line = parseLine(text);
    this.log.push(line);
    for (const listener of [...this.#listeners]) listener(line);
  }
}

/** The promise's value; rejects when it takes longer than `ms`. */
export async function within<Value>(
  promise: Promise<Value>,
  ms: number,
  what: string,
): Promise<Value> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function parseLine(text: string): LogLine {
  try {
    const line: unknown = JSON.parse(text);
    if (typeof line === 'object' && line !== null && 'msg' in line && 'level' in line) {
      return { ...line, msg: String(line.msg), level: Number(line.level) };
    }
  } catch {
    // A program that could not read its configuration says so in plain text.
  }
  return { msg: text, level: 0 };
}

function isReady(message: unknown): message is ReadyMessage {
  return (
    typeof message === 'object' &&
    message !== null &&
    'event' in message &&
    message.event === 'ready'
  );
}
