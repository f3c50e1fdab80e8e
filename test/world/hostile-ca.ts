// A small ACME server of our own, in the process of the test, over HTTPS, with a real CA key, that does
// wrong whatever it is told to do wrong: `meddle` decides for every request, the fields for what goes on
// behind them. Left alone it is a CA that takes every proof for valid. It counts what it was asked.
import { type JsonWebKey, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { makeKeys, sharedKeys } from './hostile-ca-keys.ts';
import type { ChainKind, HostileCaSigner } from './hostile-ca-signer.ts';
import {
  type Account,
  type Asked,
  type CaAuthorization,
  type CaOrder,
  type CaProof,
  type CaRequest,
  decode,
  directoryOf,
  type Endpoint,
  ERROR,
  isEndpoint,
  isSigned,
  type Misbehaviour,
  namesIn,
  openOrder,
  parse,
  pour,
  Refusal,
  revokeIn,
  thumbprintOf,
} from './hostile-ca-wire.ts';

type Meddle = (request: CaRequest) => Misbehaviour | undefined;

const DAY_MS = 86_400_000;

export class HostileCa implements AsyncDisposable {
  readonly directoryUrl: string;
  /** The certificate authority of the directory's own certificate. */
  readonly caPem: string;
  readonly signer: HostileCaSigner;
  readonly requests: CaRequest[] = [];
  readonly orders = new Map<string, CaOrder>();
  readonly authorizations = new Map<string, CaAuthorization>();
  /** What `replaces` named, once per certificate. */
  readonly replaced = new Set<string>();
  readonly revoked = new Map<string, unknown>();
  meddle: Meddle = () => undefined;
  /** The type of a problem (`dns`, `caa`); undefined: the proof is good. */
  validate: (proof: CaProof) => string | undefined | Promise<string | undefined> = () => undefined;
  offered: readonly string[] = ['http-01', 'dns-01', 'tls-alpn-01'];
  /** Authorizations are valid from the start. */
  reuse = false;
  /** So are open orders, by whoever wants the same names again, as at Let's Encrypt. */
  reuseOrders = false;
  /** Authorizations are for this name, whatever was ordered. */
  strangeHostname: string | undefined;
  tokens: () => string = () => randomBytes(32).toString('base64url');
  /** How often an authorization is seen pending, and an order processing, before it goes on. */
  authorizationPolls = 0;
  processingPolls = 0;
  /** Of what is not done yet. */
  retryAfter: string | undefined;
  chain: ChainKind = 'right';
  alternates = false;
  validityMs = 90 * DAY_MS;
  profiles: Readonly<Record<string, string>> | undefined;
  /** The answer to a question for the renewal of a certificate; undefined: no such feature. */
  renewalInfo: ((certId: string) => unknown) | undefined;

  readonly #origin: string;
  readonly #server: Server;
  readonly #port: number;
  readonly #nonces = new Set<string>();
  readonly #accounts = new Map<string, Account>();
  readonly #count = new Map<string, number>();

  private constructor(server: Server, caPem: string, signer: HostileCaSigner) {
    const address = server.address();
    this.#port = typeof address === 'object' && address !== null ? address.port : 0;
    this.#origin = `https://localhost:${this.#port}`;
    this.directoryUrl = `${this.#origin}/directory`;
    this.caPem = caPem;
    this.signer = signer;
    this.#server = server;
    server.on('request', (request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  /** Keys are made once for all of a process; `stranger`: its own, that nobody else's CA file covers. */
  static async start({ stranger = false } = {}): Promise<HostileCa> {
    const { caPem, leaf, signer } = await (stranger ? makeKeys() : sharedKeys());
    const server = createServer({ cert: leaf.certPem, key: leaf.keyPem });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new HostileCa(server, caPem, signer);
  }

  /** Orders that held this name, of any status. */
  ordersFor(name: string): number {
    return [...this.orders.values()].filter(({ names }) => names.includes(name)).length;
  }

  finalisationsFor(name: string): number {
    const { requests } = this;
    return requests.filter((each) => each.endpoint === 'finalize' && each.names.includes(name))
      .length;
  }

  count(endpoint: Endpoint): number {
    return this.#count.get(endpoint) ?? 0;
  }

  /** It does that to requests for one endpoint, for so many times; the rest goes on as it was. */
  spoil(endpoint: Endpoint, misbehaviour: Misbehaviour, times = Number.POSITIVE_INFINITY): void {
    const before = this.meddle;
    let left = times;
    this.meddle = (request) => {
      if (request.endpoint !== endpoint || left <= 0) return before(request);
      left -= 1;
      return misbehaviour;
    };
  }

  forgetAccounts(): void {
    this.#accounts.clear();
  }

  /** Gone completely: nobody listens. */
  async leave(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** Back at the same address, with all that it knew. */
  async comeBack(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.leave();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, endpoint = '', id = ''] = (request.url ?? '').split('/');
    if (!isEndpoint(endpoint)) return void response.writeHead(404).end();
    const body = await text(request);
    const signed = body === '' ? {} : parse(body);
    const payload = decode(signed['payload']);
    const seen = {
      endpoint,
      names: this.#namesOf(endpoint, id, payload),
      count: this.count(endpoint) + 1,
      payload,
      atMs: performance.now(),
    };
    this.#count.set(endpoint, seen.count);
    this.requests.push(seen);
    const wrong = this.meddle(seen);
    if (wrong === 'hang') return;
    if (wrong === 'cut') return void request.socket.destroy();
    if (wrong === 'endless') return pour(response);
    if (wrong !== undefined && 'slowMs' in wrong) await pause(wrong.slowMs);
    if (wrong !== undefined && 'status' in wrong) return this.#refuse(response, wrong);
    try {
      const account = request.method === 'POST' ? this.#authenticate(signed) : '';
      await this.#serve(response, { endpoint, id, payload, account, signed });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#refuse(response, error.answer);
    }
  }

  async #serve(response: ServerResponse, asked: Asked): Promise<void> {
    const { endpoint, id, payload, account } = asked;
    switch (endpoint) {
      case 'directory':
        return this.#send(response, 200, directoryOf(this.#origin, this));
      case 'newNonce':
        return this.#send(response, 200);
      case 'newAccount':
        return this.#send(response, 201, { status: 'valid' }, this.#newAccount(asked));
      case 'account':
        return this.#send(response, 200, { status: 'valid' });
      case 'newOrder': {
        const url = this.#newOrder(payload);
        return this.#send(response, 201, this.#order(url), { location: this.#url('order', url) });
      }
      case 'order':
        return this.#sendOrder(response, id);
      case 'authorization':
        return this.#sendAuthorization(response, id, payload);
      case 'challenge':
        return this.#sendChallenge(response, id, account);
      case 'finalize':
        await this.#finalize(id, payload);
        return this.#send(response, 200, this.#order(id), this.#later());
      case 'certificate':
        return this.#sendCertificate(response, id);
      case 'revokeCert':
        return this.#send(response, 200, revokeIn(this.revoked, payload));
      case 'renewalInfo':
        return this.#send(response, 200, this.renewalInfo?.(id), { 'retry-after': '21600' });
    }
  }

  #newAccount({ signed }: Asked): Record<string, string> {
    const jwk = decode(signed['protected'])['jwk'] as JsonWebKey;
    const thumbprint = thumbprintOf(jwk);
    this.#accounts.set(thumbprint, { jwk, thumbprint });
    return { location: this.#url('account', thumbprint) };
  }

  /** The account that has signed. */
  #authenticate(signed: Readonly<Record<string, unknown>>): string {
    const head = decode(signed['protected']);
    if (!this.#nonces.delete(String(head['nonce']))) throw new Refusal(400, 'badNonce');
    const kid = typeof head['kid'] === 'string' ? head['kid'] : undefined;
    const known = kid === undefined ? undefined : this.#accounts.get(kid.split('/').at(-1) ?? '');
    if (kid !== undefined && known === undefined) throw new Refusal(400, 'accountDoesNotExist');
    const jwk = known?.jwk ?? (head['jwk'] as JsonWebKey);
    if (!isSigned(signed, jwk)) throw new Refusal(400, 'malformed', 'wrong signature');
    return thumbprintOf(jwk);
  }

  #newOrder(payload: Readonly<Record<string, unknown>>): string {
    const names = namesIn(payload);
    const { profile, replaces } = payload;
    const open = this.reuseOrders ? openOrder(this.orders, names) : undefined;
    if (open !== undefined) return open;
    if (profile !== undefined && this.profiles?.[String(profile)] === undefined) {
      throw new Refusal(400, 'invalidProfile');
    }
    if (typeof replaces === 'string') {
      if (this.replaced.has(replaces)) throw new Refusal(409, 'alreadyReplaced');
      this.replaced.add(replaces);
    }
    const authorizations = names.map((name) => {
      const id = randomBytes(8).toString('hex');
      this.authorizations.set(id, {
        hostname: this.strangeHostname ?? name.replace(/^\*\./, ''),
        wildcard: name.startsWith('*.'),
        status: this.reuse ? 'valid' : 'pending',
        polls: this.authorizationPolls,
        challenges: this.offered
          .filter((type) => type === 'dns-01' || !name.startsWith('*.'))
          .map((type) => ({ type, token: this.tokens(), status: 'pending' })),
      });
      return id;
    });
    const [id, polls] = [randomBytes(8).toString('hex'), this.processingPolls];
    this.orders.set(id, { names, profile, replaces, authorizations, status: 'pending', polls });
    return id;
  }

  /** As it is to be shown, after what has happened to its authorizations. */
  #order(id: string): object {
    const order = this.#orderOf(id);
    const states = order.authorizations.map((each) => this.authorizations.get(each)?.status);
    if (order.status === 'pending') {
      if (states.some((state) => state !== 'valid' && state !== 'pending'))
        order.status = 'invalid';
      else if (states.every((state) => state === 'valid')) order.status = 'ready';
    }
    return {
      status: order.status,
      identifiers: order.names.map((value) => ({ type: 'dns', value })),
      authorizations: order.authorizations.map((each) => this.#url('authorization', each)),
      finalize: this.#url('finalize', id),
      ...(order.status === 'valid' ? { certificate: this.#url('certificate', id) } : {}),
    };
  }

  #sendOrder(response: ServerResponse, id: string): void {
    const order = this.#orderOf(id);
    if (order.status === 'processing' && order.polls <= 0) order.status = 'valid';
    order.polls -= 1;
    this.#send(response, 200, this.#order(id), this.#later());
  }

  #sendAuthorization(
    response: ServerResponse,
    id: string,
    payload: Readonly<Record<string, unknown>>,
  ): void {
    const found = this.authorizations.get(id);
    if (found === undefined) throw new Refusal(404, 'malformed', 'no such authorization');
    if (payload['status'] === 'deactivated') found.status = 'deactivated';
    const decided = found.challenges.find(({ status }) => /valid/.test(status));
    if (found.status === 'pending' && decided !== undefined && found.polls <= 0) {
      found.status = decided.status === 'valid' ? 'valid' : 'invalid';
    }
    if (decided !== undefined) found.polls -= 1;
    const { hostname: value, wildcard, status } = found;
    const challenges = found.challenges.map((each, index) => ({
      ...each,
      url: this.#url('challenge', `${id}.${index}`),
    }));
    const identifier = { type: 'dns', value };
    this.#send(response, 200, { identifier, wildcard, status, challenges }, this.#later());
  }

  async #sendChallenge(response: ServerResponse, id: string, account: string): Promise<void> {
    const [authorization = '', index = ''] = id.split('.');
    const found = this.authorizations.get(authorization);
    const challenge = found?.challenges[Number(index)];
    if (found === undefined || challenge === undefined) throw new Refusal(404, 'malformed');
    const { type, token } = challenge;
    const keyAuthorization = `${token}.${account}`;
    const { hostname } = found;
    const fault = await this.validate({ type, hostname, token, keyAuthorization });
    challenge.status = fault === undefined ? 'valid' : 'invalid';
    if (fault !== undefined) {
      challenge.error = { type: ERROR + fault, detail: `${fault} of ${hostname}`, status: 403 };
    }
    this.#send(response, 200, { ...challenge, url: this.#url('challenge', id) });
  }

  async #finalize(id: string, payload: Readonly<Record<string, unknown>>): Promise<void> {
    this.#order(id);
    const order = this.#orderOf(id);
    if (order.status !== 'ready') throw new Refusal(403, 'orderNotReady');
    const csr = Buffer.from(String(payload['csr']), 'base64url');
    const names = await this.signer.namesOf(csr);
    if (names?.join() !== [...order.names].sort().join()) throw new Refusal(400, 'badCSR');
    const { validityMs, chain: kind } = this;
    order.chains = await this.signer.sign({ csr, names: order.names, validityMs, kind });
    order.status = this.processingPolls > 0 ? 'processing' : 'valid';
  }

  #sendCertificate(response: ServerResponse, id: string): void {
    const [order = '', alternate] = id.split('.');
    const chains = this.#orderOf(order).chains;
    if (chains === undefined) throw new Refusal(404, 'malformed');
    const link = `<${this.#url('certificate', `${order}.1`)}>;rel="alternate"`;
    response.writeHead(200, {
      'content-type': 'application/pem-certificate-chain',
      'replay-nonce': this.#nonce(),
      ...(this.alternates ? { link: [`<${this.directoryUrl}>;rel="index"`, link] } : {}),
    });
    response.end(chains[alternate === undefined ? 0 : 1]);
  }

  #orderOf(id: string): CaOrder {
    const order = this.orders.get(id);
    if (order === undefined) throw new Refusal(404, 'malformed', 'no such order');
    return order;
  }

  #namesOf(endpoint: Endpoint, id: string, payload: Readonly<Record<string, unknown>>): string[] {
    if (endpoint === 'newOrder') return namesIn(payload);
    const order = this.orders.get(id.split('.')[0] ?? '');
    return order === undefined ? [] : [...order.names];
  }

  #later(): Record<string, string> {
    return this.retryAfter === undefined ? {} : { 'retry-after': this.retryAfter };
  }

  #refuse(response: ServerResponse, wrong: Extract<Misbehaviour, { status: number }>): void {
    const { status, problem, detail = problem, about, headers = {}, body } = wrong;
    const type = ERROR + String(problem);
    const identifier = { type: 'dns', value: about };
    const subproblems = about === undefined ? undefined : [{ type, detail, identifier }];
    const nonce = { 'replay-nonce': this.#nonce() };
    response.writeHead(status, {
      'content-type': 'application/problem+json',
      ...nonce,
      ...headers,
    });
    response.end(body ?? (problem && JSON.stringify({ type, detail, status, subproblems })));
  }

  #send(
    response: ServerResponse,
    status: number,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): void {
    const nonce = { 'replay-nonce': this.#nonce() };
    response.writeHead(status, { 'content-type': 'application/json', ...nonce, ...headers });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  }

  #nonce(): string {
    const nonce = randomBytes(12).toString('base64url');
    this.#nonces.add(nonce);
    return nonce;
  }

  #url(endpoint: string, id?: string): string {
    return [this.#origin, endpoint, ...(id === undefined ? [] : [id])].join('/');
  }
}
