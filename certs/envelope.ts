// Private keys at rest: sealed before they are stored anywhere, so that who reads the database, its
// backups or a disk reads no key. AES-256-GCM with a data key per text, which a key of the envelope's
// file wraps. What a text is about is authenticated: put into another row, it does not open.
//
// Of the keys in the file (envelope-file.ts) the first one seals, and all of them open. A process that
// runs reads the file again when it has changed, so that it follows by itself.
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { EnvelopeError } from './envelope-error.ts';
import {
  createKeyFile,
  damaged,
  type EnvelopeKey,
  KEY_BYTES,
  makeKey,
  readKeyFile,
  versionOf,
  writeKeyFile,
} from './envelope-file.ts';

const ENVELOPE_LIMITS = {
  /** Of a sealed text: a key has some 300 bytes, a chain some thousand. */
  textCharsMax: 1_000_000,
} as const;

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
    if (versionOf(file) === undefined) await createKeyFile(file);
    return Envelope.existing(file);
  }

  /** Of a file that somebody else has made. */
  static existing(file: string): Envelope {
    const version = versionOf(file) ?? '';
    return new Envelope(file, readKeyFile(file).keys, version);
  }

  /** Puts a new key at the head of the file, which exists. The older ones stay, to open with. */
  static async addKey(file: string): Promise<Envelope> {
    const { keys, waits } = readKeyFile(file);
    await writeKeyFile(file, { keys: [makeKey(), ...keys], waits });
    return Envelope.existing(file);
  }

  /** Puts a new key at the end: it opens, and does not seal yet. False: one waits there already. */
  static async addWaitingKey(file: string): Promise<boolean> {
    const { keys, waits } = readKeyFile(file);
    if (!waits) await writeKeyFile(file, { keys: [...keys, makeKey()], waits: true });
    return !waits;
  }

  /** Has the key seal that waits. False: none does, most likely since it seals already. */
  static async useWaitingKey(file: string): Promise<boolean> {
    const { keys, waits } = readKeyFile(file);
    const moved = [...keys.slice(-1), ...keys.slice(0, -1)];
    if (waits) await writeKeyFile(file, { keys: moved, waits: false });
    return waits;
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

  /** Whether it can be opened at all, now. */
  opens(sealed: string, about: string): boolean {
    try {
      this.open(sealed, about);
      return true;
    } catch (error) {
      if (error instanceof EnvelopeError) return false;
      throw error;
    }
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
          'Put the file back from where the others of this registry, or a backup, have it. ' +
          `If it is lost: ${LAST_RESORT}`,
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
      this.#keys = readKeyFile(this.#file).keys;
      this.#version = version;
    } catch (error) {
      if (!(error instanceof EnvelopeError)) throw error;
    }
  }
}

/** It is the same for certificates and for accounts at authorities, which nobody can order. */
const LAST_RESORT =
  'waygate relay forget-sealed-keys --yes drops what no key opens; relays make and order it anew.';
const IV_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';
const FORMAT = 'waygate-sealed-1';
const TEXT_CONTEXT = 'waygate sealed text 1';

function wrapping(keyId: string, about: string): string {
  return `waygate data key 1\n${keyId}\n${about}`;
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
    `The sealed ${about} does not open: ${why}. If it stays so: ${LAST_RESORT}`,
    { cause },
  );
}
