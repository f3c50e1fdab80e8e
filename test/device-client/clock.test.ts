// The relay's time on a machine that has another one, or none.
import { describe, expect, it } from 'vitest';
import { Clock } from '../../device-client/clock.ts';
import { SimulatedTime } from '../world/simulated-time.ts';

const NOW_MS = Date.UTC(2026, 10, 21);

describe('the clock of a device', () => {
  it("is the machine's until the relay has told the time, and the relay's from then on", async () => {
    const time = new SimulatedTime(0);
    const clock = new Clock(time);
    expect([clock.now(), clock.isTold]).toEqual([0, false]);
    clock.learn(NOW_MS);
    expect([clock.now(), clock.isTold]).toEqual([NOW_MS, true]);
    void clock.wait(10_000, new AbortController().signal);
    await time.pass(5_000);
    // Somebody sets the clock of the machine.
    time.startMs = NOW_MS + 1_000_000_000;
    expect(clock.now()).toBe(NOW_MS + 5_000);
  });

  it('takes no notice of what a network or whole seconds make of the time', () => {
    const clock = new Clock(new SimulatedTime(0));
    clock.learn(NOW_MS + 900);
    clock.learn(NOW_MS);
    expect(clock.now()).toBe(NOW_MS + 900);
  });

  it('learns anew what it slept through, or when the relay has set its own', () => {
    const clock = new Clock(new SimulatedTime(0));
    clock.learn(NOW_MS);
    clock.learn(NOW_MS + 86_400_000);
    expect(clock.now()).toBe(NOW_MS + 86_400_000);
    clock.learn(NOW_MS);
    expect(clock.now()).toBe(NOW_MS);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, 0, -1, 1.5])(
    'ignores %s, which is no time',
    (ms) => {
      const clock = new Clock(new SimulatedTime(7));
      clock.learn(ms);
      expect([clock.now(), clock.isTold]).toEqual([7, false]);
    },
  );
});
