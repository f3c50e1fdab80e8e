import { execFile } from 'node:child_process';
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect, promisify } from 'node:util';
import fc from 'fast-check';
import { calculateJwkThumbprint } from 'jose';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  generateKey,
  KeyError,
  type KeyErrorCode,
  loadOrCreateKey,
  parsePublicKey,
  publicKeyFault,
} from '../../../relay/protocol/key.ts';

const run = promisify(execFile);
let directory: string;
let file: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'waygate-key-'));
  file = join(directory, 'keys', 'device.pem');
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function fault(code: KeyErrorCode): Promise<string> {
  const error: unknown = await loadOrCreateKey(file, 'device').then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof KeyError)) throw new Error(`no KeyError: ${inspect(error)}`);
  expect(error.code).toBe(code);
  return error.message;
}

describe('a key file', () => {
  test('is made with mode 0600, and the same key comes back', async () => {
    const made = await loadOrCreateKey(file, 'device');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(join(directory, 'keys'))).mode & 0o777).toBe(0o700);
    expect(await readdir(join(directory, 'keys'))).toEqual(['device.pem']);
    const again = await loadOrCreateKey(file, 'device');
    expect(again.publicKey.text).toBe(made.publicKey.text);
    const message = Buffer.from('hello');
    const signature = sign(null, message, again.privateKey);
    expect(verify(null, message, made.publicKey.key, signature)).toBe(true);
  });

  test('is made once when several processes start at once', async () => {
    const source = new URL('../../../relay/protocol/key.ts', import.meta.url).href;
    const script = `
      import { loadOrCreateKey } from ${JSON.stringify(source)};
      const keys = await Promise.all(Array.from({ length: 20 },
        () => loadOrCreateKey(process.argv[1], 'device')));
      process.stdout.write(keys.map((key) => key.publicKey.text).join(' '));`;
    const runs = await Promise.all(
      Array.from({ length: 4 }, () =>
        run(process.execPath, ['--input-type=module', '--eval', script, file]),
      ),
    );
    const texts = new Set(runs.flatMap(({ stdout }) => stdout.split(' ')));
    expect(texts.size).toBe(1);
    expect(texts).toContain((await loadOrCreateKey(file, 'device')).publicKey.text);
    expect(await readdir(join(directory, 'keys'))).toEqual(['device.pem']);
  });

  test.each([0o640, 0o604, 0o644, 0o620, 0o601])(
    'of mode %o is refused, with the command that mends it',
    async (mode) => {
      await loadOrCreateKey(file, 'device');
      await chmod(file, mode);
      expect(await fault('ERR_KEY_READABLE_BY_OTHERS')).toContain(`chmod 600 ${file}`);
    },
  );

  test('may be reached through a symbolic link, and the mode of its target counts', async () => {
    const { publicKey } = await loadOrCreateKey(file, 'device');
    const target = file;
    file = join(directory, 'link.pem');
    await symlink(target, file);
    expect((await loadOrCreateKey(file, 'device')).publicKey.text).toBe(publicKey.text);
    await chmod(target, 0o644);
    await fault('ERR_KEY_READABLE_BY_OTHERS');
  });

  test('that is damaged is refused, kept as it is, and never quoted', async () => {
    await loadOrCreateKey(file, 'device');
    const pem = await readFile(file, 'latin1');
    const secret = pem.split('\n')[1]?.slice(0, 20) ?? '';
    for (const content of ['', 'x', pem.slice(0, 60), pem.replace(secret, secret.slice(1))]) {
      await writeFile(file, content);
      const message = await fault('ERR_KEY_DAMAGED');
      expect(message).toContain(file);
      expect(message).not.toContain(secret.slice(1, 10));
      expect(await readFile(file, 'latin1')).toBe(content);
    }
    await writeFile(file, Buffer.alloc(1_000_000));
    await fault('ERR_KEY_DAMAGED');
  });

  test('of another kind of key is refused', async () => {
    await loadOrCreateKey(file, 'device');
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    await writeFile(file, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    expect(await fault('ERR_KEY_WRONG_KIND')).toContain('ec');
    await writeFile(file, publicKey.export({ type: 'spki', format: 'pem' }));
    await fault('ERR_KEY_DAMAGED');
  });

  test('that is a directory or a FIFO is refused at once', async () => {
    file = directory;
    await chmod(directory, 0o700);
    await fault('ERR_KEY_FILE');
    file = join(directory, 'fifo');
    await run('mkfifo', ['-m', '600', file]);
    await fault('ERR_KEY_DAMAGED');
  });

  test('does not show its private half when it is printed', async () => {
    const key = await loadOrCreateKey(file, 'device');
    const secret = String(key.privateKey.export({ format: 'jwk' })['d']);
    expect(inspect(key, { depth: 9, showHidden: true })).not.toContain(secret);
    expect(JSON.stringify(key)).not.toContain(secret);
  });
});

describe('the text of a public key', () => {
  test('reads back as the same key', () => {
    const { publicKey } = generateKey('vendor');
    expect(publicKey.text).toMatch(/^waygate-vendor:[\w-]{43}$/);
    const parsed = parsePublicKey(publicKey.text, 'vendor');
    expect(parsed?.thumbprint).toBe(publicKey.thumbprint);
    expect(parsed?.key.equals(publicKey.key)).toBe(true);
  });

  test('has the thumbprint of RFC 8037, appendix A.3', async () => {
    const text = 'waygate-device:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo';
    const parsed = parsePublicKey(text, 'device');
    expect(parsed?.thumbprint).toBe('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
    const jwk = generateKey('device').publicKey;
    expect(await calculateJwkThumbprint(jwk.key)).toBe(jwk.thumbprint);
  });

  test('does not parse in the place of the other role, and the reason says so', () => {
    const { text } = generateKey('vendor').publicKey;
    expect(parsePublicKey(text, 'device')).toBeUndefined();
    expect(publicKeyFault(text, 'device')).toContain('key of a vendor');
  });

  test('has one spelling only', () => {
    const { text } = generateKey('device').publicKey;
    const changed = ['=', ' ', '\n', 'A'].map((tail) => text + tail);
    changed.push(text.slice(0, -1), ` ${text}`, text.toUpperCase(), '', 'waygate-device:');
    // The last of 43 characters carries four bits; the other two must be zero.
    const last = text.slice(-1);
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    changed.push(text.slice(0, -1) + alphabet[alphabet.indexOf(last) + 1]);
    for (const spelling of changed) {
      expect(parsePublicKey(spelling, 'device'), JSON.stringify(spelling)).toBeUndefined();
      expect(publicKeyFault(spelling, 'device')).toBeDefined();
    }
  });

  test('of a point of low order is refused, as anybody could sign for it', () => {
    const point = (hex: string) =>
      `waygate-device:${Buffer.from(hex, 'hex').toString('base64url')}`;
    const middle = 'ff'.repeat(30);
    for (const hex of [
      `01${'00'.repeat(31)}`,
      `01${'00'.repeat(30)}80`,
      '00'.repeat(32),
      `ec${middle}7f`,
      `ee${middle}7f`,
      `ed${middle}ff`,
      'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
    ]) {
      expect(publicKeyFault(point(hex), 'device')).toContain('anybody');
    }
  });

  test('any text parses or has a reason, and never throws', () => {
    const body = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      body.map((bytes) => `waygate-device:${bytes.toString('base64url')}`),
      fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => {
        return `waygate-device:${Buffer.from(bytes).toString('base64url')}`;
      }),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const parsed = parsePublicKey(text, 'device');
        expect(parsed === undefined).toBe(publicKeyFault(text, 'device') !== undefined);
        if (parsed !== undefined) expect(parsed.text).toBe(text);
      }),
    );
  });
});
