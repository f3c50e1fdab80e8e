import { createPublicKey, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { judgeChain, readChain, rootName } from '../../certs/chain.ts';
import { makeCsr } from '../../certs/csr.ts';
import { certificateNames } from '../world/certificate-names.ts';
import { type ChainKind, HostileCaSigner } from '../world/hostile-ca-signer.ts';
import { SeededRandom } from '../world/random.ts';

const NAMES = certificateNames('alice.vendor.dev', '*.alice.vendor.dev');
const DAY_MS = 86_400_000;
let signer: HostileCaSigner;
let csr: Buffer;
let publicKeyDer: Buffer;

beforeAll(async () => {
  signer = await HostileCaSigner.make();
  const made = await makeCsr(NAMES);
  csr = made.csr;
  publicKeyDer = createPublicKey(made.keyPem).export({ type: 'spki', format: 'der' });
});

async function chainOf(kind: ChainKind): Promise<string> {
  const [chain] = await signer.sign({ csr, names: NAMES, validityMs: 90 * DAY_MS, kind });
  return chain;
}

async function faultOf(kind: ChainKind): Promise<string | undefined> {
  return judgeChain(await chainOf(kind), { names: NAMES, publicKeyDer });
}

/** RFC 9773, appendix A. */
const EXAMPLE = `-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
`;

describe('a certificate chain', () => {
  test('is read: dates, names, issuer, serial', async () => {
    const chain = await chainOf('right');
    const leaf = new X509Certificate(chain);
    expect(readChain(chain)).toMatchObject({
      serial: leaf.serialNumber.toLowerCase(),
      notBeforeMs: leaf.validFromDate.getTime(),
      notAfterMs: leaf.validToDate.getTime(),
      names: NAMES,
      ca: 'Test E1',
    });
    expect(rootName(chain)).toBe('Test Root X1');
  });

  test('has the name for renewals that the standard gives its example', () => {
    expect(readChain(EXAMPLE).certId).toBe('aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE');
  });

  test('that fits is taken, to either root, with other line ends, and without what is above', async () => {
    const expected = { names: NAMES, publicKeyDer };
    const wanted = { csr, names: NAMES, validityMs: DAY_MS, kind: 'right' } as const;
    for (const chain of await signer.sign(wanted)) {
      expect(judgeChain(chain, expected)).toBeUndefined();
      expect(judgeChain(chain.replaceAll('\n', '\r\n'), expected)).toBeUndefined();
      expect(judgeChain(new X509Certificate(chain).toString(), expected)).toBeUndefined();
    }
  });

  test.each<[ChainKind, string]>([
    ['other-key', 'The certificate is for another key than was asked for.'],
    [
      'other-names',
      'The certificate is for mallory.example, not for exactly alice.vendor.dev, *.alice.vendor.dev.',
    ],
    ['more-names', 'mallory.example, not for exactly'],
    ['expired', 'Certificate 1 of the chain ended on'],
    ['disordered', 'another key'],
    ['stranger-above', 'Certificate 1 of the chain is not signed by the one after it.'],
    ['no-server', 'The certificate is not one of a server.'],
    ['garbage', 'What came is no certificate chain in PEM.'],
    ['empty', 'What came is no certificate chain in PEM.'],
  ])('attack: a chain that is wrong: %s', async (kind, fault) => {
    expect(await faultOf(kind)).toContain(fault);
  });

  test('attack: a key, a text, or a crowd of certificates in it', async () => {
    const chain = await chainOf('right');
    const expected = { names: NAMES, publicKeyDer };
    for (const odd of [
      `${chain}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n`,
      `Certificate:\n${chain}`,
      chain.repeat(20),
      'x'.repeat(1_000_000),
    ]) {
      expect(judgeChain(odd, expected)).toBe('What came is no certificate chain in PEM.');
      expect(() => readChain(odd)).toThrow('no certificate chain');
    }
  });

  test('attack: 1,500 mutated certificates: none throws, and what is taken can be read', async () => {
    const random = new SeededRandom(1121);
    const leaf = new X509Certificate(await chainOf('right'));
    for (let round = 0; round < 1_500; round += 1) {
      const bytes = Buffer.from(leaf.raw);
      bytes.writeUInt8(random.below(256), random.below(bytes.length));
      const pem = `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64')}\n-----END CERTIFICATE-----\n`;
      if (judgeChain(pem, { names: NAMES, publicKeyDer }) !== undefined) continue;
      expect(readChain(pem).names.toSorted()).toEqual([...NAMES].sort());
    }
  });
});
