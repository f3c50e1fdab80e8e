// The promise: what breaks is seen to be broken. A response that is not whole never looks whole, and
// where there is none, a page says what is known.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ByteStream } from '../world/byte-stream.ts';
import { readHead, readRequest, readResponse, statusOf, valuesOf } from '../world/http-text.ts';
import { queuedBytes } from '../world/kernel-queues.ts';
import { within } from '../world/program-process.ts';
import { requires } from '../world/requires.ts';
import { startVendor, type Vendor } from '../world/vendor.ts';
import { arrive, askRaw, curl, dialTls, roundTrip } from '../world/visitor.ts';
import { ask, until } from '../world/visits.ts';
import { RawWorkspace } from '../world/workspace.ts';

const WAIT_MS = 15_000;
const need = requires('curl');
const open = new AsyncDisposableStack();
const doomed: ChildProcess[] = [];
const folder = mkdtempSync(join(tmpdir(), 'waygate-broken-'));
/** More than a workspace that reads nothing has room for. */
const bigFile = join(folder, 'big');
let doomedPort = 0;
let raw: RawWorkspace;
let vendor: Vendor;

beforeAll(async () => {
  writeFileSync(bigFile, Buffer.alloc(4 * 1024 * 1024));
  doomedPort = await startDoomed();
  raw = open.use(await RawWorkspace.open());
  const other = open.use(await RawWorkspace.open());
  const full = open.adopt(await fullWorkspace(), (each) => each.end());
  vendor = open.use(
    await startVendor({
      raw: raw.url,
      other: other.url,
      doomed: `http://127.0.0.1:${doomedPort}`,
      gone: `http://127.0.0.1:${await unusedPort()}`,
      full: `http://127.0.0.1:${full.port}`,
    }),
  );
}, 60_000);

afterEach(() => raw.forget());

afterAll(async () => {
  await killDoomed();
  await open.disposeAsync();
  rmSync(folder, { recursive: true });
});

/** Starts the workspace that is killed, on the same port as before. Resolves with the port. */
async function startDoomed(): Promise<number> {
  await killDoomed();
  const child = fork(new URL('../world/doomed-workspace.ts', import.meta.url), [
    String(doomedPort),
  ]);
  doomed.push(child);
  const [port] = await within(once(child, 'message'), WAIT_MS, 'a workspace to listen');
  return Number(port);
}

/** Kills it once it has begun a response, and so much has arrived that it has not read. */
async function killMidResponse({ unreadBytes = 0 } = {}): Promise<void> {
  const child = doomed.at(-1);
  if (child === undefined) throw new Error('no workspace runs');
  const [word] = await within(once(child, 'message'), WAIT_MS, 'a response to begin');
  expect(word).toBe('begun');
  // The system ends a connection politely whose bytes were all read.
  await until(() => queuedBytes(doomedPort) >= unreadBytes, WAIT_MS, 'bytes that nobody reads');
  await killDoomed();
}

async function killDoomed(): Promise<void> {
  const child = doomed.pop();
  if (child === undefined) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

async function unusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** A workspace whose queue of connections is full and stays so: the system answers no other. */
async function fullWorkspace(): Promise<{ readonly port: number; end(): void }> {
  const code = `
    const server = require('node:net').createServer().listen({ port: 0, backlog: 1 }, () => {
      process.send(server.address().port, () => {
        for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      });
    });`;
  const child = fork('-e', [code], { execArgv: [] });
  const [port] = await within(once(child, 'message'), WAIT_MS, 'a workspace to listen');
  const sockets: Socket[] = [];
  // The queue holds one more than it was asked to; the last one of these is not answered.
  for (let at = 0; at < 3; at += 1) {
    sockets.push(connect(Number(port), '127.0.0.1').on('error', () => undefined));
  }
  const [, queued] = sockets;
  if (queued === undefined) throw new Error('unreachable');
  await within(once(queued, 'connect'), WAIT_MS, 'a queue to fill');
  return {
    port: Number(port),
    end() {
      for (const socket of sockets) socket.destroy();
      child.kill('SIGKILL');
    },
  };
}

function get(workspace: string, target = '/', ...lines: readonly string[]): string {
  const host = vendor.host(workspace);
  return `${[`GET ${target} HTTP/1.1`, `Host: ${host}`, ...lines].join('\r\n')}\r\n\r\n`;
}

describe.skipIf(need.skip)(
  `H1-16: a workspace that is killed in mid-response ${need.why}`,
  {
    timeout: 30_000,
  },
  () => {
    afterEach(async () => {
      await roundTrip(vendor, 'other');
      await startDoomed();
    });

    const framings = ['/length', '/chunked'] as const;
    const curls = [
      ['--http1.1', [18, 56]],
      ['--http2', [92]],
    ] as const;
    const cases = framings.flatMap((target) =>
      curls.map(([version, codes]) => [target, version, codes] as const),
    );

    it.each(cases)('%s: curl %s sees a broken transfer', async (target, version, codes) => {
      const asked = curl(vendor, vendor.url('doomed', target), version);
      await killMidResponse();
      expect(codes).toContain((await asked).exitCode);
    });

    it.each(framings)('%s: a program sees an aborted response', async (target) => {
      const asked = ask(vendor, vendor.url('doomed', target));
      asked.catch(() => undefined);
      await killMidResponse();
      await expect(asked).rejects.toMatchObject({ code: 'ECONNRESET' });
    });

    it.each([
      ['HTTP/1.1', ['--http1.1'], [18, 56]],
      ['HTTP/2', ['--http2'], [92]],
      // Its end is the end of TLS: one without a goodbye (RFC 8446, 6.1).
      ['HTTP/1.0', ['--http1.0', '--no-alpn'], [56]],
    ])('without a length, and reset: curl sees a broken transfer of %s', async (_, how, codes) => {
      const body = ['--data-binary', `@${bigFile}`, '-H', 'Expect:'];
      let overtaken = '';
      for (let attempt = 0; attempt < 10; attempt += 1) {
        const asked = curl(vendor, vendor.url('doomed', '/unread'), ...how, ...body);
        await killMidResponse({ unreadBytes: 10_000 });
        const { exitCode, stdout } = await asked;
        if (exitCode !== 0) return expect(codes).toContain(exitCode);
        // The reset was faster than the response: the visitor has a whole page that says so.
        overtaken = stdout.toString();
        expect(overtaken).toContain('The connection broke');
        await startDoomed();
      }
      expect.unreachable(overtaken);
    });

    it('in its head: the visitor gets a page', async () => {
      const asked = ask(vendor, vendor.url('doomed', '/head'));
      await killMidResponse();
      const { status, body } = await asked;
      expect([status, body]).toEqual([502, expect.stringContaining('The connection broke')]);
    });

    it('does not disturb a download of another visitor', async () => {
      const length = 32 * 1024 * 1024;
      const served = raw.next(async (connection) => {
        await readHead(connection);
        connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`);
        return connection;
      });
      const download = ask(vendor, vendor.url('raw'));
      const connection = await served;
      connection.write(Buffer.alloc(length / 2, 'x'));
      const asked = ask(vendor, vendor.url('doomed', '/length'));
      asked.catch(() => undefined);
      await killMidResponse();
      await expect(asked).rejects.toThrow();
      connection.write(Buffer.alloc(length / 2, 'x'));
      expect((await download).body.length).toBe(length);
    });
  },
);

describe('where there is no answer, the visitor is told', { timeout: 30_000 }, () => {
  it.each([
    ['gone', 502, 'The workspace is not running'],
    ['full', 504, 'The workspace does not answer'],
    ['nothing', 404, 'No such workspace'],
  ] as const)('of %s: %i, %s', async (workspace, status, title) => {
    const url = vendor.url(workspace, '/x?y');
    const forms = {
      'text/html': '<!doctype html>',
      'application/json': '{"type":"urn:',
      '*/*': `${status} `,
    };
    const pages = await Promise.all(
      Object.keys(forms).map((accept) => ask(vendor, url, { headers: { accept } })),
    );
    expect(pages.map((page) => page.status)).toEqual([status, status, status]);
    for (const [at, start] of Object.values(forms).entries()) {
      const { body, headers } = pages[at] ?? { body: '', headers: {} };
      expect(body.toLowerCase().startsWith(start.toLowerCase())).toBe(true);
      expect(body).toContain(title);
      expect(headers['cache-control']).toBe('no-store');
    }
    expect(JSON.parse(pages[1]?.body ?? '')).toMatchObject({ status, title });
    expect(pages[1]?.headers['content-type']).toBe('application/problem+json');
  });

  it('on a connection that lives on, also after HEAD', async () => {
    using visitor = await arrive(vendor, 'gone');
    for (const method of ['GET', 'HEAD', 'GET']) {
      visitor.write(get('gone').replace('GET', method));
      const page = await readResponse(visitor, method);
      expect([statusOf(page), page.body.length > 0]).toEqual([502, method === 'GET']);
      expect(Number(valuesOf(page, 'content-length')[0])).toBeGreaterThan(0);
    }
  });

  it('of a device without a workspace name, and of the zone: 404', async () => {
    for (const [hostname, kind] of [
      ['alice.vendor.test', 'no-such-workspace'],
      ['vendor.test', 'no-such-name'],
    ] as const) {
      const headers = { accept: 'application/problem+json' };
      const page = await ask(vendor, `https://${hostname}:${vendor.port}/`, { headers });
      expect([page.status, JSON.parse(page.body).type]).toEqual([
        404,
        `urn:waygate:problem:${kind}`,
      ]);
    }
  });

  it('of a name that nobody has, before any certificate', async () => {
    const servername = 'web.nobody.vendor.test';
    await expect(dialTls(vendor, 'raw', { servername })).rejects.toMatchObject({
      code: expect.stringMatching(/UNRECOGNIZED_NAME/),
    });
  });
});

describe('H1-15: a workspace that answers nonsense', { timeout: 30_000 }, () => {
  const CL = 'Content-Length: 2\r\n';
  const nonsense = {
    'another protocol': 'SSH-2.0-OpenSSH_9.2\r\n\r\n',
    'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'a status of four digits': `HTTP/1.1 2000 OK\r\n${CL}\r\nno`,
    'a status of 999': `HTTP/1.1 999 Hm\r\n${CL}\r\nno`,
    'two lengths': `HTTP/1.1 200 OK\r\n${CL}${CL}\r\nno`,
    'a length of two values': 'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nno',
    'a length and chunks': `HTTP/1.1 200 OK\r\n${CL}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'an unknown coding': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    'a carriage return in a value': `HTTP/1.1 200 OK\r\nX-A: a\rSet-Cookie: b\r\n${CL}\r\nno`,
    'a folded line': `HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\n${CL}\r\nno`,
    'a space before the colon': `HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nno`,
    'a head of 17 KiB': `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(17 * 1024)}\r\n${CL}\r\nno`,
    'seventeen interim responses': `${'HTTP/1.1 102 Wait\r\n\r\n'.repeat(17)}HTTP/1.1 200 OK\r\n${CL}\r\nno`,
    'a switch nobody asked for':
      'HTTP/1.1 101 Now\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  };

  it.each(Object.entries(nonsense))('%s: 502, and none of it is passed on', async (_, bytes) => {
    const served = raw.next(async (connection) => {
      await readRequest(connection);
      connection.write(bytes);
      return await connection.ended();
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.write(get('raw'));
    let response = await readResponse(visitor);
    while (statusOf(response) === 102) response = await readResponse(visitor);
    expect([statusOf(response), valuesOf(response, 'content-type')]).toEqual([
      502,
      ['text/plain; charset=utf-8'],
    ]);
    expect(String(response.body)).toContain('sent an invalid answer');
    await served;
    visitor.write(get('raw', '/next'));
    expect(statusOf(await readResponse(visitor))).toBe(204);
  });

  it('in the middle of a chunked body: the transfer breaks', async () => {
    const served = raw.next(async (connection) => {
      await readRequest(connection);
      connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n');
    });
    await expect(ask(vendor, vendor.url('raw'))).rejects.toMatchObject({ code: 'ECONNRESET' });
    await served;
  });

  it('H1-2: what it sends beyond its response answers no other request', async () => {
    const before = raw.connections.length;
    const poison = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison';
    const served = raw.next(async (connection) => {
      await readRequest(connection);
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${poison}`);
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.write(get('raw') + get('raw', '/next'));
    expect(String((await readResponse(visitor)).body)).toBe('ok');
    expect(statusOf(await readResponse(visitor))).toBe(204);
    await served;
    expect(raw.connections.length - before).toBe(2);
  });
});

describe('a workspace that closes an idle connection just as a request comes', {
  timeout: 30_000,
}, () => {
  /** Answers one request, and closes at the sight of the next one as if it had not seen it. */
  const closesAtSecond = async (connection: ByteStream): Promise<void> => {
    await readRequest(connection);
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst');
    await readHead(connection);
    connection.socket.resetAndDestroy();
  };

  it.each(['GET', 'HEAD', 'OPTIONS'])(
    '%s is asked once more, on another connection',
    async (method) => {
      const before = raw.connections.length;
      const served = raw.next(closesAtSecond);
      using visitor = await arrive(vendor, 'raw');
      visitor.write(get('raw', '/first'));
      expect(statusOf(await readResponse(visitor))).toBe(200);
      visitor.write(get('raw', '/second').replace('GET', method));
      expect(statusOf(await readResponse(visitor, method))).toBe(204);
      await served;
      expect(raw.connections.length - before).toBe(2);
    },
  );

  it.each(['POST', 'DELETE'])('%s gets an honest error', async (method) => {
    const before = raw.connections.length;
    const served = raw.next(closesAtSecond);
    using visitor = await arrive(vendor, 'raw');
    visitor.write(get('raw', '/first'));
    expect(statusOf(await readResponse(visitor))).toBe(200);
    visitor.write(get('raw', '/second').replace('GET', method));
    const response = await readResponse(visitor);
    expect(statusOf(response)).toBe(502);
    expect(String(response.body)).toContain('Whether the request was carried out is not known');
    await served;
    expect(raw.connections.length - before).toBe(1);
  });

  it('and again at the second try: an error, no endless tries', async () => {
    const before = raw.connections.length;
    const closesAtFirst = async (connection: ByteStream): Promise<void> => {
      await readHead(connection);
      connection.socket.resetAndDestroy();
    };
    const served = [raw.next(closesAtSecond), raw.next(closesAtFirst)];
    using visitor = await arrive(vendor, 'raw');
    visitor.write(get('raw', '/first'));
    expect(statusOf(await readResponse(visitor))).toBe(200);
    visitor.write(get('raw', '/second'));
    expect(statusOf(await readResponse(visitor))).toBe(502);
    await Promise.all(served);
    expect(raw.connections.length - before).toBe(2);
  });

  it('at the very first request: an error, since it was no stale connection', async () => {
    const served = raw.next(async (connection) => {
      await readHead(connection);
      connection.end();
    });
    expect(statusOf(await askRaw(vendor, 'raw', get('raw')))).toBe(502);
    await served;
  });
});
