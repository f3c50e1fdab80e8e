import { createHmac, sign } from 'node:crypto';
import fc from 'fast-check';
import { CompactSign } from 'jose';
import { describe, expect, test, vi } from 'vitest';
import { acceptProof, type OpenChallenge, signProof } from '../../../relay/protocol/hello.ts';
import { TOKEN_LIMITS } from '../../../relay/protocol/token.ts';
import { admit, challenge, claimsOf, device, expectFault, facts, judge } from './hello-fixture.ts';

describe('the algorithm is ours, never the one of the token', () => {
  const part = (json: object) => Buffer.from(JSON.stringify(json)).toString('base64url');

  async function disguised(open: OpenChallenge, alg: string, seal: (input: string) => string) {
    const typ = 'waygate-device-proof+jwt';
    const kid = device.publicKey.thumbprint;
    const input = `${part({ alg, typ, kid })}.${part(await claimsOf(open))}`;
    return `${input}.${seal(input)}`;
  }

  test('alg none', async () => {
    for (const alg of ['none', 'None', '']) {
      const open = await challenge();
      const token = await disguised(open, alg, () => '');
      expectFault(await admit(token, open), 'ERR_HELLO_SIGNATURE');
    }
  });

  test('another word for the same algorithm', async () => {
    const open = await challenge();
    const token = await disguised(open, 'Ed25519', (input) =>
      sign(null, Buffer.from(input), device.privateKey).toString('base64url'),
    );
    expectFault(await admit(token, open), 'ERR_HELLO_SIGNATURE');
  });

  test('HS256 with the public key as the secret', async () => {
    const { key, text } = device.publicKey;
    const secrets = [
      key.export({ type: 'spki', format: 'pem' }),
      key.export({ type: 'spki', format: 'der' }),
      Buffer.from(text.slice(text.indexOf(':') + 1), 'base64url'),
    ];
    for (const secret of secrets) {
      const open = await challenge();
      const token = await disguised(open, 'HS256', (input) =>
        createHmac('sha256', secret).update(input).digest('base64url'),
      );
      expectFault(await admit(token, open), 'ERR_HELLO_SIGNATURE');
    }
  });

  test('a header that asks for extensions is not understood, so it is refused', async () => {
    const open = await challenge();
    const token = await new CompactSign(Buffer.from(JSON.stringify(await claimsOf(open))))
      .setProtectedHeader({
        alg: 'EdDSA',
        typ: 'waygate-device-proof+jwt',
        kid: device.publicKey.thumbprint,
        crit: ['exp'],
        exp: 1,
      })
      .sign(device.privateKey, { crit: { exp: true } });
    expectFault(await admit(token, open), 'ERR_HELLO_SIGNATURE');
  });
});

describe('what is no token', () => {
  test('a huge one is refused before it is parsed', async () => {
    const open = await challenge();
    const findKey = vi.fn(() => device.publicKey);
    const huge = `${(await signProof(open.challenge, facts, device)).padEnd(TOKEN_LIMITS.tokenBytesMax + 1, 'A')}`;
    const result = await acceptProof(huge, open, findKey, 5_000);
    expectFault(result, 'ERR_HELLO_TOO_LARGE');
    expect(findKey).not.toHaveBeenCalled();
    expectFault(await judge('A'.repeat(50_000_000)), 'ERR_HELLO_TOO_LARGE');
  });

  test('U-13 any text is refused and nothing throws', async () => {
    const honest = (await challenge()).token;
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(fc.base64String(), { maxLength: 6 }).map((parts) => parts.join('.')),
      fc.nat({ max: honest.length - 1 }).chain((at) =>
        fc.constantFrom('.', 'A', '=', '\0', '').map((char) => {
          return honest.slice(0, at) + char + honest.slice(at + 1);
        }),
      ),
    );
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        fc.pre(text !== honest);
        expect((await judge(text)).ok).toBe(false);
        expect((await admit(text, await challenge())).ok).toBe(false);
      }),
      { numRuns: 300 },
    );
  });
});
