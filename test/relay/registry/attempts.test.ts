import { expect, test } from 'vitest';
import {
  ATTEMPT_LIMITS,
  countWrong,
  isLocked,
  networkOf,
  sweepAttempts,
} from '../../../relay/registry/attempts.ts';
import { makeWorld } from './fixture.ts';

test.each([
  ['192.0.2.77', '192.0.2.0/24'],
  ['::ffff:192.0.2.77', '192.0.2.0/24'],
  ['2001:db8:1:2ff::1', '2001:db8:1:200::/56'],
  ['2001:DB8:1:200:ffff::', '2001:db8:1:200::/56'],
  ['fe80::1%eth0', 'fe80::/56'],
  ['::1', '::/56'],
  ['nonsense', 'no address'],
  ['', 'no address'],
])('%s is counted with %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});

test('five wrong tries lock a guesser until an hour after the last', async () => {
  const { open } = await makeWorld();
  const registry = await open();
  const at = (nowMs: number) => ({
    locked: (...who: string[]) => registry.write((db) => isLocked({ db, nowMs }, who)),
    wrong: (...who: string[]) => registry.write((db) => countWrong({ db, nowMs }, who)),
  });
  for (let count = 0; count < ATTEMPT_LIMITS.failuresMax; count += 1) {
    expect(await at(count).locked('claim a', 'claim b')).toBe(false);
    await at(count).wrong('claim a', 'claim b');
  }
  expect(await at(4).locked('claim a')).toBe(true);
  expect(await at(4).locked('claim c', 'claim b')).toBe(true);
  expect(await at(4).locked('claim c')).toBe(false);
  const end = 4 + ATTEMPT_LIMITS.memoryMs;
  expect(await at(end - 1).locked('claim a')).toBe(true);
  expect(await at(end).locked('claim a')).toBe(false);
  await at(end).wrong('claim a');
  expect(await at(end).locked('claim a')).toBe(false);
  await registry.write((db) => sweepAttempts({ db, nowMs: end }));
  const left = await registry.read((db) => db.selectFrom('attempts').selectAll().execute());
  expect(left).toEqual([{ subject: 'claim a', failures: 1, since: end }]);
});
