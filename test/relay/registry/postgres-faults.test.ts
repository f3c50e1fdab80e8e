// What can happen to a PostgreSQL server of a registry: each time the last good snapshot goes on
// serving, the error says what to do, and all is well again without a restart.
import { inspect } from 'node:util';
import { Client } from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { openRegistry, type Registry } from '../../../relay/registry/registry.ts';
import type { RegistryErrorCode } from '../../../relay/registry/registry-error.ts';
import { freePort } from '../../world/free-port.ts';
import { PostgresServer } from '../../world/postgres.ts';
import { requires } from '../../world/requires.ts';
import { deviceKey, deviceName, errorsOf, faultIs, postgresWorld, wellAgain } from './fixture.ts';

const alice = deviceName('alice');
const bob = deviceName('bob');
const actor = 'test';
const need = requires('initdb', 'setpriv');

describe.skipIf(need.skip)('a registry on PostgreSQL', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    // What was acknowledged must be there after the server was killed.
    server = await PostgresServer.start({ fsync: true });
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  /** It serves alice, it refuses changes, and epochs still grow. */
  async function expectStatic(
    registry: Registry,
    thumbprint: string,
    code: RegistryErrorCode,
  ): Promise<void> {
    const lost = registry.enroll({ name: bob, deviceKey: deviceKey(), actor });
    await expect(lost).rejects.toMatchObject({ code });
    await faultIs(registry, code);
    expect(registry.snapshot.deviceOf(alice)?.thumbprint).toBe(thumbprint);
    const first = await registry.nextEpoch(thumbprint);
    expect(await registry.nextEpoch(thumbprint)).toBe(first + 1);
    expect(await registry.lastSeenMs(thumbprint)).toBe(undefined);
  }

  async function expectWell(registry: Registry): Promise<void> {
    await wellAgain(registry);
    expect(await registry.enroll({ name: bob, deviceKey: deviceKey(), actor })).toBe('enrolled');
  }

  test.each(['SIGINT', 'SIGQUIT', 'SIGKILL'] as const)(
    'F-5 whose server is stopped with %s and started again',
    async (signal) => {
      const world = await postgresWorld(server);
      const [registry, other] = [await world.open(), await world.open()];
      const key = deviceKey();
      await registry.enroll({ name: alice, deviceKey: key, actor });
      await server.stop(signal);
      onTestFinished(() => server.start());
      await expectStatic(registry, key.thumbprint, 'ERR_REGISTRY_UNAVAILABLE');
      expect(registry.fault?.message).toContain('See whether the server runs');
      await expect(
        openRegistry({ database: world.place, log: pino({ level: 'silent' }) }),
      ).rejects.toMatchObject({
        code: 'ERR_REGISTRY_UNAVAILABLE',
      });
      await server.start();
      await expectWell(registry);
      expect(new Set(errorsOf(world))).toEqual(new Set(['ERR_REGISTRY_UNAVAILABLE']));
      // The others hear again of what is done.
      await wellAgain(other);
      await registry.release({ name: alice, by: { kind: 'operator', user: 'test' } });
      await vi.waitFor(() => expect(other.snapshot.deviceOf(alice)).toBeUndefined(), 5_000);
      expect(JSON.stringify(world.lines)).not.toContain('no-secret');
    },
  );

  test('whose connections are ended by an administrator, all at once', async () => {
    const world = await postgresWorld(server);
    const [registry, other] = [await world.open(), await world.open()];
    const key = deviceKey();
    await registry.enroll({ name: alice, deviceKey: key, actor });
    await server.query(
      server.url('postgres'),
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'waygate'`,
    );
    await registry.poll();
    await other.poll();
    await expectWell(registry);
    await vi.waitFor(() => expect(other.snapshot.deviceOf(bob)).toBeDefined(), 5_000);
  });

  test('that has become read-only', async () => {
    const world = await postgresWorld(server);
    const registry = await world.open();
    const key = deviceKey();
    await registry.enroll({ name: alice, deviceKey: key, actor });
    const name = new URL(world.url).pathname.slice(1);
    const set = async (value: string) => {
      const sql = `alter database ${name} set default_transaction_read_only = ${value}`;
      await server.query(server.url('postgres'), sql);
      await server.query(
        server.url('postgres'),
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`,
      );
    };
    await set('on');
    await registry.poll();
    await expectStatic(registry, key.thumbprint, 'ERR_REGISTRY_UNAVAILABLE');
    // The connection that was cut is the first fault, and this is the lasting one.
    await vi.waitFor(() => expect(registry.fault?.message).toContain('read-only'), 10_000);
    await registry.poll();
    await registry.poll();
    expect(registry.fault?.message).toContain('read-only');
    await set('off');
    await expectWell(registry);
  });

  test('where somebody holds the lock of the deeds', async () => {
    const world = await postgresWorld(server);
    const registry = await world.open();
    const key = deviceKey();
    await registry.enroll({ name: alice, deviceKey: key, actor });
    const locker = new Client(world.url);
    await locker.connect();
    onTestFinished(() => locker.end());
    await locker.query(`begin; select pg_advisory_xact_lock(${0x77617967617465n})`);
    const waiting = registry.enroll({ name: bob, deviceKey: deviceKey(), actor });
    // Plain writes and devices that come back wait for nobody.
    expect(await registry.nextEpoch(key.thumbprint)).toBe(1);
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_REGISTRY_BUSY' });
    await locker.query('rollback');
    await expectWell(registry);
  }, 20_000);

  test('that lets nobody in, and says so without the password', async () => {
    const world = await postgresWorld(server);
    await (await world.open()).close();
    const log = pino({ level: 'silent' });
    const port = String(await freePort());
    const wrong = {
      'the password': world.url.replace(':no-secret', ':false-no-secret'),
      'the database': `${world.url}-of-nobody`,
      'the port': world.url.replace(`:${server.port}`, `:${port}`),
      'the host': world.url.replace('127.0.0.1', 'nowhere.invalid'),
      'the scheme': world.url.replace('postgres:', 'https:'),
      'no URL': 'waygate no-secret',
    };
    for (const [what, url] of Object.entries(wrong)) {
      const error: unknown = await openRegistry({ database: { kind: 'postgres', url }, log }).then(
        () => 'it was opened',
        (reason: unknown) => reason,
      );
      expect(error, what).toMatchObject({ code: 'ERR_REGISTRY_UNAVAILABLE' });
      expect(inspect(error, { depth: 9, showHidden: true }), what).not.toContain('no-secret');
    }
  });

  test('whose tables are gone, or of a newer version', async () => {
    const world = await postgresWorld(server);
    const registry = await world.open();
    const key = deviceKey();
    await registry.enroll({ name: alice, deviceKey: key, actor });
    await world.query('alter table names rename to elsewhere');
    await faultIs(registry, 'ERR_REGISTRY_MISSING');
    await expectStatic(registry, key.thumbprint, 'ERR_REGISTRY_MISSING');
    await world.query('alter table elsewhere rename to names');
    await expectWell(registry);
    await registry.close();
    await world.query("insert into kysely_migration values ('9999-later', '2030-01-01')");
    await expect(world.open()).rejects.toMatchObject({ code: 'ERR_REGISTRY_NEWER' });
  });

  test('tells of deeds also those who do not look', async () => {
    const world = await postgresWorld(server);
    const [registry, other] = [await world.open(), await world.open({ pollMs: 3_600_000 })];
    const heard = new Promise((resolve) => other.onChange(resolve));
    await registry.enroll({ name: alice, deviceKey: deviceKey(), actor });
    await heard;
    expect(other.snapshot.deviceOf(alice)).toBeDefined();
  });

  test('that several processes open for the first time at once', async () => {
    const world = await postgresWorld(server);
    const opened = await Promise.all(Array.from({ length: 10 }, () => world.open()));
    const [first, ...others] = opened;
    await first?.enroll({ name: alice, deviceKey: deviceKey(), actor });
    for (const other of others) {
      await vi.waitFor(() => expect(other.snapshot.size).toBe(1), 5_000);
    }
    const [{ count } = {}] = await world.query('select count(*) from kysely_migration');
    expect(Number(count)).toBeGreaterThan(0);
  });
});
