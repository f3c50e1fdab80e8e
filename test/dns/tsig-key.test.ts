import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeName } from '../../dns/domain-name.ts';
import { readTsigKey, TsigKeyError, TsigKeys } from '../../dns/tsig-key.ts';

const SECRET = Buffer.alloc(32, 'a very secret secret').toString('base64');
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'waygate-tsig-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a key from its file', () => {
  it('is found by its name in any letter case, and shows its secret nowhere', () => {
    const key = read(`${SECRET}\n`);
    const keys = new TsigKeys([key]);
    expect(keys.find(encodeName('NS1-Key.') ?? Buffer.of(0))).toBe(key);
    expect(keys.find(encodeName('ns2-key') ?? Buffer.of(0))).toBeUndefined();
    const shown = inspect(key, { depth: 9, showHidden: true }) + JSON.stringify(key);
    for (const form of [SECRET, 'a very secret', Buffer.from(SECRET, 'base64').toString('hex')]) {
      expect(shown).not.toContain(form);
    }
  });

  it.each([
    ['open to everybody', SECRET, 0o644, /open to every user.*chmod 0640/],
    ['not base64', 'key "ns1" { secret "x" };', 0o600, /not base64.*openssl rand -base64 32/],
    ['empty', '', 0o600, /not base64/],
    ['too short', Buffer.alloc(15).toString('base64'), 0o600, /has 15 bytes/],
    ['too long', Buffer.alloc(129).toString('base64'), 0o600, /has 129 bytes/],
    ['something else', 'A'.repeat(5_000), 0o600, /too big/],
  ])('that is %s is refused with the next step', (_, text, mode, words) => {
    expect(() => read(text, mode)).toThrow(TsigKeyError);
    expect(() => read(text, mode)).toThrow(words);
    if (text !== '') expect(() => read(text, mode)).not.toThrow(text);
  });

  it('that is not there is refused with the next step', () => {
    const secretFile = join(folder, 'missing');
    expect(() => readTsigKey({ name: 'ns1', algorithm: 'hmac-sha256', secretFile })).toThrow(
      /cannot be read.*ENOENT.*openssl rand/,
    );
  });
});

function read(text: string, mode = 0o600) {
  const secretFile = join(folder, `secret-${Math.random()}`);
  writeFileSync(secretFile, text, { mode });
  return readTsigKey({ name: 'ns1-key', algorithm: 'hmac-sha256', secretFile });
}
