// The log of a program, on stderr: JSON lines for machines, readable lines on a terminal.
import { once } from 'node:events';
import { destination, type Logger, pino } from 'pino';

const LOG_LIMITS = {
  /** Lines that the reader of stderr has not taken. When it stalls, lines are lost and not the program. */
  bytesHeld: 16_777_216,
  /** A reader that stalls while the program ends does not keep it. */
  closeTimeoutMs: 500,
} as const;

export interface ProgramLog {
  readonly log: Logger;
  /** Writes what is held, in its order; nothing can be logged afterwards. */
  close(): Promise<void>;
}

export async function openLog(name: string, level: string): Promise<ProgramLog> {
  const options = { name, level };
  if (process.stderr.isTTY) {
    const { build } = await import('pino-pretty');
    const ignore = 'pid,hostname,name';
    const pretty = {
      destination: 2,
      sync: true,
      singleLine: true,
      ignore,
      translateTime: 'SYS:HH:MM:ss',
    };
    return { log: pino(options, build(pretty)), close: async () => undefined };
  }
  const lines = destination({ dest: 2, sync: false, maxLength: LOG_LIMITS.bytesHeld });
  return {
    log: pino(options, lines),
    async close() {
      const closed = once(lines, 'close', {
        signal: AbortSignal.timeout(LOG_LIMITS.closeTimeoutMs),
      });
      lines.end();
      // The process ends now in any case.
      await closed.catch(() => undefined);
    },
  };
}
