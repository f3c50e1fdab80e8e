// Ed25519 keys: who a device is, and who the vendor is. A private key lies in one file (PKCS#8 PEM,
// mode 0600) and never leaves the process that reads it. A public key travels as text with the role
// in front (`waygate-device:...`), so that one pasted in the other's place does not parse. The id of
// a key is its JWK thumbprint (RFC 7638), SHA-256 in base64url.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export type KeyRole = 'device' | 'vendor';

export interface PublicKey {
  readonly role: KeyRole;
  readonly thumbprint: string;
  /** `waygate-ROLE:BASE64URL`, the 32 bytes of RFC 8032. */
  readonly text: string;
  readonly key: KeyObject;
}

export interface SigningKey {
  readonly role: KeyRole;
  readonly publicKey: PublicKey;
  /** Kept out of JSON and of `inspect` by node:crypto itself. */
  readonly privateKey: KeyObject;
}

export type KeyErrorCode =
  | 'ERR_KEY_READABLE_BY_OTHERS'
  | 'ERR_KEY_DAMAGED'
  | 'ERR_KEY_WRONG_KIND'
  | 'ERR_KEY_FILE';

/** A key file that cannot be used. The message is for a person and names the file, never its content. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
  readonly code: KeyErrorCode;

  constructor(code: KeyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Reads the key, or makes one if there is no file. When several processes start at once, one of them
 * makes the key and all get that one. A file that exists is never replaced, however broken it is.
 */
export async function loadOrCreateKey(file: string, role: KeyRole): Promise<SigningKey> {
  const pem = await readKeyFile(file);
  if (pem !== undefined) return parsePrivateKey(pem, file, role);
  await createKeyFile(file);
  const created = await readKeyFile(file);
  if (created === undefined) {
    throw new KeyError('ERR_KEY_FILE', `The key file ${file} vanished while it was made.`);
  }
  return parsePrivateKey(created, file, role);
}

/** Reads the key, if there is a file. */
export async function readKey(file: string, role: KeyRole): Promise<SigningKey | undefined> {
  const pem = await readKeyFile(file);
  return pem === undefined ? undefined : parsePrivateKey(pem, file, role);
}

/**
 * Puts a key file in the place of another one, which is lost by that; whole or not at all, and on the
 * disk when it resolves. When another process did the same before, that is as good.
 */
export async function replaceKeyFile(next: string, file: string): Promise<void> {
  try {
    await rename(next, file);
    await syncDirectory(dirname(file));
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw fileError(file, 'replaced', error);
  }
}

/** A fresh key that lies in no file. */
export function generateKey(role: KeyRole): SigningKey {
  return signingKey(generateKeyPairSync('ed25519').privateKey, role);
}

/** The key of a public text, if it is one of that role. */
export function parsePublicKey(text: string, role: KeyRole): PublicKey | undefined {
  return publicKeyFault(text, role) === undefined ? publicKey(text, role) : undefined;
}

/** Why a text is no public key of that role, as a sentence for a person. */
export function publicKeyFault(text: string, role: KeyRole): string | undefined {
  const prefix = PREFIXES[role];
  if (!text.startsWith(prefix)) {
    const other = role === 'device' ? 'vendor' : 'device';
    if (text.startsWith(PREFIXES[other])) {
      return `This is the key of a ${other}, but the key of a ${role} is needed here (${prefix}...).`;
    }
    return `The key of a ${role} begins with "${prefix}".`;
  }
  const bytes = Buffer.from(text.slice(prefix.length), 'base64url');
  // The comparison refuses other alphabets, padding and stray bits: one key has one text.
  if (bytes.length !== KEY_BYTES || prefix + bytes.toString('base64url') !== text) {
    return `After "${prefix}" there must be 43 characters of base64url; some are missing or changed.`;
  }
  if (isWeak(bytes)) {
    return 'This key is one of the few that anybody can sign for; make a new one.';
  }
  return undefined;
}

const PREFIXES: Readonly<Record<KeyRole, string>> = {
  device: 'waygate-device:',
  vendor: 'waygate-vendor:',
};

/** RFC 8032, section 5.1.5. */
const KEY_BYTES = 32;

/** A PEM of an Ed25519 key has 119 bytes; a larger file is something else and is not read whole. */
const KEY_FILE_BYTES_MAX = 4096;

/** The y coordinates of the points of order 1, 2, 4 and 8 on edwards25519: they verify many messages. */
const LOW_ORDER_POINTS: ReadonlySet<string> = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
]);

/** 2^255 - 19, little-endian: a y coordinate from there on is a second spelling of a small one. */
const FIELD_PRIME = Buffer.from(`ed${'ff'.repeat(30)}7f`, 'hex');

function isWeak(point: Buffer): boolean {
  const y = Buffer.from(point);
  y.writeUInt8(y.readUInt8(31) & 0x7f, 31);
  const reduced = Buffer.compare(Buffer.from(y).reverse(), Buffer.from(FIELD_PRIME).reverse()) < 0;
  return !reduced || LOW_ORDER_POINTS.has(y.toString('hex'));
}

function publicKey(text: string, role: KeyRole): PublicKey {
  const x = text.slice(PREFIXES[role].length);
  const jwk = { crv: 'Ed25519', kty: 'OKP', x };
  return {
    role,
    // The members of RFC 7638 for this kind of key (RFC 8037, section 2), in the order it asks for.
    thumbprint: createHash('sha256').update(JSON.stringify(jwk)).digest('base64url'),
    text,
    key: createPublicKey({ key: jwk, format: 'jwk' }),
  };
}

function signingKey(privateKey: KeyObject, role: KeyRole): SigningKey {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  return { role, publicKey: publicKey(`${PREFIXES[role]}${x}`, role), privateKey };
}

function parsePrivateKey(pem: string, file: string, role: KeyRole): SigningKey {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    // The parser's own error is left out: it may quote what it read.
    throw new KeyError(
      'ERR_KEY_DAMAGED',
      `The key file ${file} holds no readable private key. Restore it from a backup, ` +
        'or move it away to start with a new key (a device then has to be enrolled again).',
    );
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new KeyError(
      'ERR_KEY_WRONG_KIND',
      `The key file ${file} holds a key of kind ${key.asymmetricKeyType}, but Waygate needs ` +
        'ed25519. Check the path; or move the file away and a right one is made.',
    );
  }
  return signingKey(key, role);
}

async function readKeyFile(file: string): Promise<string | undefined> {
  let handle: FileHandle;
  try {
    // Without O_NONBLOCK, opening a FIFO would wait for ever.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw fileError(file, 'opened', error);
  }
  try {
    // The open file is judged, not its path: it cannot be exchanged in between.
    const { mode, size } = await handle.stat();
    if ((mode & 0o077) !== 0) throw readableByOthers(file, mode);
    if (size > KEY_FILE_BYTES_MAX) {
      throw new KeyError(
        'ERR_KEY_DAMAGED',
        `The file ${file} is too large for a key (${size} bytes).`,
      );
    }
    return await handle.readFile('latin1');
  } catch (error) {
    throw error instanceof KeyError ? error : fileError(file, 'read', error);
  } finally {
    await handle.close();
  }
}

/** Written whole beside its place and linked there: `link` fails if another process was first. */
async function createKeyFile(file: string): Promise<void> {
  const directory = dirname(file);
  const temporary = join(directory, `.key-${randomBytes(9).toString('base64url')}`);
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeDurably(temporary, pem);
    await link(temporary, file).catch((error: unknown) => {
      if (errorCode(error) !== 'EEXIST') throw error;
    });
  } catch (error) {
    throw fileError(file, 'written', error);
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
  await syncDirectory(directory);
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  await handle.sync().finally(() => handle.close());
}

async function writeDurably(file: string, content: string | Buffer): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function readableByOthers(file: string, mode: number): KeyError {
  return new KeyError(
    'ERR_KEY_READABLE_BY_OTHERS',
    `The key file ${file} has mode ${(mode & 0o777).toString(8).padStart(4, '0')}: other users of ` +
      `this machine can use it, and whoever has it is you. Run: chmod 600 ${file}`,
  );
}

function fileError(file: string, verb: string, cause: unknown): KeyError {
  const code = errorCode(cause) ?? 'unknown error';
  const message = `The key file ${file} could not be ${verb} (${code}). Check the path and its owner.`;
  return new KeyError('ERR_KEY_FILE', message, { cause });
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
