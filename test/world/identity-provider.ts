// Identity providers: a real one (oidc-provider) where everybody is who he says, and one whose answers a
// test writes itself.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import Provider from 'oidc-provider';
import { freePort } from './free-port.ts';

export const CLIENT = { id: 'waygate', secret: 'a-secret-of-the-client-0123456789abcdef' } as const;

export class RealProvider implements AsyncDisposable {
  readonly issuer: string;
  /** Who signs in there next, and what is said of him. */
  account: { readonly sub: string; readonly email?: string; readonly email_verified?: boolean } = {
    sub: 'nobody',
  };
  readonly #server: Server;

  private constructor(issuer: string, server: Server) {
    this.issuer = issuer;
    this.#server = server;
  }

  static async open(redirectUri: string, backTo: string): Promise<RealProvider> {
    const issuer = `http://127.0.0.1:${await freePort()}`;
    const server = createServer();
    const real = new RealProvider(issuer, server);
    const provider = new Provider(issuer, {
      clients: [
        {
          client_id: CLIENT.id,
          client_secret: CLIENT.secret,
          redirect_uris: [redirectUri],
          post_logout_redirect_uris: [backTo],
        },
      ],
      claims: { openid: ['sub'], email: ['email', 'email_verified'] },
      findAccount: (_context, sub) => ({
        accountId: sub,
        claims: () => ({ ...real.account, sub }),
      }),
      features: { devInteractions: { enabled: false } },
      interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
      ttl: { AccessToken: 60, Grant: 60, IdToken: 60, Interaction: 60, Session: 60 },
      cookies: { keys: ['a-key-of-cookies'] },
    });
    const answer = provider.callback();
    server.on('request', (request, response) => {
      if (!request.url?.startsWith('/interaction/')) void answer(request, response);
      else void interact(provider, real, request, response);
    });
    server.listen(Number(new URL(issuer).port), '127.0.0.1');
    await once(server, 'listening');
    return real;
  }

  /** What a browser does there, from the first page to the way back; resolves with its address. */
  async walk(from: string): Promise<URL> {
    const cookies = new Map<string, string>();
    let at = from;
    for (let step = 0; step < 20; step += 1) {
      const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const answer = await fetch(at, { redirect: 'manual', headers: { cookie } });
      for (const line of answer.headers.getSetCookie()) {
        const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        cookies.set(name, value);
      }
      const next = new URL(answer.headers.get('location') ?? '', at);
      if (next.origin !== this.issuer) return next;
      if (next.href === at) throw new Error(`the provider says ${answer.status} at ${at}`);
      at = next.href;
    }
    throw new Error('the provider leads nowhere');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

async function interact(
  provider: Provider,
  real: RealProvider,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { prompt } = await provider.interactionDetails(request, response);
  const accountId = real.account.sub;
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId } });
  }
  const grant = new provider.Grant({ accountId, clientId: CLIENT.id });
  grant.addOIDCScope('openid email');
  const grantId = await grant.save();
  return provider.interactionFinished(request, response, { consent: { grantId } });
}

/** What a provider puts into an ID token; `undefined` leaves a claim out. */
export type Said = Readonly<Record<string, unknown>>;

/** Says what it is told, in the form of a provider. */
export class ForgingProvider implements AsyncDisposable {
  readonly issuer: string;
  /** Over what an honest one would say. */
  claims: Said = {};
  /** The ID token itself, made of the honest one. */
  forge: (token: string) => string = (token) => token;
  /** Answers to the exchange of the code. */
  tokenStatus = 200;
  /** What the client has sent with the code. */
  readonly exchanges: URLSearchParams[] = [];
  nonce = '';
  readonly #server: Server;

  private constructor(issuer: string, server: Server) {
    this.issuer = issuer;
    this.#server = server;
  }

  static async open(): Promise<ForgingProvider> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const forging = new ForgingProvider(`http://127.0.0.1:${port}`, server);
    const keys = await generateKeyPair('RS256');
    const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'k1', alg: 'RS256', use: 'sig' };
    const { issuer } = forging;
    const documents: Readonly<Record<string, unknown>> = {
      '/.well-known/openid-configuration': {
        issuer,
        authorization_endpoint: `${issuer}/auth`,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/keys`,
        response_types_supported: ['code'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['RS256'],
      },
      '/keys': { keys: [jwk] },
    };
    const sign = (payload: JWTPayload) =>
      new SignJWT(payload).setProtectedHeader({ alg: 'RS256', kid: 'k1' }).sign(keys.privateKey);
    server.on('request', (request, response) => {
      const json = (status: number, body: unknown) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(body));
      };
      const known = documents[request.url ?? ''];
      if (known !== undefined) json(200, known);
      else void forging.#exchange(request, sign).then((body) => json(forging.tokenStatus, body));
    });
    return forging;
  }

  async #exchange(request: IncomingMessage, sign: (payload: JWTPayload) => Promise<string>) {
    this.exchanges.push(new URLSearchParams(await text(request)));
    if (this.tokenStatus !== 200) return { error: 'invalid_grant' };
    const now = Math.floor(Date.now() / 1_000);
    const honest = { iss: this.issuer, sub: 'mallory', aud: CLIENT.id, nonce: this.nonce };
    const times = { iat: now, exp: now + 60 };
    const token = await sign(JSON.parse(JSON.stringify({ ...honest, ...times, ...this.claims })));
    return { access_token: 'x', token_type: 'Bearer', id_token: this.forge(token) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
