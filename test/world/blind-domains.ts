// Own domains of a relay that can look nothing up: nobody answers where its resolver should be.
import { Domains, type DomainsOptions } from '../../relay/domains/domains.ts';
import { PublicDns } from '../../relay/domains/public-dns.ts';

export function blindDomains(
  parts: Pick<DomainsOptions, 'registry' | 'zone' | 'log'> & Partial<DomainsOptions>,
): Domains {
  return new Domains({
    caaIssuers: [{ identities: ['ca.example'], account: undefined }],
    plainHttp: true,
    dns: new PublicDns([{ host: '127.0.0.1', port: 9 }]),
    certificateOf: async () => ({}),
    want: async () => undefined,
    tell: () => async () => undefined,
    publicPort: () => 443,
    now: () => Date.now(),
    ...parts,
  });
}
