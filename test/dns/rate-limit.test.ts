import { expect, test } from 'vitest';
import { networkHash, RATE_LIMITS, ResponseRateLimit } from '../../dns/rate-limit.ts';

function limit(perSecond: number): {
  readonly rate: ResponseRateLimit;
  readonly clock: { ms: number };
} {
  const clock = { ms: 5_000 };
  return { rate: new ResponseRateLimit(perSecond, () => clock.ms), clock };
}

test('a network gets its rate; of what is beyond, every second answer slips', () => {
  const { rate, clock } = limit(200);
  const verdicts = { send: 0, slip: 0, drop: 0 };
  for (let at = 0; at < 1_200; at += 1) verdicts[rate.judge(`192.0.2.${at % 256}`, 1)] += 1;
  expect(verdicts).toEqual({ send: 200, slip: 500, drop: 500 });
  clock.ms += 500;
  for (let at = 0; at < 200; at += 1) verdicts[rate.judge('192.0.2.1', 1)] += 1;
  expect(verdicts.send).toBe(300);
});

test('other networks and other kinds are counted apart', () => {
  const { rate } = limit(1);
  expect(rate.judge('192.0.2.1', 1)).toBe('send');
  expect(rate.judge('192.0.2.9', 1)).toBe('drop');
  expect(rate.judge('192.0.3.1', 1)).toBe('send');
  expect(rate.judge('192.0.2.1', 2)).toBe('send');
});

test.each([
  ['192.0.2.1', '192.0.2.255', '192.0.3.1'],
  ['::ffff:192.0.2.1', '192.0.2.7', '::ffff:192.0.3.1'],
  ['2001:db8:1:200::1', '2001:db8:1:2ff:a:b:c:d', '2001:db8:1:300::1'],
  ['2001:db8::1', '2001:db8:0:ff::2', '2001:db9::1'],
  ['::1', '::2', '2000::1'],
  ['fe80::1%eth0', 'fe80::2%eth1', 'fe81::1%eth0'],
])('%s and %s are one network, %s is another', (one, same, other) => {
  expect(networkHash(one, 7)).toBe(networkHash(same, 7));
  expect(networkHash(one, 7)).not.toBe(networkHash(other, 7));
});

test('a million networks take no more memory than one', () => {
  const { rate } = limit(200);
  globalThis.gc?.();
  const before = process.memoryUsage();
  for (let at = 0; at < 1_000_000; at += 1) {
    rate.judge(`${at & 255}.${(at >> 8) & 255}.${(at >> 16) & 255}.1`, 1);
  }
  const after = process.memoryUsage();
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(1024 * 1024);
  expect(RATE_LIMITS.entries).toBe(65_536);
});

test('0 is no limit', () => {
  const { rate } = limit(0);
  for (let at = 0; at < 10_000; at += 1) expect(rate.judge('192.0.2.1', 1)).toBe('send');
});
