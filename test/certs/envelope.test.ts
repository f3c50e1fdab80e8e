import {
  chmod,
  chown,
  copyFile,
  lstat,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Envelope } from '../../certs/envelope.ts';
import { EnvelopeError, type EnvelopeErrorCode } from '../../certs/envelope-error.ts';
import { requires } from '../world/requires.ts';

const SECRET = '-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n';
const ALICE = 'certificate alice.vendor.dev';
const BOB = 'certificate bob.vendor.dev';

async function keyFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'waygate-envelope-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'envelope.key');
}

/** The message, which has neither a key nor what was sealed. */
function refusal(work: () => unknown, code: EnvelopeErrorCode): string {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(EnvelopeError);
    expect(error).toMatchObject({ code });
    return String(error);
  }
  throw new Error('it was done');
}

async function openRefusal(file: string): Promise<string> {
  const error: unknown = await Envelope.open(file).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'ERR_ENVELOPE_FILE' });
  return String(error);
}

/** The lines that have keys. */
async function keyLines(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8');
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

describe('an envelope', () => {
  test('makes its file once, for its user alone, and nothing else beside it', async () => {
    const file = await keyFile();
    const opened = await Promise.all(Array.from({ length: 8 }, () => Envelope.open(file)));
    expect(new Set(opened.map(({ keyId }) => keyId)).size).toBe(1);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(join(file, '..'))).toEqual(['envelope.key']);
    expect(await keyLines(file)).toHaveLength(1);
  });

  test('refuses to make a file that its directory would not take', async () => {
    const file = join(await keyFile(), '..', 'Envelope key');
    expect(await openRefusal(file)).toContain('lower-case');
    expect(await readdir(join(file, '..'))).toEqual([]);
  });

  test('opens what it has sealed, also after a restart', async () => {
    const file = await keyFile();
    const sealed = (await Envelope.open(file)).seal(SECRET, ALICE);
    expect(sealed).not.toContain('secret');
    expect((await Envelope.open(file)).open(sealed, ALICE)).toBe(SECRET);
  });

  test('seals the same text to another one each time', async () => {
    const envelope = await Envelope.open(await keyFile());
    expect(envelope.seal(SECRET, ALICE)).not.toBe(envelope.seal(SECRET, ALICE));
  });

  test('refuses a text that was put into the row of another', async () => {
    const envelope = await Envelope.open(await keyFile());
    const sealed = envelope.seal(SECRET, ALICE);
    const message = refusal(() => envelope.open(sealed, BOB), 'ERR_ENVELOPE_TEXT');
    expect(message).toContain(BOB);
    expect(message).not.toContain('secret');
    refusal(() => envelope.reseal(sealed, BOB), 'ERR_ENVELOPE_TEXT');
  });

  test('refuses the data key of one text with the body of another of the same row', async () => {
    const envelope = await Envelope.open(await keyFile());
    const [one, other] = [envelope.seal('one', ALICE), envelope.seal('other', ALICE)];
    const mixed = [...one.split('.').slice(0, 3), other.split('.')[3]].join('.');
    refusal(() => envelope.open(mixed, ALICE), 'ERR_ENVELOPE_TEXT');
    refusal(() => envelope.reseal(mixed, ALICE), 'ERR_ENVELOPE_TEXT');
  });

  test('refuses every text of which a single character was changed or cut off', async () => {
    const envelope = await Envelope.open(await keyFile());
    const sealed = envelope.seal('key', ALICE);
    const refused = (text: string) => {
      try {
        return envelope.open(text, ALICE) === 'key' ? text : 'opened to something else';
      } catch (error) {
        return error instanceof EnvelopeError ? undefined : error;
      }
    };
    for (let at = 0; at < sealed.length; at += 1) {
      const other = sealed[at] === 'A' ? 'B' : 'A';
      const changed = `${sealed.slice(0, at)}${other}${sealed.slice(at + 1)}`;
      // The last character of a part may have bits that no byte has.
      const same = decoded(changed) === decoded(sealed);
      expect(refused(changed), `character ${at}`).toBe(same ? changed : undefined);
      expect(refused(sealed.slice(0, at)), `cut at ${at}`).toBeUndefined();
    }
  });

  test('of another file opens nothing, and the message names the key and the file', async () => {
    const [mine, other] = [await keyFile(), await keyFile()];
    const sealer = await Envelope.open(mine);
    const sealed = sealer.seal(SECRET, ALICE);
    const stranger = await Envelope.open(other);
    const message = refusal(() => stranger.open(sealed, ALICE), 'ERR_ENVELOPE_KEY');
    expect(message).toContain(sealer.keyId);
    expect(message).toContain(other);
    expect(message).toContain('waygate relay forget-sealed-keys --yes');
    expect([sealer.opens(sealed, ALICE), stranger.opens(sealed, ALICE)]).toEqual([true, false]);
  });
});

function decoded(sealed: string): string {
  const [form, id, ...parts] = sealed.split('.');
  return [form, id, ...parts.map((part) => Buffer.from(part, 'base64url').toString('hex'))].join();
}

describe('a new key', () => {
  test('seals from then on, also for a process that runs, and the old one still opens', async () => {
    const file = await keyFile();
    const running = await Envelope.open(file);
    const old = running.seal(SECRET, ALICE);
    const oldId = running.keyId;
    const fresh = await Envelope.addKey(file);
    expect(fresh.keyId).not.toBe(oldId);
    expect(fresh.open(old, ALICE)).toBe(SECRET);
    expect(fresh.isCurrent(old)).toBe(false);
    const sealed = running.seal(SECRET, BOB);
    expect(running.keyId).toBe(fresh.keyId);
    expect(fresh.isCurrent(sealed)).toBe(true);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  test('opens in a process that runs, which has not sealed anything since', async () => {
    const file = await keyFile();
    const running = await Envelope.open(file);
    const sealed = (await Envelope.addKey(file)).seal(SECRET, ALICE);
    expect(running.open(sealed, ALICE)).toBe(SECRET);
  });

  test('takes over a text, which does not need the old one then', async () => {
    const file = await keyFile();
    const old = (await Envelope.open(file)).seal(SECRET, ALICE);
    const fresh = await Envelope.addKey(file);
    const resealed = fresh.reseal(old, ALICE);
    expect(fresh.isCurrent(resealed)).toBe(true);
    const [newest = ''] = await keyLines(file);
    await writeFile(file, `${newest}\n`);
    const later = await Envelope.open(file);
    expect(later.open(resealed, ALICE)).toBe(SECRET);
    refusal(() => later.open(old, ALICE), 'ERR_ENVELOPE_KEY');
    refusal(() => later.open(resealed, BOB), 'ERR_ENVELOPE_TEXT');
  });
});

describe('a key that waits', () => {
  test('opens everywhere, and seals nowhere before it is used', async () => {
    const [file, copy] = [await keyFile(), await keyFile()];
    const running = await Envelope.open(file);
    const first = running.keyId;
    expect(await Envelope.addWaitingKey(file)).toBe(true);
    await copyFile(file, copy);
    const elsewhere = await Envelope.open(copy);
    expect(running.isCurrent(running.seal(SECRET, ALICE))).toBe(true);
    expect([running.keyId, elsewhere.keyId]).toEqual([first, first]);
    expect(await Envelope.useWaitingKey(file)).toBe(true);
    const sealed = running.seal(SECRET, ALICE);
    expect(running.keyId).not.toBe(first);
    expect(elsewhere.open(sealed, ALICE)).toBe(SECRET);
    // The other way round: who has the old order seals under the old key still.
    expect(running.open(elsewhere.seal(SECRET, BOB), BOB)).toBe(SECRET);
    await copyFile(file, copy);
    expect(elsewhere.seal(SECRET, BOB).split('.')[1]).toBe(running.keyId);
  });

  test('is one, however often it is added, and used once: the old one does not come back', async () => {
    const file = await keyFile();
    await Envelope.open(file);
    expect(await Envelope.useWaitingKey(file)).toBe(false);
    expect(await Envelope.addWaitingKey(file)).toBe(true);
    expect(await Envelope.addWaitingKey(file)).toBe(false);
    expect(await keyLines(file)).toHaveLength(2);
    expect(await Envelope.useWaitingKey(file)).toBe(true);
    const lines = await keyLines(file);
    expect(await Envelope.useWaitingKey(file)).toBe(false);
    expect(await keyLines(file)).toEqual(lines);
  });

  test('waits on while another key is put at the head', async () => {
    const file = await keyFile();
    await Envelope.open(file);
    await Envelope.addWaitingKey(file);
    const waiting = (await keyLines(file)).at(-1);
    await Envelope.addKey(file);
    expect(await Envelope.addWaitingKey(file)).toBe(false);
    expect(await Envelope.useWaitingKey(file)).toBe(true);
    expect((await keyLines(file))[0]).toBe(waiting);
  });
});

describe('a file that is replaced', () => {
  test('keeps its mode, whatever the umask, and a link to it stays a link', async () => {
    const [file, link] = [await keyFile(), await keyFile()];
    await Envelope.open(file);
    await chmod(file, 0o640);
    await symlink(file, link);
    const before = process.umask(0o077);
    onTestFinished(() => void process.umask(before));
    await Envelope.addKey(link);
    expect((await stat(file)).mode & 0o777).toBe(0o640);
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    expect(await keyLines(file)).toHaveLength(2);
  });
});

const need = requires('root');

describe.skipIf(need.skip)('a file that root replaces', () => {
  test('stays the one of the user that runs the relay', async () => {
    const file = await keyFile();
    await Envelope.open(file);
    await chown(file, 4242, 4343);
    await Envelope.addKey(file);
    await Envelope.addWaitingKey(file);
    await Envelope.useWaitingKey(file);
    const { uid, gid, mode } = await stat(file);
    expect([uid, gid, mode & 0o777]).toEqual([4242, 4343, 0o600]);
  });
});

describe('a damaged file', () => {
  const damages: readonly (readonly [string, (text: string) => string, string])[] = [
    ['is empty', () => '', 'has no key'],
    ['has only its head', (text) => text.replace(/^[^#].*$/m, ''), 'has no key'],
    ['is cut off', (text) => text.slice(0, -9), 'line 4'],
    ['has another character in a key', (text) => text.replace(/ (.)([\w-]{42})\n/, swap), 'line 4'],
    ['is something else', () => 'hello\n', 'line 1'],
    ['has a stray line', (text) => `${text}0123456789abcdef oops\n`, 'line 5'],
  ];

  test.each(damages)('that %s is refused, and left as it is', async (_, damage, where) => {
    const file = await keyFile();
    const running = await Envelope.open(file);
    const sealed = running.seal(SECRET, ALICE);
    const text = damage(await readFile(file, 'utf8'));
    await writeFile(file, text);
    const message = await openRefusal(file);
    expect(message).toContain(file);
    expect(message).toContain(where);
    expect(message).toContain('backup');
    await expect(Envelope.addKey(file)).rejects.toMatchObject({ code: 'ERR_ENVELOPE_FILE' });
    expect(await readFile(file, 'utf8')).toBe(text);
    // Who has read it before goes on.
    expect(running.open(running.seal('more', BOB), BOB)).toBe('more');
    expect(running.open(sealed, ALICE)).toBe(SECRET);
  });

  test('no message has a key', async () => {
    const file = await keyFile();
    await Envelope.open(file);
    const [line = ''] = await keyLines(file);
    await writeFile(
      file,
      line.replace(/^./, (char) => (char === '0' ? '1' : '0')),
    );
    expect(await openRefusal(file)).not.toContain(line.split(' ')[1]);
  });

  test('that is gone is not made anew by a rotation', async () => {
    const file = await keyFile();
    await expect(Envelope.addKey(file)).rejects.toMatchObject({ code: 'ERR_ENVELOPE_FILE' });
    expect(await readdir(join(file, '..'))).toEqual([]);
  });
});

function swap(_: string, first: string, rest: string): string {
  return ` ${first === 'A' ? 'B' : 'A'}${rest}\n`;
}
