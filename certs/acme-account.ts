// The account at one authority, and every signed request in its name, made by acme-client. No more is used
// of it than one request at a time: its retries, its waits and `auto()` are not. It sleeps through
// Retry-After, has no time-outs, and proves any name that stands in a request. It costs 157 ms and 29 MB,
// and is loaded when the first authority is opened.
import { AsyncLocalStorage } from 'node:async_hooks';
import { PROBLEM } from './acme-problem.ts';
import { AcmeCall, type AcmeTransport } from './acme-transport.ts';
import type { AccountKey, AcmeDirectory } from './order.ts';
import { OrderError } from './order-error.ts';

type Acme = typeof import('acme-client');
export type AcmeClient = InstanceType<Acme['Client']>;

/** The client has one HTTP stack for all authorities; this tells it whose call it is in. */
const current = new AsyncLocalStorage<{ transport: AcmeTransport; call: AcmeCall }>();
let loading: Promise<Acme> | undefined;

function loadAcme(): Promise<Acme> {
  loading ??= import('acme-client').then(({ default: acme }) => {
    acme.axios.defaults.adapter = async (config) => {
      const running = current.getStore();
      if (running === undefined) throw new Error('an ACME request outside of a call');
      const { method = 'get', url = '', data } = config;
      const body = typeof data === 'string' ? data : undefined;
      const answer = await running.transport.ask(method, url, body, running.call);
      const headers = Object.entries(answer.headers).map(([name, value]) => [name, String(value)]);
      return { ...answer, headers: Object.fromEntries(headers), statusText: '', config };
    };
    return acme;
  });
  return loading;
}

/** A call that was answered. */
export interface Called<T> {
  readonly value: T;
  readonly call: AcmeCall;
}

type MakeClient = (accountUrl: string | undefined) => AcmeClient;

export class AcmeAccount {
  readonly #directory: AcmeDirectory;
  readonly #transport: AcmeTransport;
  readonly #makeClient: MakeClient;
  #client: AcmeClient;
  /** Its URL, once it is known to be there. */
  #url: Promise<string> | undefined;

  private constructor(
    directory: AcmeDirectory,
    transport: AcmeTransport,
    makeClient: MakeClient,
    url: string | undefined,
  ) {
    this.#directory = directory;
    this.#transport = transport;
    this.#makeClient = makeClient;
    this.#client = makeClient(url);
    this.#url = url === undefined ? undefined : Promise.resolve(url);
  }

  static async open(
    directory: AcmeDirectory,
    { keyPem, url }: AccountKey,
    transport: AcmeTransport,
  ): Promise<AcmeAccount> {
    const acme = await loadAcme();
    const { url: directoryUrl, externalAccount } = directory;
    const binding =
      externalAccount === undefined
        ? {}
        : {
            externalAccountBinding: {
              kid: externalAccount.keyId,
              hmacKey: externalAccount.hmacKey,
            },
          };
    const makeClient = (accountUrl: string | undefined): AcmeClient =>
      new acme.Client({
        directoryUrl,
        accountKey: keyPem,
        ...(accountUrl === undefined ? {} : { accountUrl }),
        ...binding,
      });
    return new AcmeAccount(directory, transport, makeClient, url);
  }

  /** Its URL; makes the account when there is none. */
  url(): Promise<string> {
    this.#url ??= this.#make().catch((error: unknown) => {
      this.#url = undefined;
      throw error;
    });
    return this.#url;
  }

  /** What proves that a token was given to this account (RFC 8555, section 8.1). */
  keyAuthorization(token: string): Promise<string> {
    const challenge = { type: 'http-01', url: '', status: 'pending', token } as const;
    return this.#client.getChallengeKeyAuthorization(challenge);
  }

  /** One call, and a second one when the first met what can be cured. Rejects with an OrderError. */
  async ask<T>(call: AcmeCall, run: (client: AcmeClient) => Promise<T>): Promise<Called<T>> {
    await this.url();
    const client = this.#client;
    try {
      return { value: await this.#run(call, client, run), call };
    } catch (error) {
      if (!(error instanceof OrderError) || !this.#cured(error, client)) throw error;
    }
    await this.url();
    return { value: await this.#run(call, this.#client, run), call };
  }

  /** The error for an answer that cannot be understood. */
  odd({ what }: AcmeCall, cause?: unknown): OrderError {
    const message = `${this.#directory.name} answered ${what} with something that is not ACME.`;
    return new OrderError('ERR_ORDER_UNAVAILABLE', message, { cause });
  }

  async #make(): Promise<string> {
    const { contact } = this.#directory;
    const wanted = {
      termsOfServiceAgreed: true,
      ...(contact === undefined ? {} : { contact: [`mailto:${contact}`] }),
    };
    const client = this.#client;
    const call = new AcmeCall('a new account');
    try {
      await this.#run(call, client, () => client.createAccount(wanted));
    } catch (error) {
      // One that is there already is found by its key; the client then updates it, which nobody needs and
      // strict authorities refuse.
      if (accountUrlOf(client) === undefined) throw error;
    }
    const url = accountUrlOf(client);
    if (url === undefined) throw this.odd(call);
    return url;
  }

  /** True when it is worth a second attempt at once. */
  #cured({ problem }: OrderError, client: AcmeClient): boolean {
    if (problem === `${PROBLEM}badNonce`) return true;
    if (problem !== `${PROBLEM}accountDoesNotExist`) return false;
    // Only the first of those who find it missing makes it anew.
    if (this.#client === client) {
      this.#client = this.#makeClient(undefined);
      this.#url = undefined;
    }
    return true;
  }

  async #run<T>(
    call: AcmeCall,
    client: AcmeClient,
    run: (client: AcmeClient) => Promise<T>,
  ): Promise<T> {
    try {
      return await current.run({ transport: this.#transport, call }, () => run(client));
    } catch (error) {
      if (error instanceof OrderError) throw error;
      const { name } = this.#directory;
      if (call.badNonce) {
        const message = `${name} refuses ${call.what} for its nonce, again and again.`;
        throw new OrderError('ERR_ORDER_UNAVAILABLE', message, { problem: `${PROBLEM}badNonce` });
      }
      throw this.odd(call, error);
    }
  }
}

function accountUrlOf(client: AcmeClient): string | undefined {
  try {
    return client.getAccountUrl();
  } catch {
    return undefined;
  }
}
