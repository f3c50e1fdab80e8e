// Deadlines of HTTP/2 visits: the sweep is told a later time, instead of waiting for it.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Http2Visit } from '../../../relay/entrance/http2-visit.ts';
import { Journal } from '../../../relay/entrance/journal.ts';
import { SocketLink } from '../../../relay/entrance/socket-link.ts';
import { Sweep } from '../../../relay/entrance/sweep.ts';
import { type FrontDoor, openFrontDoor } from './front-door.ts';
import { ask } from './http2-house.ts';

let door: FrontDoor;
let session: ClientHttp2Session;
let visit: Http2Visit;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
const sweep = new Sweep();
const workspace = createServer((request, response) => answer(request, response));
const inMs = (ms: number): void => visit.sweep(performance.now() + ms);

beforeEach(async () => {
  answer = (_request, response) => response.end('hello');
  workspace.listen(0, '127.0.0.1');
  await once(workspace, 'listening');
  const address = workspace.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const journal = new Journal({ log: pino({ level: 'silent' }), accessLog: false });
  const opened = new Promise<Http2Visit>((resolve) => {
    void openFrontDoor({
      accept: (socket, { address, port: from, hostname }) => {
        const visitor = { address, port: from, hostname: `${hostname}` };
        const parts = {
          reach: () => new SocketLink({ kind: 'tcp', host: '127.0.0.1', port }),
          journal,
          sweep,
          stopping: () => false,
          over: () => undefined,
        };
        resolve(new Http2Visit(socket, { ...visitor, trust: 0, via: 'relay' }, parts));
      },
    }).then((opened) => {
      door = opened;
      const options = { port: door.listener.port, servername: 'alice.vendor.test' };
      const tls = { ...options, ALPNProtocols: ['h2'], rejectUnauthorized: false };
      session = connect('https://alice.vendor.test', { createConnection: () => connectTls(tls) });
      session.on('error', () => undefined);
    });
  });
  visit = await opened;
});
afterEach(() => {
  session.destroy();
  door.stop();
  workspace.closeAllConnections();
  workspace.close();
});

describe('an HTTP/2 visit', () => {
  it('without requests ends after a minute, politely', async () => {
    await ask(session);
    inMs(59_000);
    expect(session.closed).toBe(false);
    const goaway = once(session, 'goaway');
    inMs(61_000);
    expect((await goaway)[0]).toBe(0);
  });

  it('with a request that takes long does not', async () => {
    const asked = new Promise<() => void>((resolve) => {
      answer = (_request, response) => resolve(() => response.end('late'));
    });
    const late = ask(session);
    const finish = await asked;
    inMs(3_600_000);
    finish();
    expect(await late).toMatchObject({ status: 200, body: 'late' });
  });

  it('H1-12 ends an upload that comes slower than 500 bytes per second', async () => {
    const half = new Promise<void>((resolve) => {
      let bytes = 0;
      answer = (request) => {
        request.on('error', () => undefined);
        request.on('data', (part: Buffer) => {
          bytes += part.length;
          if (bytes === 20_000) resolve();
        });
      };
    });
    const stream = session.request({ ':method': 'POST', ':path': '/' });
    const response = once(stream, 'response');
    stream.write(Buffer.alloc(20_000));
    await half;
    inMs(31_000);
    await ask(session, { ':method': 'TRACE' });
    expect(stream.closed).toBe(false);
    inMs(62_000);
    expect((await response)[0][':status']).toBe(408);
  });

  it('H1-12 resets a response that the visitor does not take for a minute', async () => {
    answer = (_request, response) => {
      response.writeHead(200);
      response.write(Buffer.alloc(2_000_000));
    };
    const stream = session.request({ ':path': '/' });
    stream.on('error', () => undefined);
    await once(stream, 'response');
    stream.pause();
    // His window has to be full, and the rest to be waiting.
    await vi.waitFor(() => expect(stream.readableLength).toBeGreaterThan(0));
    const closed = new Promise((resolve) => stream.once('close', resolve));
    for (let ms = 0; ms < 600_000 && !stream.destroyed; ms += 61_000) {
      inMs(ms);
      await new Promise(setImmediate);
      stream.read(0);
    }
    stream.resume();
    await closed;
    expect(stream.rstCode).not.toBe(0);
  });

  it('does not break off a response that the visitor takes slowly, two kilobytes a second', async () => {
    const size = 1_000_000;
    answer = (_request, response) => response.end(Buffer.alloc(size));
    const stream = session.request({ ':path': '/' });
    stream.on('error', () => undefined);
    await once(stream, 'response');
    stream.on('readable', () => undefined);
    let taken = 0;
    for (let ms = 0; taken < size && !stream.destroyed; ms += 20_000) {
      await vi.waitFor(() => expect(stream.readableLength).toBeGreaterThan(0), 10_000);
      taken += stream.read(Math.min(40_000, stream.readableLength)).length;
      await new Promise((resolve) => setTimeout(resolve, 10));
      inMs(ms);
    }
    expect([taken, stream.rstCode]).toEqual([size, 0]);
  });

  it('leaves nothing open at the workspace when it ends', async () => {
    await ask(session);
    const connections = (): Promise<number> =>
      new Promise((resolve) => workspace.getConnections((_error, count) => resolve(count)));
    expect(await connections()).toBe(1);
    session.destroy();
    await vi.waitFor(async () => expect(await connections()).toBe(0));
  });

  it('goes elsewhere after 10,000 requests', async () => {
    const goaway = once(session, 'goaway');
    for (let sent = 0; sent < 10_000; sent += 100) {
      const requests = Array.from({ length: 100 }, () => {
        const stream = session.request({ ':path': '/', ':authority': 'bob.vendor.test' });
        stream.on('error', () => undefined).resume();
        return new Promise((resolve) => stream.once('close', resolve));
      });
      await Promise.all(requests);
    }
    expect((await goaway)[0]).toBe(0);
  }, 20_000);
});
