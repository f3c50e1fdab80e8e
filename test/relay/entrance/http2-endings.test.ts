// Every stream of an HTTP/2 visit comes to its end, and is seen to: whoever ends it, at whatever
// moment, and whatever still waits in the other direction.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { within } from '../../world/program-process.ts';
import { until } from '../../world/visits.ts';
import { END_HEADERS, END_STREAM, FRAME, frame, hpack, openRaw } from './http2-frames.ts';
import { House } from './http2-house.ts';

const WITHIN_MS = 10_000;
/** More than fits on the way to a workspace that reads nothing. */
const MUCH = Buffer.alloc(8_000_000);

let house: House;
beforeEach(async () => {
  house = await new House().open();
});
afterEach(() => house.close());

/** An upload that no longer moves, because the workspace takes nothing of it. */
async function stuckUpload(session: ClientHttp2Session): Promise<ClientHttp2Stream> {
  const reached = new Promise<IncomingMessage>((resolve) => {
    house.answer = (request) => resolve(request.pause());
  });
  const stream = session.request({ ':method': 'POST', ':path': '/' });
  stream.on('error', () => undefined);
  stream.write(MUCH);
  await within(reached, WITHIN_MS, 'the request');
  let last = 0;
  let times = 0;
  const standsStill = () => {
    const now = session.state.remoteWindowSize ?? 0;
    times = now === last ? times + 1 : 0;
    last = now;
    return times > 15;
  };
  await until(standsStill, WITHIN_MS, 'a standstill');
  return stream;
}

/** The visit ends in peace only when each of its streams has. */
async function expectNoStreamLeft(session: ClientHttp2Session): Promise<void> {
  const closed = once(session, 'close');
  house.entrance?.stop();
  house.entrance?.stopIdleVisits();
  await within(closed, WITHIN_MS, 'the end of the visit');
}

describe('an upload that waits for its workspace', () => {
  it('is over when the workspace answers without taking the rest', async () => {
    const session = house.visit();
    const stream = await stuckUpload(session);
    const closed = once(stream, 'close');
    stream.resume();
    house.sockets[0]?.write('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno');
    await within(closed, WITHIN_MS, 'the end of the stream');
    expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
    await expectNoStreamLeft(session);
  });

  it('is over when its link breaks', async () => {
    const session = house.visit();
    const stream = await stuckUpload(session);
    const answered = once(stream, 'response');
    const closed = once(stream, 'close');
    stream.resume();
    house.sockets[0]?.resetAndDestroy();
    expect((await within(answered, WITHIN_MS, 'an answer'))[0][':status']).toBe(502);
    await within(closed, WITHIN_MS, 'the end of the stream');
    await expectNoStreamLeft(session);
  });

  it('is over when the visitor resets it, with an error or without', async () => {
    for (const code of [constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_CANCEL]) {
      const raw = await openRaw(house.port, 'alice.vendor.test');
      const reached = new Promise<IncomingMessage>((resolve) => {
        house.answer = (request) => resolve(request.pause());
      });
      raw.send(FRAME.headers, END_HEADERS, 1, hpack(POST));
      // The window that a stream begins with; a link takes less when its workspace reads nothing.
      for (let sent = 0; sent < 262_144; sent += 16_384) {
        raw.send(FRAME.data, 0, 1, Buffer.alloc(16_384));
      }
      await within(reached, WITHIN_MS, 'the request');
      const reset = Buffer.alloc(4);
      reset.writeUInt32BE(code);
      raw.send(FRAME.reset, 0, 1, reset);
      await until(() => house.journal.requestsOpen === 0, WITHIN_MS, 'the end of the request');
      house.entrance?.stopIdleVisits();
      await until(() => raw.closed, WITHIN_MS, 'the end of the visit');
    }
  });
});

describe('trailers', () => {
  it('of a request reach the workspace when all of it arrives at once', async () => {
    const received = new Promise<unknown>((resolve) => {
      house.answer = (request, response) => {
        request.resume();
        request.on('end', () => resolve(request.trailers));
        response.end();
      };
    });
    const raw = await openRaw(house.port, 'alice.vendor.test');
    const last = hpack([['grpc-status', '7']]);
    raw.socket.write(
      Buffer.concat([
        frame(FRAME.headers, END_HEADERS, 1, hpack([...POST, ['trailer', 'grpc-status']])),
        frame(FRAME.data, 0, 1, Buffer.from('abc')),
        frame(FRAME.headers, END_HEADERS | END_STREAM, 1, last),
      ]),
    );
    const trailers = await within(received, WITHIN_MS, 'the request');
    expect(trailers).toEqual({ 'grpc-status': '7' });
  });

  it('of an answer arrive though it came before the end of the request', async () => {
    house.answer = (_request, response) => {
      response.writeHead(200, { trailer: 'grpc-status' });
      response.write(Buffer.alloc(300_000));
      response.addTrailers({ 'grpc-status': '12' });
      response.end();
    };
    const session = house.visit();
    const stream = session.request({ ':method': 'POST', ':path': '/', te: 'trailers' });
    const trailers = once(stream, 'trailers');
    const closed = once(stream, 'close');
    stream.resume();
    stream.write('begin');
    expect((await within(trailers, WITHIN_MS, 'trailers'))[0]).toMatchObject({
      'grpc-status': '12',
    });
    await within(closed, WITHIN_MS, 'the end of the stream');
    expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
  });
});

const POST: readonly (readonly [string, string])[] = [
  [':method', 'POST'],
  [':scheme', 'https'],
  [':path', '/'],
  [':authority', 'alice.vendor.test'],
];
