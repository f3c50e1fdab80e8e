import { expect, test } from 'vitest';
import { fuzzPackets } from './packet-fuzz.ts';

test('100,000 mutated packets', () => {
  const figures = fuzzPackets(100_000, 20_261);
  expect(figures.answered).toBeGreaterThan(50_000);
  // Each outcome is reached, or the mutations are too wild to test anything.
  for (const rcode of [0, 1, 3, 4, 5])
    expect(figures.rcodes[rcode], `${rcode}`).toBeGreaterThan(300);
  expect(figures.meanUs).toBeLessThan(100);
  expect(figures.slowestUs).toBeLessThan(1_000);
});
