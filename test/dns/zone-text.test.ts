import { expect, test } from 'vitest';
import { ZoneText, ZoneTextError, zoneEntriesText } from '../../dns/zone-text.ts';
import { PROBE_ZONE, probeZone } from './probe-zone.ts';

const TEXT = new ZoneText(PROBE_ZONE);

test('what a zone has becomes text and again the same records', () => {
  const zone = probeZone();
  for (const label of zone.top.keys()) {
    const node = zone.top.get(label);
    if (node === undefined) throw new Error(label);
    const text = TEXT.format(label, node);
    expect(TEXT.format(label, TEXT.parse(label, text))).toBe(text);
    expect(TEXT.entries(label, TEXT.parse(label, text))).toHaveLength(
      TEXT.entries(label, node).length,
    );
  }
  const apex = TEXT.format('', zone.apexNode);
  expect(TEXT.format('', TEXT.parse('', apex))).toBe(apex);
});

test('the empty text is a plain device, and all of them are one node', () => {
  expect(TEXT.parse('alice', '')).toBe(TEXT.parse('bob', ''));
  expect(TEXT.format('alice', TEXT.plainDevice)).toBe('');
  expect(TEXT.entries('alice', TEXT.plainDevice)).toEqual([
    ['alice', 60, 'CNAME', ['edge.vendor.test.']],
    ['*.alice', 60, 'CNAME', ['edge.vendor.test.']],
  ]);
});

test('equal records are equal texts, in whatever order they come', () => {
  const one = ['a.bob', 1, 'TXT', ['"x"', '"y"']] as const;
  const other = ['bob', 60, 'A', ['192.0.2.1']] as const;
  expect(zoneEntriesText([one, other])).toBe(
    zoneEntriesText([other, ['a.bob', 1, 'TXT', ['"y"', '"x"']]]),
  );
});

test.each([
  ['no JSON', 'x'],
  ['no array', '{}'],
  ['an entry that is no array', '[1]'],
  ['an entry of three', '[["bob",1,"A"]]'],
  ['a TTL that is negative', '[["bob",-1,"A",["1.2.3.4"]]]'],
  ['a TTL beyond 31 bits', '[["bob",2147483648,"A",["1.2.3.4"]]]'],
  ['a TTL with a fraction', '[["bob",1.5,"A",["1.2.3.4"]]]'],
  ['no data', '[["bob",1,"A",[]]]'],
  ['data that are no texts', '[["bob",1,"A",[1]]]'],
  ['wrong data', '[["bob",1,"A",["1.2.3"]]]'],
  ['the same data twice', '[["bob",1,"A",["1.2.3.4","1.2.3.4"]]]'],
  ['a set twice', '[["bob",1,"A",["1.2.3.4"]],["bob",1,"A",["1.2.3.5"]]]'],
  ['an unknown type', '[["bob",1,"NOPE",["1"]]]'],
  ['a type of questions', '[["bob",1,"ANY",["\\\\# 0"]]]'],
  ['OPT', '[["bob",1,"OPT",["\\\\# 0"]]]'],
  ['another label', '[["bobby",1,"A",["1.2.3.4"]]]'],
  ['the apex below a label', '[["",1,"A",["1.2.3.4"]]]'],
  ['an owner that is no name', '[["a..bob",1,"A",["1.2.3.4"]]]'],
  ['an owner with a dot in a label', '[["a\\\\.b.bob",1,"A",["1.2.3.4"]]]'],
  ['an owner too long below the zone', `[["${'abc.'.repeat(61)}bob",1,"A",["1.2.3.4"]]]`],
  ['NS below the apex: a delegation', '[["bob",1,"NS",["a."]]]'],
  ['DS below the apex', '[["bob",1,"DS",["\\\\# 1 00"]]]'],
  ['DNAME', '[["bob",1,"DNAME",["\\\\# 1 00"]]]'],
  ['SOA below the apex', '[["bob",1,"SOA",["a. b. 1 2 3 4 5"]]]'],
  ['a CNAME beside data', '[["bob",1,"CNAME",["a."]],["bob",1,"A",["1.2.3.4"]]]'],
  ['data beside a CNAME', '[["bob",1,"A",["1.2.3.4"]],["bob",1,"CNAME",["a."]]]'],
  ['a CNAME with two targets', '[["bob",1,"CNAME",["a.","b."]]]'],
  ['a name below a wildcard', '[["a.*.bob",1,"A",["1.2.3.4"]]]'],
  [
    'a set that fits no message',
    JSON.stringify([
      ['bob', 1, 'TXT', Array.from({ length: 300 }, (_, at) => `"${at}${'x'.repeat(240)}"`)],
    ]),
  ],
])('refuses %s', (_, text) => {
  expect(() => TEXT.parse('bob', text)).toThrow(ZoneTextError);
});

test('refuses a CNAME at the apex, and says of which entry it speaks', () => {
  expect(() => TEXT.fromEntries('', [['', 1, 'CNAME', ['a.']]])).toThrow(
    /\["",1,"CNAME",\["a\."\]\]/,
  );
});
