import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { differenceTo, isNewerSerial, isSmallerThan } from '../../dns/difference.ts';
import type { ZoneRecord } from '../../dns/record.ts';
import type { Zone } from '../../dns/zone.ts';
import { MemoryZone } from '../../dns/zone-source.ts';
import { SeededRandom } from '../world/random.ts';
import { plainDevice, randomChanges, vendorZone } from '../world/vendor-zone.ts';

describe('the difference between two serials', () => {
  it('makes the old zone into the new one, whatever happened between', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.integer({ min: 1, max: 40 }), async (seed, count) => {
        const random = new SeededRandom(seed);
        const source = new MemoryZone(vendorZone(20));
        const before = recordsOf(source.zone);
        const from = source.zone.serial;
        for (let step = 0; step < count; step += 1) source.apply(randomChanges(random));
        const difference = differenceTo(source.zone, from, (await source.stepsSince(from)) ?? []);
        if (difference === undefined) throw new Error('no difference');
        for (const record of flat(difference.removed)) expect(before.delete(record)).toBe(true);
        for (const record of flat(difference.added)) {
          expect(before.has(record)).toBe(false);
          before.add(record);
        }
        expect(before).toEqual(recordsOf(source.zone));
      }),
      { numRuns: 50 },
    );
  });

  it('does not tell of what came and went', async () => {
    const source = new MemoryZone(vendorZone(1));
    source.apply([plainDevice('guest')]);
    source.apply([['guest', undefined]]);
    const steps = (await source.stepsSince(1)) ?? [];
    expect(differenceTo(source.zone, 1, steps)?.records).toBe(0);
  });

  it('ends at the zone that is sent, though steps beyond it are known', async () => {
    const source = new MemoryZone(vendorZone(1));
    const zone = source.apply([plainDevice('first')]);
    source.apply([plainDevice('second')]);
    const steps = (await source.stepsSince(1)) ?? [];
    expect(flat(differenceTo(zone, 1, steps)?.added ?? []).join()).not.toContain('second');
  });

  it('is none when steps are missing at either end', async () => {
    const source = new MemoryZone(vendorZone(1));
    for (const label of ['a', 'b', 'c']) source.apply([plainDevice(label)]);
    const steps = (await source.stepsSince(1)) ?? [];
    expect(differenceTo(source.zone, 1, steps.slice(1))).toBeUndefined();
    expect(differenceTo(source.zone, 1, steps.slice(0, -1))).toBeUndefined();
    expect(differenceTo(source.zone, 1, [])).toBeUndefined();
  });
});

describe('whether all of a zone is less than its difference', () => {
  it('counts records, not sets', () => {
    const zone = vendorZone(0);
    const count = recordsOf(zone).size + 1;
    expect([isSmallerThan(zone, count), isSmallerThan(zone, count + 1)]).toEqual([false, true]);
  });
});

describe('serials (RFC 1982)', () => {
  it.each([
    [1, 0, true],
    [0, 1, false],
    [5, 5, false],
    [0, 0xffff_ffff, true],
    [100, 0xffff_ff00, true],
    [0x7fff_ffff, 0, true],
    [0x8000_0000, 0, false],
    [0, 0x8000_0000, false],
    [0x8000_0001, 0, false],
  ])('%i is newer than %i: %s', (serial, than, newer) => {
    expect(isNewerSerial(serial, than)).toBe(newer);
  });
});

/** All but the SOA, one text for each. */
function recordsOf(zone: Zone): Set<string> {
  return new Set(flat([...zone.records()].filter(({ set }) => set !== zone.soa)));
}

function flat(records: readonly ZoneRecord[]): string[] {
  return records.flatMap(({ owner, set }) =>
    set.data.map((data) => `${owner} ${set.type} ${set.ttl} ${data.toString('hex')}`),
  );
}
