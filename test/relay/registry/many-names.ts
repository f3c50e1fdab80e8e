// A registry with very many names, and a process of its own that opens it: how long that takes, and
// what it costs in memory.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { AnyWorld } from './fixture.ts';
import type { Opened } from './open-child.ts';

/** Names of devices with a key each, written past the registry, for it would take hours. */
export async function fill(world: AnyWorld, count: number): Promise<void> {
  await (await world.open()).close();
  const sqlite = world.place.kind === 'sqlite';
  const rows = sqlite
    ? `with recursive rows(n) as (select 1 union all select n + 1 from rows where n < ${count})`
    : `with rows(n) as (select generate_series(1, ${count}))`;
  // As long as a real one, and in no order.
  const random = sqlite
    ? 'substr(lower(hex(randomblob(22))), 1, 43)'
    : `substr(md5(n::text) || md5('more' || n), 1, 43)`;
  const key = "'waygate-device:' || thumbprint";
  await world.query(`insert into devices (thumbprint, public_key, epoch, enrolled_at)
    ${rows}, keys(thumbprint) as (select ${random} from rows)
    select thumbprint, ${key}, 0, 0 from keys`);
  await world.query(`insert into names (name, state, thumbprint, skeleton, claimed_at)
    select name, 'held', thumbprint, name, 0 from (
      select thumbprint, 'device-' || row_number() over () as name from devices) as numbered`);
  await world.query(`insert into history (at, actor, what, name, thumbprint)
    select 0, 'test', 'enrolled', name, thumbprint from names`);
  if (!sqlite) await world.query('vacuum analyze');
}

export async function openElsewhere({ place }: AnyWorld): Promise<Opened> {
  const script = new URL('./open-child.ts', import.meta.url).pathname;
  const running = promisify(execFile)(process.execPath, ['--expose-gc', script]);
  running.child.stdin?.end(JSON.stringify(place));
  return JSON.parse((await running).stdout);
}
