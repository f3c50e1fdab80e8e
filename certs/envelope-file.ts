// The file of envelope keys: a line per key. The first one seals, all of them open. A new key that is not
// to seal yet waits in the last line, until all relays have the file; a comment says so, which is kept.
// Who replaces the file keeps its owner and mode: the relay must read it, whoever ran the verb.
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { EnvelopeError } from './envelope-error.ts';
import { openStore, type Store } from './store.ts';

const FILE_LIMITS = {
  /** One key a week for years. */
  keysMax: 500,
} as const;

export const KEY_BYTES = 32;

export interface EnvelopeKey {
  /** The beginning of its hash, so that a damaged line is found. */
  readonly id: string;
  readonly secret: Buffer;
}

export interface KeyFile {
  readonly keys: readonly EnvelopeKey[];
  /** The last one does not seal yet. */
  readonly waits: boolean;
}

export function makeKey(): EnvelopeKey {
  const secret = randomBytes(KEY_BYTES);
  return { id: idOf(secret), secret };
}

/** With one new key. Of several processes that start at once, one makes it, and the others read that. */
export async function createKeyFile(file: string): Promise<void> {
  const store = await storeOf(file);
  await store.create(basename(file), formatKeys({ keys: [makeKey()], waits: false }));
}

export function readKeyFile(file: string): KeyFile {
  const lines = readText(file)
    .split('\n')
    .map((line, at) => ({ line: line.trim(), number: at + 1 }));
  const keys = lines
    .filter(({ line }) => line !== '' && !line.startsWith('#'))
    .map(({ line, number }) => {
      const [, id, text = ''] = /^([0-9a-f]{16}) ([\w-]{43})$/.exec(line) ?? [];
      const secret = Buffer.from(text, 'base64url');
      if (id === undefined || idOf(secret) !== id)
        throw damaged(file, `is damaged in line ${number}`);
      return { id, secret };
    });
  if (keys.length === 0) throw damaged(file, 'has no key');
  const last = keys.at(-1)?.id;
  const waits = keys.length > 1 && lines.some(({ line }) => WAITS.exec(line)?.[1] === last);
  return { keys, waits };
}

/** Replaces the file, which exists; a link goes on leading to it. */
export async function writeKeyFile(file: string, { keys, waits }: KeyFile): Promise<void> {
  if (keys.length > FILE_LIMITS.keysMax) {
    throw damaged(file, `has ${keys.length - 1} keys. Remove the lines of those that seal nothing`);
  }
  const place = realpathSync(file);
  const store = await storeOf(place);
  const mode = statSync(place).mode & 0o777;
  await store.write(basename(place), formatKeys({ keys, waits }), mode);
}

/** Which version of the file there is; `undefined`: there is none. */
export function versionOf(file: string): string | undefined {
  const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.ino} ${stat.size} ${stat.mtimeNs}`;
}

export function damaged(file: string, what: string): EnvelopeError {
  return new EnvelopeError(
    'ERR_ENVELOPE_FILE',
    `The file of envelope keys ${file} ${what}. Nothing was changed. Put it back from a backup.`,
  );
}

const HEAD = `# The keys that seal private keys in Waygate's registry. All relays of a registry have the same file.
# The first key seals; the others open what was sealed before. Without its key, a text is lost: keep a
# copy of this file, apart from the copies of the registry.
`;
const WAITS = /^# The key ([0-9a-f]{16}) waits\b/;

function formatKeys({ keys, waits }: KeyFile): string {
  const lines = keys.map(({ id, secret }) => `${id} ${secret.toString('base64url')}\n`);
  if (!waits) return HEAD + lines.join('');
  const comment = `# The key ${keys.at(-1)?.id} waits: it opens, and seals after rotate-envelope-key --use-last.\n`;
  return HEAD + lines.toSpliced(-1, 0, comment).join('');
}

function idOf(secret: Buffer): string {
  return createHash('sha256')
    .update('waygate envelope key')
    .update(secret)
    .digest('hex')
    .slice(0, 16);
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

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    const next =
      reason === 'ENOENT'
        ? 'Put it back from a backup. If there is none, start the relay, which makes a new one.'
        : 'Give it to the user that runs Waygate.';
    throw new EnvelopeError(
      'ERR_ENVELOPE_FILE',
      `The file of envelope keys ${file} cannot be read (${reason}). ${next}`,
      { cause: error },
    );
  }
}
