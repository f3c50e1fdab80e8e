import { describe, expect, test } from 'vitest';
import { spendOrder } from '../../../../relay/registry/certificates/budget.ts';
import {
  DOMAIN_ORDER_LIMITS,
  hastenDomain,
  nextDomainOrderMs,
} from '../../../../relay/registry/certificates/domain-orders.ts';
import { failWork } from '../../../../relay/registry/certificates/held-work.ts';
import { unwant } from '../../../../relay/registry/certificates/work.ts';
import type { Registry } from '../../../../relay/registry/registry.ts';
import { requires } from '../../../world/requires.ts';
import { onBothEngines } from '../engines.ts';
import { emptyWorlds, NOW_MS, takeOne, wanting, workRows } from './certificate-world.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DOMAIN = 'app.example.org';
const { ordersMax, periodMs, againAfterMs } = DOMAIN_ORDER_LIMITS;

describe('orders for an own domain', () => {
  test('are never more than four in any hour, whoever asks and how often', () => {
    const begun: number[] = [];
    // Somebody asks every few seconds for a day, and in bursts after pauses.
    for (let nowMs = 0; nowMs < 24 * HOUR_MS; nowMs += nowMs % 7_000 === 0 ? 1_000 : 977_000) {
      if (nextDomainOrderMs(begun, nowMs) <= nowMs) begun.push(nowMs);
    }
    const most = begun.map((from) => begun.filter((at) => at >= from && at < from + periodMs));
    expect(Math.max(...most.map(({ length }) => length))).toBe(ordersMax);
    expect(begun.length).toBeGreaterThan(24);
  });

  test('may begin again when the oldest that counts is an hour old', () => {
    expect(nextDomainOrderMs([], 5)).toBe(5);
    expect(nextDomainOrderMs([1, 2, 3], 5)).toBe(5);
    expect(nextDomainOrderMs([4, 2, 3, 1], 5)).toBe(1 + periodMs);
    expect(nextDomainOrderMs([0, 4, 2, 3, 1], 5)).toBe(1 + periodMs);
    // Noted by a clock that was a year ahead.
    expect(nextDomainOrderMs([1, 2, 3, 1e12], 5)).toBe(5);
  });
});

onBothEngines(requires('initdb', 'setpriv'), (anyWorld, engine) => {
  const makeWorld = emptyWorlds(anyWorld, engine);
  const fresh = async () => (await makeWorld()).open();
  const own = { purpose: 'domain' } as const;

  function spend(registry: Registry, nowMs: number, rest: { ca?: string; exempt?: boolean } = {}) {
    const budget = { ordersPer3Hours: 99, certificatesPerWeek: 99, perExactSetPerWeek: 99 };
    const spending = { ca: 'ca-0', purpose: 'domain', subject: DOMAIN, domain: 'example.org' };
    const usual = {
      ...spending,
      purpose: 'domain',
      nameSet: DOMAIN,
      exempt: false,
      fresh: true,
    } as const;
    return registry.write(spendOrder({ ...usual, budget, nowMs, ...rest }));
  }

  async function failed(registry: Registry, nowMs: number): Promise<void> {
    const job = await takeOne(registry, { nowMs });
    const failure = { message: 'no', nextAtMs: nowMs + 6 * HOUR_MS, attempts: 3, authority: 0 };
    await registry.write(failWork(job, { ...failure, nowMs }));
  }

  const dueAt = async (registry: Registry) => (await workRows(registry))[0]?.due_at;
  const hasten = (registry: Registry, nowMs: number) =>
    registry.write(hastenDomain({ domain: DOMAIN, nowMs }));

  test('attack: a domain that is removed and added again is ordered no more often', async () => {
    const registry = await fresh();
    for (let order = 0; order < ordersMax; order += 1) {
      await wanting(registry, DOMAIN, own);
      expect(await spend(registry, NOW_MS + order, { exempt: order === 0 })).toEqual({ ok: true });
      await registry.write(unwant({ ...own, subject: DOMAIN }));
    }
    const refused = { ok: false, untilMs: NOW_MS + periodMs, which: 'perDomainPerHour' };
    expect(await spend(registry, NOW_MS + MINUTE_MS)).toEqual(refused);
    expect(await spend(registry, NOW_MS + MINUTE_MS, { exempt: true })).toEqual(refused);
    expect(await spend(registry, NOW_MS + MINUTE_MS, { ca: 'ca-1' })).toEqual({ ok: true });
    expect(await spend(registry, NOW_MS + periodMs)).toEqual({ ok: true });
  });

  test('work of a domain that failed is due at once when all is right, as often as may be', async () => {
    const registry = await fresh();
    await wanting(registry, DOMAIN, own);
    expect(await hasten(registry, NOW_MS), 'it has not failed').toBe(false);
    await spend(registry, NOW_MS);
    await failed(registry, NOW_MS);
    expect(await hasten(registry, NOW_MS + 1)).toBe(true);
    expect(await dueAt(registry)).toBe(NOW_MS + againAfterMs);
    expect(await hasten(registry, NOW_MS + 2), 'it is due so already').toBe(false);
    const laterMs = NOW_MS + 5 * MINUTE_MS;
    await takeOne(registry, { nowMs: laterMs });
    expect(await hasten(registry, laterMs), 'somebody has it').toBe(false);
    for (let order = 1; order < ordersMax; order += 1) await spend(registry, laterMs);
    await failed(registry, laterMs + HOUR_MS / 2);
    expect(await hasten(registry, laterMs + HOUR_MS / 2 + againAfterMs)).toBe(true);
    expect(await dueAt(registry)).toBe(NOW_MS + periodMs);
  });
});
