// Answers as a pure function: a table for each rule, and random zones against a slow model that says
// RFC 4592 in its own words.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Answer, answerQuestion } from '../../dns/answer.ts';
import { parseType, TYPE, typeName, type ZoneRecord } from '../../dns/record.ts';
import type { Zone } from '../../dns/zone.ts';
import type { ZoneEntry } from '../../dns/zone-text.ts';
import { APEX_ENTRIES, PROBE_ZONE, probeZone, zoneOf } from './probe-zone.ts';

const ZONE = probeZone();

function ask(question: string, zone: Zone = ZONE): Answer {
  const [name = '', type = 'A', asClass = '1'] = question.split(' ');
  const labels = name === '.' ? [] : name.split('.');
  return answerQuestion({ labels, type: parseType(type) ?? 0, class: Number(asClass) }, zone);
}

function words(records: readonly ZoneRecord[]): string[] {
  return records.map(({ owner, set }) => `${owner} ${typeName(set.type)} ${set.data.length}`);
}

describe('sections', () => {
  test.each([
    ['a name that is there', 'dev1.vendor.test A', ['dev1.vendor.test A 1'], []],
    [
      'RFC 1034, 4.3.2: a CNAME is followed inside the zone',
      'alice.vendor.test A',
      ['alice.vendor.test CNAME 1', 'edge.vendor.test A 2'],
      [],
    ],
    [
      'RFC 1034, 3.6.2: not when it is asked for itself',
      'alice.vendor.test CNAME',
      ['alice.vendor.test CNAME 1'],
      [],
    ],
    [
      'a CNAME that leads out ends there',
      'out.odd.vendor.test A',
      ['out.odd.vendor.test CNAME 1'],
      [],
    ],
    [
      'a loop ends',
      'loop1.odd.vendor.test A',
      ['loop1.odd.vendor.test CNAME 1', 'loop2.odd.vendor.test CNAME 1'],
      [],
    ],
    ['RFC 2308, 2.2: NODATA has the SOA', 'dev1.vendor.test AAAA', [], ['vendor.test SOA 1']],
    ['RFC 2308, 2.1: NXDOMAIN has the SOA', 'nope.vendor.test A', [], ['vendor.test SOA 1']],
    [
      'a chain to NODATA has both',
      'nodata.odd.vendor.test AAAA',
      ['nodata.odd.vendor.test CNAME 1'],
      ['vendor.test SOA 1'],
    ],
    [
      'RFC 4592: the wildcard speaks with the name that was asked',
      'web.dev1.vendor.test A',
      ['web.dev1.vendor.test A 1'],
      [],
    ],
    ['RFC 8482: ANY gets one set', 'edge.vendor.test ANY', ['edge.vendor.test A 2'], []],
    ['RFC 8482: ANY does not follow', 'alice.vendor.test ANY', ['alice.vendor.test CNAME 1'], []],
    [
      'RFC 3597: a type that we do not know',
      'generic.odd.vendor.test TYPE1000',
      ['generic.odd.vendor.test TYPE1000 1'],
      [],
    ],
  ])('%s', (_, question, answer, authority) => {
    const found = ask(question);
    expect(found.authoritative).toBe(true);
    expect(words(found.answer)).toEqual(answer);
    expect(words(found.authority)).toEqual(authority);
  });

  test('NS brings the addresses of name servers in the zone along', () => {
    expect(words(ask('vendor.test NS').additional)).toEqual([
      'ns1.vendor.test A 1',
      'ns2.vendor.test AAAA 1',
    ]);
  });
});

test.each([
  ['RFC 2308: NXDOMAIN', 'nope.vendor.test A', 3],
  ['RFC 6604: NXDOMAIN behind a CNAME', 'broken.odd.vendor.test A', 3],
  ['RFC 4592, 2.2.2: an empty non-terminal is NODATA', 'ws.dev1.vendor.test A', 0],
  [
    'RFC 4592, 2.2.1: below it the wildcard further up does not count',
    'x.ws.dev1.vendor.test A',
    3,
  ],
  ['RFC 8020: nothing lies below what does not exist', 'a.nope.vendor.test A', 3],
  ['outside the zone', 'example.org A', 5],
  ['the parent', 'test SOA', 5],
  ['the root', '. NS', 5],
  ['a name that ends like the zone', 'xvendor.test A', 5],
  ['another class', 'dev1.vendor.test A 3', 5],
  ['class ANY', 'dev1.vendor.test A 255', 5],
])('RCODE: %s', (_, question, rcode) => {
  const found = ask(question);
  expect(found.rcode).toBe(rcode);
  expect(found.authoritative).toBe(rcode !== 5);
});

test('RFC 2308, 3: the TTL of a negative answer is the smaller of the SOA and its MINIMUM', () => {
  expect(ask('nope.vendor.test A').authority[0]?.set.ttl).toBe(60);
  expect(ask('vendor.test SOA').answer[0]?.set.ttl).toBe(3600);
  const soa: ZoneEntry = [
    '',
    30,
    'SOA',
    ['ns1.vendor.test. h.vendor.test. 1 3600 600 1209600 900'],
  ];
  const zone = zoneOf(PROBE_ZONE, 1, { '': [soa, ...APEX_ENTRIES.slice(1)] });
  expect(ask('nope.vendor.test A', zone).authority[0]?.set.ttl).toBe(30);
});

test('a chain of many CNAMEs ends', () => {
  const links = Array.from(
    { length: 50 },
    (_, at): ZoneEntry => [`l${at}.chain`, 60, 'CNAME', [`l${at + 1}.chain.vendor.test`]],
  );
  const zone = zoneOf(PROBE_ZONE, 1, { '': APEX_ENTRIES, chain: links });
  expect(ask('l0.chain.vendor.test A', zone).answer.length).toBeLessThanOrEqual(10);
});

test('a label with nothing at it and nothing below does not exist', () => {
  const zone = zoneOf(PROBE_ZONE, 1, { '': APEX_ENTRIES, ghost: [] });
  expect(ask('ghost.vendor.test A', zone).rcode).toBe(3);
});

/** RFC 4592 by looking at every owner, with no tree. */
function model(name: string, type: string, entries: readonly ZoneEntry[]): string {
  const owners = entries.map(([owner]) => owner);
  const exists = (one: string): boolean =>
    one === '' || owners.some((owner) => owner === one || owner.endsWith(`.${one}`));
  const at = (one: string): readonly ZoneEntry[] => entries.filter(([owner]) => owner === one);
  let asked: string | undefined = name;
  const chain: string[] = [];
  const seen = new Set<string>();
  while (asked !== undefined) {
    seen.add(asked);
    let source: string = asked;
    if (!exists(asked)) {
      let encloser: string = asked;
      while (!exists(encloser))
        encloser = encloser.includes('.') ? encloser.replace(/^[^.]*\./, '') : '';
      source = encloser === '' ? '*' : `*.${encloser}`;
      if (!exists(source)) return [...chain, 'NXDOMAIN'].join(' ');
    }
    const alias = at(source).find(([, , kind]) => kind === 'CNAME');
    if (alias === undefined || type === 'CNAME') {
      const data = at(source).find(([, , kind]) => kind === type);
      return [...chain, data === undefined ? 'NODATA' : `${asked}=${data[3].join()}`].join(' ');
    }
    chain.push(`${asked}>`);
    const target: string = alias[3][0] ?? '';
    if (!target.endsWith('.vendor.test.') || seen.size > 8) return chain.join(' ');
    asked = target.slice(0, -'.vendor.test.'.length);
    if (seen.has(asked)) return chain.join(' ');
  }
  return '';
}

function verdict(name: string, type: string, zone: Zone): string {
  const found = ask(`${name}.vendor.test ${type}`, zone);
  const parts = found.answer.map(({ owner, set }) => {
    const short = owner.slice(0, -'.vendor.test'.length);
    if (set.type === TYPE.CNAME && type !== 'CNAME') return `${short}>`;
    const text = set.data.map((data) =>
      set.type === TYPE.A ? data.join('.') : data.toString('latin1'),
    );
    return set.type === TYPE.CNAME ? `${short}=CNAME` : `${short}=${text.join()}`;
  });
  if (found.rcode === 3) parts.push('NXDOMAIN');
  else if (found.authority.length > 0) parts.push('NODATA');
  return parts.join(' ');
}

test('RFC 4592: random zones and questions, against the model', () => {
  const label = fc.constantFrom('a', 'b', 'c');
  const first = fc.constantFrom('x', 'y', 'z', '*');
  const owner = fc
    .tuple(
      fc.option(fc.constant('*'), { nil: undefined, freq: 3 }),
      fc.array(label, { maxLength: 3 }),
      first,
    )
    .map(([star, middle, top]) =>
      top === '*' ? '*' : [...(star === undefined ? [] : [star]), ...middle, top].join('.'),
    );
  const question = fc
    .tuple(
      fc.array(fc.constantFrom('a', 'b', 'c', '*'), { maxLength: 5 }),
      fc.constantFrom('x', 'y', 'z', 'w', '*'),
    )
    .map(([labels, top]) => [...labels, top].join('.'));
  const target = fc.oneof(
    question.map((name) => `${name}.vendor.test.`),
    fc.constant('www.example.org.'),
  );
  const entry = fc.oneof(
    { weight: 3, arbitrary: owner.map((name): ZoneEntry => [name, 60, 'A', ['192.0.2.1']]) },
    {
      weight: 1,
      arbitrary: fc.tuple(owner, target).map(([name, to]): ZoneEntry => [name, 60, 'CNAME', [to]]),
    },
  );
  const entriesOf = fc.uniqueArray(entry, { maxLength: 14, selector: ([name]) => name });
  fc.assert(
    fc.property(
      entriesOf,
      fc.array(question, { minLength: 20, maxLength: 30 }),
      (entries, questions) => {
        const labels: Record<string, ZoneEntry[]> = { '': [...APEX_ENTRIES] };
        for (const each of entries) {
          const top = each[0].split('.').at(-1) ?? '';
          labels[top] = [...(labels[top] ?? []), each];
        }
        const zone = zoneOf(PROBE_ZONE, 1, labels);
        for (const name of questions) {
          for (const type of ['A', 'TXT', 'CNAME']) {
            const expected = model(name, type, entries).replace(/=[^ ]*\.$/, '=CNAME');
            expect(verdict(name, type, zone), `${name} ${type}`).toBe(expected);
          }
        }
      },
    ),
    { numRuns: 400 },
  );
});
