// HTTP/2 that no honest client sends, byte by byte. The workspace must never see a request that it
// would understand otherwise than the entrance, and no attack may cost another visitor his answer.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  END_HEADERS,
  END_STREAM,
  FRAME,
  frame,
  hpack,
  openRaw,
  type RawHttp2,
} from './http2-frames.ts';
import { ask, House } from './http2-house.ts';

let house: House;
beforeEach(async () => {
  house = await new House().open();
});
afterEach(() => house.close());

type Pair = readonly [string, string];
const NAME = 'alice.vendor.test';
const GET: readonly Pair[] = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':path', '/'],
  [':authority', NAME],
];
const POST: readonly Pair[] = [[':method', 'POST'], ...GET.slice(1)];
const without = (name: string): Pair[] => GET.filter(([key]) => key !== name);
const instead = (name: string, value: string): Pair[] =>
  GET.map(([key, old]) => [key, key === name ? value : old]);

/** What became of stream 1: a reset, an answer with a status, or the end of the connection. */
async function outcome(raw: RawHttp2): Promise<'reset' | 'answered' | 'closed'> {
  return await vi.waitFor(() => {
    if (raw.sent(FRAME.reset, 1) !== undefined) return 'reset';
    if (raw.sent(FRAME.goaway, 0) !== undefined || raw.closed) return 'closed';
    if (raw.sent(FRAME.headers, 1) !== undefined) return 'answered';
    throw new Error('nothing came');
  });
}

async function stillServed(): Promise<void> {
  expect(await ask(house.visit())).toMatchObject({ status: 200, body: 'hello' });
}

describe('H2-6 what HTTP/1.1 would read otherwise', () => {
  const cases: Record<string, readonly Pair[]> = {
    'upper case in a name': [...GET, ['X-A', 'b']],
    'CR LF in the path': instead(':path', '/ HTTP/1.1\r\nx: y\r\n\r\nGET /admin'),
    'a space in the path': instead(':path', '/a b'),
    'a fragment in the path': instead(':path', '/a#b'),
    'a path without a slash': instead(':path', 'admin'),
    'a path that is empty': instead(':path', ''),
    'a path in absolute form': instead(':path', `https://${NAME}/`),
    'a star as path': instead(':path', '*'),
    'CR LF in the method': instead(':method', 'GET / HTTP/1.1\r\nx: y\r\n\r\nGET'),
    'a space in the method': instead(':method', 'GET /admin'),
    'a method in lower case': instead(':method', 'get'),
    'the method CONNECT': instead(':method', 'CONNECT'),
    'the method TRACE': instead(':method', 'TRACE'),
    'CR LF in the authority': instead(':authority', `${NAME}\r\nx: y`),
    'an authority with user information': instead(':authority', `user@${NAME}`),
    'another authority': instead(':authority', 'bob.vendor.test'),
    'an authority of two': instead(':authority', `${NAME}, bob.vendor.test`),
    'no authority': without(':authority'),
    'no method': without(':method'),
    'no path': without(':path'),
    'no scheme': without(':scheme'),
    'another scheme': instead(':scheme', 'http'),
    'two methods': [...GET, [':method', 'POST']],
    'two paths': [[':path', '/admin'], ...GET],
    'two authorities': [[':authority', 'bob.vendor.test'], ...GET],
    'a pseudo-header behind a field': [...without(':path'), ['x-a', 'b'], [':path', '/']],
    'an unknown pseudo-header': [...GET, [':x', 'y']],
    'a status in a request': [...GET, [':status', '200']],
    'another Host': [...GET, ['host', 'bob.vendor.test']],
    'two Hosts': [...GET, ['host', NAME], ['host', NAME]],
    Connection: [...GET, ['connection', 'x-a']],
    'Connection: close': [...GET, ['connection', 'close']],
    'Keep-Alive': [...GET, ['keep-alive', 'timeout=5']],
    'Proxy-Connection': [...GET, ['proxy-connection', 'keep-alive']],
    Upgrade: [...GET, ['upgrade', 'websocket']],
    'Transfer-Encoding': [...GET, ['transfer-encoding', 'chunked']],
    'TE other than trailers': [...GET, ['te', 'gzip']],
    'two lengths': [...POST, ['content-length', '0'], ['content-length', '5']],
    'a length that is no number': [...POST, ['content-length', '+0']],
    'a length without a body': [...POST, ['content-length', '5']],
    'an alias of a framing field': [...GET, ['content_length', '5']],
    'extended CONNECT': [...instead(':method', 'CONNECT'), [':protocol', 'websocket']],
  };
  for (const [what, fields] of Object.entries(cases)) {
    it(`${what} gets no further`, async () => {
      const raw = await openRaw(house.port, NAME);
      raw.send(FRAME.headers, END_HEADERS | END_STREAM, 1, hpack(fields));
      const refused = house.journal.refusedRequests;
      if ((await outcome(raw)) === 'answered') expect(refused.size).toBe(1);
      for (const status of refused.keys()) expect([400, 405, 421]).toContain(status);
      await stillServed();
      expect(house.requests).toHaveLength(1);
      raw.socket.destroy();
    });
  }

  // RFC 9113, section 8.2.1 would have these requests refused; nghttp2 drops such fields instead.
  const dropped: Record<string, readonly Pair[]> = {
    'CR LF in a value': [...GET, ['x-a', 'b\r\nx-b: c']],
    'LF in a value': [...GET, ['x-a', 'b\nx-b: c']],
    'CR in a value': [...GET, ['x-a', 'b\rc']],
    'NUL in a value': [...GET, ['x-a', 'b\0c']],
    'CR LF in a name': [...GET, ['x-a: 1\r\nx-b', 'c']],
    'a colon in a name': [...GET, ['x-a:', 'b']],
    'a space in a name': [...GET, ['x a', 'b']],
    'an empty name': [...GET, ['', 'b']],
  };
  for (const [what, fields] of Object.entries(dropped)) {
    it(`${what} gets no further, the rest of the request does`, async () => {
      const raw = await openRaw(house.port, NAME);
      raw.send(FRAME.headers, END_HEADERS | END_STREAM, 1, hpack(fields));
      expect(await outcome(raw)).toBe('answered');
      expect(house.requests).toHaveLength(1);
      const names = house.requests[0]?.rawHeaders.filter((_, at) => at % 2 === 0);
      expect(
        names?.filter((name) => !/^(?:host|forwarded|x-(?:waygate|forwarded)-.*)$/i.test(name)),
      ).toEqual([]);
      raw.socket.destroy();
    });
  }

  it('a body shorter or longer than its length is no whole request', async () => {
    const whole: string[] = [];
    house.answer = (request, response) => {
      request.on('end', () => whole.push(request.method ?? ''));
      request.on('error', () => undefined);
      request.resume();
      if (request.method === 'GET') response.end('hello');
    };
    for (const bytes of [4, 6]) {
      const raw = await openRaw(house.port, NAME);
      const head = hpack([...POST, ['content-length', '5']]);
      raw.send(FRAME.headers, END_HEADERS, 1, head);
      raw.send(FRAME.data, END_STREAM, 1, Buffer.alloc(bytes, 'x'));
      expect(await outcome(raw)).not.toBe('answered');
      raw.socket.destroy();
    }
    await stillServed();
    expect(whole).toEqual(['GET']);
  });

  it('a body that breaks off is no whole request', async () => {
    let whole = false;
    const arrived = new Promise<void>((resolve) => {
      house.answer = (request) => {
        request.on('end', () => {
          whole = true;
        });
        request.on('error', () => undefined);
        request.on('close', resolve);
        request.resume();
      };
    });
    const raw = await openRaw(house.port, NAME);
    raw.send(FRAME.headers, END_HEADERS, 1, hpack(POST));
    raw.send(FRAME.data, 0, 1, Buffer.from('half'));
    await vi.waitFor(() => expect(house.requests).toHaveLength(1));
    raw.send(FRAME.reset, 0, 1, Buffer.from([0, 0, 0, 8]));
    await arrived;
    expect(whole).toBe(false);
    raw.socket.destroy();
  });
});

describe('floods', () => {
  const get = hpack(GET);
  const reset = Buffer.from([0, 0, 0, 8]);

  async function ended(raw: RawHttp2): Promise<void> {
    await vi.waitFor(() => expect(raw.closed).toBe(true), 5_000);
  }

  it('H2-1 rapid reset reaches the workspace at most 100 times', async () => {
    const raw = await openRaw(house.port, NAME);
    const frames: Buffer[] = [];
    for (let id = 1; id < 20_000; id += 2) {
      frames.push(frame(FRAME.headers, END_HEADERS | END_STREAM, id, get));
      frames.push(frame(FRAME.reset, 0, id, reset));
    }
    raw.socket.write(Buffer.concat(frames));
    await ended(raw);
    await stillServed();
    expect(house.requests.length).toBeLessThanOrEqual(101);
    await vi.waitFor(() => expect(house.journal.requestsOpen).toBe(0));
  });

  it('H2-1 resets that come a moment later end the connection as well', async () => {
    house.answer = (request, response) => {
      if (request.url === '/fast') response.end('hello');
    };
    const raw = await openRaw(house.port, NAME);
    let id = 1;
    while (!raw.closed && id < 4_000) {
      const first = id;
      for (let count = 0; count < 40; count += 1, id += 2) {
        raw.send(FRAME.headers, END_HEADERS | END_STREAM, id, get);
      }
      const before = house.requests.length;
      await vi.waitFor(() => expect(raw.closed || house.requests.length > before).toBe(true));
      for (let gone = first; gone < id; gone += 2) raw.send(FRAME.reset, 0, gone, reset);
    }
    await ended(raw);
    expect(house.requests.length).toBeLessThanOrEqual(300);
    expect(await ask(house.visit(), { ':path': '/fast' })).toMatchObject({ status: 200 });
  });

  const overflow = Buffer.from([0x7f, 0xff, 0xff, 0xff]);
  const triggers: Record<string, (id: number) => Buffer> = {
    'a window update of zero': (id) => frame(FRAME.windowUpdate, 0, id, Buffer.alloc(4)),
    'a window that overflows': (id) => frame(FRAME.windowUpdate, 0, id, overflow),
    'data behind the end': (id) => frame(FRAME.data, 0, id, Buffer.from('x')),
    'a head behind the end': (id) => frame(FRAME.headers, END_HEADERS | END_STREAM, id, get),
    'a dependency on itself': (id) => {
      const itself = Buffer.alloc(5, 1);
      itself.writeUInt32BE(id, 0);
      return frame(FRAME.priority, 0, id, itself);
    },
    'a priority of a wrong length': (id) => frame(FRAME.priority, 0, id, Buffer.alloc(4)),
  };
  for (const [what, trigger] of Object.entries(triggers)) {
    it(`H2-2 streams that we are made to reset (MadeYouReset) by ${what} are few`, async () => {
      house.answer = (request, response) => {
        if (request.url === '/fast') response.end('hello');
      };
      const raw = await openRaw(house.port, NAME);
      for (let id = 1; id < 4_000 && !raw.closed; ) {
        const first = id;
        const before = house.requests.length;
        for (let count = 0; count < 40; count += 1, id += 2) {
          raw.send(FRAME.headers, END_HEADERS | END_STREAM, id, get);
        }
        await vi.waitFor(() => expect(raw.closed || house.requests.length > before).toBe(true));
        for (let made = first; made < id; made += 2) raw.socket.write(trigger(made));
        if (raw.sent(FRAME.reset, first) === undefined && house.requests.length >= 100) break;
      }
      expect(house.requests.length).toBeLessThanOrEqual(300);
      expect(await ask(house.visit(), { ':path': '/fast' })).toMatchObject({ status: 200 });
      raw.socket.destroy();
    });
  }

  it('H2-3 endless CONTINUATION ends the connection', async () => {
    const raw = await openRaw(house.port, NAME);
    raw.send(FRAME.headers, END_STREAM, 1, get);
    const more = hpack([['x-a', 'b'.repeat(1_000)]]);
    const before = process.memoryUsage().rss;
    for (let count = 0; count < 20_000 && !raw.closed; count += 100) {
      const frames = Array.from({ length: 100 }, () => frame(FRAME.continuation, 0, 1, more));
      raw.socket.write(Buffer.concat(frames));
      await new Promise(setImmediate);
    }
    await ended(raw);
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
    expect(house.requests).toHaveLength(0);
    await stillServed();
  });

  it.each([
    ['PING', FRAME.ping, 0, Buffer.alloc(8)],
    ['SETTINGS', FRAME.settings, 0, Buffer.from([0, 4, 0, 1, 0, 0])],
    ['empty DATA', FRAME.data, 1, Buffer.alloc(0)],
  ])('H2-4 a flood of %s ends the connection', async (_what, type, stream, payload) => {
    house.answer = (request, response) => {
      if (request.method === 'GET') response.end('hello');
    };
    const raw = await openRaw(house.port, NAME);
    raw.socket.pause();
    raw.send(FRAME.headers, END_HEADERS, 1, hpack(POST));
    const flood = Buffer.concat(Array.from({ length: 500 }, () => frame(type, 0, stream, payload)));
    const before = process.cpuUsage();
    for (let count = 0; count < 100 && !raw.socket.destroyed; count += 1) {
      raw.socket.write(flood);
      await new Promise(setImmediate);
    }
    raw.socket.resume();
    await ended(raw);
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1_000).toBeLessThan(2_000);
    await stillServed();
  });

  it('H2-5 more header fields than a head may have are refused unseen', async () => {
    const many = Array.from({ length: 150 }, (_, at): Pair => [`x-${at}`, 'y']);
    const long: Pair[] = [
      ['x-long', 'y'.repeat(16_000)],
      ['x-more', 'y'.repeat(1_000)],
    ];
    for (const extra of [many, long]) {
      const raw = await openRaw(house.port, NAME);
      const block = hpack([...GET, ...extra]);
      raw.send(FRAME.headers, END_STREAM, 1, block.subarray(0, 16_000));
      raw.send(FRAME.continuation, END_HEADERS, 1, block.subarray(16_000));
      if ((await outcome(raw)) === 'answered') {
        expect([...house.journal.refusedRequests.keys()]).toEqual([431]);
      }
      raw.socket.destroy();
    }
    await stillServed();
    expect(house.requests).toHaveLength(1);
  });
});
