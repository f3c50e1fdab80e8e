// The promise: one command, and a whole vendor with one device serves on this machine.
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fetch } from 'undici';
import { afterAll, describe, expect, it } from 'vitest';
import { generateKey } from '../../relay/protocol/key.ts';
import { dig } from '../world/dig.ts';
import { waygateFile } from '../world/program-place.ts';
import { type Ready, readyLine, runs, startTrial, type Trial, visit } from '../world/trial.ts';

const folders: string[] = [];
const trials = new Set<Trial>();
const servers = new Set<Server>();

function directory(): string {
  const folder = mkdtempSync(join(tmpdir(), 'waygate-try-'));
  folders.push(folder);
  return folder;
}

function start(folder: string, ...args: readonly string[]): Trial {
  const trial = startTrial(folder, ...args);
  trials.add(trial);
  return trial;
}

async function stopAll(): Promise<void> {
  for (const { child, ended } of trials) {
    child.kill('SIGTERM');
    await ended;
  }
  trials.clear();
}

async function listening(server: Server): Promise<number> {
  servers.add(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

async function until(true_: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await true_())) await pause(20);
}

afterAll(async () => {
  await stopAll();
  for (const server of servers) server.close();
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** One folder, from start to start: what only looks at a vendor shares it with what ends it. */
describe('waygate try', { timeout: 60_000 }, () => {
  const folder = directory();
  let trial: Trial;
  let ready: Ready;
  let restarted = 0;
  let state: readonly string[] = [];

  async function begin(...args: readonly string[]): Promise<void> {
    await stopAll();
    trial = start(folder, '--port', '0', '--json', ...args);
    ready = await readyLine(trial);
  }

  /** Who the vendor and the device are. */
  const identity = (): readonly string[] =>
    [ready.ca, join(folder, 'device.key'), join(folder, 'relay/vendor.key')].map((file) =>
      readFileSync(file, 'utf8'),
    );

  it('serves a sample workspace, tells a script all about it in one line, and stops', async () => {
    await begin();
    const { relay, device, dns } = ready;
    const url = `https://hello.demo.vendor.localhost:${relay.port}/`;
    expect(ready).toEqual({
      event: 'ready',
      ca: expect.stringContaining(folder),
      zone: 'vendor.localhost',
      portal: `https://my.vendor.localhost:${relay.port}/`,
      workspaces: { hello: url },
      relay: {
        address: '127.0.0.1',
        port: expect.any(Number),
        pid: expect.any(Number),
        metrics: expect.any(String),
      },
      device: { pid: expect.any(Number), metrics: expect.any(String) },
      dns: {
        address: '127.0.0.1',
        port: expect.any(Number),
        pid: expect.any(Number),
        metrics: expect.any(String),
      },
    });
    const answer = await dig(dns, ['code.demo.vendor.localhost', 'A']);
    expect(answer?.answer.map((line) => line.replaceAll(/\s+/g, ' '))).toEqual([
      'code.demo.vendor.localhost. 60 IN CNAME edge.vendor.localhost.',
      'edge.vendor.localhost. 30 IN A 127.0.0.1',
    ]);
    const page = await visit(url, ready);
    expect([page.status, page.type]).toEqual([200, 'text/html; charset=utf-8']);
    const arrived = JSON.parse((await visit(`${url}headers`, ready)).body);
    expect(arrived).toMatchObject({
      trust: '0',
      via: 'relay',
      address: '127.0.0.1',
      headers: { host: `hello.demo.vendor.localhost:${relay.port}` },
    });
    for (const { metrics } of [relay, device, dns]) {
      expect(await (await fetch(metrics)).text()).toContain('process_cpu_seconds_total');
    }
    trial.child.kill('SIGTERM');
    expect(await trial.ended).toBe(0);
    expect([relay, device, dns].map(({ pid }) => runs(pid))).toEqual([false, false, false]);
    expect(trial.stdout().split('\n')).toHaveLength(2);
    for (const program of ['relay', 'device', 'dns']) {
      const log = readFileSync(join(folder, `${program}.log`), 'utf8');
      const last = log.trimEnd().split('\n').at(-1) ?? '';
      expect(JSON.parse(last)).toMatchObject({ program, msg: 'stopped' });
      expect(log).not.toMatch(/"level":[56]0/);
    }
  });

  it('tells a person what is ready and where the CA is, and serves another zone with the same files', async () => {
    await stopAll();
    trial = start(folder, '--port', '0', '--zone', 'attic.localhost');
    await trial.said(/Ctrl-C stops everything/);
    await trial.printed(/^dns .*\n/m);
    const [ready = '', ca = '', portal = '', dns = '', rest] = trial.stdout().split('\n');
    expect(portal).toMatch(/^portal https:\/\/my\.attic\.localhost:\d+\/$/);
    expect(dns).toMatch(/^dns 127\.0\.0\.1:\d+$/);
    expect(trial.stderr()).toMatch(/dig @127\.0\.0\.1 -p \d+ demo\.attic\.localhost/);
    expect(ready).toMatch(/^ready https:\/\/hello\.demo\.attic\.localhost:\d+\/$/);
    expect(ca).toMatch(/^ca \/.*\.pem$/);
    expect(rest).toBe('');
    expect(readFileSync(ca.slice(3), 'utf8')).toContain('BEGIN CERTIFICATE');
    expect(trial.stderr()).toContain(`curl --cacert ${ca.slice(3)} ${ready.slice(6)}`);
    const server = { address: '127.0.0.1', port: Number(dns.split(':')[1]) };
    expect((await dig(server, ['demo.attic.localhost', 'A']))?.status).toBe('NOERROR');
    expect((await dig(server, ['demo.vendor.localhost', 'A']))?.status).toBe('REFUSED');
    trial.child.kill('SIGINT');
    expect(await trial.ended).toBe(0);
  });

  it('publishes what it is given, and does not wait for what is down', async () => {
    const server = createHttpServer((_, response) => response.end('mine'));
    // Its connections end with the programs that opened them.
    const silent = createServer((socket) => socket.on('error', () => undefined));
    const [port, silentPort] = [await listening(server), await listening(silent)];
    const gone = createServer();
    const gonePort = await listening(gone);
    gone.close();
    await begin(
      ...['--workspace', `mine=http://127.0.0.1:${port}`],
      ...['--workspace', `gone=http://127.0.0.1:${gonePort}`],
      ...['--workspace', `silent=http://127.0.0.1:${silentPort}`],
    );
    expect(Object.keys(ready.workspaces).toSorted()).toEqual(['gone', 'mine', 'silent']);
    expect((await visit(ready.workspaces['mine'] ?? '', ready)).body).toBe('mine');
    expect((await visit(ready.workspaces['gone'] ?? '', ready)).status).toBe(502);
    expect(trial.stderr()).toContain('mine: answers (status 200)');
    expect(trial.stderr()).toMatch(/gone: http:\S+ does not serve: nothing listens there\./);
    expect(trial.stderr()).toMatch(/silent: http:\S+ does not serve: no answer within 5 s\./);
    state = identity();
  });

  it('refuses a directory that another one uses', async () => {
    const second = startTrial(folder, '--port', '0', '--json');
    expect(await second.ended).toBe(1);
    expect(second.stdout()).toBe('');
    expect(second.stderr()).toBe(
      `Another "waygate try" (process ${trial.child.pid}) uses ${folder}. ` +
        'Stop it, or give this one another --dir and --port.\n',
    );
  });

  it('has a device that turns away from a relay with another key, and says why', async () => {
    const config = readFileSync(join(folder, 'device.yaml'), 'utf8');
    const otherVendor = generateKey('vendor').publicKey.text;
    const file = join(folder, 'wrong.yaml');
    writeFileSync(file, config.replace(/waygate-vendor:[\w-]+/, otherVendor));
    const child = spawn(process.execPath, [waygateFile(), 'device', '--config', file], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const said: string[] = [];
    child.stderr.setEncoding('utf8').on('data', (part: string) => said.push(part));
    expect(await once(child, 'close')).toEqual([1, null]);
    // Its second tunnel may still have its say after the last word of the program.
    const lines = said.join('').split('\n');
    const fatal = lines.find((line) => line.includes('"level":60')) ?? '';
    expect(fatal).toContain('"msg":"The challenge is not signed by the');
    expect(fatal).not.toContain('stack');
  });

  it('starts a name server that died again, on the same port', async () => {
    const { dns } = ready;
    process.kill(dns.pid, 'SIGKILL');
    await trial.said(/dns: serves again/);
    expect((await dig(dns, ['demo.vendor.localhost', 'A']))?.status).toBe('NOERROR');
  });

  it('starts a relay that died again within a second', async () => {
    const url = ready.workspaces['mine'] ?? '';
    const killedAtMs = performance.now();
    process.kill(ready.relay.pid, 'SIGKILL');
    const [, pid] = await trial.said(
      /relay: process \d+ is gone \(SIGKILL\); started again as process (\d+)/,
    );
    expect(performance.now() - killedAtMs).toBeLessThan(1_000);
    expect(Number(pid)).not.toBe(ready.relay.pid);
    await until(() =>
      visit(url, ready).then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
    restarted = Number(pid);
  });

  it('leaves no process behind when it is killed', async () => {
    const { relay, device } = ready;
    trial.child.kill('SIGKILL');
    expect(await trial.ended).toBe('SIGKILL');
    await until(() => ![relay.pid, restarted, device.pid].some(runs));
  });

  it('is the same vendor and the same device at the next start, also after a crash', async () => {
    await begin();
    expect(identity()).toEqual(state);
  });

  it('lets a device that died stay away, and goes on', async () => {
    process.kill(ready.device.pid, 'SIGKILL');
    await trial.said(/device: process \d+ is gone \(SIGKILL\) and stays away/);
    const url = ready.workspaces['hello'] ?? '';
    await until(async () => (await visit(url, ready)).status === 503);
    expect(trial.child.exitCode).toBeNull();
  });

  it('gives the name to a new key when the old one was thrown away', async () => {
    const { pid } = ready.relay;
    trial.child.kill('SIGTERM');
    expect(await trial.ended).toBe(0);
    expect(runs(pid)).toBe(false);
    rmSync(join(folder, 'device.key'));
    await begin();
    expect((await visit(ready.workspaces['hello'] ?? '', ready)).status).toBe(200);
  });
});

describe('waygate try that does not come up', { timeout: 60_000 }, () => {
  it('stops while it starts', async () => {
    const trial = start(directory(), '--port', '0');
    await trial.said(/files:/);
    trial.child.kill('SIGINT');
    expect(await trial.ended).toBe(0);
    expect(trial.stdout()).toBe('');
  });

  it('refuses a port that is in use', async () => {
    const other = createServer();
    const port = await listening(other);
    const trial = start(directory(), '--port', String(port));
    expect(await trial.ended).toBe(1);
    expect(trial.stdout()).toBe('');
    expect(trial.stderr()).toContain(
      `Port ${port} is in use: another program listens on 127.0.0.1`,
    );
    expect(trial.stderr().trim().split('\n')).toHaveLength(1);
  });

  it('refuses a port for DNS that is in use, by TCP or by UDP', async () => {
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const trial = start(directory(), '--port', '0', '--dns-port', String(socket.address().port));
    expect(await trial.ended).toBe(1);
    socket.close();
    expect(trial.stderr()).toMatch(/Port \d+ is in use.*--dns-port 0 takes any free one/);
  });

  it('refuses a damaged key, and leaves it as it is', async () => {
    const folder = directory();
    writeFileSync(join(folder, 'device.key'), 'no key', { mode: 0o600 });
    const trial = start(folder, '--port', '0');
    expect(await trial.ended).toBe(1);
    expect(trial.stderr()).toContain(
      `The key file ${join(folder, 'device.key')} holds no readable`,
    );
    expect(trial.stderr()).not.toContain('    at ');
    expect(readFileSync(join(folder, 'device.key'), 'utf8')).toBe('no key');
  });
});
