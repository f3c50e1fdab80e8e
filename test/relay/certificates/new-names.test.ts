// A device that comes by more new names than its share of certificates allows.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SHARE_LIMITS } from '../../../relay/registry/certificates/order-share.ts';
import { rename } from '../../../relay/registry/deeds/rename.ts';
import { deviceKey, deviceName } from '../registry/fixture.ts';
import { DAY_MS, hostileCa, IssuingStand, ZONE } from './issuing-stand.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});

afterEach(() => {
  vi.useRealTimers();
});

test('attack: a device that is renamed all the time waits for room, and others do not', async () => {
  const [stand, ca] = [await IssuingStand.start(), await hostileCa()];
  const { registry } = stand;
  const issuance = stand.issuance([ca]);
  const names = Array.from({ length: SHARE_LIMITS.perDevicePerWeek + 1 }, (_, at) =>
    deviceName(`name-${at}`),
  );
  const [first = deviceName('none'), ...later] = names;
  await registry.enroll({ name: first, deviceKey: deviceKey(), actor: 'test' });
  let name = first;
  for (const to of later) {
    await registry.perform(rename({ name, to, by: { kind: 'operator', user: 'test' } }));
    name = to;
  }
  const startMs = Date.now();
  await stand.want(...names.slice(0, -1).map((each) => `${each}.${ZONE}`));
  await issuance.settled();
  expect(await stand.served()).toHaveLength(SHARE_LIMITS.perDevicePerWeek);
  vi.setSystemTime(startMs + DAY_MS);
  const last = `${name}.${ZONE}`;
  await registry.enroll({ name: deviceName('quiet'), deviceKey: deviceKey(), actor: 'test' });
  await stand.want(last, `quiet.${ZONE}`);
  await issuance.settled();
  expect(await stand.served()).toContain(`quiet.${ZONE}`);
  expect(await stand.served()).not.toContain(last);
  expect(ca.ordersFor(last)).toBe(0);
  const { last_error: why, attempts, due_at: dueMs } = await stand.workOf(last);
  // Who lists certificates reads what it waits for, and that the zone's is there meanwhile.
  expect(why).toContain(
    `Its device has had ${SHARE_LIMITS.perDevicePerWeek} new certificates of ca-0 within seven days`,
  );
  const until = new Date(dueMs).toISOString().slice(0, 16);
  expect(why).toContain(`It waits for room until ${until}Z.`);
  expect(why).toContain(`Until then ${last} is served with the certificate of ${ZONE}`);
  expect([attempts, dueMs >= startMs + 7 * DAY_MS]).toEqual([0, true]);
  vi.setSystemTime(dueMs);
  await issuance.settled();
  expect(await stand.served()).toContain(last);
});
