// What a secondary that asks for the zone gets: nothing new, the difference to what it has, or all of
// it (RFC 1995, RFC 5936). The records of a plan are read lazily from a zone that never changes.
import { differenceTo, isNewerSerial, isSmallerThan } from './difference.ts';
import { type Layout, skipName } from './message-layout.ts';
import { TYPE, type ZoneRecord } from './record.ts';
import { soaWithSerial, type Zone } from './zone.ts';
import type { ZoneSource, ZoneStep } from './zone-source.ts';

const PLAN_LIMITS = {
  /** The steps come out of a database; without them the zone in memory is sent whole. */
  stepsMs: 3_000,
} as const;

export interface TransferPlan {
  readonly kind: 'current' | 'ixfr' | 'axfr';
  readonly zone: Zone;
  /** What the secondary has; undefined when it did not say. */
  readonly from: number | undefined;
  readonly records: Iterable<ZoneRecord>;
}

/** `from` is the serial of an IXFR request, undefined for AXFR. */
export async function planTransfer(
  source: ZoneSource,
  from: number | undefined,
  transport: 'udp' | 'tcp',
): Promise<TransferPlan> {
  const { zone } = source;
  if (from === undefined) return whole(zone, from);
  // RFC 1995, section 2: the single SOA, also when an answer does not fit into UDP (section 4).
  if (transport === 'udp' || !isNewerSerial(zone.serial, from)) {
    return { kind: 'current', zone, from, records: [soaOf(zone)] };
  }
  const steps = await stepsSince(source, from);
  const difference = steps === undefined ? undefined : differenceTo(zone, from, steps);
  if (difference === undefined || isSmallerThan(zone, difference.records)) return whole(zone, from);
  // When more of the SOA than its serial has changed, BIND finds that this is not what it has, and
  // asks for the whole zone; the others go by the serial.
  const old = { owner: zone.apex, set: soaWithSerial(zone.soa, from) };
  const { removed, added } = difference;
  const records = [soaOf(zone), old, ...removed, soaOf(zone), ...added, soaOf(zone)];
  return { kind: 'ixfr', zone, from, records };
}

/** A registry that fails or hangs costs a larger transfer and nothing else. */
async function stepsSince(
  source: ZoneSource,
  from: number,
): Promise<readonly ZoneStep[] | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), PLAN_LIMITS.stepsMs);
  try {
    return await Promise.race([source.stepsSince(from), late.promise]);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

function whole(zone: Zone, from: number | undefined): TransferPlan {
  return { kind: 'axfr', zone, from, records: allOf(zone) };
}

/** The SOA is the first of them, and again the last: so the other side knows that it has all. */
function* allOf(zone: Zone): Generator<ZoneRecord> {
  yield* zone.records();
  yield soaOf(zone);
}

function soaOf(zone: Zone): ZoneRecord {
  return { owner: zone.apex, set: zone.soa };
}

/** The serial that an IXFR request says its sender has, in the SOA of its authority section. */
export function requestedSerial(message: Buffer, { records }: Layout): number | undefined {
  const soa = records.find(({ section, type }) => section === 'authority' && type === TYPE.SOA);
  if (soa === undefined) return undefined;
  return soaSerial(message, soa.dataStart, soa.end);
}

/** The serial of an SOA whose names may be compressed; undefined when it does not fit its RDATA. */
export function soaSerial(message: Buffer, dataStart: number, end: number): number | undefined {
  const mailbox = skipName(message, dataStart);
  const numbers = mailbox === undefined ? undefined : skipName(message, mailbox);
  return numbers === undefined || numbers + 20 !== end ? undefined : message.readUInt32BE(numbers);
}
