import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseRdata, rdataText } from '../../dns/rdata.ts';
import { parseType, TYPE, typeName } from '../../dns/record.ts';

test.each([
  ['A', '192.0.2.1', 'c0000201', '192.0.2.1'],
  ['AAAA', '2001:DB8::1', '20010db8000000000000000000000001', '2001:db8::1'],
  ['AAAA', '::ffff:192.0.2.1', '00000000000000000000ffffc0000201', '::ffff:c000:201'],
  ['AAAA', '::', '00'.repeat(16), '::'],
  ['AAAA', '1:0:0:2:0:0:0:3', '0001000000000002000000000000' + '0003', '1:0:0:2::3'],
  ['AAAA', '1:0:2:3:4:5:6:7', '00010000000200030004000500060007', '1:0:2:3:4:5:6:7'],
  ['NS', 'NS1.Vendor.Test', '036e73310676656e646f72047465737400', 'ns1.vendor.test.'],
  ['CNAME', '.', '00', '.'],
  ['CNAME', 'a\\.b.c.', '03612e62016300', 'a\\.b.c.'],
  ['CNAME', '\\000\\255.c', '0200ff016300', '\\000\\255.c.'],
  [
    'SOA',
    'a. b. 1 2 3 4 4294967295',
    '0161000162000000000100000002' + '0000000300000004ffffffff',
    'a. b. 1 2 3 4 4294967295',
  ],
  [
    'TXT',
    'one "two three" \\"\\200',
    '036f6e65097477' + '6f20746872656502' + '22c8',
    '"one" "two three" "\\"\\200"',
  ],
  ['TXT', '""', '00', '""'],
  [
    'CAA',
    '0 issue "ca.example; a=b"',
    `00056973737565${Buffer.from('ca.example; a=b').toString('hex')}`,
    '0 issue "ca.example; a=b"',
  ],
  [
    'CAA',
    '128 iodef mailto:a@b.c',
    `8005696f646566${Buffer.from('mailto:a@b.c').toString('hex')}`,
    '128 iodef "mailto:a@b.c"',
  ],
  [
    'HTTPS',
    '1 . alpn="h2,http/1.1"',
    '0001000001000c02683208687474702f312e31',
    '1 . alpn=h2,http/1.1',
  ],
  [
    'HTTPS',
    '0 edge.vendor.test',
    '000004656467650676656e646f72047465737400',
    '0 edge.vendor.test.',
  ],
  [
    'HTTPS',
    '16 a. port=443 no-default-alpn alpn=h2 mandatory=port,alpn',
    '0010016100' + '0000000400010003' + '00010003026832' + '00020000' + '0003000201bb',
    '16 a. mandatory=alpn,port alpn=h2 no-default-alpn port=443',
  ],
  [
    'HTTPS',
    '1 . ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=::1 key667="a b"',
    `00010000040008c0000201c000020200060010${'00'.repeat(15)}01029b0003612062`,
    '1 . ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=::1 key667=a\\032b',
  ],
  ['TYPE1000', '\\# 4 0A 0000 01', '0a000001', '\\# 4 0a000001'],
  ['TYPE1000', '\\# 0', '', '\\# 0'],
  ['A', '\\# 4 c0000201', 'c0000201', '192.0.2.1'],
  ['NS', '\\# 3 014100', '016100', 'a.'],
])('%s %s', (type, text, hex, canonical) => {
  const number = parseType(type) ?? 0;
  const data = parseRdata(number, text);
  expect(data?.toString('hex')).toBe(hex);
  expect(data && rdataText(number, data)).toBe(canonical);
});

test.each([
  ['A', ''],
  ['A', '1.2.3'],
  ['A', '1.2.3.4 5'],
  ['A', '1.2.3.256'],
  ['A', '\\# 4 0102'],
  ['A', '\\# 3 010203'],
  ['AAAA', '1.2.3.4'],
  ['AAAA', 'fe80::1%eth0'],
  ['AAAA', ':::'],
  ['NS', ''],
  ['NS', 'a..b'],
  ['NS', '.a'],
  ['NS', 'a b'],
  ['NS', `${'a'.repeat(64)}.`],
  ['NS', `${'a.'.repeat(128)}`],
  ['NS', 'a\\25'],
  ['NS', 'a\\256'],
  ['NS', 'é.'],
  ['SOA', 'a. b. 1 2 3 4'],
  ['SOA', 'a. b. 1 2 3 4 4294967296'],
  ['SOA', 'a. b. 1 2 3 4 x'],
  ['TXT', ''],
  ['TXT', '"open'],
  ['TXT', 'é'],
  ['TXT', 'a"b"c'],
  ['CAA', '256 issue "a"'],
  ['CAA', '0 is-sue "a"'],
  ['CAA', '0 issue'],
  ['HTTPS', '1'],
  ['HTTPS', '65536 .'],
  ['HTTPS', '1 . port=65536'],
  ['HTTPS', '1 . alpn'],
  ['HTTPS', '1 . port=1 port=2'],
  ['HTTPS', '0 . port=1'],
  ['HTTPS', '1 . nonsense=1'],
  ['HTTPS', '1 . ech=*'],
  ['HTTPS', '1 . no-default-alpn=1'],
  ['MX', '10 a.'],
  ['TYPE1000', 'abc'],
  ['TYPE1000', '\\# 1 0'],
  ['TYPE1000', '\\# 1 zz'],
  ['TYPE1000', '\\#'],
])('refuses %s %s', (type, text) => {
  expect(parseRdata(parseType(type) ?? 0, text)).toBeUndefined();
});

test('a TXT string beyond 255 bytes becomes several', () => {
  const data = parseRdata(TYPE.TXT, `"${'x'.repeat(600)}"`);
  expect(data?.length).toBe(603);
  expect([data?.[0], data?.[256], data?.[512]]).toEqual([255, 255, 90]);
});

test('any bytes of any type become a text that gives the same bytes', () => {
  const types = fc.constantFrom(1, 2, 5, 6, 13, 15, 16, 28, 33, 64, 65, 257, 1000, 65535);
  fc.assert(
    fc.property(types, fc.uint8Array({ maxLength: 80 }), (type, bytes) => {
      const text = rdataText(type, Buffer.from(bytes));
      const again = parseRdata(type, text);
      // Generic text of a known type is refused when it is malformed; of all else it gives the bytes.
      if (again !== undefined) expect(again).toEqual(Buffer.from(bytes));
      else expect(text).toMatch(/^\\# /);
    }),
    { numRuns: 3_000 },
  );
});

test('mnemonics and numbers of types', () => {
  for (const type of [1, 2, 5, 6, 16, 28, 41, 65, 251, 252, 255, 257, 1000, 65535]) {
    expect(parseType(typeName(type))).toBe(type);
  }
  expect(parseType('type65')).toBe(65);
  expect(parseType('TYPE65536')).toBeUndefined();
  expect(parseType('NOPE')).toBeUndefined();
});
