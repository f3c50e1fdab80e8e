// Signed tokens: a compact JWS (RFC 7515) over a JSON object, by an Ed25519 key (RFC 8037), with an
// explicit type (RFC 8725, section 3.11). Nothing else is accepted: the algorithm is never taken from
// the token, and a token of one type is never taken for another.
import { CompactSign, compactVerify, decodeProtectedHeader } from 'jose';
import type { PublicKey, SigningKey } from './key.ts';

export const TOKEN_LIMITS = {
  /** Several times the largest honest token; with a frame's header it fills a hello message. */
  tokenBytesMax: 4088,
} as const;

export type Claims = Readonly<Record<string, unknown>>;

export type TokenFault = 'too-large' | 'malformed' | 'wrong-type' | 'unknown-key' | 'bad-signature';

export type TokenResult =
  | { readonly ok: true; readonly claims: Claims; readonly key: PublicKey }
  | { readonly ok: false; readonly fault: TokenFault };

/** Finds the key that a token names by its thumbprint; it may have to ask somebody. */
export type FindKey = (
  thumbprint: string | undefined,
) => PublicKey | undefined | Promise<PublicKey | undefined>;

/** Signs the claims; the header carries the type and the thumbprint of the key. */
export async function signToken(type: string, claims: Claims, key: SigningKey): Promise<string> {
  const token = await new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'EdDSA', typ: type, kid: key.publicKey.thumbprint })
    .sign(key.privateKey);
  if (token.length > TOKEN_LIMITS.tokenBytesMax) {
    throw new RangeError(`A token of type ${type} would have ${token.length} bytes.`);
  }
  return token;
}

/** The claims of a token whose type and signature are right. Their meaning is not judged here. */
export async function verifyToken(
  token: string,
  type: string,
  findKey: FindKey,
): Promise<TokenResult> {
  if (token.length > TOKEN_LIMITS.tokenBytesMax) return { ok: false, fault: 'too-large' };
  const header = parseHeader(token);
  if (header === undefined) return { ok: false, fault: 'malformed' };
  if (header.type !== type) return { ok: false, fault: 'wrong-type' };
  const key = await findKey(header.keyId);
  if (key === undefined) return { ok: false, fault: 'unknown-key' };
  const payload = await verifySignature(token, key);
  if (payload === undefined) return { ok: false, fault: 'bad-signature' };
  const claims = parseClaims(payload);
  return claims === undefined ? { ok: false, fault: 'malformed' } : { ok: true, claims, key };
}

function parseHeader(token: string): { type: unknown; keyId: string | undefined } | undefined {
  try {
    const { typ, kid } = decodeProtectedHeader(token);
    return { type: typ, keyId: typeof kid === 'string' ? kid : undefined };
  } catch {
    return undefined;
  }
}

/** Every failure of jose reads the same: which check failed is of use only to an attacker. */
async function verifySignature(token: string, key: PublicKey): Promise<Uint8Array | undefined> {
  try {
    return (await compactVerify(token, key.key, { algorithms: ['EdDSA'] })).payload;
  } catch {
    return undefined;
  }
}

function parseClaims(payload: Uint8Array): Claims | undefined {
  try {
    const claims: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
    if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) return undefined;
    return Object.fromEntries(Object.entries(claims));
  } catch {
    return undefined;
  }
}
