import { describe, expect, test } from 'vitest';
import {
  BUDGET_LIMITS,
  type OrderSpending,
  spendOrder,
  sweepOrders,
} from '../../../../relay/registry/certificates/budget.ts';
import type { Registry } from '../../../../relay/registry/registry.ts';
import { requires } from '../../../world/requires.ts';
import { onBothEngines } from '../engines.ts';
import { emptyWorlds, NOW_MS } from './certificate-world.ts';

const WEEK_MS = BUDGET_LIMITS.certificatesPeriodMs;
const PERIOD_MS = BUDGET_LIMITS.ordersPeriodMs;
const AMPLE = { ordersPer3Hours: 1_000, certificatesPerWeek: 1_000, perExactSetPerWeek: 1_000 };

function spend(registry: Registry, rest: Partial<OrderSpending> = {}) {
  const usual: OrderSpending = {
    ...{ ca: 'test-ca', purpose: 'relay', subject: 'alice.vendor.dev', domain: 'vendor.dev' },
    ...{ nameSet: '*.alice.vendor.dev,alice.vendor.dev', exempt: false, nowMs: NOW_MS },
    fresh: false,
    budget: AMPLE,
  };
  return registry.write(spendOrder({ ...usual, ...rest }));
}

onBothEngines(requires('initdb', 'setpriv'), (anyWorld, engine) => {
  const makeWorld = emptyWorlds(anyWorld, engine);
  const fresh = async () => (await makeWorld()).open();

  describe('a budget', () => {
    test('of orders ends with the period of the oldest that counts', async () => {
      const registry = await fresh();
      const budget = { ...AMPLE, ordersPer3Hours: 2 };
      expect(await spend(registry, { budget })).toEqual({ ok: true });
      expect(await spend(registry, { budget, nowMs: NOW_MS + 5 })).toEqual({ ok: true });
      const untilMs = NOW_MS + PERIOD_MS;
      const spent = { ok: false, untilMs, which: 'ordersPer3Hours' };
      expect(await spend(registry, { budget, nowMs: NOW_MS + 9 })).toEqual(spent);
      expect(await spend(registry, { budget, nowMs: untilMs - 1 })).toEqual(spent);
      expect(await spend(registry, { budget, nowMs: untilMs })).toEqual({ ok: true });
      expect(await spend(registry, { budget, nowMs: untilMs })).toMatchObject({
        untilMs: untilMs + 5,
      });
    });

    test('that a clock years ahead has spent is there again once the clock is right', async () => {
      const registry = await fresh();
      const budget = { ...AMPLE, ordersPer3Hours: 1, perExactSetPerWeek: 1 };
      await spend(registry, { budget, nowMs: NOW_MS + 500 * WEEK_MS });
      // Of a relay whose clock is a little ahead it counts.
      expect(await spend(registry, { budget, nowMs: NOW_MS + 60_000 })).toEqual({ ok: true });
      expect(await spend(registry, { budget })).toMatchObject({ ok: false });
    });

    test('of a domain, of a set of names and of an authority is each its own', async () => {
      const registry = await fresh();
      const budget = { ...AMPLE, certificatesPerWeek: 2, perExactSetPerWeek: 1 };
      expect(await spend(registry, { budget })).toEqual({ ok: true });
      expect(await spend(registry, { budget })).toEqual({
        ...{ ok: false, which: 'perExactSetPerWeek', untilMs: NOW_MS + WEEK_MS },
      });
      expect(await spend(registry, { budget, nameSet: 'second' })).toEqual({ ok: true });
      expect(await spend(registry, { budget, nameSet: 'third' })).toEqual({
        ...{ ok: false, which: 'certificatesPerWeek', untilMs: NOW_MS + WEEK_MS },
      });
      const elsewhere = { nameSet: 'third', domain: 'example.org' };
      expect(await spend(registry, { budget, ...elsewhere })).toEqual({ ok: true });
      expect(await spend(registry, { budget, ca: 'other-ca' })).toEqual({ ok: true });
    });

    test('that lasts longer is the one that is told', async () => {
      const registry = await fresh();
      const budget = { ordersPer3Hours: 1, certificatesPerWeek: 1, perExactSetPerWeek: 9 };
      await spend(registry, { budget });
      expect(await spend(registry, { budget })).toMatchObject({ which: 'certificatesPerWeek' });
    });

    test('does not count a renewal in its window, nor refuse one', async () => {
      const registry = await fresh();
      const budget = { ordersPer3Hours: 1, certificatesPerWeek: 1, perExactSetPerWeek: 1 };
      const exempt = { budget, exempt: true };
      for (let at = 0; at < 3; at += 1) expect(await spend(registry, exempt)).toEqual({ ok: true });
      expect(await spend(registry, { budget })).toEqual({ ok: true });
      expect(await spend(registry, { budget })).toMatchObject({ ok: false });
      expect(await spend(registry, exempt)).toEqual({ ok: true });
    });

    test('of nothing allows one at most', async () => {
      const registry = await fresh();
      const budget = { ...AMPLE, ordersPer3Hours: 0 };
      await spend(registry, { budget });
      expect(await spend(registry, { budget })).toMatchObject({ ok: false });
    });

    test('is kept exactly by two relays that spend it at once', async () => {
      const world = await makeWorld();
      const relays = [await world.open(), await world.open()];
      const budget = { ...AMPLE, certificatesPerWeek: 25 };
      const spent = await Promise.all(
        Array.from({ length: 60 }, (_, at) => {
          const registry = relays[at % 2];
          if (registry === undefined) throw new Error('no registry');
          return spend(registry, { budget, nameSet: `set ${at}` });
        }),
      );
      expect(spent.filter(({ ok }) => ok)).toHaveLength(25);
      const [{ rows } = {}] = await world.query('select count(*) as rows from certificate_orders');
      expect(Number(rows)).toBe(25);
    });

    test('forgets what no period reaches any more, and nothing else', async () => {
      const registry = await fresh();
      await spend(registry);
      await spend(registry, { nowMs: NOW_MS + 1 });
      expect(await registry.write(sweepOrders(NOW_MS + WEEK_MS - 1))).toBe(0);
      expect(await registry.write(sweepOrders(NOW_MS + WEEK_MS))).toBe(1);
      expect(await registry.write(sweepOrders(NOW_MS + WEEK_MS))).toBe(0);
    });
  });
});
