// What one device and one owner may take of a budget for all, in whichever way they come by new names.
import { expect, test } from 'vitest';
import {
  BUDGET_LIMITS,
  type OrderSpending,
  spendAsNew,
  spendOrder,
} from '../../../../relay/registry/certificates/budget.ts';
import { SHARE_LIMITS } from '../../../../relay/registry/certificates/order-share.ts';
import { giveBackOrder } from '../../../../relay/registry/certificates/spent-order.ts';
import { rename } from '../../../../relay/registry/deeds/rename.ts';
import { rotateKey } from '../../../../relay/registry/deeds/rotate-key.ts';
import type { Registry } from '../../../../relay/registry/registry.ts';
import { requires } from '../../../world/requires.ts';
import { onBothEngines } from '../engines.ts';
import { deviceKey, deviceName } from '../fixture.ts';
import { emptyWorlds, NOW_MS, ZONE } from './certificate-world.ts';

const WEEK_MS = BUDGET_LIMITS.certificatesPeriodMs;
const BUDGET = { ordersPer3Hours: 300, certificatesPerWeek: 50, perExactSetPerWeek: 5 };

function spending(name: string, rest: Partial<OrderSpending> = {}): OrderSpending {
  const subject = `${name}.${ZONE}`;
  return {
    ...{
      ca: 'test-ca',
      purpose: 'relay',
      subject,
      domain: ZONE,
      nameSet: `*.${subject},${subject}`,
    },
    ...{ exempt: false, fresh: true, nowMs: NOW_MS, budget: BUDGET },
    ...rest,
  };
}

function spend(registry: Registry, name: string, rest: Partial<OrderSpending> = {}) {
  return registry.write(spendOrder(spending(name, rest)));
}

onBothEngines(requires('initdb', 'setpriv'), (anyWorld, engine) => {
  const makeWorld = emptyWorlds(anyWorld, engine);

  async function opened() {
    const registry = await (await makeWorld()).open();
    const device = async (name: string, ownerId?: string) => {
      const key = deviceKey();
      await registry.enroll({ name: deviceName(name), deviceKey: key, actor: 'test' });
      if (ownerId === undefined) return key;
      await registry.write(async (db) => {
        const owner = { id: ownerId, email: null, created_at: NOW_MS };
        await db
          .insertInto('owners')
          .values(owner)
          .onConflict((conflict) => conflict.doNothing())
          .execute();
        await db.updateTable('names').set({ owner_id: ownerId }).where('name', '=', name).execute();
      });
      return key;
    };
    return { registry, device };
  }

  test('attack: a device that is renamed again and again takes no more than its share', async () => {
    const { registry, device } = await opened();
    await device('name-0');
    await device('quiet');
    const { perDevicePerWeek } = SHARE_LIMITS;
    const by = { kind: 'operator', user: 'test' } as const;
    for (let at = 0; at < perDevicePerWeek; at += 1) {
      expect(await spend(registry, `name-${at}`)).toEqual({ ok: true });
      const [name, to] = [deviceName(`name-${at}`), deviceName(`name-${at + 1}`)];
      await registry.perform(rename({ name, to, by }));
    }
    const name = `name-${perDevicePerWeek}`;
    const untilMs = NOW_MS + WEEK_MS;
    const refused = { ok: false, which: 'perDevicePerWeek', untilMs };
    expect(await spend(registry, name)).toEqual(refused);
    // Nor with a request of its own, for any name that it has or had.
    expect(await spend(registry, name, { purpose: 'device' })).toEqual(refused);
    expect(await spend(registry, 'name-0', { purpose: 'device' })).toEqual(refused);
    // What is in use is renewed, others get theirs, and there is room again when the first is a week old.
    expect(await spend(registry, name, { fresh: false })).toEqual({ ok: true });
    expect(await spend(registry, 'quiet')).toEqual({ ok: true });
    expect(await spend(registry, name, { nowMs: untilMs - 1 })).toEqual(refused);
    expect(await spend(registry, name, { nowMs: untilMs })).toEqual({ ok: true });
  });

  test('attack: another key is no other device', async () => {
    const { registry, device } = await opened();
    let { thumbprint } = await device('alice');
    for (let at = 0; at < SHARE_LIMITS.perDevicePerWeek; at += 1) {
      const rest = { purpose: 'device', nameSet: `set ${at}` } as const;
      expect(await spend(registry, 'alice', rest)).toEqual({ ok: true });
      const newKey = deviceKey();
      await registry.perform(rotateKey({ thumbprint, newKey }));
      thumbprint = newKey.thumbprint;
    }
    expect(await spend(registry, 'alice')).toMatchObject({ which: 'perDevicePerWeek' });
  });

  test('attack: an owner of many devices takes no more than the share of an owner', async () => {
    const { registry, device } = await opened();
    const share = Math.floor(BUDGET.certificatesPerWeek * SHARE_LIMITS.ownerPart);
    for (let at = 0; at <= share; at += 1) {
      await device(`many-${at}`, 'owner-1');
      const spent = await spend(registry, `many-${at}`);
      if (at < share) expect(spent).toEqual({ ok: true });
      else expect(spent).toMatchObject({ which: 'perOwnerPerWeek', untilMs: NOW_MS + WEEK_MS });
    }
    await device('other', 'owner-2');
    expect(await spend(registry, 'other')).toEqual({ ok: true });
    expect(await spend(registry, `many-${share}`, { ca: 'other-ca' })).toEqual({ ok: true });
    // Of a vendor who may have more, it is more.
    const budget = { ...BUDGET, certificatesPerWeek: 500 };
    expect(await spend(registry, `many-${share}`, { budget })).toEqual({ ok: true });
  });

  test('attack: own domains whose orders fail leave half of the orders to others', async () => {
    const { registry, device } = await opened();
    await device('alice', 'owner-1');
    await device('bob', 'owner-2');
    const own = async (name: string, domain: string) => {
      const row = { domain, name, workspace: null, wildcard: 0, target: domain, proof: domain };
      const times = { added_at: 0, proven_at: 0, checked_at: 0, check_due_at: 0 };
      const standing = { state: 'proven', failing_since: null, finding: null } as const;
      const values = { ...row, ...times, ...standing };
      await registry.write((db) => db.insertInto('domains').values(values).execute());
      const spent = { purpose: 'domain', subject: domain, domain, nameSet: domain } as const;
      // Those that are renewals fail as well.
      const budget = { ...BUDGET, ordersPer3Hours: 14 };
      return spend(registry, '', { ...spent, fresh: false, budget });
    };
    for (let at = 0; at < 7; at += 1) {
      expect(await own('alice', `app${at}.example.org`)).toEqual({ ok: true });
    }
    const untilMs = NOW_MS + BUDGET_LIMITS.ordersPeriodMs;
    const refused = { ok: false, which: 'perOwnerPer3Hours', untilMs };
    expect(await own('alice', 'app7.example.org')).toEqual(refused);
    expect(await own('bob', 'app.example.net')).toEqual({ ok: true });
    // Certificates below a domain of his own are in nobody's way.
    expect(await spend(registry, 'alice')).toEqual({ ok: true });
  });

  test('what came to nothing is in no share', async () => {
    const { registry, device } = await opened();
    await device('alice');
    const { perDevicePerWeek } = SHARE_LIMITS;
    const orders = { ...spending('alice'), begun: true };
    for (let at = 0; at <= perDevicePerWeek; at += 1) {
      expect(await spend(registry, 'alice')).toEqual({ ok: true });
      await registry.write(giveBackOrder(orders));
    }
  });

  test('bug: a renewal that the authority takes for none counts from then on', async () => {
    const { registry } = await opened();
    const budget = { ...BUDGET, certificatesPerWeek: 1 };
    const renewal = spending('alice', { budget, exempt: true, fresh: false });
    const counted = () =>
      registry.read((db) =>
        db.selectFrom('certificate_orders').select(['subject', 'exempt']).execute(),
      );
    await registry.write(spendOrder(renewal));
    expect(await registry.write(spendAsNew(renewal))).toEqual({ ok: true });
    // Told twice, it counts once.
    expect(await registry.write(spendAsNew(renewal))).toEqual({ ok: true });
    const alice = { subject: `alice.${ZONE}`, exempt: 0 };
    expect(await counted()).toEqual([alice]);
    // Where there is no room it is not begun, and nothing is counted.
    const another = spending('bob', { budget, exempt: true, fresh: false });
    await registry.write(spendOrder(another));
    const refused = { ok: false, which: 'certificatesPerWeek', untilMs: NOW_MS + WEEK_MS };
    expect(await registry.write(spendAsNew(another))).toEqual(refused);
    expect(await counted()).toEqual([alice]);
  });
});
