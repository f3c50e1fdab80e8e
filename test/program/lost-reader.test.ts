// Whoever read a program's log is gone, or reads no more: the program ends all the same, and soon.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { within } from '../world/program-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'waygate-log-'));
let child: ChildProcess | undefined;
afterEach(() => child?.kill('SIGKILL'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A program whose log goes into a pipe. */
function start(mood: string): { readonly ended: Promise<unknown[]>; readonly log: Readable } {
  const config = join(folder, `${mood}.yaml`);
  writeFileSync(config, `mood: ${mood}\nstopTimeoutMs: 200\n`);
  const program = resolve('test/program/little-program.ts');
  child = spawn(process.execPath, [program, config], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const { stderr } = child;
  if (stderr === null) throw new Error('no pipe');
  return { ended: once(child, 'exit'), log: stderr };
}

describe('a program whose log nobody reads', { timeout: 30_000 }, () => {
  it.each(['buggy', 'fails', 'throws-later', 'slow-stop'])(
    'ends with exit code 1: %s',
    async (mood) => {
      const { ended, log } = start(mood);
      log.destroy();
      if (mood === 'slow-stop' && child !== undefined) {
        await within(once(child, 'message'), 10_000, 'the program to be ready');
        child.kill('SIGTERM');
      }
      const [code] = await within(ended, 10_000, 'the end of the program');
      expect(code).toBe(1);
    },
  );
});
