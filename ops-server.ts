// The operators' HTTP port of a program: `/healthz` says that the process lives, `/readyz` that it serves,
// `/metrics` is Prometheus text. Three fixed answers to GET and HEAD, so that Node's own server does:
// a framework would be a fifth of what a device loads at its start.
import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import type { Registry } from 'prom-client';
import { createServer } from './relay/protocol/node-http.ts';

export interface OpsAddress {
  readonly host: string;
  readonly port: number;
}

export interface Readiness {
  /** Why the program does not serve; `undefined` while it does. */
  why: string | undefined;
}

const OPS_LIMITS = {
  /** A scraper asks in one go; who does not gets no socket for long. */
  requestMs: 5_000,
  /** Nobody who asks here has more to say. */
  headBytesMax: 8_192,
} as const;

interface OpsAnswer {
  readonly status: number;
  readonly text: string;
  readonly type?: string;
}

/** A metric that cannot be read must not end the program. */
const OPS_FAULT: OpsAnswer = { status: 500, text: 'The metrics could not be read.\n' };

export class OpsServer {
  readonly #metrics: Registry;
  readonly #readiness: Readiness;
  readonly #server: Server;
  #loopback = false;

  constructor(metrics: Registry, readiness: Readiness) {
    this.#metrics = metrics;
    this.#readiness = readiness;
    this.#server = createServer({
      requestTimeout: OPS_LIMITS.requestMs,
      maxHeaderSize: OPS_LIMITS.headBytesMax,
    });
    this.#server.on('request', (request, response) => void this.#serve(request, response));
  }

  /** Settles with its URL, or rejects with what the system says against the address. */
  async listen({ host, port }: OpsAddress): Promise<string> {
    this.#loopback = host.startsWith('127.') || host === '::1';
    this.#server.listen({ host, port });
    await once(this.#server, 'listening');
    const bound = this.#server.address();
    if (typeof bound !== 'object' || bound === null) throw new Error('A TCP port has an address.');
    return `http://${urlHost(bound.address)}:${bound.port}`;
  }

  /** Cuts what is under way. */
  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await this.#answer(request).catch(() => OPS_FAULT);
    const { status, text, type = 'text/plain; charset=utf-8' } = answer;
    const body = Buffer.from(text);
    response.writeHead(status, { 'content-type': type, 'content-length': body.length });
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  async #answer({ method, url = '', headers }: IncomingMessage): Promise<OpsAnswer> {
    if (this.#loopback && !isLocalHost(headers.host ?? '')) {
      return { status: 421, text: 'Ask for this port by its IP address.\n' };
    }
    if (method !== 'GET' && method !== 'HEAD') {
      return { status: 405, text: 'This port only answers GET.\n' };
    }
    const [path] = url.split('?');
    const { why } = this.#readiness;
    if (path === '/healthz') return { status: 200, text: 'ok\n' };
    if (path === '/readyz') {
      return why === undefined ? { status: 200, text: 'ok\n' } : { status: 503, text: `${why}\n` };
    }
    if (path !== '/metrics') {
      return { status: 404, text: 'There is /healthz, /readyz and /metrics.\n' };
    }
    const { contentType: type } = this.#metrics;
    return { status: 200, text: await this.#metrics.metrics(), type };
  }
}

/** How it is asked for on this machine. */
function urlHost(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1';
  return isIP(address) === 6 ? `[${address}]` : address;
}

/** A page on another site can let its own name point to us (DNS rebinding); an address it cannot. */
function isLocalHost(host: string): boolean {
  const name = host.replace(/:[0-9]*$/, '').toLowerCase();
  return name === 'localhost' || isIP(name.replace(/^\[|\]$/g, '')) !== 0;
}
