import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ShardedMap } from '../../dns/sharded-map.ts';

test('is a map, and every earlier one stays as it was', () => {
  const key = fc.oneof(fc.constantFrom('a', 'b', 'c', '__proto__'), fc.string());
  const change = fc.array(fc.tuple(key, fc.option(fc.nat(), { nil: undefined })), {
    maxLength: 20,
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 10 }), (changes) => {
      const model = new Map<string, number>();
      const states = [{ map: ShardedMap.of<number>([]), expected: new Map(model) }];
      for (const entries of changes) {
        for (const [name, value] of entries) {
          if (value === undefined) model.delete(name);
          else model.set(name, value);
        }
        const map = states.at(-1)?.map.with(entries);
        if (map !== undefined) states.push({ map, expected: new Map(model) });
      }
      for (const { map, expected } of states) {
        expect(map.size).toBe(expected.size);
        expect(new Set(map.keys())).toEqual(new Set(expected.keys()));
        for (const [name, value] of expected) {
          expect(map.get(name)).toBe(value);
          expect(map.has(name)).toBe(true);
        }
        expect(map.get('absent key')).toBe(expected.get('absent key'));
      }
    }),
  );
});

test('spreads names and thumbprints evenly enough', () => {
  const entries = Array.from({ length: 20_000 }, (_, at): [string, number] => [`device-${at}`, at]);
  const map = ShardedMap.of(entries);
  const startedMs = performance.now();
  let copy = map;
  for (let at = 0; at < 1_000; at += 1) copy = copy.with([[`device-${at}`, undefined]]);
  // Copying everything each time would take seconds.
  expect(performance.now() - startedMs).toBeLessThan(500);
  expect(map.size).toBe(20_000);
  expect(copy.size).toBe(19_000);
});

test('that was filled as a draft is the same map', () => {
  const draft = ShardedMap.draft<number>();
  const entries = Array.from({ length: 5_000 }, (_, at): [string, number] => [
    `n${at % 4_000}`,
    at,
  ]);
  for (const [key, value] of entries) draft.set(key, value);
  const map = draft.done();
  const expected = new Map(entries);
  expect(map.size).toBe(4_000);
  for (const [key, value] of expected) expect(map.get(key)).toBe(value);
});
