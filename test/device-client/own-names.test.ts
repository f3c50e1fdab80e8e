// What a device tells the person who reads its log of a name that it is about to lose.
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { OwnNames } from '../../device-client/own-names.ts';
import { hostname } from '../relay/protocol/hello-fixture.ts';
import { deviceName } from '../relay/registry/fixture.ts';

test('a recovery that waits for the mail server is told, and once more when its time has begun', () => {
  const lines: string[] = [];
  const ownNames = new OwnNames(pino({}, { write: (line: string) => void lines.push(line) }));
  const standing = { epoch: 1, names: [deviceName('alice')], zone: hostname('vendor.test') };
  const recovery = { id: 'r1', name: deviceName('alice') };
  const tell = (dueAt: string, waits: { waitsForMail?: true } = {}) => {
    const recoveries = [{ ...recovery, dueAt, ...waits }];
    // By each of two tunnels.
    for (const _tunnel of [1, 2]) ownNames.told({ ...standing, recoveries, renewals: [] });
  };
  tell('2026-11-22T00:00:00Z', { waitsForMail: true });
  // The earliest moment passes on while it waits.
  tell('2026-11-22T00:05:00Z', { waitsForMail: true });
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('it will, not before 2026-11-22T00:00:00Z (its time begins when');
  tell('2026-11-22T01:00:00Z');
  expect(lines).toHaveLength(2);
  expect(lines[1]).toContain('it will, at 2026-11-22T01:00:00Z, and this one will lose it');
  expect(lines[1]).toContain('waygate device veto r1');
  expect(ownNames.recoveryCount).toBe(1);
});
