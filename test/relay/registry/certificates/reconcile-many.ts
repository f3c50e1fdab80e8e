// Very many names that want certificates: how long a start takes to see it, the first one and those after
// it, how long the event loop stands still meanwhile, and what it costs to take work out of them.

import { certificateFigures } from '../../../../relay/registry/certificates/certificate-figures.ts';
import { takeWork } from '../../../../relay/registry/certificates/job.ts';
import { reconcileNames } from '../../../../relay/registry/certificates/reconcile.ts';
import type { AnyWorld } from '../fixture.ts';
import { LEASE_MS, NOW_MS, ZONE } from './certificate-world.ts';

export interface ReconcileFigures {
  readonly added: number;
  /** Of this process, in both. */
  readonly cpuMs: number;
  readonly firstMs: number;
  readonly againMs: number;
  readonly standstillMs: number;
  readonly takeMs: number;
  readonly idleTakeMs: number;
  readonly figuresMs: number;
  readonly figuresStandstillMs: number;
}

export async function reconcileMany(world: AnyWorld, count: number): Promise<ReconcileFigures> {
  await (await world.open()).close();
  await fill(world, count);
  const registry = await world.open();
  const write = registry.write.bind(registry);
  const cpu = process.cpuUsage();
  const both = await ticking(async () => {
    const first = await timed(() => reconcileNames(write, ZONE, NOW_MS));
    return { first, again: await timed(() => reconcileNames(write, ZONE, NOW_MS)) };
  });
  const { first, again } = both.value;
  const { user, system } = process.cpuUsage(cpu);
  const taking = { holder: 'relay-1', leaseMs: LEASE_MS, max: 100 };
  const take = await timed(() => write(takeWork({ ...taking, nowMs: NOW_MS })));
  // All of them have a certificate, and none is due.
  await world.query(`update certificate_work
    set urgency = ${NOW_MS} + length(subject), due_at = ${NOW_MS} + 1000000, leased_until = null`);
  if (world.place.kind === 'postgres') await world.query('vacuum analyze certificate_work');
  const idle = await timed(() => write(takeWork({ ...taking, nowMs: NOW_MS })));
  const figures = await ticking(() =>
    timed(() => certificateFigures((work) => registry.read(work), NOW_MS)),
  );
  if (again.value.added > 0 || take.value.length !== 100 || idle.value.length > 0) {
    throw new Error('Work is added twice, or taken wrongly.');
  }
  return {
    ...{ added: first.value.added, cpuMs: (user + system) / 1_000 },
    ...{ firstMs: first.ms, againMs: again.ms, standstillMs: both.standstillMs },
    ...{ takeMs: take.ms, idleTakeMs: idle.ms },
    ...{ figuresMs: figures.value.ms, figuresStandstillMs: figures.standstillMs },
  };
}

/** The longest time in which the event loop had no turn meanwhile. */
async function ticking<Value>(
  work: () => Promise<Value>,
): Promise<{ readonly value: Value; readonly standstillMs: number }> {
  let [standstillMs, lastMs] = [0, performance.now()];
  const ticks = setInterval(() => {
    standstillMs = Math.max(standstillMs, performance.now() - lastMs - 1);
    lastMs = performance.now();
  }, 1);
  const value = await work();
  clearInterval(ticks);
  if (standstillMs === 0) throw new Error('The event loop had no turn at all.');
  return { value, standstillMs };
}

/** Names of one device, written past the registry, for it would take hours. */
async function fill(world: AnyWorld, count: number): Promise<void> {
  const sqlite = world.place.kind === 'sqlite';
  await world.query(`insert into devices (thumbprint, public_key, epoch, enrolled_at)
    values ('t', 'waygate-device:t', 0, 0)`);
  const rows = sqlite
    ? `with recursive rows(n) as (select 1 union all select n + 1 from rows where n < ${count})`
    : `with rows(n) as (select generate_series(1, ${count}))`;
  await world.query(`insert into names (name, state, thumbprint, skeleton, claimed_at)
    ${rows} select 'device-' || n, 'held', 't', 'device-' || n, 0 from rows`);
  if (!sqlite) await world.query('vacuum analyze names');
}

async function timed<Value>(work: () => Promise<Value>): Promise<{ value: Value; ms: number }> {
  const startedMs = performance.now();
  const value = await work();
  return { value, ms: performance.now() - startedMs };
}
