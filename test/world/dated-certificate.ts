// A certificate for a hostname with dates of a test's choice, from a CA that is valid now: what a relay
// shows to a device whose clock is wrong.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;

export interface DatedCertificate {
  readonly cert: string;
  readonly key: string;
  readonly caPem: string;
}

export async function datedCertificate(
  hostname: string,
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
): Promise<DatedCertificate> {
  const keys = () => webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
  const [caKeys, leafKeys] = [await keys(), await keys()];
  const ca = await X509CertificateGenerator.createSelfSigned({
    keys: caKeys,
    name: 'CN=dated CA',
    notBefore: new Date(Math.min(fromMs, Date.now()) - DAY_MS),
    notAfter: new Date(Math.max(toMs, Date.now()) + DAY_MS),
    signingAlgorithm: SIGNATURE,
    extensions: [new BasicConstraintsExtension(true, 0, true)],
  });
  const leaf = await X509CertificateGenerator.create({
    publicKey: leafKeys.publicKey,
    signingKey: caKeys.privateKey,
    issuer: ca.subjectName,
    notBefore: new Date(fromMs),
    notAfter: new Date(toMs),
    signingAlgorithm: SIGNATURE,
    extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: hostname }], true)],
  });
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', leafKeys.privateKey));
  const body = der.toString('base64').replace(/.{1,64}/g, '$&\n');
  const key = `-----BEGIN PRIVATE KEY-----\n${body}-----END PRIVATE KEY-----\n`;
  return { cert: leaf.toString('pem'), key, caPem: ca.toString('pem') };
}
