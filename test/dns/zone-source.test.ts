import fc from 'fast-check';
import { expect, test } from 'vitest';
import { rdataText } from '../../dns/rdata.ts';
import { typeName } from '../../dns/record.ts';
import type { Zone } from '../../dns/zone.ts';
import { MemoryZone, nextSerial } from '../../dns/zone-source.ts';
import type { ZoneEntry } from '../../dns/zone-text.ts';
import { APEX_ENTRIES, changesOf, PROBE_ZONE, probeZone, zoneOf } from './probe-zone.ts';

function lines(
  records: Iterable<{ owner: string; set: { type: number; ttl: number; data: readonly Buffer[] } }>,
): string[] {
  return [...records].flatMap(({ owner, set }) =>
    set.data.map(
      (data) => `${owner} ${set.ttl} ${typeName(set.type)} ${rdataText(set.type, data)}`,
    ),
  );
}

function contents(zone: Zone): Set<string> {
  return new Set(lines(zone.records()).filter((line) => !line.includes(' SOA ')));
}

test('the steps since a serial make the zone of that serial the present one', async () => {
  const label = fc.constantFrom('a', 'b', 'c');
  const set = fc.record({
    depth: fc.nat(2),
    ttl: fc.constantFrom(1, 60),
    values: fc.uniqueArray(fc.nat(5), { minLength: 1, maxLength: 3 }),
  });
  const change = fc.tuple(
    label,
    fc.option(fc.uniqueArray(set, { maxLength: 3, selector: ({ depth }) => depth })),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(change, { minLength: 1, maxLength: 3 }), { maxLength: 8 }),
      async (rounds) => {
        const source = new MemoryZone(zoneOf(PROBE_ZONE, 1, { '': APEX_ENTRIES }));
        const states = [contents(source.zone)];
        for (const round of rounds) {
          const entries = round.map(([name, sets]): [string, ZoneEntry[] | undefined] => [
            name,
            sets?.map(
              ({ depth, ttl, values }): ZoneEntry => [
                `${'x.'.repeat(depth)}${name}`,
                ttl,
                'TXT',
                values.map((value) => `"${value}"`),
              ],
            ),
          ]);
          source.apply(
            entries.map(([name, list]) =>
              list === undefined
                ? [name, undefined]
                : (changesOf(PROBE_ZONE, { [name]: list })[0] ?? [name, undefined]),
            ),
          );
          states.push(contents(source.zone));
        }
        for (const [at, state] of states.entries()) {
          const steps = await source.stepsSince(at + 1);
          const now = new Set(state);
          for (const { removed, added } of steps ?? []) {
            for (const line of lines(removed)) expect(now.delete(line), line).toBe(true);
            for (const line of lines(added)) expect(now.has(line), line).toBe(false);
            for (const line of lines(added)) now.add(line);
          }
          expect(now).toEqual(contents(source.zone));
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('an unknown serial has no steps; the present one has none to go', async () => {
  const source = new MemoryZone(probeZone());
  expect(await source.stepsSince(2026)).toEqual([]);
  expect(await source.stepsSince(2025)).toBeUndefined();
});

test('an earlier version stays as it was, and the SOA has the serial of each', () => {
  const source = new MemoryZone(probeZone());
  const before = source.zone;
  const known = contents(before);
  const heard: [number, readonly string[]][] = [];
  const stop = source.onChange((zone, labels) => heard.push([zone.serial, labels]));
  source.apply([['alice', undefined], ...changesOf(PROBE_ZONE, { carol: 'device' })]);
  stop();
  source.apply([['bob', undefined]]);
  expect(heard).toEqual([[2027, ['alice', 'carol']]]);
  expect(contents(before)).toEqual(known);
  expect(source.zone.top.has('bob')).toBe(false);
  expect(source.zone.soa.data[0]?.subarray(-20).readUInt32BE(0)).toBe(2028);
  expect([...source.zone.records()][0]?.set).toBe(source.zone.soa);
});

test('RFC 1982: after the last serial comes the first', () => {
  expect(nextSerial(1)).toBe(2);
  expect(nextSerial(0xffff_ffff)).toBe(1);
});

test('a zone without a SOA cannot be', () => {
  expect(() => zoneOf(PROBE_ZONE, 1, { '': APEX_ENTRIES.slice(1) })).toThrow(/no SOA/);
  expect(() => zoneOf(PROBE_ZONE, 1, {})).toThrow(/no records at its apex/);
});
