// A program for program.test.ts to run as a process of its own: what it does is in its configuration.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { z } from 'zod';
import { runProgram } from '../../program.ts';

const schema = () =>
  z.strictObject({
    ops: z
      .strictObject({ host: z.string().default('127.0.0.1'), port: z.int().default(0) })
      .prefault({}),
    listen: z.strictObject({ host: z.string(), port: z.int() }).optional(),
    mood: z
      .enum(['ready', 'waiting', 'slow-start', 'slow-stop', 'fails', 'buggy', 'throws-later'])
      .default('ready'),
    stopTimeoutMs: z.number().default(5_000),
  });

class ExpectedError extends Error {
  override readonly name = 'ExpectedError';
  readonly code = 'ERR_EXPECTED';
}

const never = new Promise<never>(() => undefined);

await runProgram({
  name: 'little',
  configFile: process.argv[2] ?? '',
  schema,
  stopTimeoutMs: ({ stopTimeoutMs }) => stopTimeoutMs,
  logLevel: 'info',
  async start({ mood, listen }, { log, ready, notReady }) {
    if (listen !== undefined) {
      const server = createServer();
      server.listen(listen);
      await once(server, 'listening');
    }
    if (mood === 'fails') throw new ExpectedError('The little thing is broken. Mend it.');
    if (mood === 'buggy') throw new TypeError('undefined is not a function');
    if (mood === 'waiting') notReady('The relay is away.');
    else ready({ port: 7 });
    if (mood === 'slow-start') await never;
    if (mood === 'throws-later') {
      setTimeout(() => {
        throw new TypeError('later');
      }, 10);
    }
    return {
      async stop() {
        log.info({ name: 'alice' }, 'little has stopped');
        if (mood === 'slow-stop') await never;
      },
    };
  },
});
