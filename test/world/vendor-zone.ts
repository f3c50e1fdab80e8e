// Zones for tests: `vendor.example` with its apex, an edge, and any number of plain devices; and random
// changes to it, as claims, releases, challenges and addresses make them.
import type { Hostname } from '../../dns/name.ts';
import { parseHostname } from '../../dns/name.ts';
import { Zone, type ZoneChange } from '../../dns/zone.ts';
import { type ZoneEntry, ZoneText } from '../../dns/zone-text.ts';
import type { SeededRandom } from './random.ts';

export const VENDOR_ZONE = zoneName('vendor.example');
const TEXT = new ZoneText(VENDOR_ZONE);

function zoneName(text: string): Hostname {
  const name = parseHostname(text);
  if (name === undefined) throw new Error(`${text} is no name`);
  return name;
}

export function vendorZone(devices: number, serial = 1): Zone {
  const changes: ZoneChange[] = [apexOf(3600), ['edge', node('edge', EDGE)]];
  for (const label of ['ns1', 'ns2']) {
    changes.push([label, node(label, [[label, 3600, 'A', ['198.51.100.1']]])]);
  }
  for (let index = 0; index < devices; index += 1) changes.push(plainDevice(`device-${index}`));
  return Zone.of(VENDOR_ZONE, serial, changes);
}

/** The apex, with another refresh time where a test changes the SOA itself. */
export function apexOf(refreshS: number): ZoneChange {
  const soa = `ns1.${VENDOR_ZONE}. hostmaster.${VENDOR_ZONE}. 1 ${refreshS} 600 1209600 60`;
  return [
    '',
    node('', [
      ['', 3600, 'SOA', [soa]],
      ['', 3600, 'NS', [`ns1.${VENDOR_ZONE}.`, `ns2.${VENDOR_ZONE}.`]],
      ['', 300, 'A', ['198.51.100.7']],
      ['', 3600, 'CAA', ['0 issue "ca.example"']],
    ]),
  ];
}

const EDGE: readonly ZoneEntry[] = [
  ['edge', 60, 'A', ['198.51.100.7', '198.51.100.8']],
  ['edge', 60, 'AAAA', ['2001:db8::7']],
  ['edge', 60, 'HTTPS', ['1 . alpn="h2,http/1.1"']],
];

export function plainDevice(label: string): ZoneChange {
  return [label, TEXT.plainDevice];
}

/** A device with these TXT values at its `_acme-challenge`. */
export function challenged(label: string, values: readonly string[]): ZoneChange {
  const target = `edge.${VENDOR_ZONE}.`;
  return [
    label,
    node(label, [
      [label, 60, 'CNAME', [target]],
      [`*.${label}`, 60, 'CNAME', [target]],
      [`_acme-challenge.${label}`, 1, 'TXT', values.map((value) => `"${value}"`)],
    ]),
  ];
}

/** One to three names of one serial. */
export function randomChanges(random: SeededRandom): ZoneChange[] {
  return Array.from({ length: 1 + random.below(3) }, () => randomChange(random));
}

function randomChange(random: SeededRandom): ZoneChange {
  const label = `device-${random.below(300)}`;
  const kind = random.below(5);
  if (kind === 0) return [label, undefined];
  if (kind === 1) return plainDevice(label);
  if (kind === 2) {
    const values = Array.from({ length: 1 + random.below(3) }, () => `value-${random.below(1e9)}`);
    return challenged(label, [...new Set(values)]);
  }
  if (kind === 3) {
    const address = `10.${random.below(256)}.${random.below(256)}.1`;
    return [
      label,
      node(label, [
        [label, 60, 'CNAME', [`edge.${VENDOR_ZONE}.`]],
        [`lan.${label}`, 30 + random.below(3), 'A', [address]],
        [`deep.er.${label}`, 60, 'CNAME', [`edge.${VENDOR_ZONE}.`]],
      ]),
    ];
  }
  const last = random.below(200) + 10;
  return [
    'edge',
    node('edge', [
      ['edge', 60, 'A', [`198.51.100.${last}`]],
      ['edge', 60 + random.below(2), 'AAAA', [`2001:db8::${last}`, '2001:db8::7']],
      ['edge', 60, 'HTTPS', ['1 . alpn="h2,http/1.1"']],
    ]),
  ];
}

function node(label: string, entries: readonly ZoneEntry[]) {
  return TEXT.parse(label, JSON.stringify(entries));
}
