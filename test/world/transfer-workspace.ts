// A workspace that does its part of planned transfers, and remembers how each of them ended. WebSockets
// to it echo.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocketServer } from 'ws';
import { Received, roomIn, sendPattern, type TransferPlan } from './transfer-plan.ts';

/** A transfer, as the workspace saw it. */
export interface Served {
  readonly received: Received;
  /** The request came to its end. */
  whole: boolean;
  /** Nothing more happens. */
  over: boolean;
}

export class TransferWorkspace implements AsyncDisposable {
  readonly served = new Map<number, Served>();
  readonly sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
    server.on('request', (request, response) => void this.#serve(request, response));
    server.on('upgrade', (request, socket, head) => {
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.on('error', () => undefined);
        webSocket.on('message', (data, isBinary) => webSocket.send(data, { binary: isBinary }));
      });
    });
  }

  static async open(): Promise<TransferWorkspace> {
    const server = createServer({ noDelay: true, requestTimeout: 0, keepAliveTimeout: 60_000 });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TransferWorkspace(server);
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const plan: TransferPlan = JSON.parse(decodeURIComponent(`${request.url?.slice(1)}`));
    const seen: Served = { received: new Received(plan), whole: false, over: false };
    this.served.set(plan.id, seen);
    response.on('close', () => {
      seen.over = true;
    });
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    if (plan.extras) response.writeEarlyHints({ link: '</a>; rel=preload' });
    if (plan.kind === 'echo') begin(plan, response);
    if (plan.kind !== 'early') await read(request, plan, { seen, response });
    if (response.destroyed) return;
    if (plan.kind === 'mute') return void (await breakOffLate(response));
    if (plan.kind !== 'echo') await answer(plan, response);
    else response.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}

/** By then the visitor is gone; who only ended his half, as HTTP/1.1 lets him, could wait for more. */
async function breakOffLate(response: ServerResponse): Promise<void> {
  await pause(MUTE_MS);
  response.socket?.resetAndDestroy();
}

const MUTE_MS = 300;

async function read(
  request: IncomingMessage,
  plan: TransferPlan,
  { seen, response }: { readonly seen: Served; readonly response: ServerResponse },
): Promise<void> {
  try {
    for await (const bytes of request) {
      seen.received.take(bytes);
      if (plan.kind === 'echo' && !response.write(bytes)) {
        await roomIn(response);
      }
      if (plan.workspaceMs > 0) await pause(plan.workspaceMs);
    }
    seen.whole = true;
  } catch {
    // It broke off, which `whole` tells.
  }
}

function begin(plan: TransferPlan, response: ServerResponse): void {
  response.sendDate = false;
  response.statusCode = plan.status;
  if (plan.framing === 'sized' && plan.status === 200) {
    response.setHeader('content-length', plan.down);
  }
  if (plan.framing === 'close') {
    response.setHeader('connection', 'close');
    response.removeHeader('transfer-encoding');
    response.useChunkedEncodingByDefault = false;
  }
  if (hasTrailers(plan)) response.setHeader('trailer', 'x-sum');
  response.flushHeaders();
}

async function answer(plan: TransferPlan, response: ServerResponse): Promise<void> {
  begin(plan, response);
  if (plan.method !== 'HEAD' && plan.status === 200) {
    const bytes = plan.kind === 'torn' ? Math.floor(plan.down / 2) : plan.down;
    await sendPattern(response, plan, { bytes, pauseMs: plan.workspaceMs });
  }
  if (plan.kind === 'torn') {
    response.socket?.resetAndDestroy();
    return;
  }
  if (hasTrailers(plan)) response.addTrailers({ 'x-sum': `${plan.id}` });
  response.end();
}

function hasTrailers({ framing, extras, method, status }: TransferPlan): boolean {
  return framing === 'chunked' && extras && method !== 'HEAD' && status === 200;
}
