// A local certificate authority, made on the first start: certificates without Internet, and for a
// first try. Its name constraints (RFC 5280, section 4.2.1.10) permit the zone and nothing else, so
// that somebody who steals it can imitate no other site, even to a person who trusts it. Key and
// certificate lie in one file and are never out of step; `ca-ZONE.pem` beside it is for everybody.
// The first import has to stay first: @peculiar/x509 fails to load without it.
import 'reflect-metadata';
import {
  createPrivateKey,
  createPublicKey,
  randomBytes,
  webcrypto,
  X509Certificate,
} from 'node:crypto';
import { join } from 'node:path';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  X509Certificate as X509Fields,
} from '@peculiar/x509';
import type { Hostname } from '../dns/name.ts';
import type { CertificateName, KeyedCertificate } from './certificate.ts';
import type { Store } from './store.ts';

export interface Authority {
  /** The root certificate that visitors' browsers have to trust. */
  readonly caPem: string;
  /** A new key and a certificate for exactly these names, all of them in the zone. */
  issue(names: readonly CertificateName[]): Promise<KeyedCertificate>;
  /** The same for a key that somebody else has: an EC key as SubjectPublicKeyInfo. */
  sign(names: readonly CertificateName[], publicKeyDer: Buffer): Promise<SignedCertificate>;
  /** True when this authority has signed that certificate. */
  signed(certificate: X509Certificate): boolean;
}

/** A certificate whose key is elsewhere. */
export interface SignedCertificate {
  /** As in `KeyedCertificate`. */
  readonly certPem: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export type AuthorityErrorCode =
  | 'ERR_AUTHORITY_DAMAGED'
  | 'ERR_AUTHORITY_EXPIRED'
  | 'ERR_AUTHORITY_OUTSIDE_ZONE';

export class AuthorityError extends Error {
  override readonly name = 'AuthorityError';
  readonly code: AuthorityErrorCode;

  constructor(code: AuthorityErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Where the root certificate of a zone lies in a store, for people and for `curl --cacert`. */
export function caFile(store: Store, zone: Hostname): string {
  return join(store.directory, caEntry(zone));
}

/** The authority of the zone in this store; made if absent, by one of the processes that ask. */
export async function openAuthority(store: Store, zone: Hostname): Promise<Authority> {
  const entry = `ca-${zone}.key.pem`;
  let pem = await store.read(entry);
  if (pem === undefined) {
    const root = await makeRoot(zone);
    await store.create(entry, root.keyPem + root.certPem);
    pem = await store.read(entry);
  }
  const root = parseRoot(pem ?? '', join(store.directory, entry));
  if ((await store.read(caEntry(zone))) !== root.certPem) {
    await store.write(caEntry(zone), root.certPem, 0o644);
  }
  return authority(root, zone);
}

/** An authority that lives in memory only. */
export async function createAuthority(zone: Hostname): Promise<Authority> {
  return authority(await makeRoot(zone), zone);
}

const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ROOT_DAYS = 3_650;
/** What public CAs give today; browsers would take up to 825 from a local one. */
const LEAF_DAYS = 90;
/** A visitor's clock may be a little slow. */
const BACKDATED_MS = HOUR_MS;
/** A machine without a battery starts in 1970; what it signs then would be over once it is on time. */
const CLOCK_FLOOR_MS = Date.UTC(2026, 10, 1);

interface Root {
  readonly certPem: string;
  readonly keyPem: string;
}

function caEntry(zone: Hostname): string {
  return `ca-${zone}.pem`;
}

function nowMs(): number {
  return Math.max(Date.now(), CLOCK_FLOOR_MS);
}

async function makeRoot(zone: Hostname): Promise<Root> {
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
  const keyId = await SubjectKeyIdentifierExtension.create(keys.publicKey);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    keys,
    serialNumber: makeSerial(),
    // Two authorities of one zone must not be taken for each other, and clients compare this text.
    name: [{ CN: [`Waygate local CA ${keyId.keyId.slice(0, 8)}`] }, { O: [zone.slice(0, 64)] }],
    notBefore: new Date(nowMs() - BACKDATED_MS),
    notAfter: new Date(nowMs() + ROOT_DAYS * DAY_MS),
    signingAlgorithm: SIGNATURE,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new Extension(NAME_CONSTRAINTS, true, constrainNames(zone)),
      keyId,
    ],
  });
  return { certPem: `${certificate.toString('pem')}\n`, keyPem: await exportKey(keys.privateKey) };
}

function authority(root: Root, zone: Hostname): Authority {
  const certificate = new X509Certificate(root.certPem);
  const signingKey = createPrivateKey(root.keyPem).toCryptoKey(P256, false, ['sign']);
  return {
    caPem: root.certPem,
    issue: async (names) => {
      assertInZone(names, zone);
      const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
      const signed = await signLeaf(names, keys.publicKey, { root: certificate, signingKey });
      const { certPem, notAfterMs } = signed;
      return { certPem, keyPem: await exportKey(keys.privateKey), notAfterMs };
    },
    sign: async (names, publicKeyDer) => {
      assertInZone(names, zone);
      const key = importPublicKey(publicKeyDer);
      return signLeaf(names, key, { root: certificate, signingKey });
    },
    signed: (leaf) => leaf.checkIssued(certificate) && leaf.verify(certificate.publicKey),
  };
}

function assertInZone(names: readonly CertificateName[], zone: Hostname): void {
  const outside = names.find((name) => !inZone(name, zone));
  if (outside === undefined) return;
  throw new AuthorityError(
    'ERR_AUTHORITY_OUTSIDE_ZONE',
    `The local CA of ${zone} may not issue a certificate for ${outside}.`,
  );
}

function importPublicKey(der: Buffer): webcrypto.CryptoKey {
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  const namedCurve = key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'P-384' : 'P-256';
  return key.toCryptoKey({ name: 'ECDSA', namedCurve }, true, ['verify']);
}

async function signLeaf(
  names: readonly CertificateName[],
  publicKey: webcrypto.CryptoKey,
  { root, signingKey }: { root: X509Certificate; signingKey: webcrypto.CryptoKey },
): Promise<SignedCertificate> {
  const startMs = nowMs();
  const rootEndMs = root.validToDate.getTime();
  if (startMs >= rootEndMs) {
    throw new AuthorityError(
      'ERR_AUTHORITY_EXPIRED',
      `The local CA ended on ${root.validToDate.toISOString()}. Check this machine's clock; if it ` +
        'is right, move the ca-*.pem files away and let browsers trust the new CA that is made.',
    );
  }
  const notAfterMs = wholeSeconds(Math.min(startMs + LEAF_DAYS * DAY_MS, rootEndMs));
  const notBeforeMs = wholeSeconds(Math.max(startMs - BACKDATED_MS, root.validFromDate.getTime()));
  const rootKey = root.publicKey.toCryptoKey(P256, true, ['verify']);
  const certificate = await X509CertificateGenerator.create({
    publicKey,
    signingKey,
    serialNumber: makeSerial(),
    issuer: new X509Fields(root.raw).subjectName,
    notBefore: new Date(notBeforeMs),
    notAfter: new Date(notAfterMs),
    signingAlgorithm: SIGNATURE,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      // Critical, as there is no subject (RFC 5280, section 4.2.1.6).
      new SubjectAlternativeNameExtension(
        names.map((value) => ({ type: 'dns' as const, value })),
        true,
      ),
      await AuthorityKeyIdentifierExtension.create(rootKey),
      await SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return { certPem: `${certificate.toString('pem')}\n`, notBeforeMs, notAfterMs };
}

/** Certificates tell the time in seconds. */
function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1_000) * 1_000;
}

function parseRoot(pem: string, file: string): Root {
  try {
    const certificate = new X509Certificate(pem);
    const key = createPrivateKey(pem);
    if (certificate.ca && certificate.checkPrivateKey(key)) {
      return {
        certPem: certificate.toString(),
        keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
      };
    }
  } catch {
    // The parser's own error is left out: it may quote the key.
  }
  throw new AuthorityError(
    'ERR_AUTHORITY_DAMAGED',
    `The file ${file} does not hold the key and certificate of a local CA. Restore it from a ` +
      'backup; or move it away, and let browsers trust the new CA that is made.',
  );
}

function inZone(name: CertificateName, zone: Hostname): boolean {
  const bare = name.startsWith('*.') ? name.slice(2) : name;
  return bare === zone || bare.endsWith(`.${zone}`);
}

/** Positive and without a leading zero byte by its first byte; the other 128 bits are random. */
function makeSerial(): string {
  return `01${randomBytes(16).toString('hex')}`;
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  const body = der.toString('base64').replace(/.{1,64}/g, '$&\n');
  return `-----BEGIN PRIVATE KEY-----\n${body}-----END PRIVATE KEY-----\n`;
}

const NAME_CONSTRAINTS = '2.5.29.30';

/**
 * NameConstraints: permitted dNSName ZONE; excluded every iPAddress, as a constraint on one form of
 * name leaves the other forms free.
 */
function constrainNames(zone: Hostname): Buffer {
  const permitted = der(0xa0, der(0x30, der(0x82, Buffer.from(zone))));
  const addresses = [8, 32].map((bytes) => der(0x30, der(0x87, Buffer.alloc(bytes))));
  return der(0x30, permitted, der(0xa1, ...addresses));
}

/** One DER element (X.690, section 8.1.3): lengths from 128 on are preceded by their own size. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  if (body.length < 128) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const length =
    body.length < 256 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}
