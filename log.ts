// The log of a program, on stderr: JSON lines for machines, readable lines on a terminal.
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { destination, type Logger, pino } from 'pino';

const LOG_LIMITS = {
  /** Lines that the reader of stderr has not taken. When it stalls, lines are lost and not the program. */
  bytesHeld: 16_777_216,
  /** A reader that stalls while the program ends does not keep it. */
  flushTimeoutMs: 500,
} as const;

export interface ProgramLog {
  readonly log: Logger;
  /** Writes what is held, in its order: to be waited for before the process exits. */
  flush(): Promise<void>;
}

export async function openLog(program: string, level: string): Promise<ProgramLog> {
  // Not pino's `name`: lines about a device name have that.
  const options = { base: { pid: process.pid, hostname: hostname(), program }, level };
  if (process.stderr.isTTY) {
    const { build } = await import('pino-pretty');
    const ignore = 'pid,hostname,program';
    const pretty = {
      destination: 2,
      sync: true,
      singleLine: true,
      ignore,
      translateTime: 'SYS:HH:MM:ss',
    };
    return { log: pino(options, build(pretty)), flush: async () => undefined };
  }
  // With a minimum of 0, `flush` would not wait for what is being written.
  const lines = destination({
    dest: 2,
    sync: false,
    minLength: 1,
    maxLength: LOG_LIMITS.bytesHeld,
  });
  // When the reader is gone, sonic-boom would try for ever, here and in a fatal line. `flush` waits.
  lines.flushSync = () => undefined;
  return {
    log: pino(options, lines),
    async flush() {
      const written = new Promise<void>((settle) => lines.flush(() => settle()));
      await Promise.race([written, delay(LOG_LIMITS.flushTimeoutMs, undefined, { ref: false })]);
    },
  };
}
