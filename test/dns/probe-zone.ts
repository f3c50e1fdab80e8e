// A small zone with every shape that answers depend on: the zone of the conformance probes.
import { type Hostname, parseHostname } from '../../dns/name.ts';
import { Zone, type ZoneChange } from '../../dns/zone.ts';
import { type ZoneEntry, ZoneText } from '../../dns/zone-text.ts';

export const PROBE_ZONE = hostname('vendor.test');

function hostname(text: string): Hostname {
  const name = parseHostname(text);
  if (name === undefined) throw new Error(`${text} is no hostname`);
  return name;
}

/** Entries by first label; '' is the apex. */
export function zoneOf(
  apex: Hostname,
  serial: number,
  labels: Readonly<Record<string, readonly ZoneEntry[] | 'device'>>,
): Zone {
  return Zone.of(apex, serial, changesOf(apex, labels));
}

export function changesOf(
  apex: Hostname,
  labels: Readonly<Record<string, readonly ZoneEntry[] | 'device'>>,
): ZoneChange[] {
  const text = new ZoneText(apex);
  return Object.entries(labels).map(([label, entries]) => [
    label,
    entries === 'device' ? text.plainDevice : text.fromEntries(label, entries),
  ]);
}

export const APEX_ENTRIES: readonly ZoneEntry[] = [
  ['', 3600, 'SOA', ['ns1.vendor.test. hostmaster.vendor.test. 1 3600 600 1209600 60']],
  ['', 3600, 'NS', ['ns1.vendor.test.', 'ns2.vendor.test.']],
  ['', 300, 'A', ['192.0.2.7']],
  ['', 3600, 'CAA', ['0 issue "ca.example; validationmethods=dns-01"', '0 issuewild "ca.example"']],
];

const LONG_LABEL = 'l'.repeat(63);

export function probeZone(): Zone {
  return zoneOf(PROBE_ZONE, 2026, {
    '': APEX_ENTRIES,
    ns1: [['ns1', 3600, 'A', ['127.0.0.1']]],
    ns2: [['ns2', 3600, 'AAAA', ['2001:db8::53']]],
    edge: [
      ['edge', 60, 'A', ['192.0.2.1', '192.0.2.2']],
      ['edge', 60, 'AAAA', ['2001:db8::1', '2001:db8::2']],
      ['edge', 60, 'HTTPS', ['1 . alpn="h2,http/1.1"']],
    ],
    alice: 'device',
    bob: [
      ['bob', 60, 'CNAME', ['edge.vendor.test.']],
      ['*.bob', 60, 'CNAME', ['edge.vendor.test.']],
      ['lan.bob', 60, 'A', ['192.168.1.20']],
      ['_acme-challenge.bob', 1, 'TXT', ['"one"', '"two"']],
      ['_acme-challenge.code.bob', 1, 'TXT', ['"three"']],
      ['code.bob', 60, 'CNAME', ['edge.vendor.test.']],
    ],
    dev1: [
      ['dev1', 60, 'A', ['192.0.2.9']],
      ['*.dev1', 60, 'A', ['192.0.2.10']],
      ['*.dev1', 60, 'TXT', ['"wild"']],
      ['_acme-challenge.ws.dev1', 1, 'TXT', ['"token"']],
      ['a.b.c.dev1', 60, 'A', ['192.0.2.11']],
    ],
    to: [
      ['x7f3.to', 300, 'CNAME', ['edge.vendor.test.']],
      ['_waygate.x7f3.to', 300, 'TXT', ['"proof"']],
      ['y8.to', 300, 'CNAME', ['x7f3.to.vendor.test.']],
    ],
    odd: [
      ['out.odd', 60, 'CNAME', ['www.example.org.']],
      ['broken.odd', 60, 'CNAME', ['absent.vendor.test.']],
      ['nodata.odd', 60, 'CNAME', ['ns1.vendor.test.']],
      ['loop1.odd', 60, 'CNAME', ['loop2.odd.vendor.test.']],
      ['loop2.odd', 60, 'CNAME', ['loop1.odd.vendor.test.']],
      ['generic.odd', 60, 'TYPE1000', ['\\# 4 0a000001']],
      [`${LONG_LABEL}.odd`, 60, 'A', ['192.0.2.12']],
      ['text.odd', 60, 'TXT', [`"${'x'.repeat(255)}" "${'y'.repeat(45)}"`]],
      [
        'big.odd',
        60,
        'TXT',
        Array.from({ length: 30 }, (_, at) => `"${`${at}`.padEnd(100, 'b')}"`),
      ],
      ['mid.odd', 60, 'TXT', Array.from({ length: 8 }, (_, at) => `"${`${at}`.padEnd(90, 'm')}"`)],
    ],
  });
}
