// Which certificates may serve a hostname, best first, by what the registry's snapshot holds. A
// hostname that nobody has gets none, so that no stranger's handshake costs more than this lookup:
//   the zone and what is directly below it   {zone, *.zone}; a device before that its own
//   below a device                           {alice, *.alice}.zone alone
//   own domains                              their own: {domain}, or {domain, *.domain}
import { type DeviceName, type Hostname, parseHostname, splitHostname } from '../../dns/name.ts';

/** What the registry's snapshot tells. */
export interface KnownNames {
  deviceOf(name: DeviceName): object | undefined;
  successorOf(name: DeviceName): DeviceName | undefined;
  /** The proven own domain that a hostname belongs to. */
  ownDomain(hostname: Hostname): { readonly domain: string } | undefined;
}

export function subjectsOf(
  hostname: Hostname,
  zone: Hostname,
  known: KnownNames,
): readonly Hostname[] {
  const place = splitHostname(hostname, zone);
  switch (place.kind) {
    case 'zone':
    case 'service':
      return [zone];
    case 'device': {
      const own = servedName(place.name, zone, known);
      return own === undefined ? [zone] : [own, zone];
    }
    case 'workspace':
    case 'lan': {
      const own = servedName(place.name, zone, known);
      return own === undefined ? [] : [own];
    }
    case 'deeper':
      return [];
    case 'outside': {
      const domain = parseHostname(known.ownDomain(hostname)?.domain ?? '');
      return domain === undefined ? [] : [domain];
    }
  }
}

/** The subject of a name that is held, or that was and is answered with a redirect. */
function servedName(name: DeviceName, zone: Hostname, known: KnownNames): Hostname | undefined {
  const served = known.deviceOf(name) !== undefined || known.successorOf(name) !== undefined;
  return served ? parseHostname(`${name}.${zone}`) : undefined;
}
