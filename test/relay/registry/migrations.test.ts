// A database that an earlier version has made, with rows in it, is brought over at the first start.
import { DatabaseSync } from 'node:sqlite';
import { Kysely, PostgresDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { Pool } from 'pg';
import { expect, test } from 'vitest';
import { listRevocations } from '../../../relay/registry/certificates/revocation-listing.ts';
import {
  askRevocations,
  REVOCATION,
} from '../../../relay/registry/certificates/revocation-queue.ts';
import type { DatabasePlace } from '../../../relay/registry/database.ts';
import { POSTGRES_ENGINE, SQLITE_ENGINE } from '../../../relay/registry/engine.ts';
import { migrations } from '../../../relay/registry/migrations.ts';
import { sqliteDialect } from '../../../relay/registry/sqlite-dialect.ts';
import { requires } from '../../world/requires.ts';
import { onBothEngines } from './engines.ts';

/** As the version left it that knew no certificates, or a later one. */
async function makeEarlier(place: DatabasePlace, version = '0001-names'): Promise<void> {
  const sqlite = place.kind === 'sqlite';
  const dialect = sqlite
    ? sqliteDialect(new DatabaseSync(place.file))
    : new PostgresDialect({ pool: new Pool({ connectionString: place.url, max: 2 }) });
  const db = new Kysely<unknown>({ dialect });
  const all = migrations(sqlite ? SQLITE_ENGINE : POSTGRES_ENGINE);
  const migrator = new Migrator({ db, provider: { getMigrations: async () => ({ ...all }) } });
  const { error } = await migrator.migrateTo(version);
  await db.destroy();
  expect(error).toBeUndefined();
}

onBothEngines(requires('initdb', 'setpriv'), (makeWorld) => {
  test('own domains of an earlier version are kept, and are due for a look', async () => {
    const world = await makeWorld();
    await makeEarlier(world.place);
    await world.query(`insert into domains values
      ('app.example.org', 'alice', null, 't1', 'p1', 'pending', 7),
      ('shop.example.org', 'bob', 'shop', 't2', 'p2', 'proven', 8),
      ('old.example.org', 'carol', null, 't3', 'p3', 'suspended', 9)`);
    const registry = await world.open();
    const rows = await registry.read((db) =>
      db.selectFrom('domains').selectAll().orderBy('target').execute(),
    );
    const unseen = { checked_at: null, check_due_at: 0, failing_since: null, finding: null };
    const first = { domain: 'app.example.org', name: 'alice', workspace: null, wildcard: 0 };
    expect(rows).toEqual([
      {
        ...first,
        ...unseen,
        target: 't1',
        proof: 'p1',
        state: 'pending',
        added_at: 7,
        proven_at: null,
      },
      expect.objectContaining({ name: 'bob', workspace: 'shop', state: 'proven', proven_at: 8 }),
      expect.objectContaining({ name: 'carol', state: 'suspended', proven_at: 9 }),
    ]);
  });

  test('certificates of an earlier version can be revoked', async () => {
    const world = await makeWorld();
    await makeEarlier(world.place, '0003-device-keys');
    await world.query(`insert into certificates
      (purpose, subject, thumbprint, names, ca, order_url, serial, chain, not_before, not_after, issued_at)
      values ('device', 'alice.vendor.dev', 'lost', '[]', 'ca', 'url', '01', 'chain', 0, 900, 0)`);
    const registry = await world.open();
    const asking = { reason: REVOCATION.keyCompromise, nowMs: 7 };
    await registry.write((db) => askRevocations(db, { thumbprint: 'lost' }, asking));
    expect(await registry.read(listRevocations({ limit: 9, nowMs: 7 }))).toMatchObject([
      { serial: '01', state: 'revoking', reason: 1, notAfterMs: 900 },
    ]);
  });

  test('several names may want a domain, and one has it', async () => {
    const world = await makeWorld();
    await makeEarlier(world.place);
    const registry = await world.open();
    const add = (name: string, state: 'pending' | 'proven' | 'suspended', target = name) =>
      registry.write((db) =>
        db
          .insertInto('domains')
          .values({
            ...{ domain: 'app.example.org', name, target, state, wildcard: 0 },
            ...{ proof: 'p', added_at: 1, check_due_at: 1 },
          })
          .execute(),
      );
    await add('alice', 'pending');
    await add('bob', 'proven');
    await add('carol', 'pending');
    await expect(add('dora', 'proven'), 'a second proven one').rejects.toThrow();
    await expect(add('dora', 'suspended'), 'one beside the proven one').rejects.toThrow();
    await expect(add('dora', 'pending', 'bob'), 'the target of another').rejects.toThrow();
    await expect(add('alice', 'pending', 'again'), 'the same one again').rejects.toThrow();
    const rows = await registry.read((db) =>
      db.selectFrom('domains').select(['name', 'state']).orderBy('name').execute(),
    );
    expect(rows).toEqual([
      { name: 'alice', state: 'pending' },
      { name: 'bob', state: 'proven' },
      { name: 'carol', state: 'pending' },
    ]);
  });

  test('opened again, nothing is done twice', async () => {
    const world = await makeWorld();
    for (const round of [1, 2]) {
      const registry = await world.open();
      await registry.close();
      const done = await world.query('select name from kysely_migration order by name');
      const all = Object.keys(migrations(SQLITE_ENGINE));
      expect(done, `start ${round}`).toEqual(all.map((name) => ({ name })));
    }
  });
});
