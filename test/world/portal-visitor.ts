// Somebody who uses a portal with a program: keeps cookies as a browser does (`__Host-` ones, for one
// host), says Origin with every change unless told otherwise, and follows nothing by himself.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { text } from 'node:stream/consumers';

export interface PortalAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The body as JSON; throws when it is none. */
  json(): Record<string, unknown>;
}

export interface Asking {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Buffer;
}

/** Each visitor has an address of his own, as everything is bounded by address. */
let visitors = 0;

export class PortalVisitor {
  readonly origin: string;
  readonly address: string;
  readonly cookies = new Map<string, string>();
  readonly #caPem: string;
  readonly #port: number;
  /** One connection, for one request after the other. */
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  /** `port`: where the portal listens, whatever it believes of that. */
  constructor(origin: string, { caPem, port }: { readonly caPem: string; readonly port: number }) {
    this.origin = origin;
    this.#port = port;
    this.#caPem = caPem;
    visitors += 1;
    this.address = `127.${1 + (visitors >> 16)}.${(visitors >> 8) & 255}.${visitors & 255}`;
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<PortalAnswer> {
    return this.ask(path, { headers });
  }

  /** A form of a page. */
  form(path: string, fields: Readonly<Record<string, string>> = {}): Promise<PortalAnswer> {
    const headers = { 'content-type': 'application/x-www-form-urlencoded', origin: this.origin };
    return this.ask(path, { method: 'POST', headers, body: `${new URLSearchParams(fields)}` });
  }

  /** A request of a program. */
  api(method: string, path: string, body?: unknown): Promise<PortalAnswer> {
    const headers: Record<string, string> = method === 'GET' ? {} : { origin: this.origin };
    if (body === undefined) return this.ask(path, { method, headers });
    headers['content-type'] = 'application/json';
    return this.ask(path, { method, headers, body: JSON.stringify(body) });
  }

  async ask(path: string, asking: Asking): Promise<PortalAnswer> {
    const response = await this.#send(path, asking);
    for (const line of response.headers['set-cookie'] ?? []) this.#keep(line);
    const answer = await text(response);
    const status = response.statusCode ?? 0;
    return { status, headers: response.headers, body: answer, json: () => JSON.parse(answer) };
  }

  async #send(path: string, asking: Asking): Promise<IncomingMessage> {
    const { method = 'GET', headers = {}, body } = asking;
    const { hostname, host } = new URL(this.origin);
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const sent = request({
      ...{
        host: '127.0.0.1',
        port: this.#port,
        servername: hostname,
        path,
        method,
        agent: this.#agent,
      },
      ca: this.#caPem,
      localAddress: this.address,
      headers: {
        host,
        ...(cookie === '' ? {} : { cookie }),
        ...(body === undefined ? {} : { 'content-length': `${Buffer.byteLength(body)}` }),
        ...headers,
      },
    });
    sent.end(body);
    return new Promise((resolve, reject) => {
      sent.on('response', resolve);
      sent.on('error', (error: NodeJS.ErrnoException) => {
        // The connection had been idle for so long that it was closed: every client asks anew then.
        const closed = sent.reusedSocket && error.code === 'ECONNRESET';
        if (closed) resolve(this.#send(path, asking));
        else reject(error);
      });
    });
  }

  #keep(line: string): void {
    const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
    if (value === '') this.cookies.delete(name);
    else this.cookies.set(name, value);
  }
}
