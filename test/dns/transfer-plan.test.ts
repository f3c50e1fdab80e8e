import { describe, expect, it } from 'vitest';
import { planTransfer } from '../../dns/transfer-plan.ts';
import { MemoryZone, type ZoneSource } from '../../dns/zone-source.ts';
import { plainDevice, vendorZone } from '../world/vendor-zone.ts';

describe('what a secondary gets', () => {
  it.each([
    ['no serial', undefined, 'tcp', 'axfr'],
    ['the present serial', 3, 'tcp', 'current'],
    ['a serial that is newer than ours', 4, 'tcp', 'current'],
    ['a serial half the circle away', 0x8000_0003, 'tcp', 'current'],
    ['an older serial that is known', 1, 'tcp', 'ixfr'],
    ['an older serial, by UDP', 1, 'udp', 'current'],
    ['an older serial that is not known', 0xffff_fff0, 'tcp', 'axfr'],
  ] as const)('%s: %s by %s is %s', async (_, from, transport, kind) => {
    const source = new MemoryZone(vendorZone(50));
    source.apply([plainDevice('second')]);
    source.apply([plainDevice('third')]);
    expect((await planTransfer(source, from, transport)).kind).toBe(kind);
  });

  it('all of it, when the difference is larger', async () => {
    const source = new MemoryZone(vendorZone(50));
    source.apply(Array.from({ length: 50 }, (_, index) => [`device-${index}`, undefined]));
    expect((await planTransfer(source, 1, 'tcp')).kind).toBe('axfr');
  });

  it.each([
    ['fails', () => Promise.reject(new Error('the database is gone'))],
    ['hangs', () => new Promise<undefined>(() => undefined)],
  ])('all of it, out of memory, when the registry %s', async (_, stepsSince) => {
    const { zone } = new MemoryZone(vendorZone(50, 7));
    const source: ZoneSource = { zone, stepsSince, onChange: () => () => undefined };
    const plan = await planTransfer(source, 6, 'tcp');
    expect([plan.kind, plan.zone]).toEqual(['axfr', zone]);
    expect([...plan.records].length).toBeGreaterThan(50);
  });

  it('one version of the zone, though it changes while it is sent', async () => {
    const source = new MemoryZone(vendorZone(50));
    const plan = await planTransfer(source, undefined, 'tcp');
    const records = plan.records[Symbol.iterator]();
    const owners = [records.next().value?.owner];
    source.apply([['device-1', undefined], plainDevice('newcomer')]);
    for (let next = records.next(); next.done !== true; next = records.next()) {
      owners.push(next.value.owner);
    }
    expect(owners).toContain('device-1.vendor.example');
    expect(owners).not.toContain('newcomer.vendor.example');
  });
});
