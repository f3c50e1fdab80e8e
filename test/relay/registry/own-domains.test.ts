// Which own domains the watch takes: nobody's keep those of others waiting, however many there are.
import { expect, test } from 'vitest';
import { hastenDomain, takeDueDomains } from '../../../relay/registry/own-domains.ts';
import type { Registry } from '../../../relay/registry/registry.ts';
import type { RegistryTables } from '../../../relay/registry/schema.ts';
import { requires } from '../../world/requires.ts';
import { onBothEngines } from './engines.ts';
import { deviceKey, deviceName } from './fixture.ts';

const NOW_MS = Date.UTC(2030, 0, 1);

onBothEngines(requires('initdb', 'setpriv'), (makeWorld) => {
  /** Of each name so many domains, those of the first name due the longest. */
  async function holding(registry: Registry, counts: Readonly<Record<string, number>>) {
    const rows: RegistryTables['domains'][] = [];
    for (const [name, count] of Object.entries(counts)) {
      await registry.enroll({ name: deviceName(name), deviceKey: deviceKey(), actor: 'test' });
      for (let at = 0; at < count; at += 1) {
        rows.push(domainRow(name, at, rows.length));
      }
    }
    await registry.write((db) => db.insertInto('domains').values(rows).execute());
  }

  function owns(registry: Registry, id: string, names: readonly string[]) {
    return registry.write(async (db) => {
      await db.insertInto('owners').values({ id, email: null, created_at: 0 }).execute();
      await db.updateTable('names').set({ owner_id: id }).where('name', 'in', names).execute();
    });
  }

  function take(
    registry: Registry,
    max: number,
    underWay: ReadonlyMap<string, number> = new Map(),
  ) {
    const taking = { nowMs: NOW_MS, leaseMs: 60_000, max, perHolderMax: 3, underWay };
    return registry.write(takeDueDomains(taking));
  }

  const targets = (rows: readonly { readonly target: string }[]) =>
    rows.map(({ target }) => target).toSorted();

  test('attack: an owner of many domains has a few looked at, and others have theirs', async () => {
    const registry = await (await makeWorld()).open();
    await holding(registry, { many: 40, more: 40, alice: 2, bob: 1 });
    await owns(registry, 'owner-1', ['many', 'more']);
    await owns(registry, 'owner-2', ['alice']);
    // Two names of one owner are one holder; the others have their turn before his second.
    expect(targets(await take(registry, 3))).toEqual(['alice-0', 'bob-0', 'many-0']);
    const underWay = new Map([['owner owner-1', 1]]);
    const next = await take(registry, 12, underWay);
    expect(targets(next)).toEqual(['alice-1', 'many-1', 'many-2']);
    expect(next.map((row) => row.owner_id).toSorted()).toEqual(['owner-1', 'owner-1', 'owner-2']);
    expect(await take(registry, 12, new Map([['owner owner-1', 3]]))).toEqual([]);
  });

  test('whoever has none under way comes before those who have, however long theirs are due', async () => {
    const registry = await (await makeWorld()).open();
    await holding(registry, { slow: 9, slower: 9, alice: 1 });
    const underWay = new Map([
      ['name slow', 2],
      ['name slower', 1],
    ]);
    expect(targets(await take(registry, 1, underWay))).toEqual(['alice-0']);
    expect(targets(await take(registry, 1, underWay))).toEqual(['slower-0']);
  });

  test('what a person has asked for comes first of all that are his', async () => {
    const registry = await (await makeWorld()).open();
    await holding(registry, { slow: 9, alice: 9 });
    await registry.write(hastenDomain({ target: 'alice-7' }));
    expect(targets(await take(registry, 1))).toEqual(['alice-7']);
    expect(targets(await take(registry, 2))).toEqual(['alice-0', 'slow-0']);
  });
});

function domainRow(name: string, at: number, order: number): RegistryTables['domains'] {
  const domain = `${name}-${at}.example.org`;
  return {
    ...{ domain, name, workspace: null, wildcard: 0, target: `${name}-${at}`, proof: domain },
    ...{ state: 'proven', added_at: 0, proven_at: 0, checked_at: 0, failing_since: null },
    ...{ finding: null, check_due_at: NOW_MS - 1_000 + order },
  };
}
