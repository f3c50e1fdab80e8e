// The keys of the hostile CA: what it signs with, and the certificate of its own server.
import { createAuthority } from '../../certs/authority.ts';
import type { KeyedCertificate } from '../../certs/certificate.ts';
import { parseHostname } from '../../dns/name.ts';
import { HostileCaSigner } from './hostile-ca-signer.ts';

interface Keys {
  readonly caPem: string;
  readonly leaf: KeyedCertificate;
  readonly signer: HostileCaSigner;
}

let shared: Promise<Keys> | undefined;

/** The same for all of a process, as they take a quarter of a second. */
export function sharedKeys(): Promise<Keys> {
  shared ??= makeKeys();
  return shared;
}

export async function makeKeys(): Promise<Keys> {
  const host = parseHostname('localhost');
  if (host === undefined) throw new Error('localhost is a hostname');
  const [authority, signer] = await Promise.all([createAuthority(host), HostileCaSigner.make()]);
  return { caPem: authority.caPem, leaf: await authority.issue([host]), signer };
}
