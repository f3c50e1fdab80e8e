// 200 relays are killed with -9 in the midst of redemptions, claims and renames over their API, on each
// database; the short run is test/journeys/faults/killed-claims.test.ts.
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { worldIn } from '../relay/registry/fixture.ts';
import { Installation } from '../world/installation.ts';
import { killRelays, SHORT_CLAIM_CODES } from '../world/killed-relay.ts';
import { PostgresServer } from '../world/postgres.ts';
import { requires } from '../world/requires.ts';

const need = requires('dig', 'initdb', 'setpriv');
const KILLS = 200;

describe.skipIf(need.skip)('F-23 200 killed relays', { timeout: 3_600_000 }, () => {
  it('on SQLite', async () => {
    await using vendor = await Installation.make({ more: SHORT_CLAIM_CODES });
    const { query } = worldIn(join(vendor.folder, 'relay'));
    await killRelays(vendor, { kills: KILLS, query });
  });

  it('on PostgreSQL', async () => {
    await using server = await PostgresServer.start({ fsync: true });
    const postgresUrl = await server.createDatabase();
    await using vendor = await Installation.make({ postgresUrl, more: SHORT_CLAIM_CODES });
    const query = (sql: string) => server.query(postgresUrl, sql);
    await killRelays(vendor, { kills: KILLS, query });
  });
});
