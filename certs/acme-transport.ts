// How an ACME client reaches one authority: over our own bounded HTTPS, with the directory remembered for
// an hour, and with the nonces that came with earlier answers, which halves the number of requests.
import type { IncomingHttpHeaders } from 'node:http';
import { Agent } from 'node:https';
import { type DirectoryDocument, readDirectory } from './acme-answer.ts';
import { ACME_HTTP_LIMITS, askHttps, type HttpsAnswer } from './acme-http.ts';
import { PROBLEM, parseJson, readProblem, readRetryAfter, refusalOf } from './acme-problem.ts';
import type { AcmeDirectory } from './order.ts';
import { OrderError } from './order-error.ts';

const TRANSPORT_LIMITS = {
  /** Authorities change theirs once in years, but profiles come and go. */
  directoryMs: 3_600_000,
  /** Some authorities forget nonces within minutes. */
  nonceMs: 120_000,
  noncesMax: 32,
  /** Connections to one authority. */
  socketsMax: 16,
} as const;

/** One call of the client: what it is about, what may end it, and what was noted on the way. */
export class AcmeCall {
  /** `a new order for alice.vendor.dev`. */
  readonly what: string;
  readonly signal: AbortSignal | undefined;
  retryAfterMs: number | undefined;
  /** Other chains for the same certificate (RFC 8555, section 7.4.2). */
  alternates: readonly string[] = [];
  /** The last nonce was refused. */
  badNonce = false;

  constructor(what: string, signal?: AbortSignal) {
    this.what = what;
    this.signal = signal;
  }
}

export interface ClientAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly data: unknown;
}

export class AcmeTransport {
  readonly #name: string;
  readonly #url: string;
  readonly #requestMs: number;
  readonly #agent: Agent;
  readonly #nonces: { nonce: string; untilMs: number }[] = [];
  #directory: { read: DirectoryDocument; untilMs: number } | undefined;
  #reading: Promise<DirectoryDocument> | undefined;

  constructor(
    { name, url, caPem }: Pick<AcmeDirectory, 'name' | 'url' | 'caPem'>,
    requestMs: number,
  ) {
    this.#name = name;
    this.#url = url;
    this.#requestMs = requestMs;
    const { socketsMax: maxSockets } = TRANSPORT_LIMITS;
    const { idleConnectionsMax: maxFreeSockets } = ACME_HTTP_LIMITS;
    const trust = caPem === undefined ? {} : { ca: caPem };
    this.#agent = new Agent({ keepAlive: true, maxSockets, maxFreeSockets, ...trust });
  }

  /** What was read last; undefined before the first time. */
  get known(): DirectoryDocument | undefined {
    return this.#directory?.read;
  }

  /** One reading serves all who want it. */
  async directory(signal?: AbortSignal): Promise<DirectoryDocument> {
    const held = this.#directory;
    if (held !== undefined && performance.now() < held.untilMs) return held.read;
    this.#reading ??= this.#readDirectory().finally(() => {
      this.#reading = undefined;
    });
    const read = await this.#reading;
    if (signal?.aborted === true) {
      throw new OrderError('ERR_ORDER_UNAVAILABLE', 'The order was stopped.');
    }
    return read;
  }

  /** A question of the client. Answers of 300 and above become errors, but for a bad nonce. */
  async ask(
    method: string,
    url: string,
    body: string | undefined,
    call: AcmeCall,
  ): Promise<ClientAnswer> {
    const directory = await this.directory(call.signal);
    if (url === this.#url) return { status: 200, headers: {}, data: directory.document };
    const forNonce = url === directory.newNonce;
    const held = forNonce ? this.#heldNonce() : undefined;
    if (held !== undefined) return { status: 200, headers: { 'replay-nonce': held }, data: '' };
    const how = method.toUpperCase();
    const verb = how === 'HEAD' || how === 'POST' ? how : 'GET';
    const answer = await this.get(url, { call, method: verb, body });
    call.badNonce = isBadNonce(answer);
    if (answer.status >= 300 && !call.badNonce) {
      this.#keepNonce(answer);
      throw refusalOf(answer, this.#name, call.what);
    }
    // The client itself takes the nonce that comes with these two.
    if (call.badNonce) this.#nonces.length = 0;
    else if (!forNonce) this.#keepNonce(answer);
    call.retryAfterMs = readRetryAfter(answer.headers['retry-after']);
    call.alternates = readAlternates(answer.headers['link']);
    return {
      status: answer.status,
      headers: answer.headers,
      data: parseJson(answer.body) ?? answer.body,
    };
  }

  /** One question without a signature, or with one that the caller has made. */
  get(
    url: string,
    {
      call,
      method = 'GET',
      body,
    }: { call: AcmeCall; method?: 'GET' | 'HEAD' | 'POST'; body?: string | undefined },
  ): Promise<HttpsAnswer> {
    const { signal } = call;
    const asked = { url, method, signal, agent: this.#agent };
    const question = { ...asked, name: this.#name, timeoutMs: this.#requestMs };
    return askHttps(body === undefined ? question : { ...question, body });
  }

  /** Idle connections end. */
  close(): void {
    this.#agent.destroy();
  }

  async #readDirectory(): Promise<DirectoryDocument> {
    const url = this.#url;
    const name = this.#name;
    const call = new AcmeCall('a question for its directory');
    const answer = await this.get(url, { call });
    if (answer.status !== 200) throw refusalOf(answer, name, call.what);
    const read = readDirectory(parseJson(answer.body));
    if (read === undefined) {
      throw new OrderError(
        'ERR_ORDER_UNAVAILABLE',
        `What ${name} has at ${url} is not the directory of an ACME server. Check the address.`,
      );
    }
    this.#directory = { read, untilMs: performance.now() + TRANSPORT_LIMITS.directoryMs };
    return read;
  }

  #heldNonce(): string | undefined {
    const nowMs = performance.now();
    for (;;) {
      const held = this.#nonces.pop();
      if (held === undefined || held.untilMs > nowMs) return held?.nonce;
    }
  }

  #keepNonce({ headers }: HttpsAnswer): void {
    const nonce = headers['replay-nonce'];
    if (typeof nonce !== 'string' || !/^[A-Za-z0-9_-]{1,512}$/.test(nonce)) return;
    this.#nonces.push({ nonce, untilMs: performance.now() + TRANSPORT_LIMITS.nonceMs });
    if (this.#nonces.length > TRANSPORT_LIMITS.noncesMax) this.#nonces.shift();
  }
}

function isBadNonce({ status, body }: HttpsAnswer): boolean {
  return status === 400 && readProblem(parseJson(body))?.type === `${PROBLEM}badNonce`;
}

/** The URLs of `<https://...>;rel="alternate"` (RFC 8288); Node joins several headers with a comma. */
function readAlternates(link: string | readonly string[] | undefined): string[] {
  const text = typeof link === 'string' ? link : (link ?? []).join(', ');
  const found = text.matchAll(/<(https:\/\/[^>\s]{1,1000})>\s*;\s*rel="?alternate"?/g);
  return [...found].flatMap(([, url]) => url ?? []);
}
