// What listens for plain HTTP. It answers certificate authorities that ask for a proof (RFC 8555,
// section 8.3), sends visitors of the names that we serve to HTTPS, and says no to everybody else.
//
//   Host → GET /.well-known/acme-challenge/TOKEN → the key authorization, or 404
//        → any other request for a name that we serve → 308 to the same place by HTTPS
//        → a name that we do not serve → 421
//
// Nothing of a body is ever read or waited for, and where a visitor is sent is made of judged parts
// alone: a name that we serve, our own port, and the target of the request.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Logger } from 'pino';
import { type Hostname, parseHostname } from '../dns/name.ts';
import { AddressCount } from './entrance/address-count.ts';
import { isChallengePath } from './entrance/challenge-path.ts';
import { listening } from './entrance/listen.ts';
import { judgeHost, judgeTarget } from './entrance/target.ts';
import { createServer } from './protocol/node-http.ts';

const PLAIN_LIMITS = {
  /** Browsers send about 1 KiB to a place where they have no cookies yet. */
  headBytesMax: 8_192,
  /** From the connection, or from the first byte of a request, to the end of its head. */
  headMs: 5_000,
  /** How often Node looks whether the time for a head is over. */
  lookMs: 1_000,
  /** Without a byte in either direction, wherever the connection is. */
  silentMs: 10_000,
  /** Between two requests; a browser that was sent to HTTPS does not come back. */
  keepAliveMs: 2_000,
  /** Authorities ask once, and whoever is sent to HTTPS has no more to ask. */
  requestsPerConnection: 20,
  /** All open ones; each lasts for seconds at most. */
  connectionsMax: 4_000,
  /** Of one visitor address. Offices share one, and each person needs a connection for a moment. */
  connectionsPerAddressMax: 200,
  /** The rest is told to come again: the answers lie in a database. */
  lookupsMax: 100,
  /** An authority waits for ten seconds. */
  lookupMs: 5_000,
  /** For answers under way when the relay stops. */
  drainMs: 2_000,
} as const;

export interface PlainHttpOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Whether the entrance serves this name by HTTPS. */
  readonly knows: (hostname: Hostname) => boolean;
  /** What an authority shall read for this token; undefined: there is nothing to prove. */
  readonly keyAuthorization: (hostname: Hostname, token: string) => Promise<string | undefined>;
  /** Where visitors reach the entrance. */
  readonly httpsPort: number;
  readonly log: Logger;
  /** For tests. */
  readonly limits?: { readonly [Name in keyof typeof PLAIN_LIMITS]?: number };
}

/** How requests ended, and connections that could carry none. */
export const PLAIN_OUTCOMES = [
  'challenge-answered',
  'challenge-unknown',
  'challenge-failed',
  'redirected',
  'unknown-host',
  'bad-request',
  'too-many-connections',
] as const;
export type PlainOutcome = (typeof PLAIN_OUTCOMES)[number];

/** Resolves when requests are answered; throws `ListenError`. */
export async function listenPlainHttp(options: PlainHttpOptions): Promise<PlainHttp> {
  const plain = new PlainHttp(options);
  await plain.listen();
  return plain;
}

export class PlainHttp {
  /** Since the start. */
  readonly counts = new Map<PlainOutcome, number>(PLAIN_OUTCOMES.map((outcome) => [outcome, 0]));
  readonly #options: PlainHttpOptions;
  readonly #limits: { readonly [Name in keyof typeof PLAIN_LIMITS]: number };
  readonly #server: Server;
  readonly #addresses: AddressCount;
  #lookups = 0;
  #closing = false;

  constructor(options: PlainHttpOptions) {
    this.#options = options;
    const limits = { ...PLAIN_LIMITS, ...options.limits };
    this.#limits = limits;
    this.#addresses = new AddressCount(limits.connectionsPerAddressMax);
    this.#server = createServer({
      insecureHTTPParser: false,
      maxHeaderSize: limits.headBytesMax,
      headersTimeout: limits.headMs,
      requestTimeout: limits.headMs,
      connectionsCheckingInterval: limits.lookMs,
      keepAliveTimeout: limits.keepAliveMs,
      noDelay: true,
    });
    this.#server.maxRequestsPerSocket = limits.requestsPerConnection;
    this.#server.maxConnections = limits.connectionsMax;
    this.#server.setTimeout(limits.silentMs);
  }

  /** Resolves when requests are answered. */
  async listen(): Promise<void> {
    const server = this.#server;
    const answer = this.#request.bind(this);
    server.on('request', answer);
    // Nobody is told to go on with a body.
    server.on('checkContinue', answer);
    server.on('connection', (socket) => this.#connection(socket));
    server.on('drop', () => this.#count('too-many-connections'));
    await listening(server, this.#options);
    const { log } = this.#options;
    server.on('error', (err) => log.error({ err }, 'the plain HTTP listener failed'));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Takes no more connections, answers what was asked, and ends the rest after a while. */
  async close(): Promise<void> {
    this.#closing = true;
    const closed = Promise.withResolvers<void>();
    this.#server.close(() => closed.resolve());
    const timer = setTimeout(() => this.#server.closeAllConnections(), this.#limits.drainMs);
    await closed.promise;
    clearTimeout(timer);
  }

  #connection(socket: Socket): void {
    const owner = this.#addresses.take(socket.remoteAddress ?? '');
    if (owner === undefined) {
      this.#count('too-many-connections');
      socket.destroy();
      return;
    }
    socket.once('close', () => this.#addresses.release(owner));
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    // What comes after a body that nobody has read is no request.
    if (this.#closing || hasBody(request)) response.shouldKeepAlive = false;
    const asked = readAddress(request);
    if (asked === undefined) return this.#refuse(response, 400, 'bad-request');
    if (isChallengePath(asked.target)) return this.#challenge(request, response, asked);
    if (!this.#options.knows(asked.hostname)) return this.#refuse(response, 421, 'unknown-host');
    this.#count('redirected');
    const { httpsPort } = this.#options;
    const port = httpsPort === HTTPS_PORT ? '' : `:${httpsPort}`;
    response.writeHead(308, {
      location: `https://${asked.hostname}${port}${asked.target}`,
      'cache-control': `max-age=${REDIRECT_S}`,
      'content-length': 0,
    });
    response.end();
  }

  #challenge(request: IncomingMessage, response: ServerResponse, asked: Address): void {
    const reads = request.method === 'GET' || request.method === 'HEAD';
    const token = reads ? TOKEN_TARGET.exec(asked.target)?.[1] : undefined;
    if (token === undefined) return this.#refuse(response, 404, 'challenge-unknown');
    if (this.#lookups >= this.#limits.lookupsMax) {
      return this.#refuse(response, 503, 'challenge-failed');
    }
    this.#find(asked.hostname, token).then(
      (text) => {
        if (text === undefined) return this.#refuse(response, 404, 'challenge-unknown');
        this.#count('challenge-answered');
        response.writeHead(200, { ...textHeaders(text), 'x-content-type-options': 'nosniff' });
        response.end(text);
      },
      (err: unknown) => {
        const { hostname } = asked;
        this.#options.log.error({ err, name: hostname }, 'the answer to a challenge was not found');
        this.#refuse(response, 503, 'challenge-failed');
      },
    );
  }

  async #find(hostname: Hostname, token: string): Promise<string | undefined> {
    const found = this.#options.keyAuthorization(hostname, token);
    this.#lookups += 1;
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`No answer within ${this.#limits.lookupMs} ms.`)),
      this.#limits.lookupMs,
    );
    // One that never ends is counted for ever: there would be no bound otherwise.
    const over = (): number => (this.#lookups -= 1);
    found.then(over, over);
    try {
      return await Promise.race([found, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  #refuse(response: ServerResponse, status: keyof typeof REFUSALS, outcome: PlainOutcome): void {
    this.#count(outcome);
    const text = REFUSALS[status];
    // Who is refused is not worth a connection that waits.
    response.shouldKeepAlive = false;
    response.writeHead(status, textHeaders(text));
    response.end(text);
  }

  #count(outcome: PlainOutcome): void {
    this.counts.set(outcome, (this.counts.get(outcome) ?? 0) + 1);
  }
}

interface Address {
  readonly hostname: Hostname;
  /** In origin form, without any character that an address must not have. */
  readonly target: string;
}

/** Which name and place a request is for; undefined: its Host or its target is none. */
function readAddress(request: IncomingMessage): Address | undefined {
  const hosts = request.headersDistinct['host'];
  const [host = ''] = hosts ?? [];
  const hostname = hosts?.length === 1 ? parseHostname(host.split(':', 1)[0] ?? '') : undefined;
  if (hostname === undefined) return undefined;
  const judged = judgeHost(host, hostname);
  if (typeof judged !== 'string') return undefined;
  const target = judgeTarget(request.url ?? '', judged, hostname);
  return typeof target === 'string' ? { hostname, target } : undefined;
}

function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

function textHeaders(text: string): Record<string, string | number> {
  return {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  };
}

const REFUSALS = {
  400: 'Bad request.\n',
  404: 'Nothing is being proven here.\n',
  421: 'This name is not served here.\n',
  503: 'Try again in a moment.\n',
} as const;

/** A token is text in base64url (RFC 8555, section 8.3); 22 characters are usual. */
const TOKEN_TARGET = /^\/\.well-known\/acme-challenge\/([A-Za-z0-9_-]{1,128})$/;

const HTTPS_PORT = 443;

/** A browser may go to HTTPS by itself for an hour; names come and go, so it is not for ever. */
const REDIRECT_S = 3_600;
