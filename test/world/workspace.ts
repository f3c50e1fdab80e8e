// Workspaces for journeys: real servers in this process, of which a test says each byte (raw), or only
// what they answer (HTTP).
import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { ByteStream } from './byte-stream.ts';
import { readRequest } from './http-text.ts';
import { within } from './program-process.ts';

const WAIT_MS = 15_000;

type Script<Value> = (connection: ByteStream) => Promise<Value>;

/** Each connection plays the next script; one without a script answers every request with 204. */
export class RawWorkspace implements AsyncDisposable {
  /** As in a device's configuration. */
  readonly url: string;
  /** Connections that have come so far, and bytes on them that no script has read. */
  readonly connections: ByteStream[] = [];
  readonly #server: NetServer;
  readonly #scripts: Script<void>[] = [];

  private constructor(server: NetServer) {
    this.#server = server;
    this.url = urlOf(server);
    server.on('connection', (socket) => void this.#play(new ByteStream(socket)));
  }

  /** On a free port, or on a Unix socket. */
  static async open(path?: string): Promise<RawWorkspace> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    await listen(server, path);
    return new RawWorkspace(server);
  }

  /** Settles with what the script made of the next connection that has no script yet. */
  next<Value>(script: Script<Value>): Promise<Value> {
    const { promise, resolve, reject } = Promise.withResolvers<Value>();
    this.#scripts.push((connection) => script(connection).then(resolve, reject));
    const played = within(promise, WAIT_MS, 'a workspace to be asked, and to answer');
    // A test that has failed already does not ask for it.
    played.catch(() => undefined);
    return played;
  }

  /** Scripts that no connection came for: they would be played in the next test. */
  forget(): void {
    this.#scripts.length = 0;
  }

  async #play(connection: ByteStream): Promise<void> {
    this.connections.push(connection);
    const script = this.#scripts.shift() ?? answerAll;
    await script(connection);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    await close(this.#server);
  }
}

async function answerAll(connection: ByteStream): Promise<void> {
  while (connection.ending === undefined) {
    const request = await readRequest(connection).catch(() => undefined);
    if (request !== undefined) connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  }
  connection.end();
}

/** A server of Node's. What it answers may be replaced at any time. */
export class HttpWorkspace implements AsyncDisposable {
  answer: RequestListener = (_, response) => response.end('ok');
  readonly url: string;
  readonly server: Server;
  /** Every connection that has come. */
  readonly sockets: Socket[] = [];

  private constructor(server: Server) {
    this.server = server;
    this.url = urlOf(server);
    server.on('connection', (socket: Socket) => this.sockets.push(socket));
    server.on('request', (request, response) => this.answer(request, response));
  }

  static async open(): Promise<HttpWorkspace> {
    const server = createHttpServer({ noDelay: true, requestTimeout: 0 });
    await listen(server);
    return new HttpWorkspace(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    for (const socket of this.sockets) socket.destroy();
    await close(this.server);
  }
}

async function listen(server: NetServer, path?: string): Promise<void> {
  if (path === undefined) server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 });
  else server.listen(path);
  await once(server, 'listening');
}

async function close(server: NetServer): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  await closed;
}

function urlOf(server: NetServer): string {
  const address = server.address();
  if (address === null) throw new Error('the server does not listen');
  return typeof address === 'string' ? `unix:${address}` : `http://127.0.0.1:${address.port}`;
}
