// Processes that write to a registry and are killed with -9 at any moment, and then the questions: is
// all there that they were told is done, and is anything half-done?
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'vitest';
import type { DatabasePlace } from '../../../relay/registry/database.ts';
import type { Registry } from '../../../relay/registry/registry.ts';
import { type AnyWorld, deviceName } from './fixture.ts';
import type { Done } from './registry-child.ts';
import { computedAnew, stored } from './zone-fixture.ts';

/** After how many deeds the last of the victims dies. */
const LINES_MAX = 12;

/** Kinds of deeds: `Done`. */
const KINDS = 5;

/** About as long as a deed takes: it dies at any point of one. */
const MOMENT_MS = 20;

export function registryChild(place: DatabasePlace, ...args: readonly string[]) {
  const script = new URL('./registry-child.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify(place));
  return child;
}

export async function outputOf(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, 'close');
  return text;
}

/** Runs SQL as a stranger would. */
export type Query = AnyWorld['query'];

/** Kills so many writers, two at a time, and judges what they leave. */
export async function killWriters(world: AnyWorld, kills: number): Promise<void> {
  // The schema is made in peace, so that every victim dies at its work.
  await (await world.open()).close();
  const done: Done[] = [];
  for (let at = 0; at < kills; at += 2) {
    const victims = await Promise.all([at, at + 1].map((each) => victim(world, each)));
    done.push(...victims.flat());
  }
  const registry = await world.open();
  expect(new Set(done.map(({ did }) => did)).size).toBe(KINDS);
  expect(done.filter((each) => !isThere(registry, each, done))).toEqual([]);
  await expectWhole(world.query, registry);
  // Of each victim, the deeds that were on their way may have been done.
  const [{ held } = {}] = await world.query(
    "select count(*) as held from names where state in ('held', 'ordered')",
  );
  const told = new Set(done.filter(({ did }) => did !== 'rename').map(({ name }) => name));
  expect(Number(held)).toBeGreaterThanOrEqual(told.size);
  expect(Number(held) - told.size).toBeLessThanOrEqual(kills * 3);
  await registry.close();
}

async function victim({ place }: AnyWorld, at: number): Promise<Done[]> {
  // No two prefixes look alike.
  const child = registryChild(
    place,
    'flood',
    `fl${at.toString(8).replaceAll(/[0-7]/g, letter)}`,
    `198.18.${at}.1`,
  );
  const output = outputOf(child);
  // Some die young and some late, so that every kind of deed is done and every kind is cut.
  let lives = 1 + (at % LINES_MAX);
  const kinds = new Set<string>();
  child.stdout.on('data', (chunk: Buffer) => {
    const said = chunk.toString();
    for (const [, did = ''] of said.matchAll(/"did":"(\w+)"/g)) kinds.add(did);
    lives -= said.split('\n').length - 1;
    // However few they are, one of them has done each kind.
    if (lives <= 0 && (at > 0 || kinds.size === KINDS))
      setTimeout(() => child.kill('SIGKILL'), Math.random() * MOMENT_MS);
  });
  const text = await output;
  // Not by an error of its own.
  expect(child.signalCode).toBe('SIGKILL');
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line): Done => JSON.parse(line));
}

function letter(digit: string): string {
  return 'abefghkp'[Number(digit)] ?? '';
}

/** What was acknowledged, or what was acknowledged after it. */
function isThere({ snapshot }: Registry, done: Done, all: readonly Done[]): boolean {
  const name = deviceName(done.name);
  // It shows in no snapshot; the rows are judged below.
  if (done.did === 'order') return true;
  if (done.did === 'rename') {
    const present = snapshot.deviceOf(deviceName(done.to))?.thumbprint;
    return present === done.key && snapshot.successorOf(name) === done.to;
  }
  const renamed = all.some((other) => other.did === 'rename' && other.name === done.name);
  const onItsWay = snapshot.successorOf(name) !== undefined;
  return renamed || onItsWay || snapshot.deviceOf(name)?.thumbprint === done.key;
}

/** Nothing is half-done: rows that belong together are all there, in every table. */
export async function expectWhole(query: Query, registry: Registry): Promise<void> {
  const contradictions = {
    'a name that nobody enrolled': `select name from names n where state = 'held' and not exists
      (select 1 from history h where h.name = n.name and what in ('enrolled', 'renamed'))`,
    'a key that nobody knows': `select name from names n where state = 'held' and not exists
      (select 1 from devices d where d.thumbprint = n.thumbprint)`,
    'a former name without its successor': `select name from names n where state = 'former'
      and not exists (select 1 from names s where s.name = n.successor and s.state = 'held'
      and s.thumbprint = n.thumbprint)`,
    'an order without its name': `select name from orders o where redeemed_at is null
      and not exists (select 1 from names n where n.name = o.name and n.state = 'ordered')`,
    'a redeemed order whose name is not bound': `select name from orders o
      where redeemed_at is not null and not exists (select 1 from names n where n.name = o.name
      and n.state in ('held', 'former') and n.thumbprint = o.redeemed_by)`,
    'an ordered name without its order': `select name from names n where state = 'ordered'
      and not exists (select 1 from orders o where o.name = n.name and redeemed_at is null)`,
    'an approved claim whose name is not bound': `select name from claims c where state = 'approved'
      and not exists (select 1 from names n where n.name = c.name and n.state = 'held'
      and n.thumbprint = c.thumbprint and n.owner_id is not null)`,
    'a serial without a change': `select serial from zone where serial > 0 and not exists
      (select 1 from zone_journal j where j.serial = zone.serial)`,
  };
  const found: Record<string, unknown[]> = {};
  for (const [what, sql] of Object.entries(contradictions)) {
    const rows = await query(sql);
    if (rows.length > 0) found[what] = rows;
  }
  expect(found).toEqual({});
  expect(await stored(registry)).toEqual(await computedAnew(registry));
}
