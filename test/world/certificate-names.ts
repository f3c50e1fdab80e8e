// Names of certificates as tests write them.
import type { CertificateName } from '../../certs/certificate.ts';
import { parseHostname } from '../../dns/name.ts';

/** `alice.vendor.dev` and `*.alice.vendor.dev`; throws when a text is no name. */
export function certificateNames(...texts: readonly string[]): CertificateName[] {
  return texts.map((text): CertificateName => {
    const wildcard = text.startsWith('*.');
    const hostname = parseHostname(wildcard ? text.slice(2) : text);
    if (hostname === undefined) throw new Error(`not a name: ${text}`);
    return wildcard ? `*.${hostname}` : hostname;
  });
}
