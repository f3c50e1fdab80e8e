// What can happen to the file of a registry: each time the last good snapshot goes on serving.
import { execFileSync } from 'node:child_process';
import { copyFile, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, onTestFinished, test } from 'vitest';
import { SQLITE_LIMITS } from '../../../relay/registry/sqlite-database.ts';
import { requires } from '../../world/requires.ts';
import {
  deviceKey,
  deviceName,
  enrollMany,
  errorsOf,
  faultIs,
  makeWorld,
  wellAgain,
  worldIn,
} from './fixture.ts';

const alice = deviceName('alice');
const bob = deviceName('bob');
const actor = 'test';

describe('the last good snapshot goes on serving', () => {
  test('F-6 while another program holds the file locked', async () => {
    const world = await makeWorld();
    const registry = await world.open();
    const key = deviceKey();
    await registry.enroll({ name: alice, deviceKey: key, actor });
    const first = await registry.nextEpoch(key.thumbprint);
    const locker = new DatabaseSync(world.file);
    locker.exec('begin immediate');
    const startedMs = performance.now();
    const waiting = registry.enroll({ name: bob, deviceKey: key, actor });
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_REGISTRY_BUSY' });
    expect(performance.now() - startedMs).toBeGreaterThan(SQLITE_LIMITS.lockWaitMs - 100);
    expect(registry.snapshot.deviceOf(alice)?.thumbprint).toBe(key.thumbprint);
    // Devices still come back, and their epochs still grow.
    expect(await registry.nextEpoch(key.thumbprint)).toBe(first + 1);
    await registry.poll();
    expect(registry.fault?.code).toBe('ERR_REGISTRY_BUSY');
    locker.exec('rollback');
    locker.close();
    await wellAgain(registry);
    expect(await registry.nextEpoch(key.thumbprint)).toBe(first + 2);
    expect(await registry.enroll({ name: bob, deviceKey: key, actor })).toBe('enrolled');
    expect(errorsOf(world)).toEqual(['ERR_REGISTRY_BUSY']);
    await registry.close();
    // What was drawn from memory is not drawn again after a restart.
    expect(await (await world.open()).nextEpoch(key.thumbprint)).toBe(first + 3);
  }, 20_000);

  test('when the file is deleted, and nothing is acknowledged that would be lost', async () => {
    const world = await makeWorld();
    const registry = await world.open();
    await registry.enroll({ name: alice, deviceKey: deviceKey(), actor });
    await rename(world.file, `${world.file}.away`);
    const lost = registry.enroll({ name: bob, deviceKey: deviceKey(), actor });
    await expect(lost).rejects.toMatchObject({ code: 'ERR_REGISTRY_MISSING' });
    for (let look = 0; look < 5; look += 1) await registry.poll();
    expect(registry.snapshot.deviceOf(alice)).toBeDefined();
    expect(registry.fault?.message).toContain('Put it back');
    await rename(`${world.file}.away`, world.file);
    await wellAgain(registry);
    expect(await registry.enroll({ name: bob, deviceKey: deviceKey(), actor })).toBe('enrolled');
    expect(errorsOf(world)).toEqual(['ERR_REGISTRY_MISSING', 'ERR_REGISTRY_MISSING']);
  });

  test('F-11 when the file is damaged, until a backup is in its place', async () => {
    const world = await makeWorld();
    const registry = await world.open();
    await enrollMany(registry, 'name', 30);
    const backup = new DatabaseSync(world.file);
    backup.exec(`vacuum into '${world.file}.backup'`);
    backup.close();
    await rm(`${world.file}-wal`);
    await rm(`${world.file}-shm`);
    await writeFile(`${world.file}.bad`, 'this is no database at all, '.repeat(1_000));
    await rename(`${world.file}.bad`, world.file);
    await faultIs(registry, 'ERR_REGISTRY_DAMAGED');
    expect(registry.snapshot.size).toBe(30);
    for (let look = 0; look < 5; look += 1) await registry.poll();
    expect(errorsOf(world)).toEqual(['ERR_REGISTRY_MISSING', 'ERR_REGISTRY_DAMAGED']);
    await rename(`${world.file}.backup`, world.file);
    await wellAgain(registry);
    expect(await registry.enroll({ name: bob, deviceKey: deviceKey(), actor })).toBe('enrolled');
    expect(registry.snapshot.size).toBe(31);
  });
});

test('F-11 an empty file in the place of the registry is refused, and the way back is open', async () => {
  const world = await makeWorld();
  const registry = await world.open();
  await enrollMany(registry, 'name', 3);
  await rename(world.file, `${world.file}.away`);
  for (const tail of ['-wal', '-shm']) await rename(world.file + tail, `${world.file}.away${tail}`);
  await writeFile(world.file, '');
  await faultIs(registry, 'ERR_REGISTRY_SHRUNK');
  expect(registry.snapshot.size).toBe(3);
  for (const tail of ['', '-wal', '-shm'])
    await rename(`${world.file}.away${tail}`, world.file + tail);
  await wellAgain(registry);
  await enrollMany(registry, 'more', 1);
  expect(registry.snapshot.size).toBe(4);
});

describe('at the start', () => {
  test('a damaged file is refused, with what to do', async () => {
    const world = await makeWorld();
    await writeFile(world.file, 'x'.repeat(10_000));
    await expect(world.open()).rejects.toMatchObject({
      code: 'ERR_REGISTRY_DAMAGED',
      message: expect.stringContaining('backup'),
    });
  });

  test('a file that was cut off is refused or whole, and never an empty registry', async () => {
    const world = await makeWorld();
    const registry = await world.open();
    await enrollMany(registry, 'name', 50);
    await registry.close();
    await copyFile(world.file, `${world.file}.whole`);
    for (const bytes of [100, 4_096, 8_192, 20_000]) {
      await copyFile(`${world.file}.whole`, world.file);
      await truncate(world.file, bytes);
      await expect(world.open()).rejects.toMatchObject({ code: 'ERR_REGISTRY_DAMAGED' });
    }
  });

  test('a registry of a newer version is refused', async () => {
    const world = await makeWorld();
    await (await world.open()).close();
    world.meddle("insert into kysely_migration values ('9999-later', '2030-01-01')");
    await expect(world.open()).rejects.toMatchObject({ code: 'ERR_REGISTRY_NEWER' });
  });

  test('a directory that cannot be made is told as such', async () => {
    const { file } = await makeWorld();
    await writeFile(file, '');
    const world = worldIn(join(file, 'below'));
    await expect(world.open()).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNAVAILABLE' });
  });
});

// For a tmpfs that is small enough to fill.
const need = requires('root');

test.skipIf(need.skip)('F-6 a full disk stops changes, and nothing else', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'waygate-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=600k', 'waygate-test', directory]);
  onTestFinished(() => {
    execFileSync('umount', ['--lazy', directory]);
  });
  const world = worldIn(directory);
  const registry = await world.open();
  const key = deviceKey();
  await registry.enroll({ name: alice, deviceKey: key, actor });
  await writeFile(join(directory, 'filler'), Buffer.alloc(600_000)).catch(() => undefined);
  const kept = new Set<string>(['alice']);
  const fill = async (): Promise<void> => {
    for (let at = 0; at < 1_000; at += 1) {
      const name = deviceName(`name-${at}`);
      await registry.enroll({ name, deviceKey: key, actor });
      kept.add(name);
    }
  };
  await expect(fill()).rejects.toMatchObject({ code: 'ERR_REGISTRY_FULL' });
  expect(registry.fault?.code).toBe('ERR_REGISTRY_FULL');
  expect(await registry.nextEpoch(key.thumbprint)).toBe(1);
  expect(new Set(registry.snapshot.names())).toEqual(kept);
  await rm(join(directory, 'filler'));
  await wellAgain(registry);
  expect(await registry.enroll({ name: bob, deviceKey: key, actor })).toBe('enrolled');
  expect(await registry.nextEpoch(key.thumbprint)).toBe(2);
  await registry.close();
  const again = await world.open();
  expect(new Set(again.snapshot.names())).toEqual(kept.add('bob'));
  await again.close();
});
