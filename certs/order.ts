// Certificates from an ACME authority (RFC 8555): the contract of an order, and what an authority can be
// asked for. Every failure is an OrderError.
import { generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import type { Hostname } from '../dns/name.ts';
import { AcmeAccount, type AcmeClient, type Called } from './acme-account.ts';
import { readAuthorization, readOrder, readWindow } from './acme-answer.ts';
import { PROBLEM, parseJson, readRetryAfter, refusalOf } from './acme-problem.ts';
import { AcmeCall, AcmeTransport } from './acme-transport.ts';
import type { CertificateName } from './certificate.ts';
import { readChain } from './chain.ts';
import type { OrderCalls } from './order-calls.ts';
import { OrderError } from './order-error.ts';
import { ORDER_LIMITS, type OrderLimits } from './order-wait.ts';
import { walkOrder } from './order-walk.ts';
import { isSaneWindow, RENEWAL_LIMITS, type RenewalWindow } from './renewal.ts';

/** An authority, and what we are to it. */
export interface AcmeDirectory {
  /** How logs, metrics and the ledger call it. */
  readonly name: string;
  readonly url: string;
  /** The certificate authority of the directory's own certificate, when no public one signed that. */
  readonly caPem?: string | undefined;
  readonly contact?: string | undefined;
  /** HMAC key in base64url (RFC 8555, section 7.3.4). */
  readonly externalAccount?: { readonly keyId: string; readonly hmacKey: string } | undefined;
  /** Common name of the root that chains shall lead to, where there are several. */
  readonly preferredChain?: string | undefined;
  /** Asked for only where the authority has it. */
  readonly profile?: string | undefined;
}

export type ChallengeType = 'dns-01' | 'http-01' | 'tls-alpn-01';

export interface Proof {
  /** Without `*.`. */
  readonly hostname: Hostname;
  readonly wildcard: boolean;
  readonly type: ChallengeType;
  readonly token: string;
  readonly keyAuthorization: string;
  /** What the TXT record of dns-01 has to hold. */
  readonly dnsValue: string;
}

export interface Prover {
  /** In order of preference. */
  choose(hostname: Hostname, wildcard: boolean): readonly ChallengeType[];
  /** Resolves when the authority may look; what it resolves to takes the proof away and never rejects. */
  show(proof: Proof, signal: AbortSignal): Promise<() => Promise<void>>;
}

export interface Order {
  readonly names: readonly CertificateName[];
  /** DER; judged before, for the same names. */
  readonly csr: Buffer;
  /** ARI identifier of the certificate that this one replaces. */
  readonly replaces?: string | undefined;
  /** Asked before it is ordered without `replaces` after all, as any new one; rejects: it is not. */
  asNew?(): Promise<void>;
  /** An order that was begun before, to be taken up again with the same request. */
  readonly url?: string | undefined;
  /** Keeps the URL of the order; nothing else is done before it has resolved. */
  begun(url: string): Promise<void>;
  readonly prover: Prover;
  readonly signal: AbortSignal;
}

export interface AccountKey {
  readonly keyPem: string;
  readonly url?: string | undefined;
}

/** A new private key for an account, on P-256. */
export async function makeAccountKey(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** Nobody has more than two; each costs a call. */
const ALTERNATES_MAX = 4;

export class AcmeAuthority {
  readonly #directory: AcmeDirectory;
  readonly #limits: OrderLimits;
  readonly #transport: AcmeTransport;
  readonly #account: AcmeAccount;

  private constructor(
    directory: AcmeDirectory,
    limits: OrderLimits,
    transport: AcmeTransport,
    account: AcmeAccount,
  ) {
    this.#directory = directory;
    this.#limits = limits;
    this.#transport = transport;
    this.#account = account;
  }

  /** Asks nobody yet: an authority that is away hinders no start. */
  static async open(
    directory: AcmeDirectory,
    account: AccountKey,
    some: Partial<OrderLimits> = {},
  ): Promise<AcmeAuthority> {
    const limits = { ...ORDER_LIMITS, ...some };
    const transport = new AcmeTransport(directory, limits.requestMs);
    const opened = await AcmeAccount.open(directory, account, transport);
    return new AcmeAuthority(directory, limits, transport, opened);
  }

  /** What it can do beyond the usual, as far as its directory has been read. */
  get features(): {
    readonly profiles: readonly string[];
    readonly renewalInfo: boolean;
    /** How CAA records name the authority (RFC 8659, section 4.2). */
    readonly caaIdentities: readonly string[];
  } {
    const { profiles = [], renewalInfo, caaIdentities = [] } = this.#transport.known ?? {};
    return { profiles, renewalInfo: renewalInfo !== undefined, caaIdentities };
  }

  /** Reads its directory, if that was not done yet, so that `features` tells. */
  async meet(): Promise<void> {
    await this.#transport.directory();
  }

  /** The URL of the account; makes the account when there is none. */
  account(): Promise<string> {
    return this.#account.url();
  }

  /** The chain for an order, new or taken up again. Rejects with an OrderError, or as `begun` did. */
  order(wish: Order): Promise<{ chainPem: string; url: string }> {
    return walkOrder(this.#calls(wish.signal), wish, { root: this.#directory.preferredChain });
  }

  /** When it wants the certificate to be renewed; undefined: it does not say, or nothing sensible. */
  async window(certPem: string): Promise<RenewalWindow | undefined> {
    const { renewalInfo } = await this.#transport.directory();
    const { certId, ...lifetime } = readChain(certPem);
    if (renewalInfo === undefined || certId === undefined) return undefined;
    const call = new AcmeCall('a question for the renewal of a certificate');
    const url = `${renewalInfo.replace(/\/$/, '')}/${certId}`;
    const answer = await this.#transport.get(url, { call });
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw refusalOf(answer, this.#directory.name, call.what);
    const window = readWindow(parseJson(answer.body));
    if (window === undefined || !isSaneWindow(window, lifetime)) return undefined;
    const waitMs = readRetryAfter(answer.headers['retry-after']);
    return { ...window, retryAfterMs: waitMs ?? RENEWAL_LIMITS.checkMsUsual };
  }

  /**
   * Has it revoke a certificate that this account has ordered. One that it has revoked before is as good;
   * the reason is one of RFC 5280, section 5.3.1.
   */
  async revoke(certPem: string, reason: number, signal: AbortSignal): Promise<void> {
    const ask = (why: { readonly reason?: number }) =>
      this.#account.ask(new AcmeCall('the revocation of a certificate', signal), (client) =>
        client.revokeCertificate(certPem, { ...why }),
      );
    try {
      await ask({ reason }).catch((error: unknown) => {
        // Revoked without a reason is better than not revoked.
        if (!isProblem(error, 'badRevocationReason')) throw error;
        return ask({});
      });
    } catch (error) {
      if (!isProblem(error, 'alreadyRevoked')) throw error;
    }
  }

  /** What has come of an order that nobody goes on with: its chain, nothing for ever, or nothing yet. */
  async outcome(url: string, signal: AbortSignal): Promise<{ chainPem: string } | 'none' | 'open'> {
    const calls = this.#calls(signal);
    const { value: order } = await calls.order(url);
    if (order.status === 'invalid') return 'none';
    if (order.status !== 'valid') return 'open';
    const [chainPem = ''] = await calls.chains(order);
    return { chainPem };
  }

  /** Ends its idle connections. */
  close(): void {
    this.#transport.close();
  }

  #calls(signal: AbortSignal): OrderCalls {
    const { name } = this.#directory;
    const limits = this.#limits;
    const ask = <T>(what: string, run: (client: AcmeClient) => Promise<T>): Promise<Called<T>> =>
      this.#account.ask(new AcmeCall(what, signal), run);
    const understood = <T>(read: T | undefined, call: AcmeCall): T => {
      if (read === undefined) throw this.#account.odd(call);
      return read;
    };
    const read = async (what: string, run: (client: AcmeClient) => Promise<Located>) => {
      const { value, call } = await ask(what, run);
      const order = understood(readOrder(value, value.url), call);
      return { value: order, retryAfterMs: call.retryAfterMs };
    };
    return {
      name,
      limits,
      create: async (names, replaces) => {
        const wanted = await this.#wanted(names, replaces);
        const what = `a new order for ${names.join(', ')}`;
        return (await read(what, (client) => client.createOrder(wanted))).value;
      },
      order: (url) => read('a look at the order', (client) => client.getOrder(orderAt(url))),
      authorization: async (url) => {
        const what = 'a look at an authorization';
        const order = { ...orderAt(url), authorizations: [url] };
        const { value, call } = await ask(what, (client) => client.getAuthorizations(order));
        const authorization = understood(readAuthorization(value[0], url), call);
        return { value: authorization, retryAfterMs: call.retryAfterMs };
      },
      keyAuthorization: (token) => this.#account.keyAuthorization(token),
      answer: async ({ url, type }) => {
        await ask(`a proof by ${type}`, (client) => client.completeChallenge(challengeAt(url)));
      },
      deactivate: async ({ url }) => {
        const what = 'the end of an authorization';
        await ask(what, (client) => client.deactivateAuthorization(authorizationAt(url)));
      },
      finalize: async ({ url, finalize, names }, csr) => {
        const what = `the certificate request for ${names.join(', ')}`;
        const order = { ...orderAt(url), finalize };
        return (await read(what, (client) => client.finalizeOrder(order, csrPem(csr)))).value;
      },
      chains: async ({ url, certificate }) => {
        const download = (from: string) =>
          ask('the download of a certificate', (client) =>
            client.getCertificate({ ...orderAt(url), status: 'valid', certificate: from }),
          );
        const first = await download(
          understood(certificate, new AcmeCall('a look at a finished order')),
        );
        const wanted = this.#directory.preferredChain !== undefined;
        const others = wanted ? first.call.alternates.slice(0, ALTERNATES_MAX) : [];
        const rest = await Promise.all(others.map(download));
        // What is not text was JSON, and no chain.
        return [first, ...rest].map(({ value }) => (typeof value === 'string' ? value : ''));
      },
    };
  }

  /** The new order, with what this authority offers beyond names. */
  async #wanted(names: readonly string[], replaces: string | undefined) {
    const { profile } = this.#directory;
    const { profiles, renewalInfo } = await this.#transport.directory();
    return {
      identifiers: names.map((value) => ({ type: 'dns', value })),
      ...(profile !== undefined && profiles.includes(profile) ? { profile } : {}),
      ...(replaces !== undefined && renewalInfo !== undefined ? { replaces } : {}),
    };
  }
}

function isProblem(error: unknown, type: string): boolean {
  return error instanceof OrderError && error.problem === PROBLEM + type;
}

/** What the client gives back for an order: JSON of the authority, and where it lies. */
type Located = object & { readonly url: string };

/** The client wants whole objects, and uses their addresses. */
function orderAt(url: string) {
  return { url, status: 'pending' as const, identifiers: [], authorizations: [], finalize: '' };
}

function authorizationAt(url: string) {
  const identifier = { type: 'dns', value: '' };
  return { url, identifier, status: 'pending' as const, challenges: [] };
}

function challengeAt(url: string) {
  return { type: 'http-01' as const, url, status: 'pending' as const, token: '' };
}

function csrPem(csr: Buffer): string {
  const body = csr.toString('base64').replace(/.{1,64}/g, '$&\n');
  return `-----BEGIN CERTIFICATE REQUEST-----\n${body}-----END CERTIFICATE REQUEST-----\n`;
}
