// The promise: what a workspace says arrives when it says it. Nothing is collected on the way, in
// either direction, whatever the framing.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readHead, readResponse } from '../world/http-text.ts';
import { within } from '../world/program-process.ts';
import { startVendor, type Vendor } from '../world/vendor.ts';
import { arrive, dialTls } from '../world/visitor.ts';
import { begin } from '../world/visits.ts';
import { HttpWorkspace, RawWorkspace } from '../world/workspace.ts';

const WAIT_MS = 15_000;
const open = new AsyncDisposableStack();
let raw: RawWorkspace;
let web: HttpWorkspace;
let vendor: Vendor;

beforeAll(async () => {
  raw = open.use(await RawWorkspace.open());
  web = open.use(await HttpWorkspace.open());
  vendor = open.use(await startVendor({ raw: raw.url, web: web.url }));
}, 60_000);
afterEach(() => raw.forget());
afterAll(() => open.disposeAsync());

/** The workspace's side of an event stream that a visitor has open, and the pieces he gets. */
async function openEvents(version: 'HTTP/1.1' | 'HTTP/2' = 'HTTP/1.1') {
  const opened = Promise.withResolvers<ServerResponse>();
  web.answer = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    opened.resolve(response);
  };
  const visitor: Readable =
    version === 'HTTP/1.1'
      ? await begin(vendor, vendor.url('web', '/events'))
      : await beginHttp2('/events');
  const events = await within(opened.promise, WAIT_MS, 'an event stream');
  return { visitor, events };
}

async function beginHttp2(path: string, tcp = connect(vendor.port, vendor.address)) {
  const socket = await dialTls(vendor, 'web', { ALPNProtocols: ['h2'], socket: tcp });
  const session = connectHttp2(vendor.url('web'), { createConnection: () => socket });
  session.on('error', () => undefined);
  open.defer(() => session.destroy());
  const stream = session.request({ ':path': path });
  stream.on('error', () => undefined);
  await within(once(stream, 'response'), WAIT_MS, 'a response over HTTP/2');
  return stream;
}

describe('an event stream', { timeout: 60_000 }, () => {
  it.each(['HTTP/1.1', 'HTTP/2'] as const)(
    '%s: each of 50 events is there within 50 ms',
    async (version) => {
      const { visitor, events } = await openEvents(version);
      const tookMs: number[] = [];
      for (let at = 0; at < 50; at += 1) {
        // Nobody is busy with the event before: each finds the programs asleep, as events do.
        await pause(5);
        const arrived = once(visitor, 'data');
        const writtenAtMs = performance.now();
        events.write(`id: ${at}\ndata: something\n\n`);
        const [piece] = await within(arrived, WAIT_MS, `event ${at}`);
        tookMs.push(performance.now() - writtenAtMs);
        expect(String(piece)).toBe(`id: ${at}\ndata: something\n\n`);
      }
      visitor.destroy();
      const [median = 0, max = 0] = [tookMs.toSorted((a, b) => a - b)[25], Math.max(...tookMs)];
      expect(median).toBeLessThan(10);
      expect(max).toBeLessThan(50);
    },
  );

  it('its head is there before the first event', async () => {
    const { visitor, events } = await openEvents();
    const ended = once(visitor, 'end');
    const arrived = once(visitor, 'data');
    events.end('data: last\n\n');
    const [piece] = await within(arrived, WAIT_MS, 'the last event');
    expect(String(piece)).toBe('data: last\n\n');
    await within(ended, WAIT_MS, 'the end of the stream');
  });

  it('ends at the workspace as soon as the visitor’s connection is reset', async () => {
    const tcp = connect(vendor.port, vendor.address);
    using visitor = await arrive(vendor, 'raw', { socket: tcp });
    const served = raw.next(async (connection) => {
      await readHead(connection);
      connection.write('HTTP/1.1 200 OK\r\n\r\n');
      return connection;
    });
    visitor.write(`GET / HTTP/1.1\r\nHost: ${vendor.host('raw')}\r\n\r\n`);
    await readHead(visitor);
    tcp.resetAndDestroy();
    await within((await served).ended(), 1_000, 'the workspace to hear of it');
  });

  it('ends at the workspace as soon as the visitor has left it over HTTP/2', async () => {
    const { visitor, events } = await openEvents('HTTP/2');
    const closed = once(events, 'close');
    visitor.destroy();
    await within(closed, 1_000, 'the workspace to hear of it');
  });

  it('ends at the workspace as soon as the visitor has closed an HTTP/2 connection', async () => {
    const opened = Promise.withResolvers<ServerResponse>();
    web.answer = (_, response) => {
      response.writeHead(200).flushHeaders();
      opened.resolve(response);
    };
    const tcp = connect(vendor.port, vendor.address);
    await beginHttp2('/events', tcp);
    const events = await within(opened.promise, WAIT_MS, 'an event stream');
    const closed = once(events, 'close');
    // Without a reset or a goodbye of HTTP/2: the process is gone, and the system ends its sockets.
    tcp.destroy();
    await within(closed, 1_000, 'the workspace to hear of it');
  });

  it('ends at the workspace with the next event after the visitor has closed', async () => {
    // An end alone could mean that he only says nothing more: see half-close in http.test.ts.
    const { visitor, events } = await openEvents();
    const closed = once(events, 'close', { signal: AbortSignal.timeout(WAIT_MS) });
    visitor.destroy();
    const timer = setInterval(() => events.write(':\n'), 20);
    await closed;
    clearInterval(timer);
  });
});

describe('every piece of a body passes at once', { timeout: 60_000 }, () => {
  const ROUNDS = 20;
  const piece = (at: number): string => String(at).padStart(10, '.');
  const framings = [
    ['chunks', 'Transfer-Encoding: chunked', (text: string) => `a\r\n${text}\r\n`, '0\r\n\r\n'],
    ['a length', `Content-Length: ${ROUNDS * 10}`, (text: string) => text, ''],
    ['no length', 'Connection: close', (text: string) => text, undefined],
  ] as const;

  it.each(framings)('of a response with %s', async (_, line, framed, last) => {
    const seen = Array.from({ length: ROUNDS }, () => Promise.withResolvers<void>());
    const served = raw.next(async (connection) => {
      await readHead(connection);
      connection.write(`HTTP/1.1 200 OK\r\n${line}\r\n\r\n`);
      for (const [at, { promise }] of seen.entries()) {
        connection.write(framed(piece(at)));
        // The next piece comes only when this one was seen: whoever collects waits for ever.
        await within(promise, WAIT_MS, `piece ${at} at the visitor`);
      }
      if (last === undefined) connection.end();
      else connection.write(last);
    });
    const response = await begin(vendor, vendor.url('raw'));
    let text = '';
    response.on('data', (bytes: Buffer) => {
      text += String(bytes);
      seen[text.length / 10 - 1]?.resolve();
    });
    await within(once(response, 'end'), WAIT_MS, 'the end of the response');
    expect(text).toBe(seen.map((__, at) => piece(at)).join(''));
    await served;
  });

  it.each(framings.slice(0, 2))('of a request with %s', async (_, line, framed, last) => {
    const seen = Array.from({ length: ROUNDS }, () => Promise.withResolvers<void>());
    const served = raw.next(async (connection) => {
      await readHead(connection);
      for (const [at, { resolve }] of seen.entries()) {
        expect((await connection.exactly(framed(piece(at)).length)).toString()).toBe(
          framed(piece(at)),
        );
        resolve();
      }
      connection.write('HTTP/1.1 204 No Content\r\n\r\n');
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.write(`POST / HTTP/1.1\r\nHost: ${vendor.host('raw')}\r\n${line}\r\n\r\n`);
    for (const [at, { promise }] of seen.entries()) {
      visitor.write(framed(piece(at)));
      await within(promise, WAIT_MS, `piece ${at} at the workspace`);
    }
    visitor.write(last ?? '');
    await readResponse(visitor);
    await served;
  });

  it('of a request and its response at the same time', async () => {
    web.answer = (request, response) => {
      response.writeHead(200).flushHeaders();
      request.pipe(response);
    };
    const asked = httpsRequest({
      host: vendor.address,
      port: vendor.port,
      servername: vendor.hostname('web'),
      ca: vendor.caPem,
      method: 'POST',
      headers: { host: vendor.host('web') },
      agent: false,
    });
    asked.flushHeaders();
    const [response] = await within(once(asked, 'response'), WAIT_MS, 'the response');
    for (let at = 0; at < ROUNDS; at += 1) {
      asked.write(piece(at));
      const [echoed] = await within(once(response, 'data'), WAIT_MS, `the echo of piece ${at}`);
      expect(String(echoed)).toBe(piece(at));
    }
    asked.end();
    await within(once(response.resume(), 'end'), WAIT_MS, 'the end of both');
  });
});
