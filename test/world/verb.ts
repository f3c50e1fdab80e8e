// A verb of the command line (`waygate device claim ...`) and what it says: as a process of its own (Verb),
// when it is watched, signalled or killed, or when the process itself is what is tested; or in one that
// runs many (runVerb).
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { waygateFile } from './program-place.ts';
import { type ProgramOptions, within } from './program-process.ts';
import { VerbHost, type VerbOutcome } from './verb-host.ts';

/** Node starts within a second; a loaded machine may take many. */
const ENDS_WITHIN_MS = 30_000;

export class Verb implements AsyncDisposable {
  readonly child: ChildProcess;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  stdout = '';
  stderr = '';
  #more = Promise.withResolvers<void>();

  constructor(words: readonly string[], { under = [] }: ProgramOptions = {}) {
    const command = [...under, process.execPath, waygateFile(), ...words];
    const child = spawn(command[0] ?? '', command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      this.stdout += part;
      this.#tell();
    });
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      this.stderr += part;
      this.#tell();
    });
    this.ended = once(child, 'close').then(([code, signal]) => {
      this.#tell();
      return code ?? signal;
    });
  }

  /** The next event line of `--json`, or the first that has this name. */
  async event(name: string): Promise<Readonly<Record<string, unknown>>> {
    const [, line = '{}'] = await this.printed(new RegExp(`^({"event":"${name}".*})$`, 'm'));
    return JSON.parse(line);
  }

  /** The first match in what it has printed on stdout. */
  printed(pattern: RegExp): Promise<RegExpExecArray> {
    return within(
      this.#find(pattern, () => this.stdout),
      ENDS_WITHIN_MS,
      `stdout ${pattern}`,
    );
  }

  /** The first match in what it has said on stderr. */
  said(pattern: RegExp): Promise<RegExpExecArray> {
    return within(
      this.#find(pattern, () => this.stderr),
      ENDS_WITHIN_MS,
      `stderr ${pattern}`,
    );
  }

  async outcome(): Promise<VerbOutcome> {
    const code = await within(this.ended, ENDS_WITHIN_MS, 'the end of a verb');
    return { code, stdout: this.stdout, stderr: this.stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  async #find(pattern: RegExp, text: () => string): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(text());
      if (found !== null) return found;
      if (this.child.exitCode !== null) {
        throw new Error(`it ended (${this.child.exitCode}): ${this.stdout}${this.stderr}`);
      }
      await this.#more.promise;
    }
  }

  #tell(): void {
    const { resolve: told } = this.#more;
    this.#more = Promise.withResolvers<void>();
    told();
  }
}

let host: VerbHost | undefined;

/** Runs a verb to its end, after those that this test file has asked for before. */
export function runVerb(...words: readonly string[]): Promise<VerbOutcome> {
  if (host?.running !== true) host = new VerbHost();
  return within(host.run(words), ENDS_WITHIN_MS, `the end of waygate ${words.join(' ')}`);
}

/** What a verb prints as JSON; fails with what it says when it fails. */
export async function jsonOf(...words: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await runVerb(...words, '--json');
  if (code !== 0) throw new Error(`waygate ${words.join(' ')}: ${code}: ${stderr}`);
  return JSON.parse(stdout);
}
