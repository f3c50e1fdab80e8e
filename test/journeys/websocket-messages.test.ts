// The promise: a WebSocket through relay and device behaves as a direct one (U-15). After the 101 both
// directions are bytes that nobody looks into.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ClientOptions, WebSocket, WebSocketServer } from 'ws';
import { within } from '../world/program-process.ts';
import { startVendor, type Vendor } from '../world/vendor.ts';
import { HttpWorkspace } from '../world/workspace.ts';

const WAIT_MS = 30_000;
const MESSAGE_BYTES = 64 * 1_048_576;

const open = new AsyncDisposableStack();
let server: WebSocketServer;
let deflating: WebSocketServer;
let refusing: HttpWorkspace;
let vendor: Vendor;

beforeAll(async () => {
  server = await listen(false);
  deflating = await listen(true);
  refusing = open.use(await HttpWorkspace.open());
  vendor = open.use(
    await startVendor({ echo: urlOf(server), deflate: urlOf(deflating), refuse: refusing.url }),
  );
}, 60_000);
afterAll(() => open.disposeAsync());

/** A workspace that echoes messages as they came. */
async function listen(perMessageDeflate: boolean): Promise<WebSocketServer> {
  const echo = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    perMessageDeflate,
    maxPayload: 2 * MESSAGE_BYTES,
  });
  await once(echo, 'listening');
  echo.on('connection', (socket) => {
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  });
  open.defer(() => {
    for (const socket of echo.clients) socket.terminate();
    echo.close();
  });
  return echo;
}

function urlOf(echo: WebSocketServer): string {
  return `http://127.0.0.1:${(echo.address() as AddressInfo).port}`;
}

function dial(workspace: string, options: ClientOptions = {}): WebSocket {
  const socket = new WebSocket(vendor.url(workspace).replace('https', 'wss'), {
    createConnection: () =>
      connect({
        host: vendor.address,
        port: vendor.port,
        servername: vendor.hostname(workspace),
        ca: vendor.caPem,
      }),
    perMessageDeflate: false,
    maxPayload: 2 * MESSAGE_BYTES,
    ...options,
  });
  socket.on('error', () => undefined);
  open.defer(() => socket.terminate());
  return socket;
}

async function openSocket(workspace: string, options: ClientOptions = {}): Promise<WebSocket> {
  const socket = dial(workspace, options);
  await within(once(socket, 'open'), WAIT_MS, 'a WebSocket to open');
  return socket;
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('a WebSocket', () => {
  it('U-15 carries 64 MiB in one binary message, both ways', async () => {
    const socket = await openSocket('echo');
    const message = randomBytes(MESSAGE_BYTES);
    const heard = once(socket, 'message');
    socket.send(message);
    const [data, binary] = await within(heard, WAIT_MS, 'the echo of 64 MiB');
    expect(binary).toBe(true);
    expect(sha256(data)).toBe(sha256(message));
    socket.close();
  }, 60_000);

  it('U-15 carries 64 MiB of text, sent in fragments', async () => {
    const socket = await openSocket('echo');
    const piece = 'ä€𝄞x'.repeat(1_048_576 / 10);
    const heard = once(socket, 'message');
    const pieces = Math.floor(MESSAGE_BYTES / Buffer.byteLength(piece));
    for (let sent = 1; sent <= pieces; sent++) socket.send(piece, { fin: sent === pieces });
    const [data, binary] = await within(heard, WAIT_MS, 'the echo of a long text');
    expect(binary).toBe(false);
    expect(sha256(data)).toBe(sha256(Buffer.from(piece.repeat(pieces))));
    socket.close();
  }, 60_000);

  it('U-15 carries many small messages in order, in both directions at once', async () => {
    const socket = await openSocket('echo');
    const seen: string[] = [];
    const all = new Promise<void>((resolve) => {
      socket.on('message', (data) => {
        seen.push(String(data));
        if (seen.length === 5_000) resolve();
      });
    });
    for (let sent = 0; sent < 5_000; sent++) socket.send(`message ${sent}`);
    await within(all, WAIT_MS, '5,000 echoes');
    expect(seen).toEqual(Array.from({ length: 5_000 }, (_, index) => `message ${index}`));
    socket.close();
  }, 60_000);

  it('U-15 passes pings and pongs with what they carry', async () => {
    const socket = await openSocket('echo');
    const pong = once(socket, 'pong');
    socket.ping('are you there');
    expect(String((await within(pong, WAIT_MS, 'a pong'))[0])).toBe('are you there');
    socket.close();
  });

  it('U-15 passes close codes and reasons, from either side', async () => {
    for (const code of [1000, 1001, 1008, 1011, 3000, 4999]) {
      const arrived = once(server, 'connection');
      const socket = await openSocket('echo');
      const [far]: WebSocket[] = await arrived;
      if (far === undefined) throw new Error('no connection');
      const closed = once(far, 'close');
      socket.close(code, `code ${code}`);
      const [seen, reason] = await within(closed, WAIT_MS, 'a close');
      expect([seen, String(reason)]).toEqual([code, `code ${code}`]);
    }
    const arrived = once(server, 'connection');
    const socket = await openSocket('echo');
    const [far]: WebSocket[] = await arrived;
    const closed = once(socket, 'close');
    far?.close(4321, 'from the workspace');
    const [seen, reason] = await within(closed, WAIT_MS, 'a close');
    expect([seen, String(reason)]).toEqual([4321, 'from the workspace']);
  }, 60_000);

  it('U-15 lets both ends agree on compression', async () => {
    const socket = await openSocket('deflate', { perMessageDeflate: true });
    expect(socket.extensions).toContain('permessage-deflate');
    const heard = once(socket, 'message');
    socket.send('a'.repeat(1_000_000));
    const [data] = await within(heard, WAIT_MS, 'the echo');
    expect(data.length).toBe(1_000_000);
    socket.close();
  });

  it('U-15 agrees on a subprotocol', async () => {
    const chosen = new WebSocket(vendor.url('echo').replace('https', 'wss'), ['chat', 'other'], {
      createConnection: () =>
        connect({
          host: vendor.address,
          port: vendor.port,
          servername: vendor.hostname('echo'),
          ca: vendor.caPem,
        }),
    });
    await within(once(chosen, 'open'), WAIT_MS, 'a WebSocket to open');
    expect(chosen.protocol).toBe('chat');
    chosen.close();
  });

  it('is an ordinary response when the workspace refuses the upgrade', async () => {
    refusing.answer = (_, response) => response.writeHead(403).end('not for you');
    const socket = dial('refuse');
    const [, response] = await within(once(socket, 'unexpected-response'), WAIT_MS, 'a refusal');
    expect(response.statusCode).toBe(403);
  });

  it('H1-16 that loses its workspace closes abnormally, with 1006', async () => {
    const arrived = once(server, 'connection');
    const socket = await openSocket('echo');
    const [far]: WebSocket[] = await arrived;
    const closed = once(socket, 'close');
    socket.on('error', () => undefined);
    far?.terminate();
    expect((await within(closed, WAIT_MS, 'a close'))[0]).toBe(1006);
  });
});
