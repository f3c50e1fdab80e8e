import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { request } from 'undici';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { failureSentence } from '../../failure.ts';

const folder = mkdtempSync(join(tmpdir(), 'waygate-program-'));
const running = new Set<ChildProcess>();
afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Started {
  readonly child: ChildProcess;
  readonly exited: Promise<unknown[]>;
  log(): string;
  /** The next message over IPC. */
  message(): Promise<Record<string, unknown>>;
  /** Settles when the log contains the text. */
  logged(text: string): Promise<void>;
}

let configs = 0;
function start(config: string): Started {
  configs += 1;
  const file = join(folder, `${configs}.yaml`);
  writeFileSync(file, config);
  const child = spawn(process.execPath, [resolve('test/program/little-program.ts'), file], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  running.add(child);
  const exited = once(child, 'close').finally(() => running.delete(child));
  const messages: Record<string, unknown>[] = [];
  child.on('message', (message: Record<string, unknown>) => messages.push(message));
  const parts: string[] = [];
  child.stderr?.setEncoding('utf8').on('data', (part: string) => parts.push(part));
  const log = () => parts.join('').replaceAll(file, 'FILE');
  return {
    child,
    exited,
    log,
    async message() {
      while (messages.length === 0) await once(child, 'message');
      return messages.shift() ?? {};
    },
    async logged(text) {
      while (!log().includes(text)) await once(child.stderr ?? child, 'data');
    },
  };
}

function opsUrl({ ops }: Record<string, unknown>): string {
  return typeof ops === 'object' && ops !== null && 'url' in ops ? String(ops.url) : 'none';
}

describe('a program', () => {
  it('serves its state and its metrics, and tells its parent where', async () => {
    const { message, child, exited } = start('mood: ready\n');
    const ready = await message();
    expect(ready).toEqual({ event: 'ready', port: 7, ops: { url: expect.any(String) } });
    const url = opsUrl(ready);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect((await request(`${url}/healthz`)).statusCode).toBe(200);
    expect((await request(`${url}/readyz`)).statusCode).toBe(200);
    const metrics = await request(`${url}/metrics`);
    expect(metrics.headers['content-type']).toContain('text/plain; version=0.0.4');
    expect(await metrics.body.text()).toContain('process_cpu_seconds_total');
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });

  it('says why it is not ready', async () => {
    const { message, logged, log } = start('mood: waiting\n');
    expect(await message()).toEqual({ event: 'not-ready', why: 'The relay is away.' });
    await logged('"ops"');
    const url = /"ops":"([^"]+)"/.exec(log())?.[1] ?? 'none';
    const { statusCode, body } = await request(`${url}/readyz`);
    expect([statusCode, await body.text()]).toEqual([503, 'The relay is away.\n']);
    expect((await request(`${url}/healthz`)).statusCode).toBe(200);
  });

  it('answers no name that another site could have made up (DNS rebinding)', async () => {
    const { message } = start('');
    const refused = start('mood: ready\n');
    expect(await message()).toMatchObject({ event: 'failed' });
    const url = opsUrl(await refused.message());
    const asked = await request(`${url}/metrics`, { headers: { host: 'evil.example' } });
    expect(asked.statusCode).toBe(421);
    const local = await request(`${url}/healthz`, { headers: { host: 'localhost:1' } });
    expect(local.statusCode).toBe(200);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('stops gracefully on %s', async (signal) => {
    const { message, child, exited, log } = start('mood: ready\n');
    await message();
    child.kill(signal);
    child.kill(signal);
    expect(await exited).toEqual([0, null]);
    const lines = log().trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).msg)).toEqual([
      ...['starting', 'stopping', 'little has stopped', 'stopped'],
    ]);
    // A name that a line is about takes no place of the program's.
    expect(lines[2]).toMatch(/^(?!.*"name":.*"name":).*"program":"little".*"name":"alice"/);
  });

  it('stops when its parent is gone', async () => {
    const { message, child, log, logged } = start('mood: ready\n');
    await message();
    // Without IPC there is no `close` event any more.
    const ended = once(child, 'exit');
    child.disconnect();
    expect(await ended).toEqual([0, null]);
    await logged('"msg":"stopped"');
    expect(log()).toContain('little has stopped');
  });

  it('is cut off when stopping takes too long, and when starting does', async () => {
    for (const mood of ['slow-stop', 'slow-start']) {
      const { message, child, exited, log } = start(`mood: ${mood}\nstopTimeoutMs: 50\n`);
      await message();
      child.kill('SIGTERM');
      expect(await exited).toEqual([1, null]);
      expect(log()).toContain('Stopping took longer than 50 ms');
    }
  });

  it('stops at once on a second signal', async () => {
    const { message, child, exited, logged } = start('mood: slow-stop\nstopTimeoutMs: 60000\n');
    await message();
    child.kill('SIGINT');
    await logged('little has stopped');
    // Signals are repeated by a person who has lost patience; those of the first second do not count.
    const impatient = setInterval(() => child.kill('SIGINT'), 100);
    expect(await exited).toEqual([0, null]);
    clearInterval(impatient);
  });

  it('that cannot start says so in one sentence, without a stack', async () => {
    const { message, exited, log } = start('mood: fails\n');
    const sentence = 'The little thing is broken. Mend it.';
    expect(await message()).toEqual({ event: 'failed', message: sentence });
    expect(await exited).toEqual([1, null]);
    expect(log()).toContain(sentence);
    expect(log()).not.toContain('little-program.ts');
  });

  it.each(['buggy', 'throws-later'])('that is %s shows its stack and exits 1', async (mood) => {
    const { exited, log } = start(`mood: ${mood}\n`);
    expect(await exited).toEqual([1, null]);
    expect(log()).toContain('"level":60');
    expect(log()).toContain('little-program.ts');
  });

  it('with a wrong configuration names the place and exits 2', async () => {
    const { message, exited, log } = start('moot: ready\n');
    expect(await exited).toEqual([2, null]);
    const sentence = 'FILE:1:1: "moot" is not known here. Did you mean "mood"?';
    expect(log()).toBe(`${sentence}\n`);
    expect(String((await message())['message'])).toContain('Did you mean "mood"?');
  });

  it.each(['ops', 'listen'])('whose %s port is in use says which setting that is', async (key) => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const { exited, log } = start(`${key}: {host: 127.0.0.1, port: ${port}}\n`);
    expect(await exited).toEqual([1, null]);
    server.close();
    expect(log()).toContain(
      `Port ${port} is in use: another program listens on 127.0.0.1:${port}.`,
    );
    expect(log()).toContain(`It is set by ${key}.port in FILE.`);
  });
});

describe('the sentence for a failure', () => {
  it.each([
    [
      { code: 'EACCES', address: '0.0.0.0', port: 443 },
      /^Port 443 may not .*=CAP_NET_BIND_SERVICE.*setcap.*higher port\.$/,
    ],
    [
      { code: 'EADDRINUSE', address: '::', port: 443 },
      /^Port 443 is in use: another program listens on \[::\]:443\./,
    ],
    [
      { code: 'EADDRNOTAVAIL', address: '192.0.2.1', port: 443 },
      /^The address 192\.0\.2\.1 is none of this machine's/,
    ],
    [{ code: 'ENOENT', path: '/a/ca.pem' }, /^There is no \/a\/ca\.pem\. Check the path\.$/],
    [{ code: 'ENOSPC', path: '/a' }, /^The disk is full/],
    [{ code: 'EACCES', path: '/a' }, /^This user may not use \/a\./],
    [{ code: 'EWEIRD' }, /^plain$/],
  ])('%j', (fields, sentence) => {
    expect(failureSentence(Object.assign(new Error('plain'), fields))).toMatch(sentence);
  });
});
