import { expect, test } from 'vitest';
import {
  reconcileName,
  reconcileNames,
} from '../../../../relay/registry/certificates/reconcile.ts';
import { rename } from '../../../../relay/registry/deeds/rename.ts';
import type { Registry } from '../../../../relay/registry/registry.ts';
import { requires } from '../../../world/requires.ts';
import { onBothEngines } from '../engines.ts';
import { deviceKey, deviceName } from '../fixture.ts';
import {
  DAY_MS,
  emptyWorlds,
  hostname,
  issueFor,
  ledger,
  NOW_MS,
  namesOf,
  wanting,
  workRows,
  ZONE,
} from './certificate-world.ts';

const by = { kind: 'operator', user: 'test' } as const;

function reconcile(registry: Registry, zone = ZONE) {
  return reconcileNames((work) => registry.write(work), zone, NOW_MS);
}

async function subjects(registry: Registry): Promise<string[]> {
  return (await workRows(registry)).map(({ subject }) => subject);
}

onBothEngines(requires('initdb', 'setpriv'), (anyWorld, engine) => {
  const makeWorld = emptyWorlds(anyWorld, engine);
  const fresh = async () => (await makeWorld()).open();
  const enroll = async (registry: Registry, ...names: string[]) => {
    const key = deviceKey();
    for (const name of names) {
      await registry.enroll({ name: deviceName(name), deviceKey: key, actor: 'test' });
    }
    return key;
  };

  test('every name that is held or former, and the zone, wants a certificate', async () => {
    const registry = await fresh();
    await enroll(registry, 'alice', 'bob');
    await registry.perform(rename({ name: deviceName('alice'), to: deviceName('carol'), by }));
    await enroll(registry, 'gone');
    await registry.release({ name: deviceName('gone'), by });
    expect(await reconcile(registry)).toEqual({ added: 4, dropped: 0 });
    const rows = await workRows(registry);
    expect(rows.map(({ subject, urgency }) => [subject, urgency])).toEqual([
      ['alice.vendor.dev', 0],
      ['bob.vendor.dev', 0],
      ['carol.vendor.dev', 0],
      ['vendor.dev', -2],
    ]);
    expect(await reconcile(registry)).toEqual({ added: 0, dropped: 0 });
    // Said again by who makes the names himself, it is the same.
    expect(await wanting(registry, 'bob.vendor.dev', { names: namesOf('bob.vendor.dev') })).toBe(
      false,
    );
  });

  test('what nobody has any more is dropped, and its key wiped', async () => {
    const registry = await fresh();
    const { thumbprint } = await enroll(registry, 'alice', 'bob');
    await issueFor(registry, 'alice.vendor.dev');
    await issueFor(registry, 'bob.vendor.dev');
    const device = { purpose: 'device', csr: 'AAAA' } as const;
    await wanting(registry, 'alice.vendor.dev', { ...device, thumbprint });
    await wanting(registry, 'alice.vendor.dev', { ...device, thumbprint: 'replaced' });
    await wanting(registry, 'app.example.org', { purpose: 'domain' });
    await wanting(registry, 'alice.other.dev');
    await wanting(registry, 'a.b');
    await registry.release({ name: deviceName('bob'), by });
    expect(await reconcile(registry)).toEqual({ added: 1, dropped: 5 });
    const rows = await workRows(registry);
    expect(rows.map((row) => `${row.purpose} ${row.subject} ${row.thumbprint}`).toSorted()).toEqual(
      [`device alice.vendor.dev ${thumbprint}`, 'relay alice.vendor.dev ', 'relay vendor.dev '],
    );
    expect((await ledger(registry)).map(({ subject, key }) => [subject, key !== null])).toEqual([
      ['alice.vendor.dev', true],
      ['bob.vendor.dev', false],
    ]);
  });

  test('a domain that somebody wants keeps its certificate', async () => {
    const registry = await fresh();
    await wanting(registry, 'app.example.org', { purpose: 'domain' });
    await registry.write((db) =>
      db
        .insertInto('domains')
        .values({
          ...{ domain: 'app.example.org', name: 'alice', wildcard: 0, target: 't', proof: 'p' },
          ...{ state: 'proven', added_at: 1, check_due_at: 1 },
        })
        .execute(),
    );
    expect(await reconcile(registry)).toEqual({ added: 1, dropped: 0 });
  });

  test('what a clock years ahead has put off is due at the next start, and nothing else is', async () => {
    const registry = await fresh();
    await enroll(registry, 'alice', 'bob');
    await issueFor(registry, 'alice.vendor.dev');
    await reconcile(registry);
    const dueOf = async (subject: string) =>
      (await workRows(registry)).find((row) => row.subject === subject)?.due_at;
    const renewal = await dueOf('alice.vendor.dev');
    const waitsMaxMs = 8 * DAY_MS;
    const putOff = (ms: number) =>
      registry.write((db) =>
        db
          .updateTable('certificate_work')
          .set({ due_at: NOW_MS + ms, attempts: 3 })
          .where('subject', '=', 'bob.vendor.dev')
          .execute(),
      );
    for (const [ms, then] of [
      [waitsMaxMs, waitsMaxMs],
      [waitsMaxMs + 1, 0],
    ] as const) {
      await putOff(ms);
      await reconcile(registry);
      expect(await dueOf('bob.vendor.dev')).toBe(NOW_MS + then);
    }
    expect(await dueOf('alice.vendor.dev')).toBe(renewal);
    expect(renewal).toBeGreaterThan(NOW_MS + waitsMaxMs);
  });

  test('one name alone is followed after each deed', async () => {
    const registry = await fresh();
    const follow = (name: string) => registry.write(reconcileName(ZONE, name, NOW_MS));
    await enroll(registry, 'alice', 'bob');
    expect(await follow('alice')).toBe(true);
    expect(await follow('alice')).toBe(false);
    expect(await subjects(registry)).toEqual(['alice.vendor.dev']);
    await registry.release({ name: deviceName('alice'), by });
    expect(await follow('alice')).toBe(false);
    expect(await subjects(registry)).toEqual([]);
  });

  test('two relays that start at once add everything once', async () => {
    const world = await makeWorld();
    const relays = [await world.open(), await world.open()];
    const [first] = relays;
    if (first === undefined) throw new Error('no registry');
    await enroll(first, ...Array.from({ length: 9 }, (_, at) => `name-${at}`));
    const done = await Promise.all(relays.map((registry) => reconcile(registry)));
    expect(done.reduce((sum, { added }) => sum + added, 0)).toBe(10);
    expect(await subjects(first)).toHaveLength(10);
  });

  test('under another zone, all of it is another', async () => {
    const registry = await fresh();
    await enroll(registry, 'alice');
    await reconcile(registry);
    expect(await reconcile(registry, hostname('v.dev'))).toEqual({ added: 2, dropped: 2 });
    expect(await subjects(registry)).toEqual(['alice.v.dev', 'v.dev']);
  });
});
