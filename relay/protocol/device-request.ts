// A request that a device makes beside its tunnel (to claim a name, to rename it): an HTTP request
// that its key has signed.
//
//   GET  /v1/device/nonce      -> { nonce }
//   POST /v1/device/claims     Authorization: Waygate JWS
//
// The JWS has the type `waygate-device-request+jwt` and these claims:
//
//   aud       hostname of the relay            htm, htu  method, and path with its query
//   nonce     from the relay, used once        bh        SHA-256 of the body, base64url
//   key       the device's public key          software  as in the hello
//
// So a signature is good for this one request, once, within a minute by the relay's clock; a device
// needs no clock. The key need not be enrolled: whether it may do what it asks is judged elsewhere.
// Nonces are stateless (time, chance, MAC under a key that comes from the vendor's), so any relay of
// the vendor takes those of another; what was used is remembered per process while it is fresh.
import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Hostname } from '../../dns/name.ts';
import { HELLO_LIMITS } from './hello.ts';
import { type PublicKey, parsePublicKey, type SigningKey } from './key.ts';
import { type Claims, signToken, TOKEN_LIMITS, verifyToken } from './token.ts';

export const DEVICE_REQUEST_LIMITS = {
  /** From the nonce to the request: a round trip, a signature, and a slow link. */
  nonceAgeMaxMs: 60_000,
  /** Another relay of the vendor, which gave the nonce, may have a clock that is ahead. */
  clockSkewMs: 10_000,
  /** Fresh nonces that were used; each costs 150 bytes and took a signature to use. */
  usedNoncesMax: 100_000,
} as const;

/** What the signature covers. */
export interface DeviceRequest {
  readonly method: string;
  /** The relay's hostname, as devices dial it. */
  readonly host: Hostname;
  /** The request target: path, and query if there is one. */
  readonly path: string;
  readonly body: Buffer;
}

export interface DeviceIdentity {
  readonly deviceKey: PublicKey;
  readonly software: string;
}

export type DeviceRequestFault =
  | 'missing'
  | 'malformed'
  | 'other-request'
  | 'nonce'
  | 'signature'
  | 'busy';

export type DeviceRequestResult =
  | { readonly ok: true; readonly value: DeviceIdentity }
  | { readonly ok: false; readonly fault: DeviceRequestFault; readonly message: string };

/** The wall clock dates nonces, which other relays take too; the monotonic one forgets used ones. */
export interface RequestClock {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/** Device: the value of the field `Authorization`. */
export async function signDeviceRequest(
  request: DeviceRequest,
  { nonce, software }: { readonly nonce: string; readonly software: string },
  deviceKey: SigningKey,
): Promise<string> {
  const claims = { ...claimsOf(request), nonce, key: deviceKey.publicKey.text, software };
  return SCHEME + (await signToken(TYPE, claims, deviceKey));
}

/** Relay: gives nonces, and judges requests. One per process. */
export class DeviceRequests {
  readonly #macKey: Buffer;
  /** Nonces that were used in this period, and in the one before. */
  #used = new Set<string>();
  #usedBefore = new Set<string>();
  #periodStartMs = Number.NEGATIVE_INFINITY;
  readonly #usedMax: number;

  constructor(vendorKey: SigningKey, usedMax: number = DEVICE_REQUEST_LIMITS.usedNoncesMax) {
    const secret = String(vendorKey.privateKey.export({ format: 'jwk' }).d);
    this.#macKey = Buffer.from(hkdfSync('sha256', secret, '', NONCE_KEY_INFO, MAC_BYTES));
    this.#usedMax = usedMax;
  }

  nonce(wallMs: number): string {
    const body = Buffer.alloc(TIME_BYTES + CHANCE_BYTES);
    body.writeUIntBE(wallMs, 0, TIME_BYTES);
    randomBytes(CHANCE_BYTES).copy(body, TIME_BYTES);
    return Buffer.concat([body, this.#mac(body)]).toString('base64url');
  }

  /**
   * Judges the field `Authorization` of a request. The cheap checks come first: who does not know
   * what he asks for, or has no fresh nonce of ours, costs no signature.
   */
  async judge(
    authorization: string | undefined,
    request: DeviceRequest,
    clock: RequestClock,
  ): Promise<DeviceRequestResult> {
    if (authorization === undefined) return refused('missing');
    const token = authorization.slice(SCHEME.length);
    if (!authorization.startsWith(SCHEME) || token.length > TOKEN_LIMITS.tokenBytesMax) {
      return refused('malformed');
    }
    const claims = readUnproven(token);
    const deviceKey = keyOf(claims);
    const software = softwareOf(claims);
    const nonce = claims['nonce'];
    if (deviceKey === undefined || software === undefined || typeof nonce !== 'string') {
      return refused('malformed');
    }
    const meant = Object.entries(claimsOf(request));
    if (meant.some(([name, value]) => claims[name] !== value)) return refused('other-request');
    if (!this.#isFresh(nonce, clock.wallMs)) return refused('nonce');
    const { thumbprint } = deviceKey;
    const proven = await verifyToken(token, TYPE, (id) =>
      id === thumbprint ? deviceKey : undefined,
    );
    if (!proven.ok) return refused(proven.fault === 'bad-signature' ? 'signature' : 'malformed');
    const spent = this.#spend(nonce, clock.monotonicMs);
    return spent === undefined ? { ok: true, value: { deviceKey, software } } : refused(spent);
  }

  #isFresh(nonce: string, wallMs: number): boolean {
    const bytes = Buffer.from(nonce, 'base64url');
    // One spelling only: another text of the same bytes would be a nonce that was never used.
    if (bytes.length !== NONCE_BYTES || bytes.toString('base64url') !== nonce) return false;
    const body = bytes.subarray(0, NONCE_BYTES - MAC_BYTES);
    if (!timingSafeEqual(this.#mac(body), bytes.subarray(body.length))) return false;
    const ageMs = wallMs - body.readUIntBE(0, TIME_BYTES);
    const { nonceAgeMaxMs, clockSkewMs } = DEVICE_REQUEST_LIMITS;
    return ageMs <= nonceAgeMaxMs && ageMs >= -clockSkewMs;
  }

  /** A fault, when the nonce was used before, or there is no room to remember that it is now. */
  #spend(nonce: string, monotonicMs: number): 'nonce' | 'busy' | undefined {
    if (monotonicMs - this.#periodStartMs > PERIOD_MS) {
      const silent = monotonicMs - this.#periodStartMs > 2 * PERIOD_MS;
      this.#usedBefore = silent ? new Set() : this.#used;
      this.#used = new Set();
      this.#periodStartMs = monotonicMs;
    }
    if (this.#used.has(nonce) || this.#usedBefore.has(nonce)) return 'nonce';
    if (this.#used.size + this.#usedBefore.size >= this.#usedMax) return 'busy';
    this.#used.add(nonce);
    return undefined;
  }

  #mac(body: Buffer): Buffer {
    return createHmac('sha256', this.#macKey).update(body).digest().subarray(0, MAC_BYTES);
  }
}

const SCHEME = 'Waygate ';
const TYPE = 'waygate-device-request+jwt';
const NONCE_KEY_INFO = 'waygate device-request nonce';
const TIME_BYTES = 6;
const CHANCE_BYTES = 10;
/** 128 bits: nobody guesses one within a minute, or ever. */
const MAC_BYTES = 16;
const NONCE_BYTES = TIME_BYTES + CHANCE_BYTES + MAC_BYTES;
/** As long as a nonce can be fresh. */
const PERIOD_MS = DEVICE_REQUEST_LIMITS.nonceAgeMaxMs + DEVICE_REQUEST_LIMITS.clockSkewMs;

/** Constant words: they tell a device what to do, and an attacker nothing that he has not sent. */
const MESSAGES: Readonly<Record<DeviceRequestFault, string>> = {
  missing:
    'The request is not signed. Sign it with the key of the device (Authorization: Waygate).',
  malformed: 'The signature of the request cannot be read. Update the device.',
  'other-request': 'The signature was made for another request. Sign each request by itself.',
  nonce: 'The nonce of the request is used up, too old, or none of ours. Ask for another one.',
  signature: 'The request is not signed by the key that it names.',
  busy: 'Too many requests of devices come at once. Try again in a minute.',
};

function refused(fault: DeviceRequestFault): DeviceRequestResult {
  return { ok: false, fault, message: MESSAGES[fault] };
}

function claimsOf({ method, host, path, body }: DeviceRequest) {
  const bh = createHash('sha256').update(body).digest('base64url');
  return { aud: host, htm: method, htu: path, bh };
}

/** What a token says, before anybody has looked at its signature. */
function readUnproven(token: string): Claims {
  try {
    const text = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8');
    const claims: unknown = JSON.parse(text);
    return typeof claims === 'object' && claims !== null ? { ...claims } : {};
  } catch {
    return {};
  }
}

function keyOf({ key }: Claims): PublicKey | undefined {
  return typeof key === 'string' ? parsePublicKey(key, 'device') : undefined;
}

function softwareOf({ software }: Claims): string | undefined {
  if (typeof software !== 'string' || software.length > HELLO_LIMITS.softwareCharsMax) {
    return undefined;
  }
  return /^[\x21-\x7e]+$/.test(software) ? software : undefined;
}
