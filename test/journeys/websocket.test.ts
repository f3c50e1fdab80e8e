// The promise: an upgrade is the workspace's to accept, and after the right 101 everything is bytes
// that nobody on the way has an opinion of. Messages of all kinds are in websocket-messages.test.ts.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { ByteStream } from '../world/byte-stream.ts';
import { readHead, readResponse, statusOf, valuesOf } from '../world/http-text.ts';
import { within } from '../world/program-process.ts';
import { startVendor, type Vendor } from '../world/vendor.ts';
import { arrive, dialTls, roundTrip } from '../world/visitor.ts';
import { HttpWorkspace, RawWorkspace } from '../world/workspace.ts';

const WAIT_MS = 15_000;
const open = new AsyncDisposableStack();
let raw: RawWorkspace;
let vendor: Vendor;
let server: WebSocketServer;

beforeAll(async () => {
  raw = open.use(await RawWorkspace.open());
  const web = open.use(await HttpWorkspace.open());
  const plain = open.use(await RawWorkspace.open());
  server = new WebSocketServer({ server: web.server });
  vendor = open.use(await startVendor({ raw: raw.url, web: web.url, plain: plain.url }));
}, 60_000);
afterEach(() => raw.forget());
afterAll(() => open.disposeAsync());

/** Both ends of a WebSocket. */
async function connected(): Promise<Readonly<Record<'visitor' | 'workspace', WebSocket>>> {
  const accepted = once(server, 'connection');
  const socket = await dialTls(vendor, 'web');
  const visitor = new WebSocket(vendor.url('web').replace('https', 'wss'), {
    perMessageDeflate: false,
    createConnection: () => socket,
  });
  open.defer(() => visitor.terminate());
  await within(once(visitor, 'open'), WAIT_MS, 'a WebSocket to open');
  const [workspace] = await within(accepted, WAIT_MS, 'a WebSocket to arrive');
  return { visitor, workspace };
}

const OTHER = { visitor: 'workspace', workspace: 'visitor' } as const;
const ENDS = ['visitor', 'workspace'] as const;

describe('U-15: a WebSocket', { timeout: 30_000 }, () => {
  const CODES = [
    ...[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014],
    ...[3000, 3999, 4000, 4998, 4999],
  ];

  it('brings a ping that stands between two fragments', async () => {
    const { visitor, workspace } = await connected();
    const heard = [once(workspace, 'ping'), once(workspace, 'message')];
    visitor.send('one ', { fin: false });
    visitor.ping('between');
    visitor.send('', { fin: false });
    visitor.send('two', { fin: true });
    const [[ping], [message]] = (await within(Promise.all(heard), WAIT_MS, 'both')) as [
      [Buffer],
      [Buffer],
    ];
    expect([String(ping), String(message)]).toEqual(['between', 'one two']);
  });

  it.each(ENDS)('brings every close code and reason of the %s', async (who) => {
    for (const code of CODES) {
      const ends = await connected();
      const closed = [once(ends[OTHER[who]], 'close'), once(ends[who], 'close')];
      ends[who].close(code, `because ${code}`);
      for (const [heard, reason] of await within(Promise.all(closed), WAIT_MS, `close ${code}`)) {
        expect([heard, String(reason)]).toEqual([code, `because ${code}`]);
      }
    }
  });

  it.each(ENDS)('of which the %s is gone without a word is closed with 1006', async (who) => {
    const ends = await connected();
    const closed = once(ends[OTHER[who]], 'close');
    ends[who].terminate();
    expect((await within(closed, WAIT_MS, 'the other end to hear of it'))[0]).toBe(1006);
  });
});

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
const SWITCH =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  `Sec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`;

function upgrade(): string {
  return (
    `GET /pipe HTTP/1.1\r\nHost: ${vendor.host('raw')}\r\nConnection: Upgrade\r\n` +
    `Upgrade: websocket\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n` +
    'Sec-WebSocket-Protocol: a, b\r\n\r\n'
  );
}

/** Both ends of a pipe. Each keeps its half when the other one ends. */
async function piped(): Promise<Readonly<Record<'visitor' | 'workspace', ByteStream>>> {
  const served = raw.next(async (connection) => {
    await readHead(connection);
    connection.write(SWITCH);
    return connection;
  });
  const visitor = open.use(await arrive(vendor, 'raw'));
  visitor.socket.allowHalfOpen = true;
  visitor.write(upgrade());
  expect(statusOf(await readHead(visitor))).toBe(101);
  return { visitor, workspace: await served };
}

describe('the pipe behind a 101', { timeout: 30_000 }, () => {
  it('U-15: passes any bytes: reserved bits, unknown opcodes, no frames at all', async () => {
    const { visitor, workspace } = await piped();
    const bytes = randomBytes(100_000);
    visitor.write(bytes);
    expect((await workspace.exactly(bytes.length)).equals(bytes)).toBe(true);
    workspace.write(bytes);
    expect((await visitor.exactly(bytes.length)).equals(bytes)).toBe(true);
  });

  it.each(ENDS)('U-15: goes on in the other direction when the %s has ended his', async (who) => {
    const ends = await piped();
    const [first, second] = [ends[who], ends[OTHER[who]]];
    first.end('last words');
    expect(String(await second.exactly(10))).toBe('last words');
    expect(await second.ended()).toBe('end');
    await roundTrip(vendor, 'plain');
    expect(first.ending).toBeUndefined();
    second.write('an answer');
    expect(String(await first.exactly(9))).toBe('an answer');
    second.end();
    expect(await first.ended()).toBe('end');
  });

  it.each(ENDS)('U-15: stops the one who sends when the %s takes nothing', async (who) => {
    const ends = await piped();
    ends[who].socket.pause();
    const sender = ends[OTHER[who]].socket;
    const piece = Buffer.alloc(1_048_576);
    let mebibytes = 0;
    // Until nothing has drained for half a second: kernels hold some megabytes, we one window.
    for (;;) {
      mebibytes += 1;
      if (sender.write(piece)) continue;
      const moved = await once(sender, 'drain', { signal: AbortSignal.timeout(500) }).catch(
        () => 0,
      );
      if (moved === 0) break;
    }
    expect(mebibytes).toBeLessThan(48);
    ends[who].socket.destroy();
  });

  it('H1-11: holds back what the visitor sends behind his request until the 101', async () => {
    const served = raw.next(async (connection) => {
      await readHead(connection);
      await roundTrip(vendor, 'plain');
      expect(connection.unread.length).toBe(0);
      connection.write(`${SWITCH}from the workspace`);
      return String(await connection.exactly(16));
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.write(`${upgrade()}from the visitor`);
    expect(statusOf(await readHead(visitor))).toBe(101);
    expect(String(await visitor.exactly(18))).toBe('from the workspace');
    expect(await served).toBe('from the visitor');
  });
});

describe('an upgrade', { timeout: 30_000 }, () => {
  it('arrives with what the visitor offered', async () => {
    const served = raw.next(async (connection) => {
      const head = await readHead(connection);
      connection.write(SWITCH.replace('\r\n\r\n', '\r\nSec-WebSocket-Protocol: b\r\n\r\n'));
      return head;
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.write(upgrade());
    const response = await readHead(visitor);
    expect(valuesOf(response, 'sec-websocket-protocol')).toEqual(['b']);
    expect(valuesOf(response, 'sec-websocket-accept')).toEqual([ACCEPT]);
    const head = await served;
    const names = ['connection', 'upgrade', 'sec-websocket-key', 'sec-websocket-version'];
    expect(names.map((name) => valuesOf(head, name))).toEqual([
      ['Upgrade'],
      ['websocket'],
      [KEY],
      ['13'],
    ]);
    expect(valuesOf(head, 'sec-websocket-protocol')).toEqual(['a, b']);
  });

  it.each([400, 401, 426, 200])('refused with %i is an ordinary request', async (status) => {
    const served = raw.next(async (connection) => {
      for (const target of ['/pipe', '/next']) {
        expect((await readHead(connection)).line).toBe(`GET ${target} HTTP/1.1`);
        connection.write(`HTTP/1.1 ${status} So\r\nContent-Length: 2\r\n\r\nno`);
      }
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.write(`${upgrade()}GET /next HTTP/1.1\r\nHost: ${vendor.host('raw')}\r\n\r\n`);
    for (let at = 0; at < 2; at += 1) {
      const response = await readResponse(visitor);
      expect([statusOf(response), String(response.body)]).toEqual([status, 'no']);
    }
    await served;
  });

  it('H1-11: refused leaves no pipe: what follows is judged', async () => {
    const served = raw.next(async (connection) => {
      await readHead(connection);
      connection.write('HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n');
      await connection.ended();
      return connection.unread.length;
    });
    using visitor = await arrive(vendor, 'raw');
    visitor.write(`${upgrade()}\x81\x85no frame\r\n\r\n`);
    expect(statusOf(await readResponse(visitor))).toBe(403);
    expect(statusOf(await readResponse(visitor))).toBe(400);
    expect(await served).toBe(0);
  });
});
