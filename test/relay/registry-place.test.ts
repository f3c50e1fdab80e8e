import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { registryPlace } from '../../relay/registry-place.ts';

const URL_TEXT = 'postgres://waygate:no-secret@db.example:5432/waygate';

describe('the place of the registry', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'waygate-place-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function placeOf(content: string, mode = 0o600) {
    const postgresUrlFile = join(folder, 'postgres-url');
    rmSync(postgresUrlFile, { force: true, recursive: true });
    writeFileSync(postgresUrlFile, content);
    chmodSync(postgresUrlFile, mode);
    return registryPlace({ state: folder, registry: { postgresUrlFile } });
  }

  test('is a file in the state directory, unless a file holds a URL', async () => {
    const file = join(folder, 'registry.sqlite');
    expect(await registryPlace({ state: folder, registry: {} })).toEqual({ kind: 'sqlite', file });
    const postgres = { kind: 'postgres', url: URL_TEXT };
    expect(await placeOf(`${URL_TEXT}\n`)).toEqual(postgres);
    expect(await placeOf(URL_TEXT, 0o400)).toEqual(postgres);
  });

  test.each([
    ['others may read it', URL_TEXT, 0o640, 'has mode 0640'],
    ['it is empty', '\n', 0o600, 'must hold one line'],
    ['it holds two lines', `${URL_TEXT}\n${URL_TEXT}\n`, 0o600, 'must hold one line'],
    ['it is a book', 'x'.repeat(5_000), 0o600, 'too large'],
  ])('is not told when %s', async (_, content, mode, words) => {
    const refusal = placeOf(content, mode);
    await expect(refusal).rejects.toMatchObject({ code: 'ERR_SECRET_FILE' });
    await expect(refusal).rejects.toThrow(words);
    await expect(refusal).rejects.not.toThrow('no-secret');
  });

  test('is not told when there is no such file, or a directory', async () => {
    const at = (name: string) =>
      registryPlace({ state: folder, registry: { postgresUrlFile: join(folder, name) } });
    await expect(at('absent')).rejects.toThrow('ENOENT');
    mkdirSync(join(folder, 'directory'), { mode: 0o700 });
    await expect(at('directory')).rejects.toThrow('is no regular file');
  });
});
