// From the registry's rows to the records that are published below each label: the text that
// zone_labels holds (its form is told in dns/zone-text.ts). Pure; zone-publication.ts reads the rows.
//
// Labels are the first one below the zone, `alice`; the apex is the empty one. The random targets of
// own domains are so many below the one label `to` that each has a text of its own, `x7k2.to`.
import { type ApexSettings, SOA_TIMES } from '../../dns/apex.ts';
import {
  EDGE_LABEL,
  ZONE_TEXT_LIMITS,
  type ZoneEntry,
  zoneEntriesText,
} from '../../dns/zone-text.ts';

/** What a device without anything of its own has; all of them share it. */
export const PLAIN_DEVICE = '';

export interface ChallengeRow {
  /** Relative to the zone: `_acme-challenge.alice`. */
  readonly owner: string;
  readonly value: string;
}

export interface Addresses {
  readonly v4: readonly string[];
  readonly v6: readonly string[];
}

/** `lan.alice`; what devices tell (lan-addresses.ts). */
const LAN = 'lan';

/** The zone's own certificates are proven there, and those of others below their names. */
export const ZONE_CHALLENGE = '_acme-challenge';

/** A name that is held, or answers for its successor. */
export function deviceText(
  settings: ApexSettings,
  label: string,
  lan: Addresses,
  challenges: readonly ChallengeRow[],
): string {
  if (lan.v4.length + lan.v6.length + challenges.length === 0) return PLAIN_DEVICE;
  const lines = [toEdge(settings, label), toEdge(settings, `*.${label}`)];
  lines.push(...addressLines(`${LAN}.${label}`, settings.ttl.lan, lan));
  return textOf(withChallenges(settings, lines, challenges));
}

/** The apex itself. Its addresses are its own: a CNAME cannot stand beside SOA and NS. */
export function apexText(settings: ApexSettings, edge: Addresses): string {
  const { zone, nameServers, hostmaster, caa, ttl } = settings;
  const primary = nameServers[0]?.host ?? zone;
  const { refresh, retry, expire } = SOA_TIMES;
  const times = `${refresh} ${retry} ${expire} ${ttl.negative}`;
  // The serial is the zone's, not the label's (zone-text.ts).
  const soa = `${primary}. ${mailName(hostmaster)} 0 ${times}`;
  return textOf([
    ['', ttl.apex, 'SOA', [soa]],
    ['', ttl.apex, 'NS', nameServers.map(({ host }) => `${host}.`)],
    ...addressLines('', ttl.edge, edge),
    ['', ttl.apex, 'CAA', caa],
  ]);
}

/**
 * Where every device's CNAME leads: the relays that are alive. It exists before the first of them does,
 * or all names would be said not to exist.
 */
export function edgeText({ ttl }: ApexSettings, edge: Addresses): string {
  return textOf([
    ...addressLines(EDGE_LABEL, ttl.edge, edge),
    [EDGE_LABEL, ttl.edge, 'HTTPS', ['1 . alpn=h2,http/1.1']],
  ]);
}

/** `tunnel`, the portal's host. */
export function serviceText(
  settings: ApexSettings,
  label: string,
  challenges: readonly ChallengeRow[],
): string {
  return textOf(withChallenges(settings, [toEdge(settings, label)], challenges));
}

/** A name server in the zone. */
export function nameServerText(settings: ApexSettings, label: string): string | undefined {
  const host = `${label}.${settings.zone}`;
  const server = settings.nameServers.find((each) => each.host === host);
  if (server === undefined) return undefined;
  return textOf(addressLines(label, settings.ttl.apex, splitAddresses(server.addresses)));
}

/** The zone's own certificates are proven at `_acme-challenge`, below which nothing else lies. */
export function zoneChallengeText(
  settings: ApexSettings,
  challenges: readonly ChallengeRow[],
): string | undefined {
  return challenges.length === 0 ? undefined : textOf(withChallenges(settings, [], challenges));
}

/**
 * The CNAME target of an own domain: without CAA, so that any authority may sign for the domain. It is
 * there before the domain is proven, and while it is suspended: what serves a domain is not its address.
 */
export function targetText(
  settings: ApexSettings,
  label: string,
  proof: string,
  challenges: readonly ChallengeRow[],
): string {
  const txt = [quoted(proof)];
  const lines: readonly ZoneEntry[] = [
    toEdge(settings, label),
    [`_waygate.${label}`, settings.ttl.challenges, 'TXT', txt],
  ];
  return textOf(withChallenges(settings, lines, challenges));
}

/** In the order in which they are published, without repetitions. */
export function splitAddresses(addresses: Iterable<string>): Addresses {
  const sorted = [...new Set(addresses)].toSorted();
  return {
    v4: sorted.filter((address) => !address.includes(':')),
    v6: sorted.filter((address) => address.includes(':')),
  };
}

/** The label whose text holds an owner: `alice` of `_acme-challenge.code.alice`, `x7.to` of `x7.to`. */
export function labelOf(owner: string): string {
  const labels = owner.split('.');
  return labels.slice(labels.at(-1) === 'to' ? -2 : -1).join('.');
}

/** As long as a plain device's. */
function toEdge({ zone }: ApexSettings, owner: string): ZoneEntry {
  return [owner, ZONE_TEXT_LIMITS.plainDeviceTtlS, 'CNAME', [`${EDGE_LABEL}.${zone}.`]];
}

function addressLines(owner: string, ttl: number, { v4, v6 }: Addresses): ZoneEntry[] {
  return [
    [owner, ttl, 'A', v4],
    [owner, ttl, 'AAAA', v6],
  ];
}

/**
 * Adds the TXT records. Where one lies below a workspace, the workspace's name begins to exist, and
 * the wildcard above answers for it no more (RFC 4592, section 2.2.2): it gets a record of its own.
 */
function withChallenges(
  settings: ApexSettings,
  lines: readonly ZoneEntry[],
  challenges: readonly ChallengeRow[],
): ZoneEntry[] {
  const all = [...lines];
  const byOwner = Map.groupBy(challenges, ({ owner }) => owner);
  for (const owner of [...byOwner.keys()].toSorted()) {
    const subject = owner.slice(ZONE_CHALLENGE.length + 1);
    const known = subject === '' || all.some(([each, , , data]) => each === subject && data.length);
    const inDevice = subject.includes('.') && labelOf(subject) !== subject;
    if (!known && inDevice) all.push(toEdge(settings, subject));
    const values = new Set((byOwner.get(owner) ?? []).map(({ value }) => value));
    all.push([owner, settings.ttl.challenges, 'TXT', [...values].toSorted().map(quoted)]);
  }
  return all;
}

function textOf(lines: readonly ZoneEntry[]): string {
  return zoneEntriesText(lines.filter(([, , , data]) => data.length > 0));
}

function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

/** RFC 1035, section 8: dots in front of the @ are escaped. */
function mailName(address: string): string {
  const at = address.lastIndexOf('@');
  return `${address.slice(0, at).replaceAll('.', '\\.')}.${address.slice(at + 1)}.`;
}
