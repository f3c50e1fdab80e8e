// Signing in with the provider that a vendor's people have already: OpenID Connect, authorization code
// with PKCE, state and nonce; the library checks the ID token and its signature. A provider is asked
// for its metadata when somebody wants to sign in, never at the start; one that does not answer costs
// a page that says so, and is left alone for some seconds.
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  buildEndSessionUrl,
  ClientError,
  type Configuration,
  calculatePKCECodeChallenge,
  discovery,
  enableNonRepudiationChecks,
  fetchUserInfo,
} from 'openid-client';
import type { Logger } from 'pino';
import type { OidcConfig } from './config.ts';
import { ProblemError, problem } from './problem.ts';

const OIDC_LIMITS = {
  /** For each request to the provider; a person waits for two of them. */
  requestSeconds: 5,
  /** A provider changes its addresses rarely; its keys are looked up by the library when one is new. */
  metadataMs: 3_600_000,
  /** After a failure, before the next attempt. */
  retryAfterMs: 5_000,
} as const;

/** One way to a provider and back, by one browser. */
export interface Trip {
  /** Public: it goes through the provider and comes back. */
  readonly state: string;
  /** Known to the browser alone, in a cookie: nobody else can come back with it. */
  readonly secret: string;
}

/** Who somebody is, as the provider says. */
export interface ForeignIdentity {
  readonly issuer: string;
  readonly subject: string;
  /** Only when the provider has verified it. */
  readonly email: string | undefined;
  /** Whether the vendor believes that, too. */
  readonly trustedForMail: boolean;
}

export class Provider {
  readonly name: string;
  readonly #config: OidcConfig;
  readonly #secret: string;
  readonly #log: Logger;
  #known: { readonly configuration: Configuration; readonly freshUntilMs: number } | undefined;
  #asking: Promise<Configuration> | undefined;
  #quietUntilMs = 0;

  private constructor(config: OidcConfig, secret: string, log: Logger) {
    this.name = config.name;
    this.#config = config;
    this.#secret = secret;
    this.#log = log;
  }

  /** Reads the client's secret; rejects when it cannot. Asks the provider nothing. */
  static async open(config: OidcConfig, log: Logger): Promise<Provider> {
    const secret = (await readFile(config.clientSecretFile, 'utf8')).trim();
    return new Provider(config, secret, log);
  }

  /** Where the browser has to go. Throws a problem when the provider does not answer. */
  async begin(trip: Trip, redirectUri: string): Promise<URL> {
    const configuration = await this.#configuration();
    return buildAuthorizationUrl(configuration, {
      redirect_uri: redirectUri,
      scope: 'openid email',
      state: trip.state,
      nonce: drawn(trip, 'nonce'),
      code_challenge: await calculatePKCECodeChallenge(drawn(trip, 'verifier')),
      code_challenge_method: 'S256',
    });
  }

  /** Who came back, by the address that the provider sent the browser to. Throws a problem. */
  async finish(trip: Trip, cameBackTo: URL): Promise<ForeignIdentity> {
    const configuration = await this.#configuration();
    try {
      const tokens = await authorizationCodeGrant(configuration, cameBackTo, {
        expectedState: trip.state,
        expectedNonce: drawn(trip, 'nonce'),
        pkceCodeVerifier: drawn(trip, 'verifier'),
        idTokenExpected: true,
      });
      const claims = tokens.claims();
      if (claims === undefined) throw REFUSED;
      const { iss: issuer, sub: subject } = claims;
      const { trustEmail: trustedForMail } = this.#config;
      const known = verifiedEmail(claims);
      if (known !== undefined || configuration.serverMetadata().userinfo_endpoint === undefined) {
        return { issuer, subject, trustedForMail, email: known };
      }
      const more = await fetchUserInfo(configuration, tokens.access_token, subject);
      return { issuer, subject, trustedForMail, email: verifiedEmail(more) };
    } catch (error) {
      throw this.#problem(error);
    }
  }

  /** Where one signs out at the provider, if it has such a place and was asked before. */
  endSessionUrl(backTo: string): URL | undefined {
    const configuration = this.#known?.configuration;
    if (configuration?.serverMetadata().end_session_endpoint === undefined) return undefined;
    return buildEndSessionUrl(configuration, { post_logout_redirect_uri: backTo });
  }

  async #configuration(): Promise<Configuration> {
    const nowMs = performance.now();
    const known = this.#known;
    if (known !== undefined && nowMs < known.freshUntilMs) return known.configuration;
    if (nowMs >= this.#quietUntilMs) {
      this.#asking ??= this.#discover().finally(() => {
        this.#asking = undefined;
      });
    }
    try {
      if (this.#asking !== undefined) return await this.#asking;
    } catch (error) {
      if (known === undefined) throw this.#problem(error);
    }
    if (known === undefined) throw unreachable(this.name);
    return known.configuration;
  }

  async #discover(): Promise<Configuration> {
    const { issuer, clientId } = this.#config;
    const server = new URL(issuer);
    try {
      const configuration = await discovery(server, clientId, this.#secret, undefined, {
        timeout: OIDC_LIMITS.requestSeconds,
        execute: [
          enableNonRepudiationChecks,
          // The settings admit it on this machine only.
          ...(server.protocol === 'http:' ? [allowInsecureRequests] : []),
        ],
      });
      const freshUntilMs = performance.now() + OIDC_LIMITS.metadataMs;
      this.#known = { configuration, freshUntilMs };
      return configuration;
    } catch (error) {
      this.#quietUntilMs = performance.now() + OIDC_LIMITS.retryAfterMs;
      throw error;
    }
  }

  /** The codes of the library say what was wrong; its messages and causes may hold tokens. */
  #problem(error: unknown): ProblemError {
    if (error instanceof ProblemError) return error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'fetch failed';
    this.#log.warn({ provider: this.name, code }, 'portal: a provider did not sign somebody in');
    const silent = !(error instanceof ClientError) && !(error instanceof Error && 'error' in error);
    return silent || SILENCE.has(code) ? unreachable(this.name) : REFUSED;
  }
}

const SILENCE: ReadonlySet<string> = new Set(['OAUTH_TIMEOUT', 'OAUTH_RESPONSE_IS_NOT_CONFORM']);

const REFUSED = problem(
  'sign-in-refused',
  403,
  'The provider did not confirm who you are.',
  'Begin to sign in again. If it stays, ask whoever runs the provider.',
);

function unreachable(name: string): ProblemError {
  return new ProblemError({
    kind: 'provider-unreachable',
    status: 502,
    detail: `The provider ${name} does not answer at the moment.`,
    next: 'Try again in a minute, or sign in another way.',
    retryAfterSeconds: OIDC_LIMITS.retryAfterMs / 1_000,
  });
}

function verifiedEmail(claims: object): string | undefined {
  const verified = 'email_verified' in claims && claims.email_verified === true;
  if (!verified || !('email' in claims) || typeof claims.email !== 'string') return undefined;
  return claims.email;
}

/** A value that only the browser of this trip can come back with. */
function drawn({ state, secret }: Trip, what: 'nonce' | 'verifier'): string {
  return createHmac('sha256', secret).update(`${what} ${state}`).digest('base64url');
}
