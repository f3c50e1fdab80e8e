// One process that runs verbs one after the other (verb-host-program.ts); it ends with this one.
import { type ChildProcess, spawn } from 'node:child_process';
import { verbHostFile } from './program-place.ts';

export interface VerbOutcome {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the program writes on both streams when a verb has ended. */
const END = /\0(\d+)\n$/;

export class VerbHost {
  readonly #child: ChildProcess;
  #said = { stdout: '', stderr: '' };
  #done: { readonly settle: () => void; readonly fail: (error: Error) => void } | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor() {
    const child = spawn(process.execPath, [verbHostFile()], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child = child;
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream]?.setEncoding('utf8').on('data', (part: string) => {
        this.#said[stream] += part;
        if (END.test(this.#said.stdout) && END.test(this.#said.stderr)) this.#done?.settle();
      });
    }
    child.on('exit', (code, signal) => {
      this.#done?.fail(new Error(`The verbs' process ended (${signal ?? code}): ${this.#words()}`));
    });
  }

  get running(): boolean {
    return this.#child.connected;
  }

  /** When those that were asked for before have ended. */
  run(words: readonly string[]): Promise<VerbOutcome> {
    const outcome = this.#last.then(() => this.#runNow(words));
    this.#last = outcome.catch(() => undefined);
    return outcome;
  }

  async #runNow(words: readonly string[]): Promise<VerbOutcome> {
    this.#said = { stdout: '', stderr: '' };
    await new Promise<void>((settle, fail) => {
      this.#done = { settle, fail };
      this.#child.send(words, (error) => {
        if (error !== null) fail(error);
      });
    });
    const [, code] = END.exec(this.#said.stdout) ?? [];
    const [stdout, stderr] = [this.#said.stdout, this.#said.stderr].map((text) =>
      text.replace(END, ''),
    );
    return { code: Number(code), stdout: stdout ?? '', stderr: stderr ?? '' };
  }

  #words(): string {
    return this.#said.stdout + this.#said.stderr;
  }
}
