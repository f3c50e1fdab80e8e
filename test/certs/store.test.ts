import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openStore, type Store, StoreError } from '../../certs/store.ts';
import { requires } from '../world/requires.ts';

let directory: string;
let store: Store;

beforeEach(async () => {
  directory = join(await mkdtemp(join(tmpdir(), 'waygate-store-')), 'certs');
  store = await openStore(directory);
});

afterEach(async () => {
  await rm(join(directory, '..'), { recursive: true });
});

describe('a store', () => {
  test('keeps what was written, in files that only their owner can read', async () => {
    expect(await store.read('a.pem')).toBeUndefined();
    await store.write('a.pem', 'one');
    await store.write('a.pem', 'two');
    await store.write('ca.pem', 'public', 0o644);
    expect(await store.read('a.pem')).toBe('two');
    expect((await stat(join(directory, 'a.pem'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(directory, 'ca.pem'))).mode & 0o777).toBe(0o644);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await store.list()).sort()).toEqual(['a.pem', 'ca.pem']);
    await store.remove('a.pem');
    await store.remove('a.pem');
    expect(await store.list()).toEqual(['ca.pem']);
  });

  test('lets one of many create an entry, and all read that one', async () => {
    const stores = await Promise.all(Array.from({ length: 10 }, () => openStore(directory)));
    const created = await Promise.all(
      stores.map((each, index) => each.create('key.pem', `content ${index}`)),
    );
    expect(created.filter((placed) => placed)).toHaveLength(1);
    expect(await store.read('key.pem')).toBe(`content ${created.indexOf(true)}`);
    expect(await readdir(directory)).toEqual(['key.pem']);
  });

  test.each(['../a', 'a/b', '.hidden', '', '-rf', 'A', 'a\0'])(
    'takes %j for a bug, as it would lie elsewhere',
    async (entry) => {
      expect(() => store.read(entry)).toThrow(RangeError);
      await expect(store.write(entry, 'x')).rejects.toThrow(RangeError);
    },
  );

  test('sweeps what a crash left, but not what another process is writing', async () => {
    const [old, young] = ['.tmp-old', '.tmp-young'].map((name) => join(directory, name));
    await Promise.all([old, young].map((file) => writeFile(file ?? '', 'part')));
    await utimes(old ?? '', 0, 0);
    await openStore(directory);
    expect(await readdir(directory)).toEqual(['.tmp-young']);
    expect(await store.list()).toEqual([]);
  });

  test('says which file could not be written and what to do, without its content', async () => {
    await rm(directory, { recursive: true });
    await writeFile(directory, '');
    const error: unknown = await store.write('a.pem', 'SECRET').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StoreError);
    expect(error).toMatchObject({ code: 'ERR_STORE_WRITE' });
    expect(String(error)).toContain(join(directory, 'a.pem'));
    expect(String(error)).not.toContain('SECRET');
  });

  test('F-23 a reader sees a whole content at every instant, and so does the next start', async () => {
    const writer = fork(new URL('./store-writer.ts', import.meta.url), [directory]);
    try {
      await once(writer, 'message');
      for (let round = 0; round < 300; round += 1) {
        const content = await readFile(join(directory, 'a.pem'), 'utf8');
        expect(content).toMatch(/^(\d)\1{99999}$/);
      }
    } finally {
      writer.kill('SIGKILL');
    }
    await once(writer, 'exit');
    expect(await (await openStore(directory)).read('a.pem')).toMatch(/^(\d)\1{99999}$/);
  });
});

const need = requires('root');

describe.skipIf(need.skip)('what root replaces', () => {
  test("is at no instant root's, who may be killed at any", async () => {
    await store.write('a.pem', 'old');
    const file = join(directory, 'a.pem');
    await chown(file, 4242, 4343);
    let writing = true;
    const writes = (async () => {
      for (let round = 0; round < 30; round += 1) await store.write('a.pem', `new ${round}`);
    })().finally(() => {
      writing = false;
    });
    const owners = new Set<string>();
    while (writing) {
      const { uid, gid } = await stat(file);
      owners.add(`${uid} ${gid}`);
    }
    await writes;
    expect(owners).toEqual(new Set(['4242 4343']));
    await store.write('b.pem', 'nobody had it before');
    expect((await stat(join(directory, 'b.pem'))).uid).toBe(0);
  });
});
