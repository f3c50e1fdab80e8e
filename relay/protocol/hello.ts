// How a tunnel begins: both ends prove who they are before the first stream.
//
//   device -> relay   upgrade request with `Waygate-Nonce: BASE64URL` (makeDeviceNonce)
//   relay  -> device  CHALLENGE, signed by the vendor's key   (openChallenge / acceptChallenge)
//   device -> relay   PROOF, signed by the device's key       (signProof / acceptProof)
//   relay  -> device  WELCOME, plain JSON                     (welcome.ts)
//
// What that buys: the device talks only to its own vendor (pinned key, own nonce), whoever issued the
// certificate; the proof is good for one connection (the relay's nonce, once), one relay (aud), ten
// seconds, and, where both ends see TLS, one TLS connection (exporter, RFC 5705 and RFC 9266): a proof
// that somebody in the middle passes on is worth nothing. Only the relay's clock counts; a device may
// have none. No failure message contains a token, a nonce or a key.
import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type Hostname, parseHostname } from '../../dns/name.ts';
import { type HelloResult, helloFailure, tokenFailure } from './hello-failure.ts';
import type { PublicKey, SigningKey } from './key.ts';
import { type Claims, type FindKey, signToken, verifyToken } from './token.ts';

export const HELLO_LIMITS = {
  /** From challenge to proof by the relay's monotonic clock: a signature and a slow link's round trip. */
  proofAgeMaxMs: 10_000,
  /** A device brings its nonce in a header, before anybody knows it. */
  deviceNonceBytesMin: 16,
  deviceNonceBytesMax: 32,
  /** Honest sides send a handful of limits. */
  limitsMax: 32,
  /** `waygate/` and a version; it ends up in logs. */
  softwareCharsMax: 64,
} as const;

/** Versions of the tunnel protocol that this code speaks. */
export const PROTOCOL_VERSIONS: readonly number[] = [1, 2];

export type Limits = Readonly<Record<string, number>>;

/** What the relay says, once the device has verified it. */
export interface Challenge {
  readonly relay: Hostname;
  readonly issuedAtS: number;
  readonly nonce: string;
  readonly deviceNonce: string;
  readonly exporter: string | undefined;
  readonly versions: readonly number[];
  readonly limits: Limits;
}

/** The relay's memory of one challenge. It belongs to one connection and answers one proof. */
export interface OpenChallenge {
  readonly challenge: Challenge;
  readonly token: string;
  readonly openedAtMs: number;
  answered: boolean;
}

/** What the device says, once the relay has verified it. */
export interface Proof {
  readonly deviceKey: PublicKey;
  readonly protocol: number;
  /** Random per start of the device's process; both of its tunnels carry the same. */
  readonly instance: string;
  readonly slot: 0 | 1;
  readonly software: string;
  readonly limits: Limits;
}

/**
 * What only the two ends of this TLS connection can know (RFC 5705, with the empty context of RFC
 * 9266). `undefined` for a plain socket, which sees no TLS, and for one that is already closed.
 */
export function tlsExporter(socket: Socket): Buffer | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  try {
    return socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(0));
  } catch {
    return undefined;
  }
}

/** A nonce for the header `Waygate-Nonce`. */
export function makeDeviceNonce(): string {
  return randomBytes(24).toString('base64url');
}

/** A value for `instance`. */
export function makeInstance(): string {
  return randomBytes(INSTANCE_BYTES).toString('base64url');
}

/** The header's value, if it is a nonce of 16 to 32 bytes. */
export function parseDeviceNonce(text: string | undefined): string | undefined {
  const { deviceNonceBytesMin, deviceNonceBytesMax } = HELLO_LIMITS;
  return isBase64url(text, deviceNonceBytesMin, deviceNonceBytesMax) ? text : undefined;
}

/** Relay: makes and signs the challenge for one connection. `monotonicMs` is `performance.now()`. */
export async function openChallenge(
  facts: {
    readonly relay: Hostname;
    readonly deviceNonce: string;
    readonly exporter: Buffer | undefined;
    readonly limits: Limits;
  },
  vendorKey: SigningKey,
  clock: { readonly wallMs: number; readonly monotonicMs: number },
): Promise<OpenChallenge> {
  const challenge: Challenge = {
    relay: facts.relay,
    issuedAtS: Math.floor(clock.wallMs / 1000),
    nonce: randomBytes(NONCE_BYTES).toString('base64url'),
    deviceNonce: facts.deviceNonce,
    exporter: facts.exporter?.toString('base64url'),
    versions: PROTOCOL_VERSIONS,
    limits: facts.limits,
  };
  const { relay, issuedAtS, exporter, ...rest } = challenge;
  const claims = { iss: relay, iat: issuedAtS, ekm: exporter, ...rest };
  const token = await signToken(CHALLENGE_TYPE, claims, vendorKey);
  return { challenge, token, openedAtMs: clock.monotonicMs, answered: false };
}

/** Device: judges the challenge. `relay` is the hostname that was dialled. */
export async function acceptChallenge(
  token: string,
  expected: {
    readonly vendorKey: PublicKey;
    readonly relay: Hostname;
    readonly deviceNonce: string;
    readonly exporter: Buffer | undefined;
  },
): Promise<HelloResult<Challenge>> {
  const verified = await verifyToken(token, CHALLENGE_TYPE, () => expected.vendorKey);
  if (!verified.ok) return tokenFailure(verified.fault, 'challenge');
  const challenge = parseChallenge(verified.claims);
  if (challenge === undefined) return helloFailure('ERR_HELLO_MALFORMED', 'challenge');
  if (challenge.relay !== expected.relay) return helloFailure('ERR_HELLO_AUDIENCE', 'challenge');
  if (!isEqual(challenge.deviceNonce, expected.deviceNonce)) {
    return helloFailure('ERR_HELLO_NONCE', 'challenge');
  }
  // A relay without TLS of its own (behind a balancer) signs that it has no exporter; nobody in the
  // middle can make it say so.
  const ours = expected.exporter?.toString('base64url');
  if (challenge.exporter !== undefined && !isEqual(challenge.exporter, ours)) {
    return helloFailure('ERR_HELLO_EXPORTER', 'challenge');
  }
  if (commonVersion(challenge.versions) === undefined) {
    return helloFailure('ERR_HELLO_VERSION', 'challenge');
  }
  return { ok: true, value: challenge };
}

/** Device: answers a challenge that it has accepted. */
export function signProof(
  challenge: Challenge,
  facts: Pick<Proof, 'instance' | 'slot' | 'software' | 'limits'>,
  deviceKey: SigningKey,
): Promise<string> {
  const { instance, slot, software, limits } = facts;
  const { relay: aud, issuedAtS: iat, nonce, exporter: ekm } = challenge;
  const protocol = commonVersion(challenge.versions);
  const claims = { aud, iat, nonce, ekm, instance, slot, protocol, software, limits };
  return signToken(PROOF_TYPE, claims, deviceKey);
}

/**
 * Relay: judges the one answer to a challenge. The challenge is spent by the first call, whatever its
 * outcome. `findKey` gives the key of an enrolled device that is not revoked.
 */
export async function acceptProof(
  token: string,
  open: OpenChallenge,
  findKey: FindKey,
  monotonicMs: number,
): Promise<HelloResult<Proof>> {
  if (open.answered) return helloFailure('ERR_HELLO_NONCE_USED', 'proof');
  open.answered = true;
  if (monotonicMs - open.openedAtMs > HELLO_LIMITS.proofAgeMaxMs) {
    return helloFailure('ERR_HELLO_EXPIRED', 'proof');
  }
  const verified = await verifyToken(token, PROOF_TYPE, findKey);
  if (!verified.ok) return tokenFailure(verified.fault, 'proof');
  const { claims, key } = verified;
  const { challenge } = open;
  if (claims['aud'] !== challenge.relay) return helloFailure('ERR_HELLO_AUDIENCE', 'proof');
  if (!isEqual(claims['nonce'], challenge.nonce) || claims['iat'] !== challenge.issuedAtS) {
    return helloFailure('ERR_HELLO_NONCE', 'proof');
  }
  const { ekm } = claims;
  if (ekm !== undefined || challenge.exporter !== undefined) {
    if (!isEqual(ekm, challenge.exporter)) return helloFailure('ERR_HELLO_EXPORTER', 'proof');
  }
  const proof = parseProof(claims, key);
  if (proof === undefined) return helloFailure('ERR_HELLO_MALFORMED', 'proof');
  if (!challenge.versions.includes(proof.protocol))
    return helloFailure('ERR_HELLO_VERSION', 'proof');
  return { ok: true, value: proof };
}

const EXPORTER_LABEL = 'EXPORTER-waygate-1';
const EXPORTER_BYTES = 32;
const CHALLENGE_TYPE = 'waygate-challenge+jwt';
const PROOF_TYPE = 'waygate-device-proof+jwt';
/** 192 bits: never guessed, never drawn twice. */
const NONCE_BYTES = 24;
const INSTANCE_BYTES = 16;

function parseChallenge(claims: Claims): Challenge | undefined {
  const { iss, iat, nonce, deviceNonce, ekm, versions } = claims;
  const relay = typeof iss === 'string' ? parseHostname(iss) : undefined;
  const limits = parseLimits(claims['limits']);
  if (relay === undefined || limits === undefined || !isCount(iat)) return undefined;
  if (!isBase64url(nonce, NONCE_BYTES, NONCE_BYTES) || typeof deviceNonce !== 'string') {
    return undefined;
  }
  if (ekm !== undefined && !isBase64url(ekm, EXPORTER_BYTES, EXPORTER_BYTES)) return undefined;
  if (!Array.isArray(versions) || !versions.every(isCount)) return undefined;
  return { relay, issuedAtS: iat, nonce, deviceNonce, exporter: ekm, versions, limits };
}

function parseProof(claims: Claims, deviceKey: PublicKey): Proof | undefined {
  const { protocol, instance, slot, software } = claims;
  const limits = parseLimits(claims['limits']);
  if (limits === undefined || !isCount(protocol)) return undefined;
  if (!isBase64url(instance, INSTANCE_BYTES, INSTANCE_BYTES)) return undefined;
  if (slot !== 0 && slot !== 1) return undefined;
  if (typeof software !== 'string' || software.length > HELLO_LIMITS.softwareCharsMax) {
    return undefined;
  }
  // It goes into logs and onto terminals.
  if (!/^[\x21-\x7e]+$/.test(software)) return undefined;
  return { deviceKey, protocol, instance, slot, software, limits };
}

function parseLimits(value: unknown): Limits | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const entries = Object.entries(value);
  if (entries.length > HELLO_LIMITS.limitsMax) return undefined;
  return entries.every(([, limit]) => isCount(limit)) ? Object.fromEntries(entries) : undefined;
}

function commonVersion(offered: readonly number[]): number | undefined {
  return PROTOCOL_VERSIONS.toSorted((a, b) => b - a).find((version) => offered.includes(version));
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** One spelling only: no padding, no other alphabet, no stray bits. */
function isBase64url(value: unknown, bytesMin: number, bytesMax: number): value is string {
  if (typeof value !== 'string' || value.length > bytesMax * 2) return false;
  const bytes = Buffer.from(value, 'base64url');
  if (bytes.length < bytesMin || bytes.length > bytesMax) return false;
  return bytes.toString('base64url') === value;
}

/** Constant time for texts of one length; two absent values are not equal. */
function isEqual(one: unknown, other: unknown): boolean {
  if (typeof one !== 'string' || typeof other !== 'string') return false;
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
