// What of a zone changed between two serials, for IXFR (RFC 1995): many steps condensed into one
// difference (its section 5), so that a record that came and went is not sent at all. Work in
// proportion to the steps, never to the zone.
import type { RecordSet, ZoneRecord } from './record.ts';
import type { Zone } from './zone.ts';
import type { ZoneStep } from './zone-source.ts';

const DIFFERENCE_LIMITS = {
  /** Beyond that the whole zone is as quick, and this list would stop the event loop noticeably. */
  recordsMax: 50_000,
} as const;

export interface Difference {
  readonly removed: readonly ZoneRecord[];
  readonly added: readonly ZoneRecord[];
  readonly records: number;
}

/**
 * From a serial to that of the zone. Undefined when the steps do not lead from the one to the other
 * without a gap, or are too many.
 */
export function differenceTo(
  zone: Zone,
  from: number,
  steps: readonly ZoneStep[],
): Difference | undefined {
  const net = new Map<string, { record: ZoneRecord; count: number }>();
  let serial = from;
  for (const step of steps) {
    // The zone may have gone on while the steps were read; those beyond are another transfer.
    if (serial === zone.serial) break;
    if (step.from !== serial) return undefined;
    for (const record of step.removed) tally(net, record, -1);
    for (const record of step.added) tally(net, record, 1);
    if (net.size > DIFFERENCE_LIMITS.recordsMax) return undefined;
    serial = step.to;
  }
  if (serial !== zone.serial) return undefined;
  const left = [...net.values()].filter(({ count }) => count !== 0);
  return {
    removed: left.filter(({ count }) => count < 0).map(({ record }) => record),
    added: left.filter(({ count }) => count > 0).map(({ record }) => record),
    records: left.length,
  };
}

/** Counts each record by itself: two steps may have cut a set in different ways. */
function tally(
  net: Map<string, { record: ZoneRecord; count: number }>,
  { owner, set }: ZoneRecord,
  by: number,
): void {
  for (const data of set.data) {
    const key = recordKey(owner, set, data);
    const known = net.get(key);
    if (known === undefined) {
      net.set(key, { record: { owner, set: { ...set, data: [data] } }, count: by });
    } else {
      known.count += by;
    }
  }
}

function recordKey(owner: string, { type, ttl }: RecordSet, data: Buffer): string {
  return `${owner} ${type} ${ttl} ${data.toString('latin1')}`;
}

/** Whether the zone has fewer records than that; looks at no more of it than it must. */
export function isSmallerThan(zone: Zone, records: number): boolean {
  let counted = 0;
  for (const { set } of zone.records()) {
    counted += set.data.length;
    if (counted >= records) return false;
  }
  return true;
}

/** RFC 1982, section 3.2. Serials exactly half the circle apart are not ordered: false both ways. */
export function isNewerSerial(serial: number, than: number): boolean {
  const distance = (serial - than) >>> 0;
  return distance > 0 && distance < 0x8000_0000;
}
