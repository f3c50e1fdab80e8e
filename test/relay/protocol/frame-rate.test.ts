import { expect, test } from 'vitest';
import { FrameRate } from '../../../relay/protocol/frame-rate.ts';

const admitted = (rate: FrameRate, times: readonly number[]) =>
  times.map((nowMs) => rate.admit(nowMs));

test('so many frames are taken within a time, and as many in the next', () => {
  const rate = new FrameRate(3, 1_000);
  expect(admitted(rate, [5_000, 5_001, 5_002, 5_003, 6_000])).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
  expect(admitted(rate, [6_001, 6_002, 6_003, 6_004])).toEqual([true, true, true, false]);
});

test('bug: a flood at the end of the first second of a process got the double', () => {
  const rate = new FrameRate(3, 1_000);
  expect(admitted(rate, [998, 999, 1_000, 1_001, 1_002])).toEqual([true, true, true, false, false]);
});
