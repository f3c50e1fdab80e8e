// 200 names get certificates of a real authority, and new ones when half of their life is over, in real time:
// leases end by themselves, lives are minutes. Relays that order are killed with -9 all the while, on
// each database; the short run is test/journeys/certificates.test.ts.
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { startSample } from '../../device-client/sample.ts';
import { ZONE } from '../world/installation.ts';
import { type Death, IssuingVendor, type RelayId } from '../world/issuing-vendor.ts';
import { PatientVisitor } from '../world/patient-visitor.ts';
import { PostgresServer } from '../world/postgres.ts';
import type { ProgramProcess } from '../world/program-process.ts';
import { requires } from '../world/requires.ts';
import { echo, openWebSocket } from '../world/visits.ts';

const NAMES = 200;
/** Half of it is longer than all take, and than the minute after which a dead relay's work is taken. */
const VALIDITY_S = 480;
const WITHIN_MS = 900_000;
/** Of what the authority logs for twenty orders, so many as there are at the same time. */
const LINES_MAX = 600;
/** Between two deaths. */
const LIFE_MAX_MS = 20_000;

async function journey(vendor: IssuingVendor, relays: readonly RelayId[]): Promise<void> {
  const deaths: Death[] = [];
  const startedMs = performance.now();
  const told = (what: string) => {
    const seconds = Math.round((performance.now() - startedMs) / 1_000);
    process.stdout.write(`${seconds} s: ${what}\n`);
  };
  await vendor.enroll(NAMES);
  const running = new Map<RelayId, ProgramProcess>();
  for (const id of relays) running.set(id, vendor.run(id));
  const doomed = (at: number): RelayId => relays[at % relays.length] ?? 'one';
  for (let at = 0; at < 6; at += 1) {
    const id = doomed(at);
    const relay = running.get(id) ?? vendor.run(id);
    deaths.push(await vendor.kill(id, relay, Math.ceil(Math.random() * LINES_MAX)));
    running.set(id, vendor.run(id));
  }
  await vendor.untilIssued(1, WITHIN_MS);
  told(`${NAMES} names have certificates; deaths ${JSON.stringify(deaths)}`);
  await vendor.expectWhole();
  expect((await vendor.ledger()).length).toBe(NAMES + 1);
  await vendor.expectServed();
  told(`all are served; the authority has logged ${vendor.pebble.lines} lines`);
  await renewed(vendor, running, told);
}

/** Relay `two` dies again and again; visitors come to `one`. */
async function renewed(
  vendor: IssuingVendor,
  running: ReadonlyMap<RelayId, ProgramProcess>,
  told: (what: string) => void,
): Promise<void> {
  const sample = await startSample();
  await vendor.device('desk', { hello: sample.url });
  await vendor.untilIssued(1, WITHIN_MS);
  const url = `https://hello.desk.${ZONE}:${vendor.door().port}/`;
  const visitor = new PatientVisitor(vendor.door(), url);
  const socket = await openWebSocket(vendor.door(), `${url}ws`);
  const deaths: Death[] = [];
  let two = running.get('two') ?? vendor.run('two');
  let done = false;
  const all = vendor.untilIssued(2, WITHIN_MS).finally(() => {
    done = true;
  });
  all.catch(() => undefined);
  while (!done) {
    await Promise.race([pause(Math.random() * LIFE_MAX_MS), all.catch(() => undefined)]);
    const death = await vendor.kill('two', two, 0);
    if (death.held > 0) deaths.push(death);
    two = vendor.run('two');
  }
  await all;
  told(`all are renewed; deaths ${JSON.stringify(deaths)}`);
  const { faults, answered } = await visitor.stop();
  expect(faults).toEqual([]);
  expect(await echo(socket, 'still here', 5_000)).toBe('still here');
  socket.terminate();
  await vendor.expectWhole();
  await vendor.expectServed();
  const one = running.get('one');
  const failed = (one?.count(/^no certificate was issued$/) ?? 0) + two.count(/^no certificate/);
  told(`${answered} visits, ${(await vendor.ledger()).length} certificates, ${failed} failures`);
  await sample.stop();
}

const need = requires('pebble', 'initdb', 'setpriv');

describe.skipIf(need.skip)('200 names', { timeout: 3 * WITHIN_MS }, () => {
  it('with one relay on SQLite, then two', async () => {
    await using vendor = await IssuingVendor.make({ validitySeconds: VALIDITY_S });
    await journey(vendor, ['one']);
  });

  it('with two relays on PostgreSQL', async () => {
    await using postgres = await PostgresServer.start({ fsync: true });
    await using vendor = await IssuingVendor.make({ postgres, validitySeconds: VALIDITY_S });
    await journey(vendor, ['one', 'two']);
  });
});
