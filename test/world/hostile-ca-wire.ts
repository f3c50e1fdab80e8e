// What goes over the wire of the hostile CA: its endpoints, how it can misbehave, and signed requests.
import { createHash, createPublicKey, type JsonWebKey, verify, X509Certificate } from 'node:crypto';
import type { ServerResponse } from 'node:http';

export const ERROR = 'urn:ietf:params:acme:error:';

export type Endpoint =
  | 'directory'
  | 'newNonce'
  | 'newAccount'
  | 'account'
  | 'newOrder'
  | 'order'
  | 'authorization'
  | 'challenge'
  | 'finalize'
  | 'certificate'
  | 'renewalInfo'
  | 'revokeCert';

export interface CaRequest {
  readonly endpoint: Endpoint;
  /** Of the order that it is about; none where there is no order. */
  readonly names: readonly string[];
  /** The how-manieth of its endpoint, from 1. */
  readonly count: number;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly atMs: number;
}

/** What it does instead of its work. */
export type Misbehaviour =
  | {
      readonly status: number;
      /** Of a problem document: `rateLimited`. */
      readonly problem?: string;
      readonly detail?: string;
      /** The name that a subproblem is about. */
      readonly about?: string;
      readonly headers?: Readonly<Record<string, string>>;
      /** Instead of a problem document. */
      readonly body?: string;
    }
  /** Right, but late. */
  | { readonly slowMs: number }
  /** `hang`: no answer ever. `cut`: the connection ends. `endless`: an answer without an end. */
  | 'hang'
  | 'cut'
  | 'endless';

/** Wrong in the sense of the protocol, as any CA would say it. */
export class Refusal extends Error {
  readonly answer: Extract<Misbehaviour, { status: number }>;

  constructor(status: number, problem: string, detail: string = problem) {
    super(detail);
    this.answer = { status, problem, detail };
  }
}

const ENDPOINTS: ReadonlySet<string> = new Set<Endpoint>([
  ...(['directory', 'newNonce', 'newAccount', 'account', 'newOrder', 'order'] as const),
  ...(['authorization', 'challenge', 'finalize', 'certificate', 'renewalInfo'] as const),
  'revokeCert',
]);

export function isEndpoint(text: string): text is Endpoint {
  return ENDPOINTS.has(text);
}

export function parse(json: string): Record<string, unknown> {
  return JSON.parse(json) as Record<string, unknown>;
}

export function decode(part: unknown): Record<string, unknown> {
  const json = Buffer.from(typeof part === 'string' ? part : '', 'base64url').toString();
  return json === '' ? {} : parse(json);
}

export function namesIn(payload: Readonly<Record<string, unknown>>): string[] {
  const identifiers = payload['identifiers'] as readonly { value: string }[];
  return identifiers.map(({ value }) => value);
}

/** RFC 7638, of a key on P-256. */
export function thumbprintOf({ crv, kty, x, y }: JsonWebKey): string {
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
}

export function pour(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  const more = (): void => {
    while (!response.destroyed && response.write('x'.repeat(65_536)));
  };
  response.on('drain', more);
  more();
}

/** Serials, and the reason of each. */
export function revokeIn(
  revoked: Map<string, unknown>,
  { certificate, reason }: Readonly<Record<string, unknown>>,
): void {
  const leaf = new X509Certificate(Buffer.from(String(certificate), 'base64url'));
  const serial = leaf.serialNumber.toLowerCase();
  if (revoked.has(serial)) throw new Refusal(400, 'alreadyRevoked');
  revoked.set(serial, reason);
}

export function isSigned(signed: Readonly<Record<string, unknown>>, jwk: JsonWebKey): boolean {
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  const text = `${String(signed['protected'])}.${String(signed['payload'])}`;
  const signature = Buffer.from(String(signed['signature']), 'base64url');
  return verify('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }, signature);
}

export interface Account {
  readonly jwk: JsonWebKey;
  readonly thumbprint: string;
}

export interface CaChallenge {
  readonly type: string;
  readonly token: string;
  status: 'pending' | 'processing' | 'valid' | 'invalid';
  error?: object;
}

export interface CaAuthorization {
  readonly hostname: string;
  readonly wildcard: boolean;
  readonly challenges: readonly CaChallenge[];
  status: 'pending' | 'valid' | 'invalid' | 'deactivated';
  /** How often it is still pending after a challenge was answered. */
  polls: number;
}

export interface CaOrder {
  readonly names: readonly string[];
  readonly profile: unknown;
  readonly replaces: unknown;
  readonly authorizations: readonly string[];
  status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid';
  polls: number;
  chains?: readonly [string, string];
}

/** The one that another order for these names is, at an authority that gives open ones out again. */
export function openOrder(
  orders: ReadonlyMap<string, CaOrder>,
  names: readonly string[],
): string | undefined {
  const wanted = names.toSorted().join();
  const open = [...orders].find(
    ([, { status, ...order }]) => status === 'pending' && order.names.toSorted().join() === wanted,
  );
  return open?.[0];
}

export interface Asked {
  readonly endpoint: Endpoint;
  readonly id: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly account: string;
  readonly signed: Readonly<Record<string, unknown>>;
}

export interface CaProof {
  readonly type: string;
  readonly hostname: string;
  readonly token: string;
  readonly keyAuthorization: string;
}

export function directoryOf(
  origin: string,
  { renewalInfo, profiles }: { renewalInfo: unknown; profiles: unknown },
): object {
  const names = ['newNonce', 'newAccount', 'newOrder', 'revokeCert', 'keyChange'];
  if (renewalInfo !== undefined) names.push('renewalInfo');
  const urls = names.map((name) => [name, `${origin}/${name}`]);
  const named = { caaIdentities: ['hostile.example'] };
  return {
    ...Object.fromEntries(urls),
    meta: { ...named, ...(profiles === undefined ? {} : { profiles }) },
  };
}
