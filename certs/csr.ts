// Certificate signing requests (PKCS #10, RFC 2986): made by whoever has the key, and judged before any
// authority sees them. Which names a certificate may have is decided elsewhere and never read out of a
// request; a request that asks for one name more, or less, is refused.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { promisify } from 'node:util';
import type { CertificateName } from './certificate.ts';
import { DerError, DerReader, der, oid, TAG } from './der.ts';

const CSR_LIMITS = {
  /** Two names take 400 bytes, a hundred of the longest 26,000. */
  bytesMax: 32_768,
  /** What Let's Encrypt takes at most. */
  namesMax: 100,
} as const;

export type CsrVerdict =
  | {
      readonly ok: true;
      /** SubjectPublicKeyInfo. */
      readonly publicKeyDer: Buffer;
      /** SHA-256 of it, in base64url. */
      readonly keyId: string;
    }
  /** A sentence. */
  | { readonly ok: false; readonly fault: string };

/** A request for these names with a new key on P-256. */
export async function makeCsr(
  names: readonly CertificateName[],
): Promise<{ keyPem: string; csr: Buffer }> {
  const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { keyPem, csr: makeCsrFor(keyPem, names) };
}

/** The same with a key that is there; it is on P-256. */
export function makeCsrFor(keyPem: string, names: readonly CertificateName[]): Buffer {
  if (names.length < 1 || names.length > CSR_LIMITS.namesMax) {
    throw new RangeError(`a request for ${names.length} names`);
  }
  const key = createPrivateKey(keyPem);
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const alternatives = names.map((name) => der(DNS_NAME, Buffer.from(name, 'latin1')));
  const value = der(TAG.octetString, der(TAG.sequence, ...alternatives));
  const extensions = der(TAG.sequence, der(TAG.sequence, SUBJECT_ALT_NAME, value));
  const attribute = der(TAG.sequence, EXTENSION_REQUEST, der(TAG.set, extensions));
  const info = der(TAG.sequence, VERSION, der(TAG.sequence), spki, der(ATTRIBUTES, attribute));
  const signature = Buffer.concat([NO_UNUSED_BITS, sign('sha256', info, key)]);
  return der(TAG.sequence, info, ECDSA_SHA256, der(TAG.bitString, signature));
}

/**
 * Whether a request asks for exactly these names, with a key that we want, and is signed with that key.
 * Never throws, whatever the bytes are.
 */
export function judgeCsr(csr: Buffer, names: readonly CertificateName[]): CsrVerdict {
  try {
    return judge(csr, names);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    return refuse(`The certificate request cannot be read: ${error.message}. Make it anew.`);
  }
}

/** The public key of a request that was judged before. */
export function csrPublicKey(csr: Buffer): Buffer {
  return parseCsr(csr).spki;
}

const DNS_NAME = 0x82;
const ATTRIBUTES = 0xa0;
const VERSION = der(TAG.integer, Buffer.of(0));
const TRUE = der(TAG.boolean, Buffer.of(0xff));
const NO_UNUSED_BITS = Buffer.of(0);
const SUBJECT_ALT_NAME = oid('2.5.29.17');
const COMMON_NAME = oid('2.5.4.3');
const EXTENSION_REQUEST = oid('1.2.840.113549.1.9.14');
const ECDSA_SHA256 = der(TAG.sequence, oid('1.2.840.10045.4.3.2'));
const ECDSA_SHA384 = der(TAG.sequence, oid('1.2.840.10045.4.3.3'));
const EC_PUBLIC_KEY = oid('1.2.840.10045.2.1');

interface Curve {
  /** AlgorithmIdentifier. */
  readonly algorithm: Buffer;
  /** Of the point, uncompressed, as a bit string. */
  readonly pointBytes: number;
}

const CURVES: readonly Curve[] = [
  {
    algorithm: der(TAG.sequence, EC_PUBLIC_KEY, oid('1.2.840.10045.3.1.7')),
    pointBytes: 1 + 1 + 2 * 32,
  },
  {
    algorithm: der(TAG.sequence, EC_PUBLIC_KEY, oid('1.3.132.0.34')),
    pointBytes: 1 + 1 + 2 * 48,
  },
];

interface ParsedCsr {
  readonly info: Buffer;
  readonly subject: DerReader;
  readonly spki: Buffer;
  readonly attributes: DerReader;
  readonly algorithm: Buffer;
  readonly signature: Buffer;
}

function parseCsr(csr: Buffer): ParsedCsr {
  if (csr.length > CSR_LIMITS.bytesMax) throw new DerError('it is too large');
  const outer = new DerReader(csr);
  const request = outer.enter(TAG.sequence);
  outer.end();
  const info = request.next(TAG.sequence);
  const algorithm = request.next(TAG.sequence).whole;
  const signature = request.next(TAG.bitString).content;
  request.end();
  const fields = new DerReader(info.content);
  if (!fields.next(TAG.integer).whole.equals(VERSION)) throw new DerError('an unknown version');
  const subject = fields.enter(TAG.sequence);
  const spki = fields.next(TAG.sequence).whole;
  const attributes = fields.enter(ATTRIBUTES);
  fields.end();
  if (signature[0] !== 0) throw new DerError('an odd signature');
  return {
    info: info.whole,
    subject,
    spki,
    attributes,
    algorithm,
    signature: signature.subarray(1),
  };
}

function judge(csr: Buffer, names: readonly CertificateName[]): CsrVerdict {
  const parsed = parseCsr(csr);
  // What costs microseconds comes before what costs a tenth of a millisecond.
  const asked = readNames(parsed.attributes);
  const fault = judgeNames(asked, names) ?? judgeSubject(parsed.subject, names);
  if (fault !== undefined) return refuse(fault);
  const key = isOnCurve(parsed.spki) ? openKey(parsed.spki) : undefined;
  if (key === undefined) {
    return refuse('The key of a certificate must be on the curve P-256 or P-384. Make such a key.');
  }
  const hash = hashOf(parsed.algorithm);
  if (hash === undefined || !verify(hash, parsed.info, key, parsed.signature)) {
    return refuse(
      'The certificate request is not signed with its own key, or not by ECDSA with SHA-256 or ' +
        'SHA-384. Make it anew, with the key that the certificate is for.',
    );
  }
  const keyId = createHash('sha256').update(parsed.spki).digest('base64url');
  return { ok: true, publicKeyDer: Buffer.from(parsed.spki), keyId };
}

/** Only a key in its one encoding: it is compared by bytes with that of the certificate. */
function isOnCurve(spki: Buffer): boolean {
  const fields = new DerReader(spki).enter(TAG.sequence);
  const algorithm = fields.next(TAG.sequence).whole;
  const point = fields.next(TAG.bitString).content;
  fields.end();
  const curve = CURVES.find((each) => each.algorithm.equals(algorithm));
  return curve?.pointBytes === point.length && point[0] === 0 && point[1] === 4;
}

/** OpenSSL refuses a point that is not on the curve. */
function openKey(spki: Buffer): KeyObject | undefined {
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
}

function hashOf(algorithm: Buffer): 'sha256' | 'sha384' | undefined {
  if (algorithm.equals(ECDSA_SHA256)) return 'sha256';
  return algorithm.equals(ECDSA_SHA384) ? 'sha384' : undefined;
}

/** Of the one extension that may be asked for. */
function readNames(attributes: DerReader): string[] {
  const attribute = attributes.enter(TAG.sequence);
  attributes.end();
  if (!attribute.next(TAG.oid).whole.equals(EXTENSION_REQUEST)) {
    throw new DerError('it has an attribute that nobody wants');
  }
  const values = attribute.enter(TAG.set);
  attribute.end();
  const extensions = values.enter(TAG.sequence);
  values.end();
  const extension = extensions.enter(TAG.sequence);
  if (!extensions.done || !extension.next(TAG.oid).whole.equals(SUBJECT_ALT_NAME)) {
    throw new DerError('it asks for an extension other than its names');
  }
  if (extension.tag === TAG.boolean && !extension.next().whole.equals(TRUE)) {
    throw new DerError('an odd boolean');
  }
  const value = extension.enter(TAG.octetString);
  extension.end();
  return readAlternatives(value);
}

function readAlternatives(value: DerReader): string[] {
  const alternatives = value.enter(TAG.sequence);
  value.end();
  const names: string[] = [];
  while (!alternatives.done) {
    names.push(alternatives.next(DNS_NAME).content.toString('latin1'));
    if (names.length > CSR_LIMITS.namesMax) throw new DerError('it has too many names');
  }
  return names;
}

function judgeNames(
  asked: readonly string[],
  names: readonly CertificateName[],
): string | undefined {
  const wanted: ReadonlySet<string> = new Set(names);
  const extra = asked.find((name) => !wanted.has(name));
  if (extra !== undefined) {
    return (
      `The certificate request asks for ${printable(extra)}, which is not among ` +
      `${names.join(', ')}. Make it for exactly those names.`
    );
  }
  const missing = names.find((name) => !asked.includes(name));
  if (missing !== undefined || asked.length !== wanted.size) {
    return `The certificate request must ask for each of ${names.join(', ')} once. Make it anew.`;
  }
  return undefined;
}

/** Empty, or one common name that is one of the names: authorities copy nothing else. */
function judgeSubject(subject: DerReader, names: readonly CertificateName[]): string | undefined {
  if (subject.done) return undefined;
  const part = subject.enter(TAG.set);
  subject.end();
  const attribute = part.enter(TAG.sequence);
  part.end();
  const type = attribute.next(TAG.oid).whole;
  const { tag, content } = attribute.next();
  attribute.end();
  const text = tag === TAG.utf8String || tag === TAG.printableString;
  const name = content.toString('latin1');
  if (text && type.equals(COMMON_NAME) && names.some((each) => each === name)) return undefined;
  return (
    'The subject of the certificate request must be empty, or a common name out of ' +
    `${names.join(', ')}. Make it anew.`
  );
}

function refuse(fault: string): CsrVerdict {
  return { ok: false, fault };
}

function printable(name: string): string {
  return JSON.stringify(name.replace(/[^\x21-\x7e]/g, '?').slice(0, 100));
}
