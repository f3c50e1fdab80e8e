// The zone of a customer, as he fills it at his DNS provider: `example.org` with a name server and
// whatever records a test enters.
import type { Hostname } from '../../dns/name.ts';
import { parseHostname } from '../../dns/name.ts';
import { Zone, type ZoneChange } from '../../dns/zone.ts';
import { type ZoneEntry, ZoneText } from '../../dns/zone-text.ts';

/** Whole owner, type, data in presentation form; several of one owner and type are one set. */
export type CustomerRecord = readonly [owner: string, type: string, data: string];

/** Nobody keeps what a test is about to change. */
const TTL_S = 0;

/** The serial grows with every version, or no name server takes the zone over. */
export function customerZone(
  apex: string,
  records: readonly CustomerRecord[],
  serial = nextSerial(),
): Zone {
  const zone = hostnameOf(apex);
  const text = new ZoneText(zone);
  const soa = `ns.${apex}. hostmaster.${apex}. 1 3600 600 86400 0`;
  const all: readonly CustomerRecord[] = [
    [apex, 'SOA', soa],
    [apex, 'NS', `ns.${apex}.`],
    [`ns.${apex}`, 'A', '127.0.0.1'],
    ...records,
  ];
  const byLabel = Map.groupBy(all, ([owner]) => relative(owner, zone).split('.').at(-1) ?? '');
  const changes = [...byLabel].map(([label, some]): ZoneChange => {
    const sets = Map.groupBy(some, ([owner, type]) => `${relative(owner, zone)} ${type}`);
    const entries = [...sets.values()].map((set): ZoneEntry => {
      const [owner, type] = set[0] ?? ['', '', ''];
      return [relative(owner, zone), TTL_S, type, set.map(([, , data]) => data)];
    });
    return [label, text.fromEntries(label, entries)];
  });
  return Zone.of(zone, serial, changes);
}

let lastSerial = 1;

function nextSerial(): number {
  lastSerial += 1;
  return lastSerial;
}

function relative(owner: string, zone: Hostname): string {
  if (owner === zone) return '';
  if (owner.endsWith(`.${zone}`)) return owner.slice(0, -zone.length - 1);
  throw new Error(`${owner} is not in ${zone}`);
}

function hostnameOf(text: string): Hostname {
  const name = parseHostname(text);
  if (name === undefined) throw new Error(`${text} is no name`);
  return name;
}
