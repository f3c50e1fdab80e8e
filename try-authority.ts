// A certificate authority that `waygate try` is given, in place of the local one: what the relay is told
// of it, and whom devices and visitors have to trust then. Of a private authority (Pebble, say) nobody
// here knows the root, so the chain that the relay of this machine serves is trusted from its top.
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import type { Hostname } from './dns/name.ts';
import { TryError } from './try-error.ts';
import { UsageError } from './usage-error.ts';

export interface TryAuthority {
  /** Of its ACME directory. */
  readonly directory: string;
  /** Absent: everybody's roots know it. */
  readonly private?: { readonly caFile: string; readonly caPem: string } | undefined;
}

const AUTHORITY_LIMITS = {
  /** The relay of this machine listens already. */
  handshakeMs: 5_000,
  /** A longer one is a loop. */
  chainMax: 10,
} as const;

/** `undefined`: the local one. Rejects with a UsageError. */
export function parseTryAuthority(
  directory: string | undefined,
  caFile: string | undefined,
): TryAuthority | undefined {
  if (directory === undefined) {
    if (caFile === undefined) return undefined;
    throw new UsageError('--acme-ca goes with --acme, the address of the ACME directory.');
  }
  if (!/^https:\/\/[\x21-\x7e]+$/.test(directory) || !URL.canParse(directory)) {
    throw new UsageError(
      '--acme must be the https address of an ACME directory, such as https://127.0.0.1:14000/dir.',
    );
  }
  if (caFile === undefined) return { directory };
  return { directory, private: { caFile, caPem: readCertificates(caFile) } };
}

/** The PEM text that visitors trust: what was given, and the top of what the relay serves. */
export async function servedTrust(
  { caPem }: { readonly caPem: string },
  {
    zone,
    address,
    port,
  }: { readonly zone: Hostname; readonly address: string; readonly port: number },
): Promise<string> {
  const socket = connect({
    ...{ host: address, port, servername: zone },
    // It is what we are to trust that is asked for.
    rejectUnauthorized: false,
  });
  try {
    const signal = AbortSignal.timeout(AUTHORITY_LIMITS.handshakeMs);
    await once(socket, 'secureConnect', { signal });
    return caPem + topOf(socket.getPeerCertificate(true));
  } catch (error) {
    throw new TryError(`The relay shows no certificate on ${address} port ${port}.`, {
      cause: error,
    });
  } finally {
    socket.destroy();
  }
}

function topOf(leaf: DetailedPeerCertificate): string {
  let top = leaf;
  for (let step = 0; step < AUTHORITY_LIMITS.chainMax; step += 1) {
    const issuer: DetailedPeerCertificate | undefined = top.issuerCertificate;
    if (issuer === undefined || issuer.fingerprint256 === top.fingerprint256) break;
    top = issuer;
  }
  return new X509Certificate(top.raw).toString();
}

function readCertificates(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    throw new UsageError(`--acme-ca: ${file} cannot be read (${code}). It must be a PEM file.`);
  }
  try {
    new X509Certificate(text);
  } catch {
    throw new UsageError(`--acme-ca: ${file} has no certificate. It must be a PEM file.`);
  }
  return text.endsWith('\n') ? text : `${text}\n`;
}
