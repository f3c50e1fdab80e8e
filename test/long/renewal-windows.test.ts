// Certificates that are renewed in the windows of their authority (RFC 9773) and under a profile, at a Pebble
// that has both. Relays are killed with -9 all the while, on each database: nobody is without a
// certificate for a moment, each is replaced once and told as replaced, and no budget counts that.
import { X509Certificate } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readChain } from '../../certs/chain.ts';
import { type Death, IssuingVendor, type RelayId } from '../world/issuing-vendor.ts';
import { newerPebble } from '../world/pebble.ts';
import { PostgresServer } from '../world/postgres.ts';
import type { ProgramProcess } from '../world/program-process.ts';
import { requires } from '../world/requires.ts';
import { until } from '../world/visits.ts';

const NAMES = 50;
/** With the zone's. */
const CERTIFICATES = NAMES + 1;
const ROUNDS = 4;
const VALIDITY_S = 45 * 86_400;
/** Each certificate is due at a moment of its own in it. */
const WINDOW_MS = 20_000;
/** Of a relay that serves: it has begun to order by then. */
const LIFE_MAX_MS = 4_000;
const WITHIN_MS = 300_000;
/** A registry out of a backup does not know that so many have been renewed. */
const FORGOTTEN = 10;

class Journey {
  readonly vendor: IssuingVendor;
  readonly #running = new Map<RelayId, ProgramProcess>();
  /** Of those that had work. */
  readonly #deaths: Death[] = [];

  constructor(vendor: IssuingVendor) {
    this.vendor = vendor;
  }

  run(relays: readonly RelayId[]): void {
    for (const id of relays) this.#running.set(id, this.vendor.run(id));
  }

  async killAll(): Promise<void> {
    for (const relay of this.#running.values()) await relay.end('SIGKILL');
    for (const id of this.#running.keys()) await this.vendor.endLeasesOf(id);
  }

  /** Until each certificate was issued so many times, this one dies again and again. */
  async die(id: RelayId, times: number): Promise<void> {
    const { vendor } = this;
    let done = false;
    const all = vendor.untilIssued(times, WITHIN_MS).finally(() => {
      done = true;
    });
    all.catch(() => undefined);
    while (!done) {
      const relay = this.#running.get(id) ?? vendor.run(id);
      const life = relay.ready().then(() => pause(Math.random() * LIFE_MAX_MS));
      life.catch(() => undefined);
      await Promise.race([life, all.catch(() => undefined)]);
      if (done) break;
      const death = await vendor.kill(id, relay, 0);
      if (death.held > 0) this.#deaths.push(death);
      await vendor.endLeasesOf(id);
      this.#running.set(id, vendor.run(id));
      if (times > 1) await this.#nobodyWithout();
    }
    await all;
  }

  async #nobodyWithout(): Promise<void> {
    const present = await this.vendor.present();
    const served = present.filter(({ key }) => key !== null).map(({ subject }) => subject);
    expect(served.sort()).toEqual(this.vendor.subjects.toSorted());
  }

  /** Each was issued so many times, and all but the first time for the one before. */
  async expectReplaced(times: number): Promise<void> {
    const { pebble } = this.vendor;
    await this.vendor.expectWhole();
    const ledger = await this.vendor.ledger();
    expect(ledger).toHaveLength(times * CERTIFICATES);
    const old = ledger.filter((row) => row.replaced_at !== null && !isLost(row.chain));
    const wanted = old.length;
    expect(wanted).toBeGreaterThanOrEqual((times - 1) * CERTIFICATES * 0.9);
    await until(() => pebble.replaced >= wanted, 5_000, `${wanted} certificates to be replaced`);
    expect(pebble.replaced).toBe(wanted);
  }

  /** How many orders count in budgets. */
  async counted(): Promise<number> {
    const sql = 'select count(*) as orders from certificate_orders where exempt = 0';
    const [{ orders } = {}] = await this.vendor.query(sql);
    return Number(orders);
  }

  /** What happened, for people. */
  told(): string {
    const ordered = this.#deaths.filter((death) => death.ordered > 0).length;
    const unstored = this.#deaths.reduce((sum, death) => sum + death.unstored, 0);
    const { issued, replaced } = this.vendor.pebble;
    return (
      `${issued.length} certificates, ${replaced} of them for another; ${this.#deaths.length} deaths ` +
      `with work, ${ordered} with orders under way, ${unstored} certificates signed and not stored\n`
    );
  }

  get deadly(): boolean {
    return this.#deaths.some(({ ordered }) => ordered > 0);
  }
}

/**
 * Pebble 2.10 does not find one by its name whose serial number begins with a zero byte, which is one of 256,
 * and answers with an error of its own. They are renewed all the same.
 */
function isLost(chain: string): boolean {
  const [, serial = ''] = readChain(chain).certId?.split('.') ?? [];
  return Buffer.from(serial, 'base64url')[0] === 0;
}

async function journey(vendor: IssuingVendor, relays: readonly RelayId[]): Promise<void> {
  const doomed = relays.at(-1) ?? 'one';
  const all = new Journey(vendor);
  await vendor.enroll(NAMES);
  all.run(relays);
  await all.die(doomed, 1);
  await all.expectReplaced(1);
  const counted = await all.counted();
  let before = await vendor.present();
  for (let round = 1; round <= ROUNDS; round += 1) {
    before = await vendor.present();
    // A certificate of this day is not renewed, whatever the authority says.
    await vendor.daysPass(1);
    const start = new Date();
    await vendor.wantRenewal({ start, end: new Date(start.getTime() + WINDOW_MS) });
    await all.die(doomed, round + 1);
    await all.expectReplaced(round + 1);
    const early = (await vendor.present()).filter((row) => Number(row.issued_at) < start.getTime());
    expect(early).toEqual([]);
  }
  expect(await all.counted()).toBe(counted);
  await vendor.expectServed();
  process.stdout.write(all.told());
  expect(all.deadly).toBe(true);
  await forgotten(all, relays, before.slice(0, FORGOTTEN));
}

/** Of these the authority has heard before that they are replaced, and signs all the same. */
async function forgotten(
  all: Journey,
  relays: readonly RelayId[],
  before: Parameters<IssuingVendor['putBack']>[0],
): Promise<void> {
  const { vendor } = all;
  const { replaced, issued } = vendor.pebble;
  const known = issued.length;
  await all.killAll();
  await vendor.putBack(before);
  all.run(relays);
  await all.die(relays.at(-1) ?? 'one', ROUNDS + 1);
  await vendor.expectWhole();
  await vendor.expectServed();
  expect(vendor.pebble.issued.length - known).toBe(before.length);
  expect(vendor.pebble.replaced).toBe(replaced);
  for (const { chain } of await vendor.present()) {
    const { validFromDate, validToDate } = new X509Certificate(chain);
    const seconds = (validToDate.getTime() - validFromDate.getTime()) / 1_000;
    expect(Math.round(seconds / 60)).toBe(VALIDITY_S / 60);
  }
}

const need = requires('pebble-newer', 'initdb', 'setpriv');

describe.skipIf(need.skip)('windows of 50 names', { timeout: 3 * WITHIN_MS }, () => {
  const options = () => ({ validitySeconds: VALIDITY_S, newerPebble: newerPebble() ?? '' });

  it('with one relay on SQLite', async () => {
    await using vendor = await IssuingVendor.make(options());
    await journey(vendor, ['one']);
  });

  it('with two relays on PostgreSQL', async () => {
    await using postgres = await PostgresServer.start({ fsync: true });
    await using vendor = await IssuingVendor.make({ ...options(), postgres });
    await journey(vendor, ['one', 'two']);
  });
});
