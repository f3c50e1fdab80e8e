import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { constants } from 'node:http2';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ask, House } from './http2-house.ts';

let house: House;
beforeEach(async () => {
  house = await new House().open();
});
afterEach(() => house.close());

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString('latin1');
}

describe('requests over HTTP/2', () => {
  it('reach the workspace as HTTP/1.1, with what only we may say', async () => {
    const session = house.visit();
    const headers = {
      ':authority': 'alice.vendor.test',
      ':path': '/a?b=c',
      'x-test': '1',
      'x-forwarded-for': '6.6.6.6',
      'x-waygate-trust': '3',
    };
    expect(await ask(session, headers)).toMatchObject({ status: 200, body: 'hello' });
    const [request] = house.requests;
    expect(request?.url).toBe('/a?b=c');
    expect(request?.httpVersion).toBe('1.1');
    expect(request?.headers).toMatchObject({
      host: 'alice.vendor.test',
      'x-test': '1',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'alice.vendor.test',
      'x-waygate-trust': '0',
    });
    expect(request?.headers['transfer-encoding']).toBeUndefined();
  });

  it('bring bodies with and without a length, and empty ones', async () => {
    house.answer = async (request, response) => {
      const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
      response.end(JSON.stringify({ length, coding, body: await bodyOf(request) }));
    };
    const session = house.visit();
    const sized = { ':method': 'POST', 'content-length': 5 };
    expect(JSON.parse((await ask(session, sized, 'abcde')).body)).toEqual({
      length: '5',
      body: 'abcde',
    });
    expect(JSON.parse((await ask(session, { ':method': 'POST' }, 'abcde')).body)).toEqual({
      coding: 'chunked',
      body: 'abcde',
    });
    expect(JSON.parse((await ask(session, { ':method': 'PUT' }, '')).body)).toMatchObject({
      body: '',
    });
    const none = { ':method': 'POST' };
    expect(JSON.parse((await ask(session, none)).body)).toEqual({ length: '0', body: '' });
    expect(JSON.parse((await ask(session)).body)).toEqual({ body: '' });
  });

  it('send all cookies in one field', async () => {
    await ask(house.visit(), { cookie: ['a=1', 'b=2', 'c=3'] });
    expect(house.requests[0]?.headersDistinct['cookie']).toEqual(['a=1; b=2; c=3']);
  });

  it('pass on trailers that are allowed, in both directions', async () => {
    let received: unknown;
    house.answer = async (request, response) => {
      await bodyOf(request);
      received = request.trailers;
      response.writeHead(200, { trailer: 'grpc-status' });
      response.write('x');
      response.addTrailers({ 'grpc-status': '0', 'set-cookie': 'a=b' });
      response.end();
    };
    const session = house.visit();
    const stream = session.request(
      { ':method': 'POST', ':path': '/', te: 'trailers', trailer: 'grpc-status' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () =>
      stream.sendTrailers({ 'grpc-status': '7', authorization: 'stolen' }),
    );
    stream.end('abc');
    stream.resume();
    const [trailers] = await once(stream, 'trailers');
    expect(trailers).toMatchObject({ 'grpc-status': '0' });
    expect(trailers).not.toHaveProperty('set-cookie');
    expect(received).toEqual({ 'grpc-status': '7' });
  });

  it('share no link with another visit, and reuse those of their own', async () => {
    const [first, second] = [house.visit(), house.visit()];
    for (let times = 0; times < 5; times += 1) {
      await ask(first);
      await ask(second);
    }
    expect(house.requests).toHaveLength(10);
    expect(house.sockets).toHaveLength(2);
    const bySocket = Map.groupBy(house.requests, ({ socket }) => socket);
    expect([...bySocket.values()].map((requests) => requests.length)).toEqual([5, 5]);
  });

  it('run at the same time, and keep a bounded number of links afterwards', async () => {
    const waiting: (() => void)[] = [];
    house.answer = (_request, response) => {
      waiting.push(() => response.end('late'));
      if (waiting.length === 50) for (const answer of waiting) answer();
    };
    const session = house.visit();
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(session)));
    for (const { status, body } of answers)
      expect({ status, body }).toEqual({ status: 200, body: 'late' });
    await vi.waitFor(() => {
      expect(house.sockets.filter(({ destroyed }) => !destroyed)).toHaveLength(8);
    });
    expect(house.journal.requestsOpen).toBe(0);
  });

  it('are tried once more when a kept link has gone stale', async () => {
    const session = house.visit();
    await ask(session);
    const [socket] = house.sockets;
    house.answer = (request, response) => {
      if (request.socket === socket) request.socket.destroy();
      else response.end('second try');
    };
    expect(await ask(session)).toMatchObject({ status: 200, body: 'second try' });
    const stale = house.sockets.at(-1);
    house.answer = (request, response) => {
      if (request.socket === stale) request.socket.destroy();
      else response.end('second try');
    };
    expect(await ask(session, { ':method': 'POST' }, 'x')).toMatchObject({ status: 502 });
  });

  it('have a log line each', async () => {
    await ask(house.visit(), { ':path': '/p?q=canary', ':method': 'POST' }, 'abc');
    const lines = house.logged.map((line) => JSON.parse(line));
    expect(lines.filter(({ msg }) => msg === 'request')).toMatchObject([
      {
        method: 'POST',
        path: '/p',
        protocol: 'h2',
        status: 200,
        requestBytes: 3,
        responseBytes: 5,
        host: 'alice.vendor.test',
      },
    ]);
  });
});

describe('responses over HTTP/2', () => {
  it('keep repeated fields, and lose those of a connection', async () => {
    house.answer = (_request, response) => {
      response.writeHead(200, [
        ...['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'X-Test', '1'],
        ...['Connection', 'keep-alive, X-Hop', 'X-Hop', '1', 'Keep-Alive', 'timeout=5'],
      ]);
      response.end();
    };
    const { headers } = await ask(house.visit());
    expect(headers['set-cookie']).toEqual(['a=1', 'b=2']);
    expect(headers['x-test']).toBe('1');
    for (const name of ['connection', 'keep-alive', 'x-hop', 'transfer-encoding']) {
      expect(headers).not.toHaveProperty(name);
    }
  });

  it('without a body end with their head', async () => {
    house.answer = (request, response) => {
      response.writeHead(Number(request.url?.slice(1)), { 'X-Test': '1' });
      response.end();
    };
    const session = house.visit();
    for (const status of [204, 304, 200]) {
      expect(await ask(session, { ':path': `/${status}` })).toMatchObject({ status, body: '' });
    }
    const head = { ':path': '/200', ':method': 'HEAD' };
    expect(await ask(session, head)).toMatchObject({ status: 200, body: '' });
  });

  it('come piece by piece, as they are written', async () => {
    let more: ((text: string) => void) | undefined;
    house.answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('one');
      more = (text) => response.end(text);
    };
    const stream = house.visit().request({ ':path': '/' });
    expect(String((await once(stream, 'data'))[0])).toBe('one');
    more?.('two');
    expect(String((await once(stream, 'data'))[0])).toBe('two');
    await once(stream, 'end');
  });

  it('may be preceded by early hints, and by 100 to who expects it', async () => {
    house.answer = (request, response) => {
      response.writeEarlyHints({ link: '</a.css>; rel=preload; as=style' });
      request.resume();
      response.end('x');
    };
    const stream = house.visit().request({ ':path': '/' });
    const [hints] = await once(stream, 'headers');
    expect(hints).toMatchObject({ ':status': 103, link: '</a.css>; rel=preload; as=style' });
    const post = { ':method': 'POST', ':path': '/', expect: '100-continue' };
    const second = house.visit().request(post);
    await once(second, 'continue');
    second.end('body');
    expect((await once(second, 'response'))[0][':status']).toBe(200);
  });

  it('H1-16 that break off are seen to be broken', async () => {
    house.answer = (_request, response) => {
      response.writeHead(200);
      response.write('half', () => response.destroy());
    };
    await expect(ask(house.visit())).rejects.toThrow('NGHTTP2_INTERNAL_ERROR');
    expect(house.journal.problems.get('workspace-broke')).toBe(1);
  });

  it('may come before the request is complete; the rest of it is refused politely', async () => {
    house.answer = (_request, response) => response.writeHead(413).end('too much');
    const stream = house.visit().request({ ':method': 'POST', ':path': '/' });
    stream.write('begin');
    stream.setEncoding('latin1');
    const [[headers], [body]] = await Promise.all([once(stream, 'response'), once(stream, 'data')]);
    expect(headers[':status']).toBe(413);
    expect(body).toBe('too much');
    await once(stream, 'close');
    expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
  });

  it('leave no link behind on which a request is not complete', async () => {
    house.answer = (request, response) => {
      if (request.method === 'POST') response.writeHead(413).end('too much');
      else response.end('hello');
    };
    const session = house.visit();
    const stream = session.request({ ':method': 'POST', ':path': '/' });
    stream.write('begin');
    stream.resume();
    await once(stream, 'close');
    expect(await ask(session)).toMatchObject({ status: 200, body: 'hello' });
    expect(house.sockets).toHaveLength(2);
  });

  it('carry 8 MB both ways at once, byte for byte', async () => {
    house.answer = (request, response) => request.pipe(response);
    const body = Buffer.alloc(8_000_000, 'waygate ').fill('x', 3_000_000, 3_000_100);
    const answer = await ask(house.visit(), { ':method': 'POST' }, body);
    expect(answer.body === body.toString('latin1')).toBe(true);
  });
});

describe('pages over HTTP/2', () => {
  it('tell what is wrong', async () => {
    house.close();
    house = await new House().open(() => ({ kind: 'device-away', sinceMs: 0 }));
    const session = house.visit();
    const json = await ask(session, { accept: 'application/json' });
    expect(json.status).toBe(503);
    expect(json.headers).toMatchObject({
      'content-type': 'application/problem+json',
      'retry-after': '15',
    });
    expect(JSON.parse(json.body)).toMatchObject({ type: 'urn:waygate:problem:device-away' });
    expect(await ask(session, { ':method': 'HEAD' })).toMatchObject({ status: 503, body: '' });
    expect(await ask(session, { ':method': 'POST' }, 'x')).toMatchObject({ status: 503 });
  });

  it('say what is allowed when a method is not', async () => {
    const { status, headers } = await ask(house.visit(), { ':method': 'TRACE' });
    expect(status).toBe(405);
    expect(headers['allow']).toContain('GET');
  });

  it('H2-9 answer 421 to another name on this connection', async () => {
    const session = house.visit();
    for (const name of ['bob.vendor.test', 'code.alice.vendor.test', 'alice.vendor.test.evil']) {
      expect(await ask(session, { ':authority': name })).toMatchObject({ status: 421 });
    }
    expect(await ask(session, { ':authority': 'ALICE.vendor.test.:443' })).toMatchObject({
      status: 200,
    });
    expect(house.requests).toHaveLength(1);
  });
});

describe('a visitor', () => {
  it('who gives up takes his request away from the workspace', async () => {
    const arrived = new Promise<IncomingMessage>((resolve) => {
      house.answer = (request) => resolve(request);
    });
    const stream = house.visit().request({ ':path': '/' });
    stream.on('error', () => undefined);
    const request = await arrived;
    request.socket.on('error', () => undefined);
    const gone = new Promise((resolve) => request.socket.once('close', resolve));
    stream.close(constants.NGHTTP2_CANCEL);
    await gone;
    await vi.waitFor(() => expect(house.journal.requestsOpen).toBe(0));
  });

  it('F-13 who takes nothing holds up the workspace, not our memory', async () => {
    let written = 0;
    house.answer = (_request, response) => {
      const chunk = Buffer.alloc(65_536);
      const write = (): void => {
        for (let more = true; more && written < 1e8; written += chunk.length) {
          more = response.write(chunk);
        }
        if (written < 1e8) response.once('drain', write);
      };
      response.writeHead(200);
      write();
    };
    const session = house.visit();
    const slow = session.request({ ':path': '/' });
    await once(slow, 'response');
    slow.pause();
    const before = process.memoryUsage().arrayBuffers;
    for (let times = 0; times < 20; times += 1) await ask(house.visit(), { ':method': 'TRACE' });
    expect(written).toBeLessThan(2e7);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(3e7);
    slow.close();
  });

  it('F-13 who sends more than the workspace takes is held up, and nothing is lost', async () => {
    let resume = (): void => undefined;
    house.answer = (request, response) => {
      let bytes = 0;
      resume = () => {
        request.on('data', (part: Buffer) => {
          bytes += part.length;
        });
        request.on('end', () => response.end(String(bytes)));
      };
    };
    const before = process.memoryUsage().arrayBuffers;
    const stream = house.visit().request({ ':method': 'POST', ':path': '/' });
    const chunk = Buffer.alloc(100_000);
    for (let sent = 0; sent < 300; sent += 1) stream.write(chunk);
    stream.end();
    await vi.waitFor(() => expect(house.requests).toHaveLength(1));
    for (let times = 0; times < 20; times += 1) await ask(house.visit(), { ':method': 'TRACE' });
    const { bytesRead = 0 } = house.sockets[0] ?? {};
    expect(bytesRead).toBeLessThan(1e7);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1.5e7);
    resume();
    const [body] = await once(stream.setEncoding('latin1'), 'data');
    expect(body).toBe('30000000');
  });

  it('is told to go elsewhere when the entrance stops, and keeps what is under way', async () => {
    const arrived = new Promise<() => void>((resolve) => {
      house.answer = (_request, response) => resolve(() => response.end('finished'));
    });
    const session = house.visit();
    const goaway = once(session, 'goaway');
    const answer = ask(session);
    const finish = await arrived;
    house.entrance?.stop();
    house.entrance?.stopIdleVisits();
    expect((await goaway)[0]).toBe(constants.NGHTTP2_NO_ERROR);
    finish();
    expect(await answer).toMatchObject({ status: 200, body: 'finished' });
    await vi.waitFor(() => expect(house.entrance?.visitCount).toBe(0));
  });
});
