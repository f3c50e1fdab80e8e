// Which certificates are served no more after a deed: of names that nobody has any more, and of own domains
// that were removed or suspended.
import { type DeviceName, type Hostname, parseDeviceName, parseHostname } from '../../dns/name.ts';
import type { RegistrySnapshot } from '../registry/snapshot.ts';
import type { SnapshotListener } from '../registry/view.ts';

/** What a listener of the registry is told. */
export type Change = Parameters<SnapshotListener>;

export function endedSubjects(change: Change, zone: Hostname): readonly Hostname[] {
  const [snapshot, before] = change;
  const names = changedNames(change)
    .filter((name) => isServed(before, name) && !isServed(snapshot, name))
    .flatMap((name) => parseHostname(`${name}.${zone}`) ?? []);
  return [...names, ...endedDomains(change)];
}

/** They may be suspended, or gone. */
export function endedDomains(change: Change): readonly Hostname[] {
  const [snapshot, before] = change;
  return changedNames(change)
    .flatMap((name) => before.domainsOf(name))
    .filter((domain) => snapshot.ownDomain(domain)?.domain !== domain)
    .flatMap((domain) => parseHostname(domain) ?? []);
}

function changedNames([, before, names]: Change): readonly DeviceName[] {
  return [...(names ?? before.names())].flatMap((name) => parseDeviceName(name) ?? []);
}

/** Held, or former and answered with a redirect. */
function isServed(snapshot: RegistrySnapshot, name: DeviceName): boolean {
  return snapshot.deviceOf(name) !== undefined || snapshot.successorOf(name) !== undefined;
}
