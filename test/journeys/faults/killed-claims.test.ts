// F-23 for the relay as a whole: killed with -9 in the midst of redemptions, claims and renames, it has
// done each of them or none of it, and whatever it acknowledged. 200 times in test/long/.
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { worldIn } from '../../relay/registry/fixture.ts';
import { Installation } from '../../world/installation.ts';
import { killRelays, SHORT_CLAIM_CODES } from '../../world/killed-relay.ts';
import { requires } from '../../world/requires.ts';

const need = requires('dig');

describe.skipIf(need.skip)('a relay that is killed while names are changed', () => {
  it('F-23 loses nothing that it acknowledged, and leaves nothing half-done', {
    timeout: 120_000,
  }, async () => {
    await using vendor = await Installation.make({ more: SHORT_CLAIM_CODES });
    const { query } = worldIn(join(vendor.folder, 'relay'));
    await killRelays(vendor, { kills: 4, query });
  });
});
