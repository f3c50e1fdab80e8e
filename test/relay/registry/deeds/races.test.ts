import { describe, expect, test } from 'vitest';
import type { Deed } from '../../../../relay/registry/deed.ts';
import { approveClaim } from '../../../../relay/registry/deeds/approve-claim.ts';
import { lapse } from '../../../../relay/registry/deeds/lapse.ts';
import { order } from '../../../../relay/registry/deeds/order.ts';
import { vetoRecovery } from '../../../../relay/registry/deeds/recovery.ts';
import { redeemOrder } from '../../../../relay/registry/deeds/redeem-order.ts';
import { rename } from '../../../../relay/registry/deeds/rename.ts';
import { acceptTransfer, offerTransfer } from '../../../../relay/registry/deeds/transfer.ts';
import { listRecoveries } from '../../../../relay/registry/listings.ts';
import { RegistryError } from '../../../../relay/registry/registry-error.ts';
import { deviceKey, deviceName } from '../fixture.ts';
import { DAY, DeedWorld, ENGINES, type Engine } from './deed-world.ts';

const RACERS = 100;
const name = deviceName('alice');
const actor = 'cli:root';

/** All at once, over four connections: how often each outcome, or the code of the refusal, was. */
async function race(world: DeedWorld, deeds: readonly Deed<unknown>[]) {
  const others = [world.another(), world.another(), world.another()];
  const registries = [world.registry, ...(await Promise.all(others))];
  const outcomes = await Promise.all(
    deeds.map(async (deed, at) => {
      const registry = registries[at % registries.length] ?? world.registry;
      return registry.perform(deed).then(
        (value) => Object(value).kind ?? 'done',
        (error: unknown) => (error instanceof RegistryError ? error.code : String(error)),
      );
    }),
  );
  await world.registry.poll();
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

function many<Value>(make: (at: number) => Value): Value[] {
  return Array.from({ length: RACERS }, (_, at) => make(at));
}

async function begin(engine: Engine) {
  const world = await DeedWorld.of(engine);
  const ownerId = await world.owner('ann@example.org');
  return { world, ownerId };
}

describe.each(ENGINES)(
  'R-1 on $engine, of a hundred at once exactly one',
  { timeout: 60_000 },
  (engine) => {
    test('gets a name that all claim', async () => {
      const { world, ownerId } = await begin(engine);
      const claims = await Promise.all(many((at) => world.claim(deviceKey(), `192.0.${at}.1`)));
      const approvals = claims.map(({ code }) => approveClaim({ code, ownerId, name }));
      const counts = await race(world, approvals);
      // The owner is the same, so the others ask to have it on their own key.
      expect(counts).toEqual({ bound: 1, recovering: 1, ERR_RECOVERY_WAITING: RACERS - 2 });
      expect(await world.history('alice')).toHaveLength(2);
    });

    test('gets a name that many owners claim', async () => {
      const { world } = await begin(engine);
      const owners = await Promise.all(many((at) => world.owner(`o${at}@example.org`)));
      const claims = await Promise.all(many((at) => world.claim(deviceKey(), `192.0.${at}.1`)));
      const approvals = claims.map(({ code }, at) =>
        approveClaim({ code, ownerId: owners[at] ?? '', name }),
      );
      expect(await race(world, approvals)).toEqual({ bound: 1, ERR_NAME_TAKEN: RACERS - 1 });
      const row = await world.row('alice');
      const winner = claims.find(({ key }) => key.thumbprint === row?.thumbprint);
      expect(await winner?.state()).toEqual({ state: 'approved', name: 'alice' });
    });

    test('confirms a code that all know', async () => {
      const { world } = await begin(engine);
      const owners = await Promise.all(many((at) => world.owner(`o${at}@example.org`)));
      const { code } = await world.claim();
      const approvals = owners.map((ownerId, at) =>
        approveClaim({ code, ownerId, name: deviceName(`name-${at}`) }),
      );
      expect(await race(world, approvals)).toEqual({ bound: 1, 'wrong-code': RACERS - 1 });
      expect(world.registry.snapshot.size).toBe(1);
    });

    test('redeems an order', async () => {
      const { world } = await begin(engine);
      const { code } = await world.do(order({ name, actor }));
      const from = '192.0.2.1';
      const redemptions = many(() => redeemOrder({ code, deviceKey: deviceKey(), from }));
      expect(await race(world, redemptions)).toEqual({ bound: 1, 'wrong-code': RACERS - 1 });
    });

    test('orders a name, and one is renamed to another', async () => {
      const { world } = await begin(engine);
      const orders = many(() => order({ name, actor }));
      expect(await race(world, orders)).toEqual({ done: 1, ERR_NAME_TAKEN: RACERS - 1 });
      const devices = await Promise.all(many((at) => world.enrolled(`device-${at}`)));
      const to = deviceName('bella');
      const renames = devices.map(({ name: from, device }) =>
        rename({ name: from, to, by: device }),
      );
      expect(await race(world, renames)).toEqual({ done: 1, ERR_NAME_TAKEN: RACERS - 1 });
      const states = await world.registry.read((db) =>
        db.selectFrom('names').select('state').where('state', '=', 'former').execute(),
      );
      expect(states).toHaveLength(1);
    });

    test('accepts a transfer', async () => {
      const { world, ownerId } = await begin(engine);
      await world.enrolled('alice', { ownerId });
      const buyer = await world.owner('bob@example.org');
      const by = { kind: 'owner', ownerId } as const;
      const { code } = await world.do(offerTransfer({ name, by, toEmail: 'bob@example.org' }));
      const acceptances = many(() => acceptTransfer({ code, ownerId: buyer }));
      expect(await race(world, acceptances)).toEqual({ transferred: 1, 'wrong-code': RACERS - 1 });
      expect(
        (await world.history('alice')).filter((row) => row.includes('transferred')),
      ).toHaveLength(1);
    });

    test('ends a recovery that is due: a veto or its time', async () => {
      const { world, ownerId } = await begin(engine);
      const { device, key } = await world.enrolled('alice', { ownerId });
      const { code, state } = await world.claim();
      await world.do(approveClaim({ code, ownerId, name }));
      const [{ id } = { id: '' }] = await world.registry.read(listRecoveries({ ownerId }));
      world.nowMs += DAY;
      await race(
        world,
        many((at) => (at % 2 === 0 ? vetoRecovery({ id, by: device }) : lapse())),
      );
      const ends = (await world.history('alice')).filter((row) => /recovered|vetoed/.test(row));
      expect(ends).toHaveLength(1);
      const vetoed = ends[0]?.includes('vetoed') === true;
      expect((await world.row('alice'))?.thumbprint === key.thumbprint).toBe(vetoed);
      expect((await state())?.state).toBe(vetoed ? 'denied' : 'approved');
    });
  },
);
