// What a server shows a certificate authority that looks by TLS (RFC 8737): a certificate that it has
// signed itself, for the one name, with the digest of the key authorization in a critical extension.
// No visitor ever sees it. The first import has to stay first: @peculiar/x509 fails to load without it.
import 'reflect-metadata';
import { createHash, randomBytes, webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { Hostname } from '../dns/name.ts';

export interface AlpnCertificate {
  readonly certPem: string;
  readonly keyPem: string;
}

/** A new key and a certificate that proves `keyAuthorization` for this name. */
export async function makeAlpnCertificate(
  hostname: Hostname,
  keyAuthorization: string,
): Promise<AlpnCertificate> {
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
  const nowMs = Date.now();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    keys,
    serialNumber: `01${randomBytes(16).toString('hex')}`,
    notBefore: new Date(nowMs - DAY_MS),
    notAfter: new Date(nowMs + DAY_MS),
    signingAlgorithm: SIGNATURE,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      // Without it TLS 1.2 finds no cipher for the key.
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new SubjectAlternativeNameExtension([{ type: 'dns', value: hostname }], true),
      new Extension(ACME_IDENTIFIER, true, digestOf(keyAuthorization)),
    ],
  });
  return { certPem: `${certificate.toString('pem')}\n`, keyPem: await exportKey(keys.privateKey) };
}

const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;
/** The authority's clock and ours may differ. */
const DAY_MS = 86_400_000;
/** id-pe-acmeIdentifier (RFC 8737, section 6.1). */
const ACME_IDENTIFIER = '1.3.6.1.5.5.7.1.31';

/** An OCTET STRING of the 32 bytes. */
function digestOf(keyAuthorization: string): Buffer {
  const digest = createHash('sha256').update(keyAuthorization).digest();
  return Buffer.concat([Buffer.from([0x04, digest.length]), digest]);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  const body = der.toString('base64').replace(/.{1,64}/g, '$&\n');
  return `-----BEGIN PRIVATE KEY-----\n${body}-----END PRIVATE KEY-----\n`;
}
