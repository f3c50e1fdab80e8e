// Addresses that the world tells of a name beside those of our relays, however they are written.
import { decodeIpv6, encodeIpv6 } from '../../dns/ip-text.ts';
import { printable } from '../entrance/printable.ts';

const TOLD_LIMITS = {
  /** Of a name in a sentence. */
  nameCharsMax: 100,
  /** Of a chain or a set of addresses. */
  itemsMax: 6,
} as const;

/** Equal addresses as equal texts. */
function canonical(address: string): string {
  const bytes = encodeIpv6(address);
  return (bytes && decodeIpv6(bytes)) ?? address;
}

/** Each once. */
export function canonicalSet(addresses: Iterable<string>): ReadonlySet<string> {
  return new Set([...addresses].map(canonical));
}

/** Those that are none of `known`. */
export function strangersOf(addresses: Iterable<string>, known: Iterable<string>): string[] {
  const ours = canonicalSet(known);
  return [...canonicalSet(addresses)].filter((address) => !ours.has(address));
}

/** Names or addresses, in a sentence. */
export function wordsOf(items: readonly string[]): string {
  const { itemsMax, nameCharsMax } = TOLD_LIMITS;
  const some = items.slice(0, itemsMax).map((item) => printable(item, nameCharsMax));
  const more = items.length - some.length;
  return `${some.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
