// Addresses between text and bytes: the quick way that packets take says what the careful one says.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeIpv6, encodeIpv4, encodeIpv6, writeSender } from '../../dns/ip-text.ts';

/** What lay there before must not show. */
function sender(address: string): Buffer {
  const out = Buffer.alloc(16, 0xff);
  return out.subarray(0, writeSender(address, out));
}

test('a sender by IPv4', () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      expect(sender(address)).toEqual(encodeIpv4(address));
    }),
  );
});

test('a sender by IPv4 is the same on a socket for both families', () => {
  expect(sender('::ffff:192.0.2.1')).toEqual(sender('192.0.2.1'));
});

test('a sender by IPv6, in every way to write it', () => {
  fc.assert(
    fc.property(fc.ipV6(), (address) => {
      fc.pre(!/^::ffff:[0-9.]+$/i.test(address));
      expect(sender(address), address).toEqual(encodeIpv6(address));
    }),
  );
});

test('a sender by IPv6, as the system writes it, with many zeros', () => {
  const group = fc.oneof(fc.constant(0), fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      const bytes = Buffer.alloc(16);
      for (const [index, each] of groups.entries()) bytes.writeUInt16BE(each, index * 2);
      expect(sender(decodeIpv6(bytes) ?? '')).toEqual(bytes);
    }),
  );
});

test.each([
  ['::', '::'],
  ['fe80::1%eth0', 'fe80::1'],
  ['fe80::1%eth0.5', 'fe80::1'],
  ['::ffff:c000:201', '::ffff:192.0.2.1'],
  ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
])('a sender %s', (address, plain) => {
  expect(sender(address)).toEqual(encodeIpv6(plain));
});
