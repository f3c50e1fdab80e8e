// A deed: one transaction that changes who owns which name, who may connect, or what is published. It
// decides on rows that it has read in the same transaction; deeds run one after the other, whichever
// process does them. It may run again from the start, so it changes nothing but the database.
import type { Kysely } from 'kysely';
import type { RegistryWork } from './database.ts';
import type { NamePolicy } from './policy.ts';
import type { RegistryTables } from './schema.ts';

export interface DeedScope {
  readonly db: Kysely<RegistryTables>;
  /** The time of the deed: all its rows have the same. */
  readonly nowMs: number;
  readonly policy: NamePolicy;
  /**
   * What is published below this first label (`alice`; '' for the apex; of an own domain's target all,
   * `x7k2.to`) may be different now.
   */
  touch(label: string): void;
}

/** Whole or not at all: what it throws undoes everything, so outcomes that are to be kept are values. */
export type Deed<Value> = (scope: DeedScope) => Promise<Value>;

/** The same deed, and in its transaction what follows from its outcome: all of it is done, or nothing. */
export function also<Value>(
  deed: Deed<Value>,
  worksOf: (value: Value) => readonly RegistryWork<unknown>[],
): Deed<Value> {
  return async (scope) => {
    const value = await deed(scope);
    for (const work of worksOf(value)) await work(scope.db);
    return value;
  };
}
