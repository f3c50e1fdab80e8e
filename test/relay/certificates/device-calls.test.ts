// How devices hear that they are to come with a new key: whichever relay finds out, each tells its own.
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { makeCsr } from '../../../certs/csr.ts';
import { DeviceCalls } from '../../../relay/certificates/device-calls.ts';
import { deviceRenewalMs, WITH_DEVICE_MS } from '../../../relay/certificates/device-work.ts';
import type { Issuance } from '../../../relay/certificates/issuance.ts';
import { certificateFor } from '../../../relay/registry/certificates/present.ts';
import { askNow, want } from '../../../relay/registry/certificates/work.ts';
import type { Registry } from '../../../relay/registry/registry.ts';
import { DAY_MS, HOUR_MS, hostileCa, hostname, IssuingStand, ZONE } from './issuing-stand.ts';

const subject = hostname(`alice.${ZONE}`);
const names = [subject, `*.${subject}`] as const;
const work = { purpose: 'device', subject, thumbprint: 'a-device' } as const;
let stand: IssuingStand;
let issuance: Issuance;

beforeEach(async () => {
  vi.useFakeTimers({ now: Date.now(), toFake: ['Date'] });
  stand = await IssuingStand.start();
  issuance = stand.issuance([await hostileCa()]);
});

afterEach(() => {
  vi.useRealTimers();
});

/** The device has come with another key. */
async function comes(): Promise<void> {
  const csr = (await makeCsr(names)).csr.toString('base64');
  await stand.registry.write(want({ ...work, names, csr, nowMs: Date.now() }));
  await issuance.settled();
}

function callsAt(registry: Pick<Registry, 'read'>): { calls: DeviceCalls; heard: string[] } {
  const heard: string[] = [];
  const calls = new DeviceCalls({ registry, zone: ZONE, log: stand.log, now: Date.now });
  calls.onCall((thumbprint) => heard.push(thumbprint));
  calls.start();
  onTestFinished(() => calls.stop());
  return { calls, heard };
}

test('a device whose certificate a person wants anew is called, once, by each relay', async () => {
  await comes();
  const other = await stand.anotherRegistry();
  onTestFinished(() => other.close());
  const relays = [callsAt(stand.registry), callsAt(other)];
  const look = () => Promise.all(relays.map(({ calls }) => calls.look()));
  await look();
  expect(relays.map(({ heard }) => heard)).toEqual([[], []]);
  await stand.registry.write(askNow({ subject, nowMs: Date.now() }));
  await issuance.settled();
  await look();
  await look();
  for (const { calls, heard } of relays) {
    expect(heard).toEqual([work.thumbprint]);
    expect(calls.of(work.thumbprint)).toEqual(['alice']);
    expect(calls.of('another')).toEqual([]);
  }
  // Its work rests until it comes, and whoever asks is told: now.
  expect(await stand.workOf(subject)).toMatchObject({ due_at: WITH_DEVICE_MS });
  const wanted = async () => {
    const { present, asked } = (await stand.registry.read(certificateFor(work))) ?? {};
    if (present === undefined) throw new Error('there is no certificate');
    return deviceRenewalMs({ ...present, asked }) <= Date.now();
  };
  expect(await wanted()).toBe(true);
  await comes();
  expect(await wanted()).toBe(false);
  expect(await stand.ledger()).toHaveLength(2);
  // A relay that starts now has nobody to call, though it looks back a day.
  const late = callsAt(stand.registry);
  await late.calls.look();
  expect(late.heard).toEqual([]);
});

test('a relay that starts hears of the calls of a day, and forgets older ones', async () => {
  await comes();
  await stand.registry.write(askNow({ subject, nowMs: Date.now() }));
  await issuance.settled();
  vi.setSystemTime(Date.now() + 23 * HOUR_MS);
  const { calls } = callsAt(stand.registry);
  await calls.look();
  expect(calls.of(work.thumbprint)).toEqual(['alice']);
  vi.setSystemTime(Date.now() + DAY_MS);
  await calls.look();
  expect(calls.of(work.thumbprint)).toEqual([]);
});

test('bug: a call that a clock noted far ahead hides no later one', async () => {
  await comes();
  await stand.registry.write(askNow({ subject, nowMs: Date.now() }));
  await issuance.settled();
  const { calls, heard } = callsAt(stand.registry);
  const noted = (atMs: number) =>
    stand.registry.write((db) =>
      db.updateTable('certificate_work').set({ called_at: atMs }).execute(),
    );
  await calls.look();
  heard.length = 0;
  await noted(Date.now() + DAY_MS);
  await calls.look();
  await noted(Date.now());
  await calls.look();
  expect(heard).toHaveLength(2);
});

test('attack: devices that were called and never come are not read again for ever', async () => {
  await comes();
  await stand.registry.write(askNow({ subject, nowMs: Date.now() }));
  await issuance.settled();
  const read: unknown[] = [];
  const counting: Pick<Registry, 'read'> = {
    read: async (work) => {
      const rows = await stand.registry.read(work);
      if (Array.isArray(rows)) read.push(...rows);
      return rows;
    },
  };
  const { calls } = callsAt(counting);
  await calls.look();
  expect(read).toHaveLength(1);
  vi.setSystemTime(Date.now() + HOUR_MS);
  await calls.look();
  read.length = 0;
  vi.setSystemTime(Date.now() + HOUR_MS);
  await calls.look();
  expect(read).toEqual([]);
  expect(calls.of(work.thumbprint)).toEqual(['alice']);
});
