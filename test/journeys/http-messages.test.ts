// The promise: what a visitor and a workspace say to each other arrives as it was said; what only
// neighbours say, or only we may say, does not.

import { once } from 'node:events';
import { request as httpsRequest } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ByteStream } from '../world/byte-stream.ts';
import {
  type RawMessage,
  readHead,
  readRequest,
  readResponse,
  statusOf,
  valuesOf,
} from '../world/http-text.ts';
import { within } from '../world/program-process.ts';
import { requires } from '../world/requires.ts';
import { startVendor, type Vendor } from '../world/vendor.ts';
import { arrive, askRaw, curl, roundTrip } from '../world/visitor.ts';
import { RawWorkspace } from '../world/workspace.ts';

let raw: RawWorkspace;
let other: RawWorkspace;
let vendor: Vendor;
let host: string;

beforeAll(async () => {
  raw = await RawWorkspace.open();
  other = await RawWorkspace.open();
  vendor = await startVendor({ raw: raw.url, other: other.url });
  host = vendor.host('raw');
}, 60_000);

afterAll(async () => {
  await vendor[Symbol.asyncDispose]();
  await raw[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

afterEach(() => raw.forget());

const OK = 'HTTP/1.1 200 OK\r\n';
const SHORT = `${OK}Content-Length: 5\r\n\r\nhello`;
const LAST_CHUNK = '0\r\n\r\n';

function ask(method: string, target: string, ...lines: readonly string[]): string {
  return `${[`${method} ${target} HTTP/1.1`, `Host: ${host}`, ...lines].join('\r\n')}\r\n\r\n`;
}

/** The request as the workspace got it, and the response as the visitor got it. */
async function exchange(
  request: string,
  response = SHORT,
): Promise<{ readonly arrived: RawMessage; readonly answered: RawMessage }> {
  const served = raw.next(async (connection) => {
    const arrived = await readRequest(connection);
    connection.write(response);
    return arrived;
  });
  const answered = await askRaw(vendor, 'raw', request);
  return { arrived: await served, answered };
}

describe('a request', { timeout: 30_000 }, () => {
  it('arrives with its Host, its cookies and its own fields, in order', async () => {
    const lines = ['Cookie: a=1; b="2"', 'X-Own: \xe4 x', 'Accept: text/html', 'X-Own: again'];
    const { arrived } = await exchange(ask('GET', '/p%20a//th/../?q=%0A&r', ...lines));
    expect(arrived.line).toBe('GET /p%20a//th/../?q=%0A&r HTTP/1.1');
    expect(arrived.fieldLines.slice(0, 5)).toEqual([`Host: ${host}`, ...lines]);
  });

  it('N-1: says where the visitor is in our words only', async () => {
    const spoofed = [
      'X-Forwarded-For: 10.0.0.1',
      'X-Forwarded-Proto: http',
      'X-Forwarded-Host: other.test',
      'x-forwarded-server: other.test',
      'Forwarded: for=10.0.0.1;host=other.test',
      'X-Real-IP: 10.0.0.1',
      'CF-Connecting-IP: 10.0.0.1',
      'True-Client-IP: 10.0.0.1',
      'X-Waygate-Trust: 3',
      'X-Waygate-Assertion: me',
    ];
    const { arrived } = await exchange(ask('GET', '/', ...spoofed));
    expect(arrived.fieldLines).toEqual([
      `Host: ${host}`,
      'X-Waygate-Via: relay',
      'X-Waygate-Trust: 0',
      'X-Forwarded-For: 127.0.0.1',
      'X-Forwarded-Proto: https',
      `Forwarded: for=127.0.0.1;proto=https;host="${host}"`,
      `X-Forwarded-Host: ${host}`,
    ]);
  });

  it('H1-8: may have fields of its own removed by Connection, and none of ours', async () => {
    const naming = ask('GET', '/', 'Connection: X-Own', 'X-Own: 1', 'Keep-Alive: 5');
    const { arrived } = await exchange(naming);
    expect([valuesOf(arrived, 'x-own'), valuesOf(arrived, 'keep-alive')]).toEqual([[], []]);
    for (const ours of ['X-Forwarded-For', 'X-Waygate-Trust', 'Cookie', 'Host']) {
      const refused = await askRaw(vendor, 'raw', ask('GET', '/', `Connection: ${ours}`));
      expect([ours, statusOf(refused)]).toEqual([ours, 400]);
    }
  });

  it.each(['GET', 'DELETE', 'OPTIONS', 'PATCH'])('H1-7: %s brings its body', async (method) => {
    const { arrived } = await exchange(ask(method, '/', 'Content-Length: 4').concat('body'));
    expect([arrived.line, String(arrived.body)]).toEqual([`${method} / HTTP/1.1`, 'body']);
    expect(valuesOf(arrived, 'content-length')).toEqual(['4']);
  });

  it('of unknown length stays chunked', async () => {
    const chunks = '4\r\nbody\r\n3;x=y\r\nand\r\n';
    const request = ask('POST', '/', 'Transfer-Encoding: chunked') + chunks + LAST_CHUNK;
    const { arrived } = await exchange(request);
    expect(String(arrived.body)).toBe('bodyand');
    expect(valuesOf(arrived, 'content-length')).toEqual([]);
  });

  it('may be chunked and empty', async () => {
    const request = ask('PUT', '/', 'Transfer-Encoding: chunked') + LAST_CHUNK;
    const { arrived, answered } = await exchange(request);
    expect([arrived.body.length, arrived.chunks, statusOf(answered)]).toEqual([0, [], 200]);
  });

  it('H1-10: brings those trailers that cannot be taken for fields, and no others', async () => {
    const trailers = 'Content-Digest: sha-256=:x:\r\nHost: evil.test\r\nX-Own: 1\r\n';
    const request = ask('POST', '/', 'Transfer-Encoding: chunked', 'Trailer: Content-Digest');
    const { arrived } = await exchange(`${request}1\r\na\r\n0\r\n${trailers}\r\n`);
    expect(arrived.trailerLines).toEqual(['Content-Digest: sha-256=:x:']);
    expect(valuesOf(arrived, 'trailer')).toEqual(['Content-Digest']);
  });

  it('H1-13: may have a head of 16 KiB, and not one byte more', async () => {
    const bare = ask('GET', '/', 'X-Long: ').length;
    const value = 'v'.repeat(16 * 1024 - bare);
    const { arrived } = await exchange(ask('GET', '/', `X-Long: ${value}`));
    expect(valuesOf(arrived, 'x-long')).toEqual([value]);
    const before = raw.connections.length;
    const refused = await askRaw(vendor, 'raw', ask('GET', '/', `X-Long: ${value}v`));
    expect([statusOf(refused), valuesOf(refused, 'connection')]).toEqual([431, ['close']]);
    expect(raw.connections.length).toBe(before);
  });

  it('of HTTP/1.0 stays one, and gets what it can read', async () => {
    const request = ask('GET', '/').replace('HTTP/1.1', 'HTTP/1.0');
    const chunked = `${OK}Transfer-Encoding: chunked\r\n\r\n3\r\nold\r\n2\r\n!!\r\n${LAST_CHUNK}`;
    const { arrived, answered } = await exchange(request, chunked);
    expect(arrived.line).toBe('GET / HTTP/1.0');
    expect(String(answered.body)).toBe('old!!');
    expect(valuesOf(answered, 'transfer-encoding')).toEqual([]);
    expect(valuesOf(answered, 'connection')).toEqual(['close']);
  });
});

describe('a response', { timeout: 30_000 }, () => {
  it('arrives with its fields, in order, cookies one by one', async () => {
    const lines = [
      'Set-Cookie: a=1',
      'X-Own: \xe4',
      'Set-Cookie: b=2; Path=/',
      'Content-Length: 0',
    ];
    const { answered } = await exchange(
      ask('GET', '/'),
      `HTTP/1.1 302 Quite Elsewhere\r\nLocation: http://x/\r\n${lines.join('\r\n')}\r\n\r\n`,
    );
    expect(answered.line).toBe('HTTP/1.1 302 Quite Elsewhere');
    expect(answered.fieldLines).toEqual(['Location: http://x/', ...lines]);
  });

  it('to HEAD, of 204 and of 304 has no body, whatever its length says', async () => {
    using visitor = await arrive(vendor, 'raw');
    const responses = {
      HEAD: `${OK}Content-Length: 500\r\n\r\n`,
      GET: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: "x"\r\n\r\n',
      DELETE: 'HTTP/1.1 204 No Content\r\n\r\n',
    };
    const served = raw.next(async (connection) => {
      for (const response of Object.values(responses)) {
        await readHead(connection);
        connection.write(response);
      }
    });
    const lengths: (string | undefined)[] = [];
    for (const method of Object.keys(responses)) {
      visitor.write(ask(method, '/'));
      lengths.push(valuesOf(await readResponse(visitor, 'HEAD'), 'content-length')[0]);
    }
    expect(lengths).toEqual(['500', '500', undefined]);
    await served;
  });

  it('without a length gets chunks, so that its end can be seen', async () => {
    const served = raw.next(async (connection) => {
      await readRequest(connection);
      connection.end('HTTP/1.0 200 OK\r\nX-Own: 1\r\n\r\nall of it');
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.write(ask('GET', '/'));
    const response = await readResponse(visitor);
    expect([response.line, String(response.body)]).toEqual(['HTTP/1.1 200 OK', 'all of it']);
    expect(valuesOf(response, 'transfer-encoding')).toEqual(['chunked']);
    await served;
    visitor.write(ask('GET', '/again'));
    expect(statusOf(await readResponse(visitor))).toBe(204);
  });

  it('without a length, to a visitor of HTTP/1.0, ends with his connection', async () => {
    const served = raw.next(async (connection) => {
      await readRequest(connection);
      connection.end('HTTP/1.0 200 OK\r\n\r\nall of it');
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.write(ask('GET', '/').replace('HTTP/1.1', 'HTTP/1.0'));
    const response = await readResponse(visitor);
    expect([String(response.body), valuesOf(response, 'connection')]).toEqual([
      'all of it',
      ['close'],
    ]);
    expect(visitor.ending).toBe('end');
    await served;
  });

  it('H1-10: brings trailers to a visitor who takes them', async () => {
    const { arrived, answered } = await exchange(
      ask('GET', '/', 'TE: trailers, gzip;q=0.5', 'Connection: TE'),
      `${OK}Transfer-Encoding: chunked\r\nTrailer: Server-Timing\r\n\r\n1\r\na\r\n` +
        '0\r\nServer-Timing: db;dur=5\r\nSet-Cookie: evil=1\r\n\r\n',
    );
    expect([valuesOf(arrived, 'te'), valuesOf(arrived, 'connection')]).toEqual([
      ['trailers'],
      ['TE'],
    ]);
    expect(answered.trailerLines).toEqual(['Server-Timing: db;dur=5']);
    expect(valuesOf(answered, 'trailer')).toEqual(['Server-Timing']);
  });

  it('may be announced by early hints, and never by a 100 that nobody expects', async () => {
    const served = raw.next(async (connection) => {
      await readRequest(connection);
      connection.write('HTTP/1.1 100 Continue\r\n\r\n');
      connection.write(`HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n${SHORT}`);
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.write(ask('GET', '/'));
    const hints = await readResponse(visitor);
    expect([hints.line, valuesOf(hints, 'link')]).toEqual([
      'HTTP/1.1 103 Early Hints',
      ['</a.css>'],
    ]);
    expect(String((await readResponse(visitor)).body)).toBe('hello');
    await served;
  });
});

describe('H1-6: a visitor who expects 100 Continue', { timeout: 30_000 }, () => {
  const expecting = (): string => ask('POST', '/', 'Expect: 100-continue', 'Content-Length: 4');

  it('is told to go on by the workspace alone', async () => {
    using visitor = await arrive(vendor, 'raw');
    const served = raw.next(async (connection) => {
      const head = await readHead(connection);
      await roundTrip(vendor, 'other');
      expect(visitor.unread.length).toBe(0);
      connection.write('HTTP/1.1 100 Continue\r\n\r\n');
      const body = await connection.exactly(4);
      connection.write(SHORT);
      return [valuesOf(head, 'expect')[0], String(body)];
    });
    visitor.write(expecting());
    expect((await readResponse(visitor)).line).toBe('HTTP/1.1 100 Continue');
    visitor.write('body');
    expect(statusOf(await readResponse(visitor))).toBe(200);
    expect(await served).toEqual(['100-continue', 'body']);
  });

  it('gets the final answer instead, and the connection closes behind it', async () => {
    using visitor = await arrive(vendor, 'raw');
    const served = raw.next(async (connection) => {
      await readHead(connection);
      connection.write('HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno');
    });
    visitor.write(expecting());
    const response = await readResponse(visitor);
    expect([statusOf(response), valuesOf(response, 'connection')]).toEqual([401, ['close']]);
    expect(await visitor.ended()).toBe('end');
    await served;
  });

  it('may go on without waiting', async () => {
    const { arrived, answered } = await exchange(`${expecting()}body`);
    expect([String(arrived.body), statusOf(answered)]).toEqual(['body', 200]);
  });
});

/** Reads the head alone, answers, and takes nothing more. */
const early = (response: string, how: 'end' | 'stay') => async (connection: ByteStream) => {
  await readHead(connection);
  connection.socket.pause();
  connection.write(response);
  if (how === 'end') connection.end();
  return connection;
};

const need = requires('curl');

describe.skipIf(need.skip)(
  `curl, answered before its upload ends ${need.why}`,
  { timeout: 30_000 },
  () => {
    it.each(['--http1.1', '--http2'])('H1-7: is heard with 413 by curl %s', async (version) => {
      const served = raw.next(
        early('HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig', 'end'),
      );
      const upload = ['-T', '/dev/zero', '-H', 'Expect:', '-w', ' %{http_code}'];
      const { exitCode, stdout } = await curl(vendor, vendor.url('raw'), version, ...upload);
      expect([exitCode, String(stdout)]).toEqual([0, 'big 413']);
      (await served).socket.destroy();
    });

    it('H1-7: is heard with 200 by curl', async () => {
      const served = raw.next(early(`${OK}Content-Length: 6\r\n\r\nenough`, 'stay'));
      const upload = ['-T', '/dev/zero', '-H', 'Expect:', '-w', ' %{http_code}'];
      const { exitCode, stdout } = await curl(vendor, vendor.url('raw'), '--http1.1', ...upload);
      // Whether a broken upload is a failure is a matter of taste; that it does not hang is not.
      expect([exitCode === 28, String(stdout)]).toEqual([false, 'enough 200']);
      (await served).socket.destroy();
    });
  },
);

describe('a workspace that answers before the upload ends', { timeout: 60_000 }, () => {
  it('H1-7: is heard to the end of a long answer while the upload goes on', async () => {
    const length = 8 * 1024 * 1024;
    const head = `${OK}Content-Length: ${length}\r\n\r\n`;
    const served = raw.next(early(head + 'x'.repeat(length), 'stay'));
    const asked = httpsRequest({
      host: vendor.address,
      port: vendor.port,
      servername: vendor.hostname('raw'),
      ca: vendor.caPem,
      method: 'POST',
      headers: { host, connection: 'close' },
      agent: false,
    });
    const piece = Buffer.alloc(65_536);
    const upload = (): void => {
      while (!asked.destroyed && asked.write(piece));
    };
    asked.on('drain', upload);
    // In the end it is cut off; by then the answer is there.
    asked.on('error', () => undefined);
    upload();
    const [response] = await within(once(asked, 'response'), 10_000, 'the early answer');
    expect(response.headers['connection']).toBe('close');
    expect((await within(buffer(response), 20_000, 'its body')).length).toBe(length);
    asked.destroy();
    (await served).socket.destroy();
  });
});
