import { expect, test } from 'vitest';
import { looksLike, skeletonOf } from '../../../relay/registry/skeleton.ts';
import { deviceName } from './fixture.ts';

test.each([
  ['google', 'g00gle'],
  ['alice', 'a1ice'],
  ['alice', 'aiice'],
  ['ian', 'lan'],
  ['base', 'ba5e'],
  ['modern', 'modem'],
  ['wave', 'vvave'],
  ['disney', 'clisney'],
  ['my-bank', 'mybank'],
  ['pay-pal', 'p-aypal'],
  ['admin', 'aclrnln'],
])('%s looks like %s', (one, other) => {
  expect(skeletonOf(other)).toBe(skeletonOf(one));
});

test.each([
  ['kiosk-1-11', 'kiosk-11-1'],
  ['2024-1', '20241'],
  ['pi-2', 'pi-z'],
  ['model-8', 'model-b'],
  ['alice', 'alicia'],
  ['anna', 'ana'],
])('%s is told from %s', (one, other) => {
  expect(skeletonOf(other)).not.toBe(skeletonOf(one));
});

test('numbers stay different: a fleet does not collide with itself', () => {
  const names = Array.from({ length: 5_000 }, (_, at) => `kiosk-${at}`);
  expect(new Set(names.map(skeletonOf)).size).toBe(names.length);
});

test.each([
  ['nimbus', true],
  ['nirnbus', true],
  ['pay-nimbus', true],
  ['nimbus-login', true],
  ['nim-bus', true],
  ['nimbuster', false],
  ['unnimbus', false],
])('%s has the brand Nimbus in it: %s', (name, expected) => {
  expect(looksLike(deviceName(name), 'Nimbus')).toBe(expected);
});
