// What a device is told when it asks for its names: those that it has, and those that lead to them.
import type { RegistryWork } from './database.ts';

export interface StandingName {
  readonly name: string;
  readonly state: 'held' | 'former';
  /** When a former name ends. */
  readonly untilMs?: number;
  /** What a former name leads to. */
  readonly successor?: string;
}

/** In alphabetical order, those in use first. */
export function namesOfDevice(thumbprint: string): RegistryWork<readonly StandingName[]> {
  return async (db) => {
    const rows = await db
      .selectFrom('names')
      .select(['name', 'state', 'until', 'successor'])
      .where('thumbprint', '=', thumbprint)
      .where('state', 'in', ['held', 'former'])
      .orderBy('state', 'desc')
      .orderBy('name')
      .execute();
    return rows.map(({ name, state, until, successor }) => ({
      name,
      state: state === 'held' ? 'held' : 'former',
      ...(until === null ? {} : { untilMs: Number(until) }),
      ...(successor === null ? {} : { successor }),
    }));
  };
}
