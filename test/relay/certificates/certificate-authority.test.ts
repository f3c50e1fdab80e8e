// What is known of an authority without asking it again: how CAA records name it, and our account there.
import { expect, test } from 'vitest';
import { CertificateAuthority } from '../../../relay/certificates/certificate-authority.ts';
import { readAccount } from '../../../relay/registry/certificates/ca-account.ts';
import { HostileCa } from '../../world/hostile-ca.ts';
import { IssuingStand } from './issuing-stand.ts';

test('an authority goes by what it says, and our account there by what the registry holds', async () => {
  const stand = await IssuingStand.start();
  await using ca = await HostileCa.start();
  const { registry, envelope } = stand;
  const authority = (): CertificateAuthority =>
    new CertificateAuthority({
      directory: { name: 'hostile', url: ca.directoryUrl, caPem: ca.caPem },
      budget: { ordersPer3Hours: 300, certificatesPerWeek: 50 },
      ...{ registry, envelope, now: Date.now },
      limits: { requestMs: 1_000, firstPauseMs: 5, longestPauseMs: 20 },
    });
  const first = authority();
  expect(first.caaIssuer).toEqual({ identities: [], account: undefined });
  await first.open();
  const account = (await registry.read(readAccount(ca.directoryUrl)))?.url;
  expect(account).toMatch(/^https:/);
  expect(first.caaIssuer).toEqual({ identities: ['hostile.example'], account });
  first.close();
  // Another relay, while the authority is away: the account is known all the same.
  await ca.leave();
  const second = authority();
  await expect(second.open()).rejects.toThrow();
  expect(second.caaIssuer).toEqual({ identities: [], account });
});
