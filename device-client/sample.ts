// The sample workspace `hello`: what `waygate try` publishes when nothing else is named. Its page
// shows a person what arrived; the other paths let a program try everything that a workspace may do
// through a tunnel: headers, bodies in both directions, event streams, WebSockets.
// It listens on loopback only, keeps nothing, and answers everybody.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { type WebSocket, WebSocketServer } from 'ws';
import { createServer } from '../relay/protocol/node-http.ts';
import { samplePage } from './sample-page.ts';

export interface Sample {
  /** `http://127.0.0.1:PORT`, a target for a workspace. */
  readonly url: string;
  /** Cuts all connections. */
  stop(): Promise<void>;
}

const SAMPLE_LIMITS = {
  /** One WebSocket message: large enough for any editor's, small enough to be held whole. */
  messageBytesMax: 67_108_864,
  /** Echoes that the other side has not taken; above it we stop reading. */
  echoBytesHeld: 1_048_576,
  /** Between two events of `/events`. */
  eventEveryMs: 1_000,
} as const;

export async function startSample(): Promise<Sample> {
  const server = createServer((request, response) => {
    // A visitor who goes away while we write is no event worth a word.
    answer(request, response).catch(() => response.destroy());
  });
  // An upload may take as long as it moves; bounds on visitors are the entrance's.
  server.requestTimeout = 0;
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: SAMPLE_LIMITS.messageBytesMax,
  });
  server.on('upgrade', (request, socket, head) => {
    if (pathOf(request).pathname === '/ws')
      sockets.handleUpgrade(request, socket, head, echoMessages);
    else socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert(typeof address === 'object' && address !== null);
  return {
    url: `http://127.0.0.1:${address.port}`,
    async stop() {
      for (const socket of sockets.clients) socket.terminate();
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** What `/headers` answers. */
export interface Arrival {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  /** What the entrance knows of where the visitor is; absent when it did not come through one. */
  readonly trust: string | undefined;
  /** The visitor's address, as the entrance saw it. */
  readonly address: string | undefined;
  readonly via: string | undefined;
}

type Answer = (request: IncomingMessage, response: ServerResponse) => Promise<void> | void;

const ANSWERS: Readonly<
  Record<string, { readonly method: 'GET' | 'POST'; readonly answer: Answer }>
> = {
  '/': { method: 'GET', answer: page },
  '/headers': { method: 'GET', answer: (request, response) => json(response, arrival(request)) },
  '/events': { method: 'GET', answer: events },
  '/download': { method: 'GET', answer: download },
  '/echo': { method: 'POST', answer: echo },
  '/upload': { method: 'POST', answer: upload },
};

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = pathOf(request);
  const found = Object.hasOwn(ANSWERS, pathname) ? ANSWERS[pathname] : undefined;
  if (found === undefined) {
    const known = [...Object.keys(ANSWERS), '/ws'].join(' ');
    return plain(response, 404, `The sample workspace has: ${known}\n`);
  }
  // `/headers` shows any method, which is what a person wants to see there.
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  if (method !== found.method && pathname !== '/headers') {
    response.setHeader('allow', found.method);
    return plain(response, 405, `${pathname} is asked with ${found.method}.\n`);
  }
  await found.answer(request, response);
}

function arrival(request: IncomingMessage): Arrival {
  const { headers, method = '', url = '' } = request;
  return {
    method,
    url,
    headers,
    trust: headers['x-waygate-trust']?.toString(),
    address: headers['x-forwarded-for']?.toString(),
    via: headers['x-waygate-via']?.toString(),
  };
}

function page(request: IncomingMessage, response: ServerResponse): void {
  const nonce = randomBytes(16).toString('base64url');
  response.setHeader(
    'content-security-policy',
    `default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-${nonce}'; connect-src 'self'; ` +
      "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  );
  send(response, 200, 'text/html; charset=utf-8', samplePage(arrival(request), nonce));
}

function events(_: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  let count = 0;
  const write = () => {
    // A reader who has stalled gets no more until it reads on.
    if (response.writableNeedDrain) return;
    response.write(`id: ${count}\ndata: {"count":${count}}\n\n`);
    count += 1;
  };
  write();
  const timer = setInterval(write, SAMPLE_LIMITS.eventEveryMs);
  response.on('close', () => clearInterval(timer));
}

const CHUNK = Buffer.alloc(65_536, 'The quick brown fox jumps over the lazy dog. ');

async function download(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const wanted = pathOf(request).searchParams.get('bytes') ?? '1048576';
  const bytes = /^[0-9]{1,15}$/.test(wanted) ? Number(wanted) : undefined;
  if (bytes === undefined) return plain(response, 400, 'Ask for /download?bytes=NUMBER.\n');
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': bytes,
    'cache-control': 'no-store',
  });
  if (request.method === 'HEAD') response.end();
  else await pipeline(chunks(bytes), response);
}

function* chunks(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= CHUNK.length) {
    yield left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left);
  }
}

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const type = request.headers['content-type'] ?? 'application/octet-stream';
  const length = request.headers['content-length'];
  // What a visitor sends is never shown as a page of this origin.
  const headers = {
    'content-type': type,
    'content-disposition': 'attachment',
    'x-content-type-options': 'nosniff',
  };
  response.writeHead(
    200,
    length === undefined ? headers : { ...headers, 'content-length': length },
  );
  response.flushHeaders();
  await pipeline(request, response);
}

async function upload(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    hash.update(chunk);
  }
  json(response, { bytes, sha256: hash.digest('hex') });
}

function echoMessages(socket: WebSocket): void {
  // A visitor who breaks the protocol or goes away is closed by ws itself.
  socket.on('error', () => socket.terminate());
  socket.on('message', (data, binary) => {
    socket.send(data, { binary }, () => {
      if (socket.isPaused && socket.bufferedAmount <= SAMPLE_LIMITS.echoBytesHeld) socket.resume();
    });
    if (socket.bufferedAmount > SAMPLE_LIMITS.echoBytesHeld) socket.pause();
  });
}

function json(response: ServerResponse, value: unknown): void {
  send(response, 200, 'application/json', `${JSON.stringify(value)}\n`);
}

function plain(response: ServerResponse, status: number, text: string): void {
  send(response, status, 'text/plain; charset=utf-8', text);
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  const body = Buffer.from(text);
  response.writeHead(status, {
    'content-type': type,
    'content-length': body.length,
    'cache-control': 'no-store',
  });
  response.end(body);
}

function pathOf(request: IncomingMessage): URL {
  const url = `http://hello${request.url ?? '/'}`;
  return URL.canParse(url) ? new URL(url) : new URL('http://hello/not-found');
}
