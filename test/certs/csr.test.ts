import 'reflect-metadata';
import { execFileSync } from 'node:child_process';
import { createHash, createPublicKey, generateKeyPairSync, sign, webcrypto } from 'node:crypto';
import {
  type ExtensionFactory,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509';
import { describe, expect, test } from 'vitest';
import { judgeCsr, makeCsr, makeCsrFor } from '../../certs/csr.ts';
import { der, TAG } from '../../certs/der.ts';
import { certificateNames } from '../world/certificate-names.ts';
import { SeededRandom } from '../world/random.ts';
import { requires } from '../world/requires.ts';

const NAMES = certificateNames('alice.vendor.dev', '*.alice.vendor.dev');
const OTHERS = certificateNames('mallory.vendor.dev');

interface Odd {
  readonly names?: readonly string[];
  readonly subject?: string;
  readonly curve?: 'P-256' | 'P-384' | 'P-521';
  readonly hash?: 'SHA-1' | 'SHA-256' | 'SHA-384' | 'SHA-512';
  readonly more?: readonly ExtensionFactory[] | readonly KeyUsagesExtension[];
}

/** A request of somebody else's program. */
async function oddCsr({
  names = NAMES,
  subject = '',
  curve = 'P-256',
  hash = 'SHA-256',
  more = [],
}: Odd) {
  const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: curve }, true, [
    'sign',
    'verify',
  ]);
  const alternatives = names.map((value) => ({ type: 'dns' as const, value }));
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: subject,
    keys,
    signingAlgorithm: { name: 'ECDSA', hash },
    extensions: [
      new SubjectAlternativeNameExtension(alternatives),
      ...more,
    ] as KeyUsagesExtension[],
  });
  return Buffer.from(request.rawData);
}

function faultOf(csr: Buffer, names = NAMES): string {
  const verdict = judgeCsr(csr, names);
  return verdict.ok ? 'none' : verdict.fault;
}

const need = requires('openssl');

describe.skipIf(need.skip)('a certificate request of ours', () => {
  test('is one to openssl, and to a library that is not ours', async () => {
    const { csr, keyPem } = await makeCsr(NAMES);
    const args = ['req', '-inform', 'DER', '-noout', '-verify', '-text'];
    const text = execFileSync('openssl', args, { input: csr, stdio: 'pipe' }).toString();
    expect(text).toContain('DNS:alice.vendor.dev, DNS:*.alice.vendor.dev');
    expect(text).toContain('prime256v1');
    const read = new Pkcs10CertificateRequest(csr);
    expect(await read.verify()).toBe(true);
    expect(read.subject).toBe('');
    expect(keyPem).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
  });

  test('is good for exactly its names, in any order, and tells its key', async () => {
    const { csr, keyPem } = await makeCsr(NAMES);
    const verdict = judgeCsr(csr, [...NAMES].reverse());
    const spki = createPublicKey(keyPem).export({ type: 'spki', format: 'der' });
    expect(verdict).toEqual({
      ok: true,
      publicKeyDer: spki,
      keyId: createHash('sha256').update(spki).digest('base64url'),
    });
    expect(judgeCsr(makeCsrFor(keyPem, NAMES), NAMES)).toEqual(verdict);
  });

  test('may have a hundred of the longest names', async () => {
    const label = 'a'.repeat(57);
    const names = certificateNames(
      ...Array.from({ length: 100 }, (_, i) => `n${i + 100}.${label}.${label}.${label}.${label}`),
    );
    const { csr } = await makeCsr(names);
    expect(faultOf(csr, names)).toBe('none');
    await expect(makeCsr([...names, ...NAMES])).rejects.toThrow('a request for 102 names');
  });
});

describe('a certificate request of somebody else', () => {
  test('is taken with P-384, with SHA-384, and with one of the names as its common name', async () => {
    for (const odd of [
      {},
      { curve: 'P-384', hash: 'SHA-384' },
      { subject: 'CN=alice.vendor.dev' },
    ] as const) {
      expect(faultOf(await oddCsr(odd))).toBe('none');
    }
  });

  test("attack: it asks for another's name, alone or beside its own", async () => {
    const alone = await makeCsr(OTHERS);
    expect(faultOf(alone.csr)).toBe(
      'The certificate request asks for "mallory.vendor.dev", which is not among alice.vendor.dev, ' +
        '*.alice.vendor.dev. Make it for exactly those names.',
    );
    const beside = await makeCsr([...NAMES, ...OTHERS]);
    expect(faultOf(beside.csr)).toMatch('which is not among');
  });

  test('attack: it asks for less, for a name twice, or in capitals', async () => {
    expect(faultOf((await makeCsr(NAMES.slice(0, 1))).csr)).toMatch('each of alice.vendor.dev');
    expect(faultOf((await makeCsr([...NAMES, ...NAMES])).csr)).toMatch('once. Make it anew.');
    expect(faultOf(await oddCsr({ names: ['ALICE.vendor.dev'] }))).toMatch('not among');
  });

  test('attack: its subject names somebody else, or more than a name', async () => {
    for (const subject of ['CN=mallory.vendor.dev', 'O=Alice', 'CN=alice.vendor.dev, O=Alice']) {
      expect(faultOf(await oddCsr({ subject }))).toMatch(/subject|cannot be read/);
    }
  });

  test('attack: it asks for extensions that make more of a certificate', async () => {
    const more = [new KeyUsagesExtension(KeyUsageFlags.keyCertSign)];
    expect(faultOf(await oddCsr({ more }))).toMatch('asks for an extension other than its names');
  });

  test('attack: an odd key or an odd signature', async () => {
    expect(faultOf(await oddCsr({ curve: 'P-521' }))).toMatch('P-256 or P-384');
    expect(faultOf(await oddCsr({ hash: 'SHA-1' }))).toMatch('SHA-256 or SHA-384');
    const { csr } = await makeCsr(NAMES);
    const other = await makeCsr(NAMES);
    const signedByOther = swapKey(
      csr,
      createPublicKey(other.keyPem).export({ type: 'spki', format: 'der' }),
    );
    expect(faultOf(signedByOther)).toMatch('not signed with its own key');
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const spki = rsa.publicKey.export({ type: 'spki', format: 'der' });
    expect(faultOf(resign(swapKey(csr, spki), rsa.privateKey))).toMatch('P-256 or P-384');
  });

  test('attack: a point that is not on the curve', async () => {
    const { csr, keyPem } = await makeCsr(NAMES);
    const spki = createPublicKey(keyPem).export({ type: 'spki', format: 'der' });
    const off = Buffer.from(spki);
    off.writeUInt8(off.readUInt8(off.length - 1) ^ 1, off.length - 1);
    expect(faultOf(swapKey(csr, off))).toMatch('P-256 or P-384');
  });

  test('attack: bytes after it, bytes inside it, and lengths that lie', async () => {
    const { csr } = await makeCsr(NAMES);
    expect(faultOf(Buffer.concat([csr, Buffer.of(0)]))).toMatch('cannot be read');
    expect(faultOf(csr.subarray(0, -1))).toMatch('cannot be read');
    expect(faultOf(Buffer.alloc(0))).toMatch('cannot be read');
    expect(faultOf(Buffer.alloc(40_000, 0x30))).toMatch('too large');
    expect(faultOf(Buffer.from('3080', 'hex'))).toMatch('an odd length');
    expect(faultOf(Buffer.from('308105', 'hex'))).toMatch('cannot be read');
  });

  test('attack: 2,000 mutated requests: none throws, none is good for other names', async () => {
    const random = new SeededRandom(20261121);
    const { csr, keyPem } = await makeCsr(NAMES);
    const wide = await oddCsr({ subject: 'CN=alice.vendor.dev', curve: 'P-384', hash: 'SHA-384' });
    let good = 0;
    for (let round = 0; round < 2_000; round += 1) {
      const mutated = mutate(round % 2 === 0 ? csr : wide, random);
      // Signed again by its own key, so that the parser behind the signature is met as well.
      const bytes = round % 4 === 0 ? resign(mutated, keyPem) : mutated;
      if (judgeCsr(bytes, OTHERS).ok) throw new Error(`seed ${random.seed}, round ${round}`);
      if (!judgeCsr(bytes, NAMES).ok) continue;
      good += 1;
      const read = new Pkcs10CertificateRequest(bytes);
      expect(read.extensions).toHaveLength(1);
      const found = read.extensions[0];
      const asked = found instanceof SubjectAlternativeNameExtension ? found.names.toJSON() : [];
      expect(asked.map(({ value }) => value).sort()).toEqual([...NAMES].sort());
      expect(await read.verify()).toBe(true);
    }
    // A mutation outside of what is signed, or one that puts back the same byte.
    expect(good).toBeGreaterThan(0);
  });
});

/** The parts of a request: what is signed, and the algorithm. */
function parts(csr: Buffer): { info: Buffer; rest: Buffer } {
  const start = headerBytes(csr, 0);
  const length = elementBytes(csr, start);
  return { info: csr.subarray(start, start + length), rest: csr.subarray(start + length) };
}

function headerBytes(bytes: Buffer, at: number): number {
  const first = bytes[at + 1] ?? 0;
  return first < 0x80 ? 2 : 2 + (first & 0x7f);
}

function elementBytes(bytes: Buffer, at: number): number {
  const header = headerBytes(bytes, at);
  const first = bytes[at + 1] ?? 0;
  const length = header === 2 ? first : bytes.readUIntBE(at + 2, Math.min(header - 2, 6));
  return header + length;
}

/** Another key in it, the signature as it was. */
function swapKey(csr: Buffer, spki: Buffer): Buffer {
  const { info, rest } = parts(csr);
  // Version, three bytes, and the empty subject, two, stand before the key.
  const at = headerBytes(info, 0) + 3 + 2;
  const body = [
    info.subarray(headerBytes(info, 0), at),
    spki,
    info.subarray(at + elementBytes(info, at)),
  ];
  return der(TAG.sequence, der(TAG.sequence, ...body), rest);
}

/** The same, signed by ECDSA with SHA-256; what has no parts any more stays as it is. */
function resign(csr: Buffer, key: Parameters<typeof sign>[2]): Buffer {
  const { info, rest } = parts(csr);
  const algorithm = rest.subarray(0, elementBytes(rest.length < 2 ? Buffer.of(0, 0) : rest, 0));
  const signature = Buffer.concat([Buffer.of(0), sign('sha256', info, key)]);
  return der(TAG.sequence, info, algorithm, der(TAG.bitString, signature));
}

function mutate(csr: Buffer, random: SeededRandom): Buffer {
  const bytes = Buffer.from(csr);
  const at = random.below(bytes.length);
  switch (random.below(5)) {
    case 0:
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random.below(8)), at);
      return bytes;
    case 1:
      bytes.writeUInt8(random.below(256), at);
      return bytes;
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(8))]);
    case 3:
      return Buffer.concat([
        bytes.subarray(0, at),
        Buffer.of(random.below(256)),
        bytes.subarray(at),
      ]);
    default: {
      const to = random.below(bytes.length);
      bytes.copyWithin(to, at, Math.min(at + 1 + random.below(30), bytes.length));
      return bytes;
    }
  }
}
