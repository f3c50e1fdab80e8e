// A workspace that keeps every byte of every connection, and answers as a test says, byte by byte.
// It finds requests by the two framings that the entrance may write and judges nothing else; whether
// they are canonical is for `parseCanonical` to say.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { Watch } from './watch.ts';

export interface SeenRequest {
  readonly method: string;
  readonly target: string;
  /** With its empty line. */
  readonly head: string;
  /** What has come of it, latin1, without its framing. */
  body: string;
  whole: boolean;
}

/** What happens when a request's head has come, or all of it. */
export interface Play {
  readonly head?: (connection: RecordedConnection, request: SeenRequest) => void;
  readonly whole?: (connection: RecordedConnection, request: SeenRequest) => void;
}

const NO_CONTENT = 'HTTP/1.1 204 No Content\r\n\r\n';

const PLAIN: Play = { whole: (connection) => connection.say(NO_CONTENT) };

export class RecordingWorkspace implements AsyncDisposable {
  readonly url: string;
  readonly connections: RecordedConnection[] = [];
  /** By path; what is not in here is answered with 204 when it is whole. */
  readonly plays = new Map<string, Play>();
  readonly watch = new Watch();
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.url = `http://127.0.0.1:${port}`;
    server.on('connection', (socket) => {
      this.connections.push(new RecordedConnection(socket, this));
      this.watch.changed();
    });
  }

  static async open(): Promise<RecordingWorkspace> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 });
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return new RecordingWorkspace(server, address.port);
  }

  /** The connections that carried a visitor from this address. */
  of(address: string): RecordedConnection[] {
    return this.connections.filter(({ visitor }) => visitor === address);
  }

  /** All requests of a visitor. */
  requestsOf(address: string): SeenRequest[] {
    return this.of(address).flatMap(({ requests }) => requests);
  }

  /** Resolves when so many heads have come from that address. */
  async seen(address: string, count: number): Promise<void> {
    const what = `${count} heads from ${address} at the workspace`;
    await this.watch.until(() => this.requestsOf(address).length >= count, what);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }
}

export class RecordedConnection {
  readonly socket: Socket;
  readonly requests: SeenRequest[] = [];
  /** The address in the first head. */
  visitor = '';
  /** Everything that has come, latin1. */
  text = '';
  /** From here on bytes are only recorded: after a 101. */
  raw = false;
  /** The other side has ended its half in good order. */
  ended = false;
  closed = false;
  /** It was reset. */
  broken = false;
  readonly #workspace: RecordingWorkspace;
  #pending = '';
  #request: SeenRequest | undefined;
  /** Bytes of the body, or of the chunk, that are still to come; undefined: a chunk size is. */
  #left: number | undefined;
  #chunked = false;

  constructor(socket: Socket, workspace: RecordingWorkspace) {
    this.socket = socket;
    this.#workspace = workspace;
    socket.on('data', (bytes: Buffer) => {
      this.text += bytes.toString('latin1');
      if (!this.raw) this.#scan(bytes.toString('latin1'));
      workspace.watch.changed();
    });
    socket.on('end', () => {
      this.ended = true;
      socket.end();
      workspace.watch.changed();
    });
    socket.on('error', () => {
      this.broken = true;
    });
    socket.on('close', () => {
      this.closed = true;
      workspace.watch.changed();
    });
  }

  say(bytes: string | Buffer): void {
    if (typeof bytes === 'string') this.socket.write(bytes, 'latin1');
    else this.socket.write(bytes);
  }

  #scan(text: string): void {
    this.#pending += text;
    while (this.#pending !== '' && !this.raw) {
      const read = this.#request === undefined ? this.#readHead() : this.#readBody(this.#request);
      if (!read) return;
    }
  }

  #readHead(): boolean {
    const end = this.#pending.indexOf('\r\n\r\n') + 4;
    if (end < 4) return false;
    const head = this.#pending.slice(0, end);
    this.#pending = this.#pending.slice(end);
    const [method = '', target = ''] = head.split(' ', 2);
    const request: SeenRequest = { method, target, head, body: '', whole: false };
    if (this.requests.length === 0) {
      this.visitor = /\r\nX-Forwarded-For: ([^\r]*)\r\n/.exec(head)?.[1] ?? '';
    }
    this.requests.push(request);
    this.#request = request;
    this.#chunked = /\r\nTransfer-Encoding: chunked\r\n/.test(head);
    const length = Number(/\r\nContent-Length: ([0-9]+)\r\n/.exec(head)?.[1] ?? 0);
    this.#left = this.#chunked ? undefined : length;
    this.#play(request)?.head?.(this, request);
    if (this.#left === 0) this.#end(request);
    return true;
  }

  #readBody(request: SeenRequest): boolean {
    if (this.#left === undefined) return this.#readSize(request);
    const piece = this.#pending.slice(0, this.#left);
    request.body += piece;
    this.#pending = this.#pending.slice(piece.length);
    this.#left -= piece.length;
    if (this.#left > 0) return false;
    if (!this.#chunked) this.#end(request);
    else if (this.#pending.length < 2) return false;
    else {
      this.#pending = this.#pending.slice(2);
      this.#left = undefined;
    }
    return true;
  }

  #readSize(request: SeenRequest): boolean {
    const end = this.#pending.indexOf('\r\n');
    if (end < 0) return false;
    const size = Number.parseInt(this.#pending.slice(0, end), 16);
    if (size === 0) return this.#readTrailers(request, end + 2);
    this.#left = size;
    this.#pending = this.#pending.slice(end + 2);
    return true;
  }

  #readTrailers(request: SeenRequest, from: number): boolean {
    const end = this.#pending.startsWith('\r\n', from)
      ? from + 2
      : this.#pending.indexOf('\r\n\r\n', from) + 4;
    if (end < from) return false;
    this.#pending = this.#pending.slice(end);
    this.#end(request);
    return true;
  }

  #end(request: SeenRequest): void {
    request.whole = true;
    this.#request = undefined;
    this.#play(request)?.whole?.(this, request);
  }

  #play({ target }: SeenRequest): Play {
    return this.#workspace.plays.get(target.split('?', 1)[0] ?? '') ?? PLAIN;
  }
}
