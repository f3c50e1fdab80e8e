// What the hostile CA signs with: a root, an intermediate below it, and a second root that signs the same
// intermediate; and every way to get a chain wrong. The first import has to stay first.
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  type PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

/** How the chain is that comes in the end; all but the first are wrong in one way. */
export type ChainKind =
  | 'right'
  | 'other-key'
  | 'other-names'
  | 'more-names'
  | 'expired'
  | 'disordered'
  | 'stranger-above'
  | 'no-server'
  | 'garbage'
  | 'empty';

export interface Wanted {
  readonly csr: Buffer;
  readonly names: readonly string[];
  readonly validityMs: number;
  readonly kind: ChainKind;
}

const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

interface Signing {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

export class HostileCaSigner {
  readonly rootPem: string;
  readonly otherRootPem: string;
  readonly #intermediate: Signing;
  readonly #crossSigned: X509Certificate;
  readonly #stranger: X509Certificate;

  private constructor(roots: readonly [Signing, Signing], intermediate: Signing, more: More) {
    this.rootPem = pem(roots[0].certificate);
    this.otherRootPem = pem(roots[1].certificate);
    this.#intermediate = intermediate;
    this.#crossSigned = more.crossSigned;
    this.#stranger = more.stranger;
  }

  static async make(): Promise<HostileCaSigner> {
    const roots = await Promise.all([makeAuthority('Test Root X1'), makeAuthority('Test Root Y1')]);
    const intermediate = await makeAuthority('Test E1', roots[0]);
    const crossSigned = await signAuthority('Test E1', intermediate.keys, roots[1]);
    const stranger = await makeAuthority('Test E1', roots[0]);
    return new HostileCaSigner(roots, intermediate, {
      crossSigned,
      stranger: stranger.certificate,
    });
  }

  /** The names of a request, sorted; undefined: it is none, or its signature is wrong. */
  async namesOf(csr: Buffer): Promise<string[] | undefined> {
    try {
      const request = new Pkcs10CertificateRequest(csr);
      if (!(await request.verify())) return undefined;
      const found = request.getExtension('2.5.29.17');
      if (!(found instanceof SubjectAlternativeNameExtension)) return [];
      return found.names
        .toJSON()
        .map(({ value }) => value)
        .sort();
    } catch {
      return undefined;
    }
  }

  /** Two chains in PEM for the same certificate, to the first root and to the second. */
  async sign({ csr, names, validityMs, kind }: Wanted): Promise<[string, string]> {
    if (kind === 'garbage') return ['no certificate', 'no certificate'];
    if (kind === 'empty') return ['', ''];
    const { publicKey } = new Pkcs10CertificateRequest(csr);
    const other = kind === 'other-key' ? await makeKeys() : undefined;
    const leaf = await this.#signLeaf(other?.publicKey ?? publicKey, {
      names: namesOfKind(names, kind),
      endMs: kind === 'expired' ? Date.now() - HOUR_MS : Date.now() + validityMs,
      usage: kind === 'no-server' ? ExtendedKeyUsage.clientAuth : ExtendedKeyUsage.serverAuth,
    });
    const above = kind === 'stranger-above' ? this.#stranger : this.#intermediate.certificate;
    const chain = [leaf, above];
    if (kind === 'disordered') chain.reverse();
    return [chain.map(pem).join(''), [leaf, this.#crossSigned].map(pem).join('')];
  }

  async #signLeaf(
    publicKey: PublicKey | webcrypto.CryptoKey,
    { names, endMs, usage }: { names: readonly string[]; endMs: number; usage: ExtendedKeyUsage },
  ): Promise<X509Certificate> {
    const { certificate, keys } = this.#intermediate;
    return X509CertificateGenerator.create({
      publicKey,
      signingKey: keys.privateKey,
      // The first bit set: the number then begins with a zero byte, which certID has to keep.
      serialNumber: `80${randomBytes(15).toString('hex')}`,
      issuer: certificate.subjectName,
      notBefore: new Date(Math.min(Date.now() - HOUR_MS, endMs - DAY_MS)),
      notAfter: new Date(endMs),
      signingAlgorithm: SIGNATURE,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([usage]),
        new SubjectAlternativeNameExtension(
          names.map((value) => ({ type: 'dns' as const, value })),
          true,
        ),
        await AuthorityKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
  }
}

interface More {
  readonly crossSigned: X509Certificate;
  readonly stranger: X509Certificate;
}

function namesOfKind(names: readonly string[], kind: ChainKind): readonly string[] {
  if (kind === 'other-names') return ['mallory.example'];
  return kind === 'more-names' ? [...names, 'mallory.example'] : names;
}

function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
}

async function makeAuthority(name: string, by?: Signing): Promise<Signing> {
  const keys = await makeKeys();
  return { keys, certificate: await signAuthority(name, keys, by) };
}

/** Signed by another one, or by itself. */
async function signAuthority(
  name: string,
  keys: webcrypto.CryptoKeyPair,
  by?: Signing,
): Promise<X509Certificate> {
  return X509CertificateGenerator.create({
    publicKey: keys.publicKey,
    signingKey: (by?.keys ?? keys).privateKey,
    serialNumber: `01${randomBytes(15).toString('hex')}`,
    subject: `CN=${name}`,
    issuer: by?.certificate.subjectName ?? `CN=${name}`,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + 3_650 * DAY_MS),
    signingAlgorithm: SIGNATURE,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create((by?.keys ?? keys).publicKey),
    ],
  });
}

function pem(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}
