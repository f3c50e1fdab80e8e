// What people type where a domain of theirs is asked for, and why it is none: they paste addresses, write
// stars, and write letters of their own language.
import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { NAME_LIMITS, parseHostname } from './name.ts';

/** Why the text is no domain, as the end of a sentence that begins with it; `undefined`: it is one. */
export function domainTextFault(text: string): string | undefined {
  if (parseHostname(text) !== undefined) {
    return text.replace(/\.$/, '').includes('.') ? undefined : 'must have a dot: app.example.org';
  }
  const max = NAME_LIMITS.hostnameCharsMax;
  if (text.length < 1 || text.length > max + 1) return `must have 3 to ${max} characters`;
  if (text.includes('/')) return 'must be the domain alone, without https:// and without a path';
  if (isIP(text) !== 0) return 'is an address, not a domain';
  if (text.startsWith('*')) {
    return 'must be written without the star; that it is a wildcard is said beside it';
  }
  if (/:[0-9]*$/.test(text)) return 'must be written without a port';
  const ascii = domainToASCII(text);
  if (ascii !== '' && ascii !== text.toLowerCase() && parseHostname(ascii) !== undefined) {
    return `must be written in ASCII: ${ascii}`;
  }
  return 'must be a domain of letters, digits, hyphens and dots: app.example.org';
}
