import { expect, test } from 'vitest';
import { COOKIE_LIMITS, ServerCookies } from '../../dns/server-cookies.ts';
import { SipHash } from '../../dns/sip-hash.ts';

test('SipHash-2-4: the vectors of its authors', () => {
  const hash = new SipHash(Buffer.from(Array.from({ length: 16 }, (_, at) => at)));
  const out = Buffer.alloc(8);
  const of = (bytes: number): string => {
    hash.digest(Buffer.from(Array.from({ length: bytes }, (_, at) => at)), out, 0);
    return out.toString('hex');
  };
  expect(of(0)).toBe('310e0edd47db6f72');
  expect(of(1)).toBe('fd67dc93c539f874');
  expect(of(7)).toBe('37d1018bf50002ab');
  expect(of(8)).toBe('6224939a79f5f593');
  expect(of(15)).toBe('e545be4961ca29a1');
  expect(of(63)).toBe('724506eb4c328a95');
});

test('RFC 9018, appendix A.1: the server cookie of the example', () => {
  // Its hash alone, with the key of the appendix: client cookie, version, reserved, time, address.
  const key = Buffer.from('e5e973e5a6b2a43f48e7dc849e37bfcf', 'hex');
  const input = Buffer.from('2464c4abcf10c957010000005cf79f11c6336464', 'hex');
  const out = Buffer.alloc(8);
  new SipHash(key).digest(input, out, 0);
  expect(out.toString('hex')).toBe('1f8130c3eee29480');
});

const CLIENT = Buffer.from('0102030405060708', 'hex');

function cookies(): {
  readonly jar: ServerCookies;
  readonly clock: { wallS: number; steadyMs: number };
} {
  const clock = { wallS: 1_800_000_000, steadyMs: 1_000 };
  const jar = new ServerCookies({ wallS: () => clock.wallS, steadyMs: () => clock.steadyMs });
  return { jar, clock };
}

function issue(jar: ServerCookies, address = '192.0.2.1'): Buffer {
  expect(jar.judge(CLIENT, 0, 8, address)).toBe(false);
  return Buffer.concat([CLIENT, jar.cookie]);
}

test.each(['192.0.2.1', '2001:db8::1', 'fe80::1%eth0'])(
  'a cookie proves %s, and no other',
  (address) => {
    const { jar } = cookies();
    const whole = issue(jar, address);
    expect(jar.judge(whole, 0, 24, address)).toBe(true);
    expect(jar.judge(whole, 0, 24, '192.0.2.2')).toBe(false);
    for (let at = 0; at < 24; at += 1) {
      const wrong = Buffer.from(whole);
      wrong[at] = (wrong[at] ?? 0) ^ 1;
      // The three reserved bytes are in the hash too (RFC 9018, section 4.2).
      expect(jar.judge(wrong, 0, 24, address), `byte ${at}`).toBe(false);
    }
  },
);

test('RFC 9018, 4.3: young cookies are kept, older ones renewed, old and future ones refused', () => {
  const { jar, clock } = cookies();
  const whole = issue(jar);
  clock.wallS += COOKIE_LIMITS.renewAgeS - 1;
  expect(jar.judge(whole, 0, 24, '192.0.2.1')).toBe(true);
  expect(jar.cookie).toEqual(whole.subarray(8));
  clock.wallS += 2;
  expect(jar.judge(whole, 0, 24, '192.0.2.1')).toBe(true);
  expect(jar.cookie).not.toEqual(whole.subarray(8));
  clock.wallS += COOKIE_LIMITS.ageMaxS;
  expect(jar.judge(whole, 0, 24, '192.0.2.1')).toBe(false);
  clock.wallS = 1_800_000_000 - COOKIE_LIMITS.aheadMaxS - 1;
  expect(jar.judge(whole, 0, 24, '192.0.2.1')).toBe(false);
});

test('a secret is believed for one rotation and forgotten after the second', () => {
  const { jar, clock } = cookies();
  const whole = issue(jar);
  clock.steadyMs += COOKIE_LIMITS.secretMs;
  expect(jar.judge(whole, 0, 24, '192.0.2.1')).toBe(true);
  clock.steadyMs += COOKIE_LIMITS.secretMs;
  expect(jar.judge(whole, 0, 24, '192.0.2.1')).toBe(false);
  const fresh = issue(jar);
  clock.steadyMs += 2 * COOKIE_LIMITS.secretMs;
  expect(jar.judge(fresh, 0, 24, '192.0.2.1')).toBe(false);
});
