// Which relays the zone leads visitors to. A relay registers itself and lets its beat grow (relay-beat.ts);
// who watches the beats (relay-watch.ts) says which one is dead.
import { EDGE_LABEL } from '../../../dns/zone-text.ts';
import type { RegistryWork } from '../database.ts';
import type { Deed, DeedScope } from '../deed.ts';

const RELAY_LIMITS = {
  /** Rows of relays that never come back (their ids were made by machines) go after this. */
  forgetMs: 30 * 86_400_000,
} as const;

export interface RelayPresence {
  readonly id: string;
  /** Public ones; none: the relay is not published. */
  readonly addresses: readonly string[];
}

/** A relay starts, or has found that its row is not its own any more. */
export function registerRelay({ id, addresses }: RelayPresence): Deed<void> {
  return async (scope) => {
    const { db, nowMs } = scope;
    const row = { addresses: JSON.stringify(addresses), alive: 1 };
    await db
      .insertInto('relays')
      .values({ id, beat: nowMs, ...row })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
      .execute();
    await db
      .deleteFrom('relays')
      .where('alive', '=', 0)
      .where('beat', '<', nowMs - RELAY_LIMITS.forgetMs)
      .execute();
    touchEdge(scope);
  };
}

export interface RelayVerdict {
  readonly id: string;
  readonly alive: boolean;
  /** What the watcher saw; if the relay has beaten since, it is not dead. */
  readonly beat?: number;
}

export type RelayOutcome =
  | 'changed'
  | 'unchanged'
  /** It has beaten since it was judged. */
  | 'beats'
  /** No other is alive: an address that may be wrong is better than none, so it stays. */
  | 'last';

export function setRelayAlive({ id, alive, beat }: RelayVerdict): Deed<RelayOutcome> {
  return async (scope) => {
    const { db } = scope;
    const relays = await db.selectFrom('relays').select(['id', 'alive', 'beat']).execute();
    const relay = relays.find((each) => each.id === id);
    if (relay === undefined || (relay.alive === 1) === alive) return 'unchanged';
    if (beat !== undefined && Number(relay.beat) !== beat && !alive) return 'beats';
    const others = relays.some((each) => each.id !== id && each.alive === 1);
    if (!alive && !others) return 'last';
    await db
      .updateTable('relays')
      .set({ alive: alive ? 1 : 0 })
      .where('id', '=', id)
      .execute();
    touchEdge(scope);
    return 'changed';
  };
}

/** The others that nobody takes for dead. */
export function aliveBeside(id: string): RegistryWork<readonly string[]> {
  return async (db) => {
    const rows = await db
      .selectFrom('relays')
      .select('id')
      .where('alive', '=', 1)
      .where('id', '!=', id)
      .orderBy('id')
      .execute();
    return rows.map((row) => row.id);
  };
}

function touchEdge({ touch }: DeedScope): void {
  touch('');
  touch(EDGE_LABEL);
}
