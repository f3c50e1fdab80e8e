import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  HELLO_LIMITS,
  makeDeviceNonce,
  openChallenge,
  type Proof,
  parseDeviceNonce,
  signProof,
} from '../../../relay/protocol/hello.ts';
import { generateKey } from '../../../relay/protocol/key.ts';
import { signToken } from '../../../relay/protocol/token.ts';
import {
  admit,
  challenge,
  claimsOf,
  device,
  deviceNonce,
  expectFault,
  exporter,
  facts,
  forge,
  hostname,
  judge,
  limits,
  NOW,
  RELAY,
  value,
  vendor,
} from './hello-fixture.ts';

describe('the whole hello', () => {
  test.each([exporter, undefined])('succeeds with and without an exporter', async (ekm) => {
    const open = await challenge({ exporter: ekm });
    const accepted = value(await judge(open.token, { exporter: ekm }));
    expect(accepted).toEqual(open.challenge);
    const proof = value(await admit(await signProof(accepted, facts, device), open));
    expect(proof).toEqual<Proof>({ ...facts, deviceKey: device.publicKey, protocol: 2 });
  });

  test('a device behind a balancer accepts that the relay has no exporter', async () => {
    const open = await challenge({ exporter: undefined });
    const proof = await signProof(value(await judge(open.token)), facts, device);
    expect((await admit(proof, open)).ok).toBe(true);
  });

  test('F-5 a device whose clock is 56 years off is admitted: only the relay has a clock', async () => {
    for (const wallMs of [0, 1_000, NOW.wallMs + 56 * 365 * 86_400_000]) {
      const open = await openChallenge({ relay: RELAY, deviceNonce, exporter, limits }, vendor, {
        wallMs,
        monotonicMs: 10,
      });
      const proof = await signProof(value(await judge(open.token)), facts, device);
      expect((await admit(proof, open, 9_000)).ok).toBe(true);
    }
  });
});

describe('a challenge is refused', () => {
  test('when another key than the pinned one signed it', async () => {
    const open = await challenge();
    expectFault(
      await judge(open.token, { vendorKey: generateKey('vendor').publicKey }),
      'ERR_HELLO_SIGNATURE',
    );
  });

  test('when it was made for another connection of this device', async () => {
    const open = await challenge();
    expectFault(await judge(open.token, { deviceNonce: makeDeviceNonce() }), 'ERR_HELLO_NONCE');
  });

  test('when it comes from another relay than the one dialled', async () => {
    const open = await challenge({ relay: hostname('tunnel2.vendor.dev') });
    expectFault(await judge(open.token), 'ERR_HELLO_AUDIENCE');
  });

  test('U-10 when somebody in the middle ends TLS: the exporters differ', async () => {
    const open = await challenge();
    expectFault(await judge(open.token, { exporter: randomBytes(32) }), 'ERR_HELLO_EXPORTER');
    expectFault(await judge(open.token, { exporter: undefined }), 'ERR_HELLO_EXPORTER');
  });

  test('U-12 when no version is common', async () => {
    const open = await challenge();
    const { relay: iss, issuedAtS: iat, nonce } = open.challenge;
    const claims = { iss, iat, nonce, deviceNonce, versions: [3, 4], limits };
    const token = await signToken('waygate-challenge+jwt', claims, vendor);
    expectFault(await judge(token), 'ERR_HELLO_VERSION');
  });

  test('when a claim is missing or of another shape, and never throws', async () => {
    const open = await challenge();
    const payload: unknown = JSON.parse(
      Buffer.from(open.token.split('.')[1] ?? '', 'base64url').toString(),
    );
    const claims = new Map(Object.entries(Object(payload)));
    for (const name of ['iss', 'iat', 'nonce', 'deviceNonce', 'versions', 'limits']) {
      for (const wrong of [undefined, null, '', -1, 1.5, [], {}, ['x'], { a: 'b' }, true]) {
        const changed = Object.fromEntries([...claims, [name, wrong]]);
        const honest = { limits: [{}], versions: [] as unknown[] } as Record<string, unknown[]>;
        if ((honest[name] ?? []).some((fine) => JSON.stringify(fine) === JSON.stringify(wrong))) {
          continue;
        }
        const result = await judge(await signToken('waygate-challenge+jwt', changed, vendor));
        expect(result.ok, `${name} ${JSON.stringify(wrong)}`).toBe(false);
      }
    }
  });

  test('when it is a proof, even one signed by the vendor key', async () => {
    const open = await challenge();
    expectFault(await judge(await signProof(open.challenge, facts, vendor)), 'ERR_HELLO_TYPE');
  });
});

describe('a proof is refused', () => {
  test('U-10 when it is replayed, on this connection or another', async () => {
    const first = await challenge();
    const proof = await signProof(value(await judge(first.token)), facts, device);
    expect((await admit(proof, first)).ok).toBe(true);
    expectFault(await admit(proof, first), 'ERR_HELLO_NONCE_USED');
    expectFault(await admit(proof, await challenge()), 'ERR_HELLO_NONCE');
  });

  test('when the challenge was answered before, even wrongly, even at the same time', async () => {
    const open = await challenge();
    const proof = await signProof(open.challenge, facts, device);
    const [wrong, right] = await Promise.all([admit('nonsense', open), admit(proof, open)]);
    expectFault(wrong, 'ERR_HELLO_MALFORMED');
    expectFault(right, 'ERR_HELLO_NONCE_USED');
  });

  test('U-10 when it went through somebody in the middle', async () => {
    const open = await challenge();
    expectFault(
      await admit(await forge(open, { ekm: randomBytes(32).toString('base64url') }), open),
      'ERR_HELLO_EXPORTER',
    );
    const again = await challenge();
    expectFault(await admit(await forge(again, { ekm: undefined }), again), 'ERR_HELLO_EXPORTER');
    const plain = await challenge({ exporter: undefined });
    const ekm = exporter.toString('base64url');
    expectFault(await admit(await forge(plain, { ekm }), plain), 'ERR_HELLO_EXPORTER');
  });

  test('when it was made for another relay', async () => {
    const open = await challenge();
    const proof = await forge(open, { aud: 'tunnel.other.dev' });
    expectFault(await admit(proof, open), 'ERR_HELLO_AUDIENCE');
  });

  test('when it is late by the monotonic clock of the relay', async () => {
    const last = NOW.monotonicMs + HELLO_LIMITS.proofAgeMaxMs;
    const [inTime, late] = [await challenge(), await challenge()];
    expect((await admit(await signProof(inTime.challenge, facts, device), inTime, last)).ok).toBe(
      true,
    );
    const proof = await signProof(late.challenge, facts, device);
    expectFault(await admit(proof, late, last + 1), 'ERR_HELLO_EXPIRED');
  });

  test('when its key is unknown or revoked', async () => {
    const open = await challenge();
    const proof = await signProof(open.challenge, facts, generateKey('device'));
    expectFault(await admit(proof, open), 'ERR_HELLO_UNKNOWN_DEVICE');
  });

  test('when it names one key and is signed by another', async () => {
    const open = await challenge();
    const mallory = generateKey('device');
    const impostor = { ...mallory, publicKey: device.publicKey };
    expectFault(
      await admit(await signProof(open.challenge, facts, impostor), open),
      'ERR_HELLO_SIGNATURE',
    );
  });

  test('when its type is another one', async () => {
    const open = await challenge();
    for (const type of ['JWT', 'waygate-challenge+jwt', 'device-proof+jwt', '']) {
      const again = await challenge();
      expectFault(
        await admit(await signToken(type, await claimsOf(open), device), again),
        'ERR_HELLO_TYPE',
      );
    }
  });

  test.each([
    ['instance', 'short'],
    ['slot', 2],
    ['slot', '0'],
    ['software', ''],
    ['software', 'a b\n'],
    ['software', '\x1b[31m'],
    ['software', 'x'.repeat(65)],
    ['limits', [1]],
    ['limits', { a: -1 }],
    ['limits', Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`l${at}`, at]))],
    ['protocol', '1'],
  ])('when %s is %j', async (name, wrong) => {
    const open = await challenge();
    expectFault(await admit(await forge(open, { [name]: wrong }), open), 'ERR_HELLO_MALFORMED');
  });

  test('U-12 when it takes a version that was not offered, or another time', async () => {
    const open = await challenge();
    expectFault(await admit(await forge(open, { protocol: 3 }), open), 'ERR_HELLO_VERSION');
    const again = await challenge();
    const iat = again.challenge.issuedAtS + 1;
    expectFault(await admit(await forge(again, { iat }), again), 'ERR_HELLO_NONCE');
  });
});

test('a nonce of a device has 16 to 32 bytes and one spelling', () => {
  expect(parseDeviceNonce(deviceNonce)).toBe(deviceNonce);
  const spell = (bytes: number) => Buffer.alloc(bytes, 7).toString('base64url');
  expect(parseDeviceNonce(spell(16))).toBe(spell(16));
  expect(parseDeviceNonce(spell(32))).toBe(spell(32));
  for (const wrong of [undefined, '', spell(15), spell(33), `${spell(16)}=`, 'é'.repeat(30)]) {
    expect(parseDeviceNonce(wrong)).toBeUndefined();
  }
});
