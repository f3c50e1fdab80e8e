// A certificate chain in PEM as an authority delivers it: read, and judged before it is stored or served.
import { X509Certificate } from 'node:crypto';
import type { CertificateName } from './certificate.ts';
import { DerError, DerReader, oid, TAG } from './der.ts';

const CHAIN_LIMITS = {
  /** A leaf of 100 names and three above it have 20,000. */
  charsMax: 131_072,
  /** The leaf, and what is above it; the longest in use has four. */
  certificatesMax: 8,
} as const;

/** What the ledger and the renewal need to know of a certificate. */
export interface ChainFacts {
  /** In hexadecimal, as authorities and logs of transparency write it. */
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** The DNS names; in the order of the certificate. */
  readonly names: readonly string[];
  /** How the authority calls it when asked for its renewal (RFC 9773, section 4.1). */
  readonly certId?: string;
  /** Common name of the one that signed it. */
  readonly ca?: string;
}

export interface ExpectedChain {
  readonly names: readonly CertificateName[];
  /** SubjectPublicKeyInfo. */
  readonly publicKeyDer: Buffer;
  readonly nowMs?: number;
}

/** The facts of the first certificate; throws a sentence when the text is no chain. */
export function readChain(chainPem: string): ChainFacts {
  const [leaf] = splitChain(chainPem);
  const facts = leaf === undefined ? undefined : readable(() => readLeaf(leaf));
  if (facts === undefined) throw new Error('The text holds no certificate chain in PEM.');
  return facts;
}

/** What is wrong with a chain, as a sentence; undefined: it can be served for these names. Never throws. */
export function judgeChain(chainPem: string, expected: ExpectedChain): string | undefined {
  const chain = splitChain(chainPem);
  if (chain.length === 0) return 'What came is no certificate chain in PEM.';
  // OpenSSL reads parts of a certificate, such as its key, not before they are asked for.
  const verdict = readable(() => ({ fault: judge(chain, expected), facts: chain.map(readLeaf) }));
  return verdict === undefined
    ? 'What came holds certificates that cannot be read.'
    : verdict.fault;
}

/** Common name of the root that the chain leads to. */
export function rootName(chainPem: string): string | undefined {
  const top = splitChain(chainPem).at(-1);
  return top === undefined ? undefined : commonName(top.issuer);
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const SUBJECT_ALT_NAME = oid('2.5.29.17');
const AUTHORITY_KEY_ID = oid('2.5.29.35');
const DNS_NAME = 0x82;
const KEY_ID = 0x80;
const EXTENSIONS = 0xa3;
const BLOCK = /-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----\s*/g;

/** Every certificate of the text, the leaf first; none when there is anything else in it. */
function splitChain(chainPem: string): X509Certificate[] {
  if (chainPem.length > CHAIN_LIMITS.charsMax) return [];
  const blocks = chainPem.match(BLOCK) ?? [];
  if (blocks.length > CHAIN_LIMITS.certificatesMax) return [];
  if (blocks.join('') !== chainPem.trimStart()) return [];
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    return [];
  }
}

function judge(chain: readonly X509Certificate[], expected: ExpectedChain): string | undefined {
  const [leaf] = chain;
  if (leaf === undefined) return 'What came is no certificate.';
  const key = leaf.publicKey.export({ type: 'spki', format: 'der' });
  if (!key.equals(expected.publicKeyDer))
    return 'The certificate is for another key than was asked for.';
  const names = namesOf(leaf);
  const wanted: ReadonlySet<string> = new Set(expected.names);
  if (names?.length !== wanted.size || !names.every((name) => wanted.has(name))) {
    const found = names === undefined ? 'something else than DNS names' : names.join(', ');
    return `The certificate is for ${bounded(found)}, not for exactly ${expected.names.join(', ')}.`;
  }
  const usages: readonly string[] | undefined = leaf.keyUsage;
  if (leaf.ca || (usages !== undefined && !usages.includes(SERVER_AUTH))) {
    return 'The certificate is not one of a server.';
  }
  return judgeLinks(chain, expected.nowMs ?? Date.now());
}

function judgeLinks(chain: readonly X509Certificate[], nowMs: number): string | undefined {
  for (const [index, certificate] of chain.entries()) {
    if (certificate.validToDate.getTime() <= nowMs) {
      return `Certificate ${index + 1} of the chain ended on ${certificate.validTo}.`;
    }
    const above = chain[index + 1];
    if (above === undefined) continue;
    if (!above.ca || !certificate.checkIssued(above) || !certificate.verify(above.publicKey)) {
      return `Certificate ${index + 1} of the chain is not signed by the one after it.`;
    }
  }
  return undefined;
}

/** Undefined when OpenSSL cannot read it after all, or has read what is not strict DER. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const known = error instanceof DerError || String(Object(error).code).startsWith('ERR_OSSL');
    if (known) return undefined;
    throw error;
  }
}

function readLeaf(leaf: X509Certificate): ChainFacts {
  const keyId = authorityKeyId(leaf);
  const ca = commonName(leaf.issuer);
  const serial = serialOf(leaf).toString('base64url');
  return {
    serial: leaf.serialNumber.toLowerCase(),
    notBeforeMs: leaf.validFromDate.getTime(),
    notAfterMs: leaf.validToDate.getTime(),
    names: namesOf(leaf) ?? [],
    ...(keyId === undefined ? {} : { certId: `${keyId.toString('base64url')}.${serial}` }),
    ...(ca === undefined ? {} : { ca }),
  };
}

/** Undefined when there is any other name than DNS names; those of IP addresses are none. */
function namesOf(certificate: X509Certificate): string[] | undefined {
  const value = extensionOf(certificate, SUBJECT_ALT_NAME);
  if (value === undefined) return [];
  const alternatives = new DerReader(value).enter(TAG.sequence);
  const names: string[] = [];
  while (!alternatives.done) {
    const { tag, content } = alternatives.next();
    if (tag !== DNS_NAME) return undefined;
    names.push(content.toString('latin1'));
  }
  return names;
}

function authorityKeyId(certificate: X509Certificate): Buffer | undefined {
  const value = extensionOf(certificate, AUTHORITY_KEY_ID);
  if (value === undefined) return undefined;
  const fields = new DerReader(value).enter(TAG.sequence);
  return fields.tag === KEY_ID ? fields.next().content : undefined;
}

/** With the zero byte that a number has whose first bit is set; Node leaves it out. */
function serialOf(certificate: X509Certificate): Buffer {
  const fields = tbsOf(certificate);
  fields.next();
  return fields.next(TAG.integer).content;
}

/** TBSCertificate (RFC 5280, section 4.1). */
function tbsOf(certificate: X509Certificate): DerReader {
  return new DerReader(certificate.raw).enter(TAG.sequence).enter(TAG.sequence);
}

function extensionOf(certificate: X509Certificate, wanted: Buffer): Buffer | undefined {
  const fields = tbsOf(certificate);
  while (!fields.done && fields.tag !== EXTENSIONS) fields.next();
  if (fields.done) return undefined;
  const extensions = fields.enter(EXTENSIONS).enter(TAG.sequence);
  while (!extensions.done) {
    const extension = extensions.enter(TAG.sequence);
    if (!extension.next(TAG.oid).whole.equals(wanted)) continue;
    if (extension.tag === TAG.boolean) extension.next();
    return extension.next(TAG.octetString).content;
  }
  return undefined;
}

function commonName(name: string): string | undefined {
  return /^CN=(.+)$/m.exec(name)?.[1];
}

function bounded(text: string): string {
  const clean = text.replace(/[^\x20-\x7e]/g, '?');
  return clean.length <= 300 ? clean : `${clean.slice(0, 300)} ...`;
}
