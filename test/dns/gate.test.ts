import { expect, test } from 'vitest';
import { gate } from '../../dns/gate.ts';
import { MALFORMED, SOUND } from './malformed.ts';

test.each(SOUND)('lets pass: %s', (_, bytes, verdict) => {
  expect(gate(bytes)).toBe(verdict);
});

test.each(MALFORMED)('refuses: %s', (_, bytes, verdict) => {
  expect(gate(bytes)).toBe(verdict);
});

test('cut anywhere, no message passes that did not pass whole, and none is read beyond its end', () => {
  for (const [name, whole] of SOUND) {
    for (let end = 0; end < whole.length; end += 1) {
      expect(['formerr', 'drop'], `${name}, ${end} bytes`).toContain(gate(whole.subarray(0, end)));
    }
  }
});

test('the worst message costs about what an honest one does', () => {
  const cost = (bytes: Buffer): number => {
    for (let round = 0; round < 5_000; round += 1) gate(bytes);
    const startedUs = process.cpuUsage().user;
    for (let round = 0; round < 20_000; round += 1) gate(bytes);
    return (process.cpuUsage().user - startedUs) / 20_000;
  };
  for (const [name, bytes] of MALFORMED) expect(cost(bytes), name).toBeLessThan(50);
});
