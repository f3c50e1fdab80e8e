// H1-13, F-13: what one visitor may cost. Processor time and memory are those of the relay's and the
// device's processes.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { datedCertificate } from '../../world/dated-certificate.ts';
import { within } from '../../world/program-process.ts';
import { CORPUS_HOSTNAME } from '../entrance/smuggling-case.ts';
import { cpuMsOf } from './attacked-vendor.ts';
import { RawVisitor } from './raw-visitor.ts';
import { chunked, get, ok, request } from './requests.ts';
import { underAttack } from './under-attack.ts';

const vendor = underAttack();
const CONNECTION_CPU_MS_MAX = 50;
const MIB = 1_048_576;

/**
 * The cost of one run, when the programs have seen the like before. The least of some rounds: whatever
 * else the machine does, and the compiler in the background, can only add to it.
 */
function relayCpuMs(work: () => Promise<void>): Promise<number> {
  return leastCpuMs(() => vendor().cpuMs('relay'), work);
}

async function leastCpuMs(cpuMs: () => number, work: () => Promise<void>): Promise<number> {
  const warmUps = 3;
  const [rounds, runs] = [3, 2];
  for (let at = 0; at < warmUps; at += 1) await work();
  const costsMs: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const before = cpuMs();
    for (let at = 0; at < runs; at += 1) await work();
    costsMs.push((cpuMs() - before) / runs);
  }
  return Math.min(...costsMs);
}

async function dribble(visitor: RawVisitor, text: string, together: number): Promise<void> {
  for (let at = 0; at < text.length && visitor.ending === undefined; at += 1) {
    visitor.say(text.charAt(at));
    if (at % together === 0) await nextTurn();
  }
}

/** What Node's TLS takes for the same, in a process that does nothing else. */
async function bareTlsCpuMs(text: string): Promise<number> {
  const dates = { fromMs: Date.now() - 60_000, toMs: Date.now() + 3_600_000 };
  const { cert, key, caPem: ca } = await datedCertificate(CORPUS_HOSTNAME, dates);
  const folder = mkdtempSync(join(tmpdir(), 'waygate-bare-tls-'));
  const files = [join(folder, 'cert.pem'), join(folder, 'key.pem')] as const;
  writeFileSync(files[0], cert);
  writeFileSync(files[1], key, { mode: 0o600 });
  const server = fork(resolve('test/bench/bare-tls.ts'), [...files], { execArgv: [] });
  try {
    const [{ port }] = await within(once(server, 'message'), 10_000, 'a bare TLS server');
    return await leastCpuMs(
      () => cpuMsOf(server.pid ?? 0),
      async () => {
        using visitor = await RawVisitor.dial({ port, hostname: CORPUS_HOSTNAME, ca });
        await dribble(visitor, text, 1);
        visitor.socket.end();
        await visitor.over();
      },
    );
  } finally {
    server.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

function lines(count: number, bytes: number): string[] {
  return Array.from({ length: count }, (_, at) => `X-${at}: ${'v'.repeat(bytes)}`);
}

describe('H1-13 one connection at its limits', { timeout: 60_000 }, () => {
  it.each([
    ['101 fields', 431, get('/', ...lines(100, 1))],
    ['a thousand fields', 431, get('/', ...lines(1_000, 1))],
    ['17 KiB of fields', 431, get('/', ...lines(20, 900))],
    ['one field of 20 KiB', 431, get('/', ...lines(1, 20_000))],
    ['an address over 8 KiB', 414, get(`/${'a'.repeat(8_192)}`)],
    ['an address of 60 KiB', 414, get(`/${'a'.repeat(60_000)}`)],
    ['an extension of 64 KiB', 400, chunked('/', `5;${'x'.repeat(65_536)}\r\n`)],
    ['trailers of 64 KiB', 400, chunked('/', `0\r\n${lines(70, 900).join('\r\n')}\r\n\r\n`)],
  ])('H1-13 %s: %d, for little', async (_, status, bytes) => {
    const cpuMs = await relayCpuMs(async () => {
      using visitor = await RawVisitor.dial(vendor());
      visitor.say(bytes);
      expect((await visitor.answer()).status).toBe(status);
      await visitor.over();
    });
    expect(cpuMs).toBeLessThan(CONNECTION_CPU_MS_MAX);
  });

  it('H1-13 just within them all passes', async () => {
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get(`/${'a'.repeat(8_191)}`, ...lines(99, 60)));
    expect((await visitor.answer()).status).toBe(204);
  });

  const HEAD = get('/', `X-A: ${'a'.repeat(16_384 - 100)}`);

  it('H1-13 a head of 16 KiB in TLS records of one byte costs little', async () => {
    const cpuMs = await relayCpuMs(async () => {
      using visitor = await RawVisitor.dial(vendor());
      await dribble(visitor, HEAD, 16);
      expect((await visitor.answer()).status).toBe(204);
    });
    expect(cpuMs).toBeLessThan(CONNECTION_CPU_MS_MAX);
  });

  it('H1-13 a head of 16 KiB in reads of one byte costs hardly more than its TLS', async () => {
    const cpuMs = await relayCpuMs(async () => {
      using visitor = await RawVisitor.dial(vendor());
      await dribble(visitor, HEAD, 1);
      expect((await visitor.answer()).status).toBe(204);
    });
    // All of it before a byte of them is seen: 60 to 230 ms, as the machine is.
    expect(cpuMs).toBeLessThan(2 * (await bareTlsCpuMs(HEAD)) + CONNECTION_CPU_MS_MAX);
  });
});

describe('bodies in tiny chunks', { timeout: 60_000 }, () => {
  const CHUNKS = 200_000;

  it('H1-13 a visitor who sends a byte per chunk does not make a frame of each', async () => {
    const { workspace } = vendor();
    const before = vendor().cpuMs('device');
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(chunked('/tiny-up', `${'1\r\nx\r\n'.repeat(CHUNKS)}0\r\n\r\n`));
    expect((await visitor.answer()).status).toBe(204);
    expect(workspace.requestsOf(visitor.address)[0]?.body).toBe('x'.repeat(CHUNKS));
    const bytes = workspace.of(visitor.address)[0]?.text.length ?? 0;
    // As many bytes more as there were reads, not as there were chunks.
    expect(bytes).toBeLessThan(CHUNKS * 1.1);
    expect(vendor().cpuMs('device') - before).toBeLessThan(500);
  });

  it('H1-13 a workspace that sends a byte per chunk does not make a write of each', async () => {
    vendor().workspace.plays.set('/tiny-down', {
      whole: (connection) => {
        connection.say('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
        connection.say(`${'1\r\nx\r\n'.repeat(CHUNKS)}0\r\n\r\n`);
      },
    });
    const before = vendor().cpuMs('relay');
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get('/tiny-down'));
    await visitor.watch.until(() => visitor.bytes.includes('\r\n0\r\n\r\n'), 'all chunks');
    expect((await visitor.answer()).body).toBe('x'.repeat(CHUNKS));
    expect(visitor.bytes.length).toBeLessThan(CHUNKS * 1.1);
    expect(vendor().cpuMs('relay') - before).toBeLessThan(500);
  });
});

describe('F-13 visitors who send and do not read', { timeout: 90_000 }, () => {
  /** Until nothing moves any more: there is no event for that. */
  async function settled(figure: () => number): Promise<number> {
    let last = Number.NaN;
    for (let same = 0; same < 5; ) {
      await pause(100);
      const now = figure();
      same = now === last ? same + 1 : 0;
      last = now;
    }
    return last;
  }

  /** Says all of it, and how much of that has been taken once nothing moves. */
  async function press(visitors: readonly RawVisitor[], bytes: Buffer): Promise<number> {
    for (const { socket } of visitors) {
      socket.pause();
      for (let at = 0; at < bytes.length; at += 65_536) {
        socket.write(bytes.subarray(at, at + 65_536));
      }
    }
    const left = () => visitors.reduce((sum, { socket }) => sum + socket.writableLength, 0);
    return visitors.length * bytes.length - (await settled(left));
  }

  async function expectOthersServed(): Promise<void> {
    using other = await RawVisitor.dial(vendor());
    const startedAtMs = performance.now();
    other.say(get('/other'));
    await other.answer();
    expect(performance.now() - startedAtMs).toBeLessThan(1_000);
  }

  /** Beyond this a program holds more than its sockets and windows may. */
  const HELD_BYTES_MAX = 96 * MIB;

  it.each([
    ['a workspace', CORPUS_HOSTNAME, '/big-answer'],
    ['pages of ours', CORPUS_HOSTNAME.replace('hello', 'nobody'), '/'],
  ])(
    'F-13 requests without end, whose answers (%s) nobody reads, wait outside',
    async (_, name, path) => {
      vendor().workspace.plays.set('/big-answer', {
        whole: (connection) => connection.say(ok('x'.repeat(4_000))),
      });
      const one = get(path).replaceAll(CORPUS_HOSTNAME, name);
      const bytes = Buffer.from(one.repeat(Math.ceil((24 * MIB) / one.length)));
      const residentBytes = vendor().residentBytes('relay');
      const visitors = await Promise.all(
        Array.from({ length: 6 }, () => RawVisitor.dial(vendor(), { servername: name })),
      );
      const taken = await press(visitors, bytes);
      expect(taken).toBeLessThan((visitors.length * bytes.length) / 2);
      expect(vendor().residentBytes('relay') - residentBytes).toBeLessThan(HELD_BYTES_MAX);
      await expectOthersServed();
      for (const visitor of visitors) visitor.socket.destroy();
    },
  );

  it('F-13 bodies without end, which a workspace does not read, wait outside', async () => {
    const { workspace } = vendor();
    workspace.plays.set('/unread', { head: ({ socket }) => socket.pause() });
    const residentBytes = vendor().residentBytes('relay') + vendor().residentBytes('device');
    const visitors = await Promise.all(Array.from({ length: 6 }, () => RawVisitor.dial(vendor())));
    const bytes = Buffer.from(
      request('POST', '/unread', `Content-Length: ${64 * MIB}`) + 'x'.repeat(64 * MIB),
    );
    const taken = await press(visitors, bytes);
    expect(taken).toBeLessThan((visitors.length * bytes.length) / 2);
    const held = vendor().residentBytes('relay') + vendor().residentBytes('device') - residentBytes;
    expect(held).toBeLessThan(HELD_BYTES_MAX);
    await expectOthersServed();
    for (const visitor of visitors) visitor.socket.destroy();
  });
});
