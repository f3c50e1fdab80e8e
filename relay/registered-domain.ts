// Below which domain others register theirs: `co.uk`, `github.io` (the Public Suffix List, with its private
// part, for that is how certificate authorities count). What no list knows ends with its last label.
import { getDomain } from 'tldts';

/** `hostname` is a name already: nothing is taken off it, and nothing judged. */
const AS_LISTED = {
  allowPrivateDomains: true,
  detectIp: false,
  detectSpecialUse: false,
  extractHostname: false,
  validateHostname: false,
} as const;

/** `example.co.uk` for `shop.example.co.uk`; a public suffix is its own. */
export function registeredDomain(hostname: string): string {
  return getDomain(hostname, AS_LISTED) ?? hostname;
}

/** Everybody can register something below it, so it is nobody's own. */
export function isPublicSuffix(hostname: string): boolean {
  return getDomain(hostname, AS_LISTED) === null;
}

/** Whoever has it has all below it; here no CNAME can be, for the name servers of the domain are told. */
export function isRegisteredDomain(hostname: string): boolean {
  return getDomain(hostname, AS_LISTED) === hostname;
}
