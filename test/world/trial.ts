// `waygate try` as a process of its own, as a person or a script starts it, and a visitor with its CA.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { waygateFile } from './program-place.ts';

/** The one line of `--json`. */
export interface Ready {
  readonly event: 'ready';
  readonly ca: string;
  readonly zone: string;
  readonly portal: string;
  readonly workspaces: Readonly<Record<string, string>>;
  readonly relay: {
    readonly address: string;
    readonly port: number;
    readonly pid: number;
    readonly metrics: string;
  };
  readonly device: { readonly pid: number; readonly metrics: string };
  readonly dns: {
    readonly address: string;
    readonly port: number;
    readonly pid: number;
    readonly metrics: string;
  };
}

export interface Trial {
  readonly child: ChildProcess;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
  stdout(): string;
  stderr(): string;
  /** Settles with the first match in stdout; rejects when the process ends first. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
  /** The same for stderr. */
  said(pattern: RegExp): Promise<RegExpExecArray>;
}

/** Starts `waygate try --dir DIRECTORY ARGS`. */
export function startTrial(directory: string, ...args: readonly string[]): Trial {
  const command = [waygateFile(), 'try', '--dir', directory, ...args];
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (part: string) => {
      said[name] += part;
    });
  }
  const ended = once(child, 'close').then(([code, signal]) => code ?? signal);
  const until = async <Value>(find: () => Value | null | undefined): Promise<Value> => {
    for (;;) {
      const found = find();
      if (found !== null && found !== undefined) return found;
      const more = [child.stdout, child.stderr].map((stream) => once(stream, 'data'));
      const gone = ended.then((how) => {
        throw new Error(`waygate try ended (${how}): ${said.stderr}`);
      });
      await Promise.race([...more, gone]);
    }
  };
  return {
    child,
    ended,
    stdout: () => said.stdout,
    stderr: () => said.stderr,
    printed: (pattern) => until(() => pattern.exec(said.stdout)),
    said: (pattern) => until(() => pattern.exec(said.stderr)),
  };
}

export async function readyLine(trial: Trial): Promise<Ready> {
  const [line] = await trial.printed(/^.*\n/);
  const ready: Ready = JSON.parse(line);
  return ready;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** One GET by a visitor who trusts the trial's CA and needs no resolver. */
export async function visit(
  url: string,
  { ca, relay }: Pick<Ready, 'ca' | 'relay'>,
): Promise<Answer> {
  const { hostname, host, pathname, search } = new URL(url);
  const asked = request({
    host: relay.address,
    port: relay.port,
    path: pathname + search,
    servername: hostname,
    headers: { host },
    ca: readFileSync(ca),
    agent: false,
  });
  asked.end();
  const [response] = await once(asked, 'response');
  const body = await text(response);
  return { status: response.statusCode, type: String(response.headers['content-type']), body };
}

/** Whether a process of that id runs. */
export function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
