// The secrets that we share with other name servers. A secret is read once from its file, lives in a
// KeyObject, which no log and no error text can show, and is found by the name in a TSIG record.
import { createSecretKey, type KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { encodeName } from './domain-name.ts';
import type { TsigAlgorithm, TsigKeySetting } from './transfer-settings.ts';

const KEY_LIMITS = {
  /** 128 bits: less could be tried out by whoever has recorded one signed message. */
  secretBytesMin: 16,
  /** HMAC hashes what is longer than a block (128 bytes) first, so more adds nothing. */
  secretBytesMax: 128,
  /** A file beyond that holds something else. */
  fileBytesMax: 4096,
} as const;

export interface TsigKey {
  readonly name: string;
  /** Canonical: uncompressed, in lower case (RFC 8945, section 4.3.3). */
  readonly nameWire: Buffer;
  readonly algorithm: TsigAlgorithm;
  readonly algorithmWire: Buffer;
  /** As node:crypto calls it. */
  readonly hash: string;
  readonly macBytes: number;
  readonly secret: KeyObject;
}

export class TsigKeyError extends Error {
  readonly code = 'ERR_TSIG_KEY';
}

const HASHES: Readonly<Record<TsigAlgorithm, readonly [hash: string, macBytes: number]>> = {
  'hmac-sha1': ['sha1', 20],
  'hmac-sha224': ['sha224', 28],
  'hmac-sha256': ['sha256', 32],
  'hmac-sha384': ['sha384', 48],
  'hmac-sha512': ['sha512', 64],
};

export class TsigKeys {
  readonly #byName = new Map<string, TsigKey>();

  constructor(keys: Iterable<TsigKey>) {
    for (const key of keys) this.#byName.set(key.nameWire.toString('latin1'), key);
  }

  /** By the canonical name of a record. */
  find(nameWire: Buffer): TsigKey | undefined {
    return this.#byName.get(nameWire.toString('latin1'));
  }
}

/** Throws a TsigKeyError that names the file and the next step, and never what is in it. */
export function readTsigKey({ name, algorithm, secretFile }: TsigKeySetting): TsigKey {
  const text = readSecret(name, secretFile);
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) {
    throw new TsigKeyError(
      `The secret of the TSIG key ${name} in ${secretFile} is not base64. The file holds nothing but the secret; make one with: openssl rand -base64 32`,
    );
  }
  return makeTsigKey({ name, algorithm, secret: Buffer.from(text, 'base64') });
}

export function makeTsigKey(parts: {
  readonly name: string;
  readonly algorithm: TsigAlgorithm;
  readonly secret: Buffer;
}): TsigKey {
  const { name, algorithm, secret } = parts;
  const nameWire = encodeName(name);
  if (nameWire === undefined || nameWire.length === 1) {
    throw new TsigKeyError(
      `${name} is no name for a TSIG key. Use a domain name, such as ns1-key.`,
    );
  }
  if (secret.length < KEY_LIMITS.secretBytesMin || secret.length > KEY_LIMITS.secretBytesMax) {
    throw new TsigKeyError(
      `The secret of the TSIG key ${name} has ${secret.length} bytes; ${KEY_LIMITS.secretBytesMin} to ${KEY_LIMITS.secretBytesMax} are allowed. Make one with: openssl rand -base64 32`,
    );
  }
  const [hash, macBytes] = HASHES[algorithm];
  return {
    name,
    nameWire,
    algorithm,
    algorithmWire: encodeName(algorithm) ?? Buffer.of(0),
    hash,
    macBytes,
    secret: createSecretKey(secret),
  };
}

function readSecret(name: string, file: string): string {
  try {
    const { size, mode } = statSync(file);
    if ((mode & 0o007) !== 0) {
      throw new TsigKeyError(
        `The secret of the TSIG key ${name} is open to every user of this machine. Close it with: chmod 0640 ${file}`,
      );
    }
    if (size > KEY_LIMITS.fileBytesMax) {
      throw new TsigKeyError(`${file} is too big for the secret of the TSIG key ${name}.`);
    }
    return readFileSync(file, 'latin1').replace(/\s/g, '');
  } catch (error) {
    if (error instanceof TsigKeyError) throw error;
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new TsigKeyError(
      `The secret of the TSIG key ${name} cannot be read from ${file} (${why}). Make one with: openssl rand -base64 32`,
    );
  }
}
