// Relays that die and come back, seen by watchers whose clock the test turns.
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { registerRelay, setRelayAlive } from '../../relay/registry/deeds/relay-alive.ts';
import type { Registry } from '../../relay/registry/registry.ts';
import { RelayBeat } from '../../relay/relay-beat.ts';
import { RelayWatch } from '../../relay/relay-watch.ts';
import { makeWorld, type World } from './registry/fixture.ts';

const log = pino({ level: 'silent' });

class Vendor {
  readonly world: World;
  readonly registry: Registry;
  readonly watch: RelayWatch;
  #nowMs = 1_000_000;
  #beats = 0;

  constructor(world: World, registry: Registry) {
    this.world = world;
    this.registry = registry;
    this.watch = new RelayWatch({ registry, log, now: () => this.#nowMs });
  }

  static async of(...ids: string[]): Promise<Vendor> {
    const world = await makeWorld();
    const vendor = new Vendor(world, await world.open());
    for (const id of ids) await vendor.registry.perform(registerRelay({ id, addresses: ['::1'] }));
    return vendor;
  }

  /** Time passes, with a look every two seconds, in which these relays beat. */
  async pass(seconds: number, ...beating: string[]): Promise<void> {
    for (let passed = 0; passed < seconds; passed += 2) {
      await this.beat(...beating);
      this.#nowMs += 2_000;
      await this.watch.look();
    }
  }

  async beat(...ids: string[]): Promise<void> {
    this.#beats += 1;
    const beat = Date.now() + this.#beats * 1_000;
    await this.registry.write(async (db) => {
      for (const id of ids) {
        await db.updateTable('relays').set({ beat }).where('id', '=', id).execute();
      }
    });
  }

  /** Nobody looks meanwhile. */
  sleep(seconds: number): void {
    this.#nowMs += seconds * 1_000;
  }

  async alive(): Promise<string[]> {
    const rows = await this.registry.read((db) =>
      db.selectFrom('relays').select('id').where('alive', '=', 1).orderBy('id').execute(),
    );
    return rows.map(({ id }) => id);
  }
}

describe('a watcher', () => {
  it('takes a relay out whose beat stands still for 20 s, and puts it back when it grows', async () => {
    const vendor = await Vendor.of('one', 'two');
    await vendor.pass(18, 'two');
    expect(await vendor.alive()).toEqual(['one', 'two']);
    await vendor.pass(6, 'two');
    expect(await vendor.alive()).toEqual(['two']);
    expect(vendor.watch.counts).toEqual({ alive: 1, allStill: false });
    await vendor.pass(4, 'one', 'two');
    expect(await vendor.alive()).toEqual(['one', 'two']);
  });

  it('leaves the last set as it is when all stand still: rather the watcher is cut off', async () => {
    const vendor = await Vendor.of('one', 'two');
    await vendor.pass(60);
    expect(await vendor.alive()).toEqual(['one', 'two']);
    expect(vendor.watch.counts.allStill).toBe(true);
    await vendor.pass(2, 'two');
    expect(await vendor.alive()).toEqual(['two']);
    expect(vendor.watch.counts.allStill).toBe(false);
    await vendor.pass(60);
    expect(await vendor.alive()).toEqual(['two']);
  });

  it('that slept begins to count anew', async () => {
    const vendor = await Vendor.of('one', 'two');
    await vendor.pass(18, 'two');
    vendor.sleep(3_600);
    await vendor.pass(18, 'two');
    expect(await vendor.alive()).toEqual(['one', 'two']);
  });

  it('that could not read the database begins to count anew', async () => {
    const vendor = await Vendor.of('one', 'two');
    await vendor.pass(18, 'two');
    vendor.world.meddle('alter table relays rename to elsewhere');
    for (let looks = 0; looks < 30; looks += 1) {
      vendor.sleep(2);
      await vendor.watch.look();
    }
    vendor.world.meddle('alter table elsewhere rename to relays');
    await vendor.registry.poll();
    await vendor.pass(18, 'two');
    expect(await vendor.alive()).toEqual(['one', 'two']);
    await vendor.pass(6, 'two');
    expect(await vendor.alive()).toEqual(['two']);
  });

  it('does not bring back who beat for the last time and then said goodbye', async () => {
    const vendor = await Vendor.of('one', 'two');
    await vendor.pass(4, 'one', 'two');
    await vendor.beat('one');
    await vendor.registry.perform(setRelayAlive({ id: 'one', alive: false }));
    await vendor.pass(30, 'two');
    expect(await vendor.alive()).toEqual(['two']);
  });

  it('does not bury a relay that has beaten since it was judged', async () => {
    const vendor = await Vendor.of('one', 'two');
    const verdict = { id: 'one', alive: false, beat: 5 };
    expect(await vendor.registry.perform(setRelayAlive(verdict))).toBe('beats');
    expect(await vendor.alive()).toEqual(['one', 'two']);
  });

  it('agrees with another watcher, whoever is first', async () => {
    const vendor = await Vendor.of('one', 'two');
    const other = new Vendor(vendor.world, await vendor.world.open());
    for (let seconds = 0; seconds < 26; seconds += 2) {
      await vendor.pass(2, 'two');
      other.sleep(2);
      await other.watch.look();
    }
    expect(await vendor.alive()).toEqual(['two']);
  });
});

describe('a relay', () => {
  it('tells that it is there, again when its row is lost, and says goodbye unless it is the last', async () => {
    const { world, registry } = await Vendor.of('other');
    const presence = { id: 'one', addresses: ['192.0.2.1'] };
    const beat = new RelayBeat({ registry, presence, log, everyMs: 5 });
    await beat.start();
    const row = () =>
      registry.read((db) =>
        db.selectFrom('relays').selectAll().where('id', '=', 'one').executeTakeFirst(),
      );
    const first = await row();
    expect(first).toMatchObject({ alive: 1, addresses: '["192.0.2.1"]' });
    await until(async () => ((await row())?.beat ?? 0) > (first?.beat ?? 0));
    world.meddle("delete from relays where id = 'one'");
    await until(async () => (await row())?.alive === 1);
    await beat.stop();
    expect((await row())?.alive).toBe(0);
    const last = new RelayBeat({ registry, presence: { ...presence, id: 'other' }, log });
    await last.start();
    await last.stop();
    const kept = await registry.read((db) =>
      db.selectFrom('relays').select('id').where('alive', '=', 1).execute(),
    );
    expect(kept).toEqual([{ id: 'other' }]);
  });

  it('whose id another has too says so', async () => {
    const { world, registry } = await Vendor.of();
    const lines: string[] = [];
    const told = pino({}, { write: (line: string) => void lines.push(line) });
    const presence = { id: 'one', addresses: ['192.0.2.1'] };
    const beat = new RelayBeat({ registry, presence, log: told, everyMs: 5 });
    await beat.start();
    world.meddle(`update relays set addresses = '["192.0.2.9"]'`);
    await until(async () => lines.some((line) => /another relay has the same id/.test(line)));
    await beat.stop();
  });

  it('without a public address is not published, and says so', async () => {
    const { registry } = await Vendor.of();
    const lines: string[] = [];
    const told = pino({}, { write: (line: string) => void lines.push(line) });
    const beat = new RelayBeat({ registry, presence: { id: 'one', addresses: [] }, log: told });
    await beat.start();
    await beat.stop();
    expect(lines.join()).toMatch(/set \\"addresses\\"/);
    expect(await registry.read((db) => db.selectFrom('relays').selectAll().execute())).toEqual([]);
  });
});

/** The test's own timeout is the bound. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((settle) => setImmediate(settle));
}
