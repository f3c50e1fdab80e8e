// The same tests on each database that a registry can be in. One server of PostgreSQL per test file.
import { afterAll, beforeAll, describe } from 'vitest';
import { type PostgresOptions, PostgresServer } from '../../world/postgres.ts';
import type { Requirement } from '../../world/requires.ts';
import { type AnyWorld, makeWorld, postgresWorld } from './fixture.ts';

export type MakeWorld = () => Promise<AnyWorld>;

/** `need` is what PostgreSQL needs of the machine. */
export function onBothEngines(
  need: Requirement,
  tests: (makeWorld: MakeWorld, engine: 'SQLite' | 'PostgreSQL') => void,
  options: PostgresOptions = {},
): void {
  describe('on SQLite', () => tests(makeWorld, 'SQLite'));
  describe.skipIf(need.skip)('on PostgreSQL', () => {
    let server: PostgresServer | undefined;
    beforeAll(async () => {
      server = await PostgresServer.start(options);
    });
    afterAll(() => server?.[Symbol.asyncDispose]());
    tests(async () => {
      if (server === undefined) throw new Error('The server has not started.');
      return postgresWorld(server);
    }, 'PostgreSQL');
  });
}
