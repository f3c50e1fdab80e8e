// Certificates of a real authority for all of a vendor's names, through relays that are killed with -9 in the
// midst of it: each is ordered once, kept whole and served, and renewed without anybody noticing.
// The long run is test/long/certificates.test.ts.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sample, startSample } from '../../device-client/sample.ts';
import { ZONE } from '../world/installation.ts';
import { type Death, IssuingVendor } from '../world/issuing-vendor.ts';
import { PatientVisitor } from '../world/patient-visitor.ts';
import { requires } from '../world/requires.ts';
import { echo, openWebSocket } from '../world/visits.ts';

const need = requires('pebble');
const NAMES = 9;
const LIVES = { usual: 2, max: 16 } as const;
/** The authority's log has thirty for each order: a relay dies at any point of those. */
const LINES = 30 * NAMES;
const ISSUED_WITHIN_MS = 90_000;

let vendor: IssuingVendor;
let sample: Sample;

/** Lives some lives, more when no death has hit an order by chance. */
async function deaths(live: () => Promise<Death>): Promise<void> {
  const seen: Death[] = [];
  const hit = () => seen.some(({ ordered }) => ordered > 0);
  while (seen.length < LIVES.usual || (!hit() && seen.length < LIVES.max)) seen.push(await live());
  expect(seen.filter(({ ordered }) => ordered > 0)).not.toEqual([]);
}

const moment = (lines: number): number => Math.ceil(Math.random() * lines);

describe.skipIf(need.skip)('certificates of all names', { timeout: 180_000 }, () => {
  beforeAll(async () => {
    sample = await startSample();
    vendor = await IssuingVendor.make({ validitySeconds: 90 * 86_400 });
    await vendor.enroll(NAMES);
  }, 60_000);
  afterAll(async () => {
    await vendor[Symbol.asyncDispose]();
    await sample.stop();
  });

  it('are ordered once each, whenever the relay dies, and served', async () => {
    await deaths(async () => {
      const death = await vendor.kill('one', vendor.run('one'), moment(LINES / LIVES.usual));
      await vendor.endLeasesOf('one');
      return death;
    });
    await vendor.run('one').ready();
    await vendor.untilIssued(1, ISSUED_WITHIN_MS);
    await vendor.expectWhole();
    expect((await vendor.ledger()).length).toBe(NAMES + 1);
    await vendor.expectServed();
  });

  it('are renewed, whenever a relay dies, and visitors notice nothing', async () => {
    await vendor.device('desk', { hello: sample.url });
    await vendor.untilIssued(1, ISSUED_WITHIN_MS);
    const url = `https://hello.desk.${ZONE}:${vendor.door().port}/`;
    await using visitor = new PatientVisitor(vendor.door(), url);
    const socket = await openWebSocket(vendor.door(), `${url}ws`);
    let rounds = 1;
    await deaths(async () => {
      const two = vendor.run('two');
      // Before the other one looks again, as a rule, this one has started, and takes what is due.
      await vendor.daysPass(61);
      const death = await vendor.kill('two', two, moment(LINES));
      await vendor.endLeasesOf('two');
      rounds += 1;
      await vendor.untilIssued(rounds, ISSUED_WITHIN_MS);
      return death;
    });
    await vendor.expectWhole();
    await vendor.expectServed();
    expect(await echo(socket, 'still here', 5_000)).toBe('still here');
    socket.terminate();
    const { faults, answered } = await visitor.stop();
    expect(faults).toEqual([]);
    expect(answered).toBeGreaterThan(10);
  });
});
