// The addresses of a device on its own network, published as `lan.NAME`.
//
// What may stand there is chosen against DNS rebinding: the name must not lead a visitor's browser to
// the visitor's own machine, nor to a service that answers everybody near. So: private IPv4 (RFC 1918),
// unique local IPv6 (RFC 4193) and global IPv6, which is what devices have on most networks; that such
// an address is the device's own cannot be proven, but it could be told by any domain that anybody
// holds. Never: loopback, unspecified, link-local, multicast, carrier-grade NAT, IPv4 of the Internet,
// and IPv6 forms that carry an IPv4 address within.
import { decodeIpv6, encodeIpv4, encodeIpv6 } from '../../../dns/ip-text.ts';
import type { Deed } from '../deed.ts';
import { record } from '../history.ts';
import { RegistryError, unknownDevice } from '../registry-error.ts';

export const LAN_LIMITS = {
  /** Two networks, with a temporary and a stable IPv6 address on each, and some to spare. */
  addressesMax: 8,
} as const;

export interface LanAddresses {
  readonly thumbprint: string;
  /** In any spelling and order; none takes `lan.NAME` away. */
  readonly addresses: readonly string[];
}

/** The same again changes nothing. */
export function setLanAddresses({
  thumbprint,
  addresses,
}: LanAddresses): Deed<'changed' | 'unchanged'> {
  const parsed = parseAll(addresses);
  return async (scope) => {
    const { db } = scope;
    const device = await db
      .selectFrom('devices')
      .select(['revoked_at', 'lan_addresses'])
      .where('thumbprint', '=', thumbprint)
      .executeTakeFirst();
    if (device === undefined || device.revoked_at !== null) throw unknownDevice(thumbprint);
    const text = parsed.length === 0 ? null : JSON.stringify(parsed);
    if (device.lan_addresses === text) return 'unchanged';
    await db
      .updateTable('devices')
      .set({ lan_addresses: text })
      .where('thumbprint', '=', thumbprint)
      .execute();
    const names = await db
      .selectFrom('names')
      .select('name')
      .where('thumbprint', '=', thumbprint)
      .execute();
    for (const { name } of names) scope.touch(name);
    const detail = parsed.join(' ');
    await record(scope, 'lan-changed', { actor: `device:${thumbprint}`, thumbprint, detail });
    return 'changed';
  };
}

/** In its one spelling, or undefined when it must not be published. */
export function parseLanAddress(text: string): string | undefined {
  const v4 = encodeIpv4(text);
  if (v4 !== undefined) return isPrivate(v4) ? v4.join('.') : undefined;
  const v6 = encodeIpv6(text);
  return v6 !== undefined && isDevices(v6) ? decodeIpv6(v6) : undefined;
}

function isPrivate([first = 0, second = 0]: Buffer): boolean {
  if (first === 10) return true;
  return first === 172 ? second >= 16 && second < 32 : first === 192 && second === 168;
}

function isDevices(address: Buffer): boolean {
  const [first = 0] = address;
  const top = address.readUInt16BE(0);
  const next = address.readUInt16BE(2);
  // fc00::/7
  if ((first & 0xfe) === 0xfc) return true;
  // Of 2000::/3 not 6to4 and Teredo, which carry IPv4, nor what is for documents (RFC 3849, RFC 9637).
  if ((first & 0xe0) !== 0x20 || top === 0x2002) return false;
  if (top === 0x2001 && (next === 0 || next === 0x0db8)) return false;
  return !(top === 0x3fff && next < 0x1000);
}

function parseAll(addresses: readonly string[]): string[] {
  const max = LAN_LIMITS.addressesMax;
  if (addresses.length > max) {
    const message = `A device has at most ${max} addresses on its network, not ${addresses.length}. Send fewer.`;
    throw new RegistryError('ERR_ADDRESS_REFUSED', message);
  }
  const parsed = addresses.map((text) => {
    const address = parseLanAddress(text);
    if (address !== undefined) return address;
    throw new RegistryError(
      'ERR_ADDRESS_REFUSED',
      'Only private IPv4 addresses (10/8, 172.16/12, 192.168/16), unique local IPv6 addresses ' +
        '(fc00::/7) and global IPv6 addresses are published for a device. Leave the others out.',
    );
  });
  return [...new Set(parsed)].toSorted();
}
