// The names and records that make a domain somebody's own, as he enters them at his DNS provider.
import type { Hostname } from '../../dns/name.ts';
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
    {
      type: 'CNAME',
      owner: domain,
      value: host,
      why: 'leads visitors here, and follows when our addresses change',
      needed: 'one-of',
    },
  ];
  for (const value of [...addresses].toSorted()) {
    const type = value.includes(':') ? 'AAAA' : 'A';
    const why = 'leads visitors here where a CNAME cannot be: at the top of a domain';
    entries.push({ type, owner: domain, value, why, needed: 'one-of' });
  }
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
