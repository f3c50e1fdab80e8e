import { beforeEach, expect, test } from 'vitest';
import { AuthorityRest, REST_LIMITS } from '../../../relay/certificates/authority-rest.ts';
import { HOUR_MS } from './issuing-stand.ts';

const OF_THE_ZONE = { subject: 'alice.vendor.dev', purpose: 'relay' } as const;
let nowMs: number;
let rest: AuthorityRest;

beforeEach(() => {
  nowMs = 1_000_000;
  rest = new AuthorityRest(() => nowMs);
});

function failsUntilItRests(): void {
  for (let failure = 0; failure < REST_LIMITS.failuresMax; failure += 1) rest.unavailable();
}

test('an authority that fails several times in a row rests, then gets one attempt at a time', () => {
  rest.unavailable();
  expect([rest.room, rest.why]).toEqual([Number.POSITIVE_INFINITY, undefined]);
  failsUntilItRests();
  expect([rest.room, rest.why]).toEqual([0, 'away']);
  nowMs = rest.untilMs;
  expect(rest.room).toBe(1);
  rest.begin();
  expect(rest.room).toBe(0);
  rest.end();
  rest.answered();
  expect(rest.room).toBe(Number.POSITIVE_INFINITY);
});

test('each rest is twice as long as the one before, up to half an hour', () => {
  failsUntilItRests();
  const minutes: number[] = [];
  for (let round = 0; round < 8; round += 1) {
    minutes.push((rest.untilMs - nowMs) / 60_000);
    // Those that were under way when the rest began say nothing new.
    rest.unavailable();
    nowMs = rest.untilMs;
    rest.unavailable();
  }
  expect(minutes).toEqual([1, 2, 4, 8, 16, 30, 30, 30]);
});

test('a limit that own domains meet is theirs, however many an owner has', () => {
  for (let domain = 0; domain < 20; domain += 1) {
    const own = { subject: `${domain}.example.org`, purpose: 'domain' } as const;
    expect(rest.limited(HOUR_MS, own)).toBe(HOUR_MS);
    expect(rest.of(own.subject)).toMatchObject({
      room: 0,
      why: 'limited',
      untilMs: nowMs + HOUR_MS,
    });
  }
  expect(rest.why).toBeUndefined();
  expect(rest.of('other.example.org').room).toBe(Number.POSITIVE_INFINITY);
  nowMs += HOUR_MS;
  expect(rest.of('0.example.org').room).toBe(Number.POSITIVE_INFINITY);
});

test('a limit that a name of the zone meets is for all, for days for that name alone', () => {
  expect(rest.limited(HOUR_MS, OF_THE_ZONE)).toBe(HOUR_MS);
  expect([rest.why, rest.untilMs]).toEqual(['limited', nowMs + HOUR_MS]);
  expect(rest.limited(48 * HOUR_MS, OF_THE_ZONE)).toBe(48 * HOUR_MS);
  expect(rest.untilMs).toBe(nowMs + REST_LIMITS.limitedAllMaxMs);
});

test('a limit without a time is believed for an hour, and one for years for a week', () => {
  expect(rest.limited(undefined, OF_THE_ZONE)).toBe(REST_LIMITS.limitedMs);
  expect(rest.limited(1e12, OF_THE_ZONE)).toBe(REST_LIMITS.limitedMaxMs);
});
