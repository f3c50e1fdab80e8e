// A server of small HTTP/1.1 requests for connections that the entrance hands over, whose TLS is done.
// Node looks at its own deadlines only in a server that listens by itself, so they are kept here: for
// the next head, for the whole of a request and its answer, and for how much is on its way at once.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { Sweep, type Swept } from './entrance/sweep.ts';
import { createServer } from './protocol/node-http.ts';

const DOOR_LIMITS = {
  /** From the connection, or from the last answer, to the end of the next head. */
  headMs: 10_000,
  /** From the head to the last byte of the answer: forms, small pages and JSON. */
  exchangeMs: 30_000,
  /** Requests of one connection that wait for their answers; browsers send one after the other. */
  pipelinedMax: 8,
  /** After so many a client connects anew, perhaps to another relay. */
  requestsPerConnection: 1_000,
  /** For answers under way when the relay stops. */
  drainMs: 2_000,
} as const;

export interface HttpDoorOptions {
  readonly headBytesMax: number;
  /** Open connections that this server has; more are closed at once. */
  readonly connectionsMax: number;
  readonly request: (request: IncomingMessage, response: ServerResponse) => void;
  /** Without it a wish to upgrade is ignored, as HTTP allows. The deadline goes on until `release`. */
  readonly upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** For tests. */
  readonly limits?: Partial<Record<'headMs' | 'exchangeMs', number>>;
}

export class HttpDoor {
  readonly #options: HttpDoorOptions;
  readonly #limits: Readonly<Record<keyof typeof DOOR_LIMITS, number>>;
  readonly #server: Server;
  readonly #sweep = new Sweep();
  readonly #connections = new Map<Duplex, Connection>();
  #closing = false;
  #empty: (() => void) | undefined;

  constructor(options: HttpDoorOptions) {
    this.#options = options;
    this.#limits = { ...DOOR_LIMITS, ...options.limits };
    this.#server = createServer({ maxHeaderSize: options.headBytesMax });
    this.#server.maxRequestsPerSocket = DOOR_LIMITS.requestsPerConnection;
    this.#server.keepAliveTimeout = DOOR_LIMITS.headMs;
    this.#server.on('request', (request, response) => this.#request(request, response));
    const { upgrade } = options;
    if (upgrade !== undefined) this.#server.on('upgrade', upgrade);
    this.#server.on('clientError', refuse);
  }

  /** Connections that were taken and are open, less those that were released. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Takes a connection whose TLS is done. */
  take(socket: TLSSocket): void {
    if (this.#closing || this.#connections.size >= this.#options.connectionsMax) {
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, this.#sweep.nowMs + this.#limits.headMs);
    this.#connections.set(socket, connection);
    this.#sweep.add(connection);
    socket.once('close', () => this.release(socket));
    this.#server.emit('connection', socket);
  }

  /** Lets go of a connection that is no HTTP any more; its deadlines end. */
  release(socket: Duplex): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return;
    this.#connections.delete(socket);
    this.#sweep.delete(connection);
    if (this.#connections.size === 0) this.#empty?.();
  }

  /** Takes no more; ends connections that ask for nothing, the others with their answers. */
  close(): void {
    this.#closing = true;
    for (const { socket, underWay } of this.#connections.values()) {
      if (underWay === 0) socket.destroy();
    }
  }

  /** The same, and ends what is left after a while. */
  async drain(): Promise<void> {
    this.close();
    if (this.#connections.size > 0) {
      const over = Promise.withResolvers<void>();
      this.#empty = over.resolve;
      const timer = setTimeout(over.resolve, DOOR_LIMITS.drainMs);
      await over.promise;
      clearTimeout(timer);
    }
    this.destroy();
  }

  /** Ends everything now. */
  destroy(): void {
    this.#closing = true;
    for (const { socket } of [...this.#connections.values()]) socket.destroy();
    this.#sweep.stop();
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined || connection.underWay >= DOOR_LIMITS.pipelinedMax) {
      request.socket.destroy();
      return;
    }
    connection.underWay += 1;
    if (connection.underWay === 1) {
      connection.deadlineMs = this.#sweep.nowMs + this.#limits.exchangeMs;
    }
    if (this.#closing) response.shouldKeepAlive = false;
    response.once('close', () => this.#answered(connection));
    this.#options.request(request, response);
  }

  #answered(connection: Connection): void {
    connection.underWay -= 1;
    const waitMs = connection.underWay === 0 ? this.#limits.headMs : this.#limits.exchangeMs;
    connection.deadlineMs = this.#sweep.nowMs + waitMs;
    if (this.#closing && connection.underWay === 0) connection.socket.end();
  }
}

class Connection implements Swept {
  readonly socket: Duplex;
  deadlineMs: number;
  /** Requests without their whole answer. */
  underWay = 0;

  constructor(socket: Duplex, deadlineMs: number) {
    this.socket = socket;
    this.deadlineMs = deadlineMs;
  }

  sweep(nowMs: number): void {
    if (nowMs >= this.deadlineMs) this.socket.destroy();
  }
}

/** What is no HTTP, or too much of it. */
function refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : '400 Bad Request';
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const answer = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
  socket.end(answer, () => socket.destroy());
}
