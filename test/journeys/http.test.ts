// The promise: a workspace and its visitors speak HTTP/1.1 as if nothing were between them, except
// that nobody can claim to be somebody else.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ByteStream } from '../world/byte-stream.ts';
import { readHead, readRequest, readResponse, statusOf, valuesOf } from '../world/http-text.ts';
import { startVendor, type Vendor } from '../world/vendor.ts';
import { arrive, askRaw, roundTrip } from '../world/visitor.ts';
import { RawWorkspace } from '../world/workspace.ts';

const folder = mkdtempSync(join(tmpdir(), 'waygate-http-'));
let raw: RawWorkspace;
let unix: RawWorkspace;
let vendor: Vendor;
let host: string;

beforeAll(async () => {
  raw = await RawWorkspace.open();
  unix = await RawWorkspace.open(join(folder, 'workspace.sock'));
  vendor = await startVendor({ raw: raw.url, unix: unix.url });
  host = vendor.host('raw');
}, 60_000);

afterAll(async () => {
  await vendor[Symbol.asyncDispose]();
  await raw[Symbol.asyncDispose]();
  await unix[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

afterEach(() => raw.forget());

const OK = 'HTTP/1.1 200 OK\r\n';
const SHORT = `${OK}Content-Length: 5\r\n\r\nhello`;

function get(target: string, ...lines: readonly string[]): string {
  return `${[`GET ${target} HTTP/1.1`, `Host: ${host}`, ...lines].join('\r\n')}\r\n\r\n`;
}

function post(target: string, ...lines: readonly string[]): string {
  return get(target, ...lines).replace('GET', 'POST');
}

/** Reads one request and writes this response. */
function answering(response: string): (connection: ByteStream) => ReturnType<typeof readRequest> {
  return async (connection) => {
    const request = await readRequest(connection);
    connection.write(response);
    return request;
  };
}

describe('the connection of a visitor', { timeout: 30_000 }, () => {
  it('uses one connection to the workspace for all its requests', async () => {
    const before = raw.connections.length;
    const served = raw.next(async (connection) => {
      for (let at = 0; at < 3; at += 1) {
        const { line } = await readRequest(connection);
        connection.write(`${OK}Content-Length: ${line.length}\r\n\r\n${line}`);
      }
    });
    using visitor = await arrive(vendor, 'raw');
    for (const target of ['/1', '/2', '/3']) {
      visitor.write(get(target));
      expect(String((await readResponse(visitor)).body)).toBe(`GET ${target} HTTP/1.1`);
    }
    await served;
    expect(raw.connections.length - before).toBe(1);
  });

  it('H1-2: never shares a connection to the workspace with another visitor', async () => {
    const before = raw.connections.length;
    using one = await arrive(vendor, 'raw');
    using other = await arrive(vendor, 'raw');
    for (let round = 0; round < 3; round += 1) {
      one.write(get('/one'));
      expect(statusOf(await readResponse(one))).toBe(204);
      other.write(get('/other'));
      expect(statusOf(await readResponse(other))).toBe(204);
    }
    expect(raw.connections.length - before).toBe(2);
  });

  it('lives on when the workspace closes its own after each response', async () => {
    const before = raw.connections.length;
    using visitor = await arrive(vendor, 'raw');
    for (const how of ['Connection: close\r\n', '']) {
      const served = raw.next(async (connection) => {
        await readRequest(connection);
        connection.end(`${OK}${how}Content-Length: 5\r\n\r\nhello`);
        return await connection.ended();
      });
      visitor.write(get('/'));
      const response = await readResponse(visitor);
      expect([String(response.body), valuesOf(response, 'connection')]).toEqual(['hello', []]);
      await served;
    }
    expect(raw.connections.length - before).toBe(2);
  });

  it('closes after the response when the visitor asked for that', async () => {
    const served = raw.next(answering(SHORT));
    using visitor = await arrive(vendor, 'raw');
    visitor.write(get('/', 'Connection: close'));
    const response = await readResponse(visitor);
    expect(valuesOf(response, 'connection')).toEqual(['close']);
    expect(await visitor.ended()).toBe('end');
    expect(valuesOf(await served, 'connection')).toEqual(['close']);
  });

  it('answers pipelined requests in order, and asks one at a time', async () => {
    const targets = Array.from({ length: 10 }, (_, at) => `/${at}`);
    const served = raw.next(async (connection) => {
      for (const target of targets) {
        expect((await readRequest(connection)).line).toBe(`GET ${target} HTTP/1.1`);
        await roundTrip(vendor, 'unix');
        expect(connection.unread.length).toBe(0);
        connection.write(`${OK}Content-Length: 2\r\n\r\n${target}`);
      }
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.write(targets.map((target) => get(target)).join(''));
    for (const target of targets) expect(String((await readResponse(visitor)).body)).toBe(target);
    await served;
  });

  it('answers pipelined requests with bodies whatever the pieces they come in', async () => {
    const requests = [
      post('/a', 'Content-Length: 3').concat('abc'),
      post('/b', 'Transfer-Encoding: chunked').concat('2\r\nde\r\n1\r\nf\r\n0\r\n\r\n'),
      get('/c'),
    ].join('');
    const served = raw.next(async (connection) => {
      const bodies: string[] = [];
      for (let at = 0; at < 3; at += 1) {
        bodies.push(String((await readRequest(connection)).body));
        connection.write(SHORT);
      }
      return bodies;
    });
    using visitor = await arrive(vendor, 'raw');
    for (const byte of Buffer.from(requests)) visitor.write(Buffer.of(byte));
    for (let at = 0; at < 3; at += 1) expect(statusOf(await readResponse(visitor))).toBe(200);
    expect(await served).toEqual(['abc', 'def', '']);
  });

  it('honours an end of the visitor’s half: the response still comes, whole', async () => {
    const served = raw.next(async (connection) => {
      await readRequest(connection);
      connection.write(`${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n`);
      await roundTrip(vendor, 'unix');
      connection.write('3\r\nllo\r\n0\r\n\r\n');
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.end(get('/'));
    expect(String((await readResponse(visitor)).body)).toBe('hello');
    expect(await visitor.ended()).toBe('end');
    await served;
  });

  it('answers every pipelined request of a visitor who ends his half behind them', async () => {
    const served = raw.next(async (connection) => {
      for (let at = 0; at < 4; at += 1) {
        await readRequest(connection);
        await roundTrip(vendor, 'unix');
        connection.write(SHORT);
      }
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.end(['/1', '/2', '/3', '/4'].map((target) => get(target)).join(''));
    for (let at = 0; at < 4; at += 1)
      expect(String((await readResponse(visitor)).body)).toBe('hello');
    expect(await visitor.ended()).toBe('end');
    await served;
  });

  it('tells the workspace when the visitor has left in the middle of his upload', async () => {
    const served = raw.next(async (connection) => {
      await readHead(connection);
      return await connection.ended();
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.write(post('/', 'Content-Length: 1000').concat('some'));
    await roundTrip(vendor, 'unix');
    visitor.socket.destroy();
    expect(await served).not.toBe('end');
  });

  it('reaches a workspace behind a Unix socket', async () => {
    const served = unix.next(answering(SHORT));
    const request = get('/over/there').replace(host, vendor.host('unix'));
    const response = await askRaw(vendor, 'unix', request);
    expect(String(response.body)).toBe('hello');
    expect((await served).line).toBe('GET /over/there HTTP/1.1');
  });
});
