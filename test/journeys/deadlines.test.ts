// The promise: what is idle on purpose stays, for as long as it likes; what only holds us up goes.
// Relay and device live forty times as fast here, so that minutes pass in seconds (fast-clock.ts).
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ByteStream } from '../world/byte-stream.ts';
import { readHead, readRequest, readResponse, statusOf } from '../world/http-text.ts';
import { within } from '../world/program-process.ts';
import { startVendor, type Vendor } from '../world/vendor.ts';
import { arrive, dialTls } from '../world/visitor.ts';
import { RawWorkspace } from '../world/workspace.ts';

const FACTOR = 40;
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
const open = new AsyncDisposableStack();
/** One for each test: they wait at the same time. */
const NAMES = ['quiet', 'kept', 'head', 'body', 'stalled', 'half'] as const;
type Name = (typeof NAMES)[number];
const workspaces = new Map<Name, RawWorkspace>();
let vendor: Vendor;

beforeAll(async () => {
  for (const name of NAMES) workspaces.set(name, open.use(await RawWorkspace.open()));
  const urls = [...workspaces].map(([name, { url }]) => [name, url]);
  const options = `NODE_OPTIONS=--import=${new URL('../world/fast-clock.ts', import.meta.url)}`;
  vendor = open.use(await startVendor(Object.fromEntries(urls), { under: ['env', options] }));
  // A certificate that is made takes longer than visitors wait for it in this fast world.
  await within(served('quiet'), 20_000, 'the first certificate');
}, 60_000);
afterAll(() => open.disposeAsync());

async function served(name: Name): Promise<void> {
  for (;;) {
    const socket = await dialTls(vendor, name).catch(() => undefined);
    socket?.destroy();
    if (socket !== undefined) return;
    await pause(50);
  }
}

function workspace(name: Name): RawWorkspace {
  const found = workspaces.get(name);
  if (found === undefined) throw new Error(`no workspace ${name}`);
  return found;
}

function head(name: Name, method = 'GET', target = '/'): string {
  return `${method} ${target} HTTP/1.1\r\nHost: ${vendor.host(name)}\r\n`;
}

/** Seconds of the programs' time until the visitor's connection ends. */
async function goneAfterS(visitor: ByteStream): Promise<number> {
  const startedAtMs = performance.now();
  await visitor.ended();
  return ((performance.now() - startedAtMs) * FACTOR) / 1_000;
}

describe.concurrent('six minutes without a byte', { timeout: 60_000 }, () => {
  const minutes = (count: number): Promise<void> => pause((count * 60_000) / FACTOR);

  it('do not end an event stream, a WebSocket, or the wait for an answer', async () => {
    const responses = {
      events: 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n',
      websocket:
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        `Sec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`,
      thinking: '',
    };
    const lines = {
      events: '',
      websocket:
        'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
        `Sec-WebSocket-Key: ${KEY}\r\n`,
      thinking: '',
    };
    const visits = await Promise.all(
      (['events', 'websocket', 'thinking'] as const).map(async (kind) => {
        const visitor = open.use(await arrive(vendor, 'quiet'));
        const served = workspace('quiet').next(async (connection) => {
          const { line } = await readHead(connection);
          const asked = line.split(/[ /]+/)[1] as keyof typeof responses;
          connection.write(responses[asked]);
          return { connection, asked };
        });
        visitor.write(`${head('quiet', 'GET', `/${kind}`)}${lines[kind]}\r\n`);
        if (kind !== 'thinking') await readHead(visitor);
        return { kind, visitor, served: await served };
      }),
    );
    await minutes(6);
    for (const { visitor, served } of visits) {
      expect([visitor.ending, served.connection.ending]).toEqual([undefined, undefined]);
    }
    for (const { kind, visitor } of visits) {
      const connection = visits.find(({ served }) => served.asked === kind)?.served.connection;
      connection?.write(kind === 'thinking' ? 'HTTP/1.1 204 No Content\r\n\r\n' : 'hello');
      if (kind === 'websocket') expect(String(await visitor.exactly(5))).toBe('hello');
      else expect(await visitor.until(kind === 'events' ? 'hello' : '204 No')).toContain('');
    }
  });
});

describe.concurrent('a visitor who holds us up', { timeout: 60_000 }, () => {
  it('between two requests is let go in peace after 75 s', async () => {
    using visitor = await arrive(vendor, 'kept');
    visitor.write(`${head('kept')}\r\n`);
    expect(statusOf(await readResponse(visitor))).toBe(204);
    const seconds = await goneAfterS(visitor);
    expect(visitor.ending).toBe('end');
    expect(seconds).toBeGreaterThan(70);
    expect(seconds).toBeLessThan(120);
  });

  it('H1-12: with half a head is told so after 10 s, and no stream is opened', async () => {
    const before = workspace('head').connections.length;
    using visitor = await arrive(vendor, 'head');
    visitor.write(head('head'));
    const asked = performance.now();
    expect(statusOf(await readResponse(visitor))).toBe(408);
    expect(((performance.now() - asked) * FACTOR) / 1_000).toBeLessThan(40);
    expect(workspace('head').connections.length).toBe(before);
  });

  it('H1-12: with a body of less than 500 bytes a second is told so after 30 s', async () => {
    const served = workspace('body').next(async (connection) => {
      await readHead(connection);
      return await connection.ended();
    });
    using visitor = await arrive(vendor, 'body');
    visitor.write(`${head('body', 'POST')}Content-Length: 100000\r\n\r\nslow`);
    const drip = setInterval(() => visitor.write('.'), 50);
    try {
      expect(statusOf(await readResponse(visitor))).toBe(408);
    } finally {
      clearInterval(drip);
    }
    expect(await served).not.toBe('end');
  });

  it('F-13: who takes nothing of what waits for him is cut off after 60 s', async () => {
    const served = workspace('stalled').next(async (connection) => {
      await readRequest(connection);
      connection.write('HTTP/1.1 200 OK\r\n\r\n');
      const piece = Buffer.alloc(65_536);
      const more = (): void => {
        while (connection.socket.writable && connection.socket.write(piece));
      };
      connection.socket.on('drain', more);
      more();
      const startedAtMs = performance.now();
      await connection.ended();
      return ((performance.now() - startedAtMs) * FACTOR) / 1_000;
    });
    const socket = await dialTls(vendor, 'stalled');
    socket.on('error', () => undefined);
    socket.write(`${head('stalled')}\r\n`);
    socket.pause();
    const seconds = await served;
    socket.destroy();
    expect(seconds).toBeGreaterThan(55);
    expect(seconds).toBeLessThan(150);
  });

  it('after an end of his half, with nothing for him, is given up after five minutes', async () => {
    const served = workspace('half').next(async (connection) => {
      await readRequest(connection);
      const startedAtMs = performance.now();
      await connection.ended();
      return ((performance.now() - startedAtMs) * FACTOR) / 1_000;
    });
    using visitor = await arrive(vendor, 'half');
    visitor.end(`${head('half')}\r\n`);
    const seconds = await within(served, 30_000, 'the workspace to be told');
    expect(seconds).toBeGreaterThan(290);
    expect(seconds).toBeLessThan(600);
  });
});
