// An entrance with one real workspace behind it, and HTTP/2 visitors for it.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  type ClientHttp2Session,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { pino } from 'pino';
import { Entrance } from '../../../relay/entrance/entrance.ts';
import { Journal } from '../../../relay/entrance/journal.ts';
import type { Reach } from '../../../relay/entrance/reach.ts';
import { SocketLink } from '../../../relay/entrance/socket-link.ts';
import { chooseContext, vendor } from './front-door.ts';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export class House {
  readonly journal: Journal;
  readonly logged: string[] = [];
  readonly workspace: Server;
  /** Sockets at the workspace, ever. */
  readonly sockets: Socket[] = [];
  readonly requests: IncomingMessage[] = [];
  answer: Answer = (_request, response) => response.end('hello');
  entrance: Entrance | undefined;
  port = 0;
  readonly #sessions: ClientHttp2Session[] = [];

  constructor() {
    const log = pino({}, { write: (line: string) => this.logged.push(line) });
    this.journal = new Journal({ log, accessLog: true });
    this.workspace = createServer((request, response) => {
      this.requests.push(request);
      this.answer(request, response);
    });
    this.workspace.on('connection', (socket) => this.sockets.push(socket));
  }

  async open(reach?: Reach): Promise<this> {
    this.workspace.listen(0, '127.0.0.1');
    await once(this.workspace, 'listening');
    const address = this.workspace.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    this.entrance = new Entrance({
      host: '127.0.0.1',
      port: 0,
      via: 'relay',
      choose: chooseContext,
      fallback: () => vendor,
      reach: reach ?? (() => new SocketLink({ kind: 'tcp', host: '127.0.0.1', port })),
      journal: this.journal,
    });
    this.port = await this.entrance.listen();
    return this;
  }

  visit(servername = 'alice.vendor.test'): ClientHttp2Session {
    const session = connect(`https://${servername}`, {
      createConnection: () =>
        connectTls({
          host: '127.0.0.1',
          port: this.port,
          servername,
          ALPNProtocols: ['h2'],
          rejectUnauthorized: false,
        }),
    });
    session.on('error', () => undefined);
    this.#sessions.push(session);
    return session;
  }

  close(): void {
    for (const session of this.#sessions) session.destroy();
    this.entrance?.close();
    this.workspace.closeAllConnections();
    this.workspace.close();
  }
}

export interface Whole {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: IncomingHttpHeaders;
}

/** Asks and waits for the whole answer; rejects with the stream's error. */
export async function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders = {},
  body?: string | Buffer,
): Promise<Whole> {
  const stream = session.request({ ':path': '/', ...headers }, { endStream: body === undefined });
  let trailers: IncomingHttpHeaders = {};
  let answer: IncomingHttpHeaders = {};
  const parts: Buffer[] = [];
  stream.on('response', (received) => {
    answer = received;
  });
  stream.on('trailers', (received) => {
    trailers = received;
  });
  stream.on('data', (part: Buffer) => parts.push(part));
  if (body !== undefined) stream.end(body);
  await once(stream, 'close');
  if (stream.rstCode !== 0) throw new Error(`reset with code ${stream.rstCode}`);
  const status = Number(answer[':status']);
  return { status, headers: answer, body: Buffer.concat(parts).toString('latin1'), trailers };
}
