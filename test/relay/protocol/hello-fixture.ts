// One vendor, one device, and both sides of a hello between them, with knobs to turn.
import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { type Hostname, parseHostname } from '../../../dns/name.ts';
import {
  acceptChallenge,
  acceptProof,
  makeDeviceNonce,
  makeInstance,
  type OpenChallenge,
  openChallenge,
  signProof,
} from '../../../relay/protocol/hello.ts';
import type { HelloErrorCode, HelloResult } from '../../../relay/protocol/hello-failure.ts';
import { generateKey, type PublicKey, type SigningKey } from '../../../relay/protocol/key.ts';
import { signToken } from '../../../relay/protocol/token.ts';

export const RELAY = hostname('tunnel.vendor.dev');
export const NOW = { wallMs: 1_790_000_000_123, monotonicMs: 5_000 };
export const vendor = generateKey('vendor');
export const device = generateKey('device');
export const exporter = randomBytes(32);
export const deviceNonce = makeDeviceNonce();
export const limits = { streamsMax: 1000, windowBytes: 262_144 };
export const facts = {
  instance: makeInstance(),
  slot: 0,
  software: 'waygate/0.1.0',
  limits,
} as const;

export function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`not a hostname: ${text}`);
  return parsed;
}

export function challenge(change: { exporter?: Buffer | undefined; relay?: Hostname } = {}) {
  return openChallenge({ relay: RELAY, deviceNonce, exporter, limits, ...change }, vendor, NOW);
}

export function judge(token: string, change: Partial<Parameters<typeof acceptChallenge>[1]> = {}) {
  const expected = { vendorKey: vendor.publicKey, relay: RELAY, deviceNonce, exporter };
  return acceptChallenge(token, { ...expected, ...change });
}

const enrolled = (thumbprint: string | undefined): PublicKey | undefined =>
  thumbprint === device.publicKey.thumbprint ? device.publicKey : undefined;

export function admit(token: string, open: OpenChallenge, atMs = NOW.monotonicMs + 50) {
  return acceptProof(token, open, enrolled, atMs);
}

export function value<Value>(result: HelloResult<Value>): Value {
  if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
  return result.value;
}

/** The failure has this code, and its message is a sentence without anything secret or long. */
export function expectFault(result: HelloResult<unknown>, code: HelloErrorCode): void {
  if (result.ok) throw new Error(`accepted, but ${code} was expected`);
  expect(result.code).toBe(code);
  expect(Object.keys(result).sort()).toEqual(['code', 'message', 'ok']);
  expect(result.message).toMatch(/^[A-Z].{10,300}\.|\?$/);
  expect(result.message).not.toMatch(/[\w-]{22,}/);
}

export async function claimsOf(open: OpenChallenge): Promise<Record<string, unknown>> {
  const token = await signProof(open.challenge, facts, device);
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
}

/** A proof as a misbehaving device may sign it. */
export async function forge(open: OpenChallenge, change: object, key: SigningKey = device) {
  return signToken('waygate-device-proof+jwt', { ...(await claimsOf(open)), ...change }, key);
}
