// Visits to a workspace through a relay, each over a connection of its own, with its own idea of what a
// success is: a whole response. What broke off is an error, never a short body.
import { once } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, type RequestOptions, request } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'node:tls';
import { WebSocket } from 'ws';
import { within } from './program-process.ts';

/** Where visitors arrive, and whose certificates they trust. */
export interface Door {
  readonly address: string;
  readonly port: number;
  readonly caPem: string;
  /** Path of a Unix socket that leads there, when the address is in another network. */
  readonly path?: string;
}

export interface Seen {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** No request of a test takes longer, unless it says so. */
const VISIT_WITHIN_MS = 15_000;

/** GET over a new connection; rejects when the response is not whole. */
export async function ask(
  door: Door,
  url: string,
  options: RequestOptions & { readonly withinMs?: number } = {},
): Promise<Seen> {
  const { withinMs = VISIT_WITHIN_MS, ...rest } = options;
  const signal = AbortSignal.timeout(withinMs);
  const response = await begin(door, url, { signal, ...rest });
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(pieces).toString('utf8'),
  };
}

/** The response, once its head is there; its body is the caller's to read. */
export async function begin(
  door: Door,
  url: string,
  options: RequestOptions = {},
): Promise<IncomingMessage> {
  const { hostname, host, pathname, search } = new URL(url);
  const asked = request({
    ...(door.path === undefined
      ? { host: door.address, port: door.port }
      : { socketPath: door.path }),
    path: pathname + search,
    servername: hostname,
    ca: door.caPem,
    agent: false,
    ...options,
    headers: { host, ...options.headers },
  });
  asked.end();
  const [response] = await once(asked, 'response');
  // From here on only the response tells of the end.
  asked.on('error', () => undefined);
  return response;
}

/** A connection that is kept between requests. */
export function keptConnection(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1 });
}

/** An open WebSocket to the sample workspace, which echoes. */
export async function openWebSocket(door: Door, url: string): Promise<WebSocket> {
  const { hostname, host } = new URL(url);
  const agent = new Agent();
  const { address, port, path, caPem: ca } = door;
  const where = path === undefined ? { host: address, port } : { path };
  // `ws` would look the name up; where to connect to is ours to say.
  agent.createConnection = () => connect({ ...where, ca, servername: hostname });
  const socket = new WebSocket(url.replace(/^https/, 'wss'), {
    agent,
    headers: { host },
    perMessageDeflate: false,
  });
  socket.on('error', () => undefined);
  await within(once(socket, 'open'), VISIT_WITHIN_MS, 'a WebSocket to open');
  return socket;
}

/** Sends a message and waits for it to come back. */
export async function echo(socket: WebSocket, text: string, withinMs: number): Promise<string> {
  const heard = once(socket, 'message');
  socket.send(text);
  const [data] = await within(heard, withinMs, 'the echo');
  return String(data);
}

/** Milliseconds until the condition holds; rejects after `withinMs`. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  withinMs: number,
  what: string,
): Promise<number> {
  const startedAtMs = performance.now();
  for (;;) {
    if (await holds()) return performance.now() - startedAtMs;
    const waitedMs = performance.now() - startedAtMs;
    if (waitedMs > withinMs) throw new Error(`${what}: not within ${withinMs} ms`);
    await pause(20);
  }
}

/** Milliseconds until a GET is answered with this status. Errors count as "not yet". */
export function untilStatus(
  door: Door,
  url: string,
  status: number,
  withinMs: number,
): Promise<number> {
  const asked = () => ask(door, url, { withinMs: 5_000 });
  const holds = () =>
    asked().then(
      (seen) => seen.status === status,
      () => false,
    );
  return until(holds, withinMs, `status ${status} at ${url}`);
}
