// The names and records that make a domain somebody's own, as he enters them at his DNS provider.
import type { Hostname } from '../../dns/name.ts';
import { isRegisteredDomain } from '../registered-domain.ts';
import type { DomainRow } from '../registry/deeds/own-domain.ts';
import type { DomainEntry } from './report.ts';

/** What is known of a domain whose DNS is looked at. */
export type RecordedDomain = Pick<DomainRow, 'domain' | 'wildcard' | 'target' | 'proof'>;

export function proofOwner(domain: string): string {
  return `_waygate.${domain}`;
}

/** `_acme-challenge.app.example.org` */
export function challengeOwner(domain: string): string {
  return `_acme-challenge.${domain}`;
}

export function targetHost(target: string, zone: Hostname): string {
  return `${target}.to.${zone}`;
}

export function entriesOf(
  { domain, wildcard, target, proof }: RecordedDomain,
  zone: Hostname,
  addresses: Iterable<string>,
): DomainEntry[] {
  const host = targetHost(target, zone);
  const entries: DomainEntry[] = [
    {
      type: 'TXT',
      owner: proofOwner(domain),
      value: proof,
      why: 'proves that the domain is yours; leave it there',
      needed: 'yes',
    },
    ...wayOf(domain, host, [...addresses].toSorted()),
  ];
  if (wildcard !== 1) return entries;
  return [
    ...entries,
    {
      type: 'CNAME',
      owner: `*.${domain}`,
      value: host,
      why: 'leads everything below the domain here',
      needed: 'wildcard',
    },
    {
      type: 'CNAME',
      owner: challengeOwner(domain),
      value: challengeOwner(host),
      why: 'lets us prove to a certificate authority what lies below the domain',
      needed: 'wildcard',
    },
  ];
}

/**
 * What leads visitors here. Beside the records at the top of a registered domain no CNAME can be; others
 * are the top of a zone only where somebody has delegated them, which is for him to know.
 */
function wayOf(domain: string, host: string, addresses: readonly string[]): DomainEntry[] {
  const top = isRegisteredDomain(domain) && addresses.length > 0;
  const why = top
    ? `leads visitors here; an ALIAS to ${host}, where the provider has that, follows our addresses`
    : 'leads visitors here where the provider allows no CNAME';
  const needed = top ? 'yes' : 'one-of';
  const direct = addresses.map((value): DomainEntry => {
    const type = value.includes(':') ? 'AAAA' : 'A';
    return { type, owner: domain, value, why, needed };
  });
  if (top) return direct;
  const follows = 'leads visitors here, and follows when our addresses change';
  return [{ type: 'CNAME', owner: domain, value: host, why: follows, needed }, ...direct];
}
