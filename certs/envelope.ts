// Private keys at rest: sealed before they are stored anywhere, so that who reads the database, its
// backups or a disk reads no key. AES-256-GCM with a data key per text, which a key of the envelope's
// file wraps. What a text is about is authenticated: put into another row, it does not open.
//
// The file has a line per key. The first one seals, all of them open; a new key is put at the head.
// A process that runs reads the file again when it has changed, so that it follows by itself.
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { openStore, type Store } from './store.ts';

const ENVELOPE_LIMITS = {
  /** Of the file: one key a week for years. */
  keysMax: 500,
  /** Of a sealed text: a key has some 300 bytes, a chain some thousand. */
  textCharsMax: 1_000_000,
} as const;

export type EnvelopeErrorCode = 'ERR_ENVELOPE_FILE' | 'ERR_ENVELOPE_KEY' | 'ERR_ENVELOPE_TEXT';

/** The message never has a key, nor what was sealed. */
export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError';
  readonly code: EnvelopeErrorCode;

  constructor(code: EnvelopeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export class Envelope {
  readonly #file: string;
  #keys: readonly EnvelopeKey[];
  /** Which version of the file was read. */
  #version: string;

  private constructor(file: string, keys: readonly EnvelopeKey[], version: string) {
    this.#file = file;
    this.#keys = keys;
    this.#version = version;
  }

  /** The file is made if it is absent, with one new key. A damaged one is refused and left as it is. */
  static async open(file: string): Promise<Envelope> {
    if (versionOf(file) === undefined) {
      const store = await storeOf(file);
      // Of several processes that start at once, one makes it, and the others read that.
      await store.create(basename(file), formatKeys([makeKey()]));
    }
    const version = versionOf(file) ?? '';
    return new Envelope(file, readKeys(file), version);
  }

  /** Puts a new key at the head of the file, which exists. The older ones stay, to open with. */
  static async addKey(file: string): Promise<Envelope> {
    const keys = readKeys(file);
    if (keys.length >= ENVELOPE_LIMITS.keysMax) {
      throw damaged(file, `has ${keys.length} keys. Remove the lines of those that seal nothing`);
    }
    const store = await storeOf(file);
    await store.write(basename(file), formatKeys([makeKey(), ...keys]));
    return Envelope.open(file);
  }

  /** Of the key that seals. */
  get keyId(): string {
    return this.#sealing().id;
  }

  /** Bytes for another purpose, which the label names: all who have this file derive the same. */
  derive(label: string, bytes: number): Buffer {
    this.#follow();
    return Buffer.from(hkdfSync('sha256', this.#sealing().secret, '', label, bytes));
  }

  seal(plain: string, about: string): string {
    this.#follow();
    const key = this.#sealing();
    const dataKey = randomBytes(KEY_BYTES);
    const wrapped = encrypt(key.secret, dataKey, wrapping(key.id, about));
    const body = encrypt(dataKey, Buffer.from(plain), `${TEXT_CONTEXT}\n${about}`);
    return format({ keyId: key.id, wrapped, body });
  }

  open(sealed: string, about: string): string {
    const { dataKey, body } = this.#unwrap(sealed, about);
    return decrypt(dataKey, body, `${TEXT_CONTEXT}\n${about}`, about).toString();
  }

  /** Whether the key that seals now has sealed it. */
  isCurrent(sealed: string): boolean {
    this.#follow();
    return parse(sealed)?.keyId === this.keyId;
  }

  /** The same text under the key that seals now. What was sealed is not read for it. */
  reseal(sealed: string, about: string): string {
    this.#follow();
    const { dataKey, body } = this.#unwrap(sealed, about);
    // A body that belongs elsewhere would be passed on otherwise, and be found out only when it is needed.
    decrypt(dataKey, body, `${TEXT_CONTEXT}\n${about}`, about);
    const key = this.#sealing();
    const wrapped = encrypt(key.secret, dataKey, wrapping(key.id, about));
    return format({ keyId: key.id, wrapped, body });
  }

  #unwrap(sealed: string, about: string): { readonly dataKey: Buffer; readonly body: Buffer } {
    const parts = parse(sealed);
    if (parts === undefined) throw foreign(about, 'it is no sealed text');
    const { keyId, wrapped, body } = parts;
    if (this.#find(keyId) === undefined) this.#follow();
    const key = this.#find(keyId);
    if (key === undefined) {
      throw new EnvelopeError(
        'ERR_ENVELOPE_KEY',
        `The ${about} is sealed under the key ${keyId}, which ${this.#file} does not have. ` +
          'Put the file back from where the others of this registry, or a backup, have it.',
      );
    }
    return { dataKey: decrypt(key.secret, wrapped, wrapping(keyId, about), about), body };
  }

  #find(keyId: string): EnvelopeKey | undefined {
    return this.#keys.find(({ id }) => id === keyId);
  }

  #sealing(): EnvelopeKey {
    const [first] = this.#keys;
    if (first === undefined) throw damaged(this.#file, 'has no key');
    return first;
  }

  /** A file that is gone or damaged meanwhile does not stop who has read it before. */
  #follow(): void {
    const version = versionOf(this.#file);
    if (version === undefined || version === this.#version) return;
    try {
      this.#keys = readKeys(this.#file);
      this.#version = version;
    } catch (error) {
      if (!(error instanceof EnvelopeError)) throw error;
    }
  }
}

async function storeOf(file: string): Promise<Store> {
  if (!/^[a-z0-9_][a-z0-9_.-]*$/.test(basename(file))) {
    throw new EnvelopeError(
      'ERR_ENVELOPE_FILE',
      `The file of envelope keys ${file} is not written. Give it a name of lower-case letters, digits, ` +
        'dots, hyphens and underscores.',
    );
  }
  return openStore(dirname(file));
}

interface EnvelopeKey {
  /** The beginning of its hash, so that a damaged line is found. */
  readonly id: string;
  readonly secret: Buffer;
}

const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';
const FORMAT = 'waygate-sealed-1';
const TEXT_CONTEXT = 'waygate sealed text 1';

const HEAD = `# The keys that seal private keys in Waygate's registry. All relays of a registry have the same file.
# The first key seals; the others open what was sealed before. Without its key, a text is lost: keep a
# copy of this file, apart from the copies of the registry.
`;

function wrapping(keyId: string, about: string): string {
  return `waygate data key 1\n${keyId}\n${about}`;
}

function makeKey(): EnvelopeKey {
  const secret = randomBytes(KEY_BYTES);
  return { id: idOf(secret), secret };
}

function idOf(secret: Buffer): string {
  return createHash('sha256')
    .update('waygate envelope key')
    .update(secret)
    .digest('hex')
    .slice(0, 16);
}

function formatKeys(keys: readonly EnvelopeKey[]): string {
  return HEAD + keys.map(({ id, secret }) => `${id} ${secret.toString('base64url')}\n`).join('');
}

function readKeys(file: string): readonly EnvelopeKey[] {
  const lines = readText(file)
    .split('\n')
    .map((line, at) => ({ line: line.trim(), number: at + 1 }))
    .filter(({ line }) => line !== '' && !line.startsWith('#'));
  if (lines.length === 0) throw damaged(file, 'has no key');
  const keys = lines.map(({ line, number }) => {
    const [, id, text = ''] = /^([0-9a-f]{16}) ([\w-]{43})$/.exec(line) ?? [];
    const secret = Buffer.from(text, 'base64url');
    if (id === undefined || idOf(secret) !== id)
      throw damaged(file, `is damaged in line ${number}`);
    return { id, secret };
  });
  return keys;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    const next =
      reason === 'ENOENT' ? 'Put it back from a backup.' : 'Give it to the user that runs Waygate.';
    throw new EnvelopeError(
      'ERR_ENVELOPE_FILE',
      `The file of envelope keys ${file} cannot be read (${reason}). ${next}`,
      { cause: error },
    );
  }
}

/** `undefined`: there is no file. */
function versionOf(file: string): string | undefined {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.ino} ${stat.size} ${stat.mtimeNs}`;
}

interface Sealed {
  readonly keyId: string;
  readonly wrapped: Buffer;
  readonly body: Buffer;
}

function format({ keyId, wrapped, body }: Sealed): string {
  return [FORMAT, keyId, wrapped.toString('base64url'), body.toString('base64url')].join('.');
}

function parse(sealed: string): Sealed | undefined {
  if (sealed.length > ENVELOPE_LIMITS.textCharsMax) return undefined;
  const [form, keyId = '', wrapped = '', body = '', ...rest] = sealed.split('.');
  const fits =
    form === FORMAT && rest.length === 0 && keyId !== '' && wrapped !== '' && body !== '';
  if (!fits) return undefined;
  return {
    keyId,
    wrapped: Buffer.from(wrapped, 'base64url'),
    body: Buffer.from(body, 'base64url'),
  };
}

function encrypt(key: Buffer, plain: Buffer, context: string): Buffer {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(context));
  const bytes = [iv, cipher.update(plain), cipher.final()];
  return Buffer.concat([...bytes, cipher.getAuthTag()]);
}

function decrypt(key: Buffer, bytes: Buffer, context: string, about: string): Buffer {
  if (bytes.length < IV_BYTES + TAG_BYTES) throw foreign(about, 'it is cut off');
  try {
    const iv = bytes.subarray(0, IV_BYTES);
    const decipher = createDecipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(context));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    const plain = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES));
    return Buffer.concat([plain, decipher.final()]);
  } catch (error) {
    throw foreign(about, 'it was altered, or belongs elsewhere', error);
  }
}

function foreign(about: string, why: string, cause?: unknown): EnvelopeError {
  return new EnvelopeError(
    'ERR_ENVELOPE_TEXT',
    `The sealed ${about} does not open: ${why}. Have that certificate renewed.`,
    { cause },
  );
}

function damaged(file: string, what: string): EnvelopeError {
  return new EnvelopeError(
    'ERR_ENVELOPE_FILE',
    `The file of envelope keys ${file} ${what}. Nothing was changed. Put it back from a backup.`,
  );
}
