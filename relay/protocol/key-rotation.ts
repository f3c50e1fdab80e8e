// A device that takes a new key: the old key signs the request (device-request.ts), and in it the new
// one signs that it wants to take the place of that very key at that very relay. Neither can be used
// without the other, and a proof that is shown again says nothing new.
import type { Hostname } from '../../dns/name.ts';
import { type PublicKey, parsePublicKey, type SigningKey } from './key.ts';
import { signToken, verifyToken } from './token.ts';

export interface KeyRotation {
  /** The relay's hostname. */
  readonly host: Hostname;
  readonly oldThumbprint: string;
}

/** Device: the new key's word. */
export function signKeyRotation(
  { host, oldThumbprint }: KeyRotation,
  newKey: SigningKey,
): Promise<string> {
  const claims = { aud: host, old: oldThumbprint, key: newKey.publicKey.text };
  return signToken(TYPE, claims, newKey);
}

/** Relay: the new key, if it has given its word for this. */
export async function acceptKeyRotation(
  proof: string,
  newKeyText: string,
  { host, oldThumbprint }: KeyRotation,
): Promise<PublicKey | undefined> {
  const newKey = parsePublicKey(newKeyText, 'device');
  if (newKey === undefined || newKey.thumbprint === oldThumbprint) return undefined;
  const proven = await verifyToken(proof, TYPE, (id) =>
    id === newKey.thumbprint ? newKey : undefined,
  );
  if (!proven.ok) return undefined;
  const { aud, old, key } = proven.claims;
  return aud === host && old === oldThumbprint && key === newKeyText ? newKey : undefined;
}

const TYPE = 'waygate-key-rotation+jwt';
