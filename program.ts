// Runs one program (a relay, a device): reads its configuration, gives it a logger, serves its
// operators' HTTP port, and ends it. SIGTERM and SIGINT stop it gracefully, a second one at once.
// A parent with an IPC channel (`waygate try`, a process manager) gets messages, see ProgramMessage;
// when it is gone, so is the program.
import { collectDefaultMetrics, Registry } from 'prom-client';
import { type ConfigSchema, readConfig } from './config-file.ts';
import { ConfigError } from './config-text.ts';
import { failureSentence, isBug } from './failure.ts';
import { openLog, type ProgramLog } from './log.ts';
import { type OpsAddress, OpsServer, type Readiness } from './ops-server.ts';
import type { ProgramContext, Running } from './relay/protocol/program-context.ts';
import { stopRequest } from './stop-request.ts';

export interface Program<Config extends { readonly ops: OpsAddress }> {
  /** As a person calls it: `relay`, `device`. */
  readonly name: string;
  readonly configFile: string;
  readonly schema: ConfigSchema<Config>;
  /** Starts serving; rejects with an error whose message a person understands. */
  start(config: Config, context: ProgramContext): Promise<Running>;
  /** How long `Running.stop` may take by this configuration. */
  stopTimeoutMs(config: Config): number;
  readonly logLevel: string;
}

/** What a parent process is told. */
export type ProgramMessage =
  | {
      readonly event: 'ready';
      readonly ops: { readonly url: string };
      readonly [detail: string]: unknown;
    }
  | { readonly event: 'not-ready'; readonly why: string }
  | { readonly event: 'failed'; readonly message: string };

/** Runs the program until it is told to stop, and ends the process with its exit code. */
export async function runProgram<Config extends { readonly ops: OpsAddress }>(
  program: Program<Config>,
): Promise<void> {
  const stopAsked = stopRequest(() => process.exit(0));
  let config: Config;
  try {
    config = readConfig(program.configFile, program.schema);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return leave(2, error.message);
  }
  const { log, flush } = await openLog(program.name, program.logLevel);
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, `A fault in the program itself: ${error.message}`);
    void flush().then(() => leave(1, error.message));
  });
  try {
    await serve(program, config, { log, flush, stopAsked });
    await flush();
    leave(0);
  } catch (error) {
    const sentence = failureSentence(error) + portSetting(error, config, program.configFile);
    log.fatal(isBug(error) ? { err: error } : {}, sentence);
    await flush();
    leave(1, sentence);
  }
}

interface Process extends ProgramLog {
  readonly stopAsked: Promise<string>;
}

async function serve<Config extends { readonly ops: OpsAddress }>(
  program: Program<Config>,
  config: Config,
  { log, flush, stopAsked }: Process,
): Promise<void> {
  const metrics = new Registry();
  collectDefaultMetrics({ register: metrics });
  const readiness: Readiness = { why: 'The program is starting.' };
  const stopTimeoutMs = program.stopTimeoutMs(config);
  const stopping = new AbortController();
  // From the wish on, so that a start that hangs is ended by it too.
  const cut = stopAsked.then((by) => {
    readiness.why = 'The program is stopping.';
    log.info({ by }, 'stopping');
    cutOff({ log, flush }, stopTimeoutMs);
    stopping.abort(new Error('The program was stopped while it started.'));
  });
  const ops = new OpsServer(metrics, readiness);
  const url = await ops.listen(config.ops);
  log.info({ ops: url, process: process.pid }, 'starting');
  const { signal } = stopping;
  const context = programContext({ log, metrics, stopping: signal }, readiness, url);
  const running = await program.start(config, context).catch((error: unknown) => {
    if (signal.aborted && error === signal.reason) return undefined;
    throw error;
  });
  await cut;
  await running?.stop();
  await ops.close();
  log.info('stopped');
}

function cutOff({ log, flush }: ProgramLog, timeoutMs: number): void {
  setTimeout(() => {
    log.fatal(`Stopping took longer than ${timeoutMs} ms; what was left is cut off.`);
    void flush().then(() => process.exit(1));
  }, timeoutMs).unref();
}

function programContext(
  given: Pick<ProgramContext, 'log' | 'metrics' | 'stopping'>,
  readiness: Readiness,
  url: string,
): ProgramContext {
  return {
    ...given,
    ready(details) {
      readiness.why = undefined;
      tellParent({ ...details, event: 'ready', ops: { url } });
    },
    notReady(why) {
      readiness.why = why;
      tellParent({ event: 'not-ready', why });
    },
  };
}

function tellParent(message: ProgramMessage, told?: () => void): void {
  if (process.send === undefined || !process.connected) told?.();
  // The parent may go away at any moment; `disconnect` then says so.
  else process.send(message, undefined, {}, () => told?.());
}

function leave(exitCode: number, message?: string): void {
  const exit = () => process.exit(exitCode);
  if (message === undefined) exit();
  else tellParent({ event: 'failed', message }, exit);
}

/** Which setting a port came from, as a sentence to add. */
function portSetting(error: unknown, config: object, file: string): string {
  const port = error instanceof Error && 'port' in error ? error.port : undefined;
  const settings = Object.entries(config)
    .filter(([, value]) => isPlain(value) && port !== undefined && value['port'] === port)
    .map(([key]) => `${key}.port`);
  return settings.length === 0 ? '' : ` It is set by ${settings.join(' and ')} in ${file}.`;
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
