// F-14: ten gigabytes through one stream, in each direction, with the same hash at both ends and memory
// that does not grow.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { download, upload } from '../world/bulk.ts';
import { startVendor, type Vendor } from '../world/vendor.ts';
import { HttpWorkspace } from '../world/workspace.ts';

const TEN_GIB = 10 * 1_073_741_824;
const GROWTH_MAX = 64 * 1_048_576;

const open = new AsyncDisposableStack();
let web: HttpWorkspace;
let vendor: Vendor;

beforeAll(async () => {
  web = open.use(await HttpWorkspace.open());
  vendor = open.use(await startVendor({ web: web.url }));
}, 60_000);
afterAll(() => open.disposeAsync());

describe('ten gigabytes', () => {
  for (const [name, carry] of Object.entries({ download, upload })) {
    it(`F-14 pass as ${name}, unchanged and in flat memory`, async () => {
      const bulk = await carry(vendor, web, vendor.url('web'), TEN_GIB);
      process.stderr.write(`${name}: ${JSON.stringify(bulk)}\n`);
      expect(bulk.bytes).toBe(TEN_GIB);
      expect(bulk.received).toBe(bulk.sent);
      expect(bulk.grewBytes.relay).toBeLessThan(GROWTH_MAX);
      expect(bulk.grewBytes.device).toBeLessThan(GROWTH_MAX);
    }, 1_200_000);
  }
});
