// Who is on the other end of a visitor connection, and the field lines that say so to a workspace.
import { isIP } from 'node:net';

/** One visitor connection, as seen on our own socket. Nothing in it comes from a request. */
export interface Visitor {
  readonly address: string;
  readonly port: number;
  /** The SNI name: lower case, no trailing dot, no port. */
  readonly hostname: string;
  readonly trust: 0;
  /** By which entrance the visitor came in. */
  readonly via: 'relay' | 'lan';
}

/**
 * The lines that are the same for every request of a visitor connection: make them once, and pass
 * them to `writeRequestHead`. The last line (`Forwarded`) is left open, because it ends with the
 * host of the request.
 */
export function forwardingLines(visitor: Visitor): string {
  const address = plainAddress(visitor.address);
  return (
    `X-Waygate-Via: ${visitor.via}\r\nX-Waygate-Trust: ${visitor.trust}\r\n` +
    `X-Forwarded-For: ${address}\r\nX-Forwarded-Proto: https\r\n` +
    `Forwarded: for=${forwardedNode(address)};proto=https`
  );
}

/** An IPv4-mapped address is the IPv4 address; a zone (`%eth0`) means nothing to others. */
function plainAddress(address: string): string {
  const unzoned = address.split('%', 1)[0] ?? '';
  const mapped = unzoned.toLowerCase().startsWith('::ffff:') ? unzoned.slice(7) : '';
  if (isIP(mapped) === 4) return mapped;
  return isIP(unzoned) === 0 ? 'unknown' : unzoned.toLowerCase();
}

/** RFC 7239 section 6: an IPv6 address is in brackets, and so in quotes. */
function forwardedNode(address: string): string {
  return address.includes(':') ? `"[${address}]"` : address;
}
