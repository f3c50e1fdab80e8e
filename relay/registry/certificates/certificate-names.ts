// Names of certificates as rows have them: a JSON array, sorted, so that the same names are the same text.
import type { CertificateName } from '../../../certs/certificate.ts';
import { type Hostname, parseHostname } from '../../../dns/name.ts';

export function formatNames(names: readonly CertificateName[]): string {
  return JSON.stringify([...names].sort());
}

/** Throws on what `formatNames` has not written. */
export function parseNames(text: string): readonly CertificateName[] {
  const names: unknown = JSON.parse(text);
  if (!Array.isArray(names)) throw new Error(`no names of a certificate: ${text}`);
  return names.map((name) => {
    if (typeof name !== 'string') throw new Error(`no names of a certificate: ${text}`);
    return name.startsWith('*.')
      ? (`*.${parseSubject(name.slice(2))}` as const)
      : parseSubject(name);
  });
}

export function parseSubject(text: string): Hostname {
  const hostname = parseHostname(text);
  if (hostname === undefined) throw new Error(`no name of a certificate: ${text}`);
  return hostname;
}
