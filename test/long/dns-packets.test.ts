// A million mutated packets, with figures.
import { expect, test } from 'vitest';
import { fuzzPackets } from '../dns/packet-fuzz.ts';

test('1,000,000 mutated packets: nothing throws, memory is flat', { timeout: 600_000 }, () => {
  const parts = 10;
  let slowestUs = 0;
  let totalUs = 0;
  let answered = 0;
  fuzzPackets(20_000, 1);
  const before = process.memoryUsage().heapUsed;
  for (let part = 0; part < parts; part += 1) {
    const figures = fuzzPackets(1_000_000 / parts, 7_000 + part);
    slowestUs = Math.max(slowestUs, figures.slowestUs);
    totalUs += figures.meanUs / parts;
    answered += figures.answered;
  }
  const grown = process.memoryUsage().heapUsed - before;
  const mean = totalUs.toFixed(2);
  const words = `answered ${answered}, mean ${mean} us, slowest ${slowestUs.toFixed(0)} us, heap ${grown >> 20} MiB`;
  process.stdout.write(`${words}\n`);
  expect(answered).toBeGreaterThan(500_000);
  expect(slowestUs).toBeLessThan(1_000);
  expect(grown).toBeLessThan(100e6);
});
