// Devices lose their names by a recovery, a release, a replacement or a bar, some with an order under way, all
// the while relays are killed with -9, on each database and at a real Pebble. In the end every certificate
// whose key a device has that lost its name is revoked there, none that lives on is, and nothing waits.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { makeCsr } from '../../certs/csr.ts';
import { DeviceApi } from '../../device-client/api.ts';
import { ApiError } from '../../device-client/api-error.ts';
import { releaseName } from '../../device-client/standing.ts';
import type { DeviceName } from '../../dns/name.ts';
import { generateKey, type SigningKey } from '../../relay/protocol/key.ts';
import { SOFTWARE } from '../../relay/protocol/software.ts';
import { wantForDevice } from '../../relay/registry/deeds/wanted-certificate.ts';
import type { Registry } from '../../relay/registry/registry.ts';
import { hostname } from '../relay/protocol/hello-fixture.ts';
import { deviceName } from '../relay/registry/fixture.ts';
import { ZONE } from '../world/installation.ts';
import { IssuingVendor, type RelayId } from '../world/issuing-vendor.ts';
import { SignedInOwner } from '../world/owner.ts';
import { PostgresServer } from '../world/postgres.ts';
import type { ProgramProcess } from '../world/program-process.ts';
import { requires } from '../world/requires.ts';
import { until } from '../world/visits.ts';

const DEVICES = 40;
/** Of each relay, at the least; it goes on until all names are lost. */
const KILLS = 25;
/** Of a relay that serves. */
const LIFE_MAX_MS = 2_000;
/** Between two losses. */
const LOSS_EVERY_MS = 1_500;
/** Before somebody who got no answer asks again. */
const AGAIN_MS = 300;
const WEEK_MS = 7 * 86_400_000;
const WITHIN_MS = 300_000;
const FATES = ['recovered', 'released', 'replaced', 'barred', 'lives'] as const;

interface Device {
  readonly name: DeviceName;
  readonly fate: (typeof FATES)[number];
  readonly key: SigningKey;
  /** Who has the name then. */
  readonly heir: SigningKey;
}

/** What was found when the relays were dead for good, for people. */
interface Toll {
  kills: number;
  /** With revocations that they had begun. */
  deadly: number;
  held: number;
}

class Siege {
  readonly vendor: IssuingVendor;
  readonly registry: Registry;
  readonly owner: SignedInOwner;
  readonly devices: readonly Device[];
  readonly toll: Toll = { kills: 0, deadly: 0, held: 0 };
  readonly #relays: readonly RelayId[];

  constructor(parts: {
    readonly vendor: IssuingVendor;
    readonly registry: Registry;
    readonly owner: SignedInOwner;
    readonly relays: readonly RelayId[];
  }) {
    this.vendor = parts.vendor;
    this.registry = parts.registry;
    this.owner = parts.owner;
    this.#relays = parts.relays;
    this.devices = Array.from({ length: DEVICES }, (_, at) => ({
      name: deviceName(`box-${letters(at)}`),
      fate: FATES[at % FATES.length] ?? 'lives',
      key: generateKey('device'),
      heir: generateKey('device'),
    }));
  }

  /** All devices have their certificate. */
  async begin(): Promise<void> {
    const { vendor, registry, owner } = this;
    for (const { name, key } of this.devices) {
      const { publicKey: deviceKey } = key;
      await registry.enroll({ name, deviceKey, ownerId: owner.id, actor: 'test' });
      vendor.subjects.push(`${name}.${ZONE}`);
      await this.want(name, key);
    }
    const relay = vendor.run('one');
    await vendor.untilIssued(1, WITHIN_MS);
    await this.untilIssued(DEVICES);
    await this.kill('one', relay);
  }

  async want(name: DeviceName, key: SigningKey): Promise<void> {
    const subject = hostname(`${name}.${ZONE}`);
    const names = [subject, `*.${subject}`] as const;
    const csr = (await makeCsr(names)).csr.toString('base64');
    const { thumbprint } = key.publicKey;
    const wanted = { name, subject, thumbprint, names, csr, nowMs: Date.now() };
    await this.registry.perform(wantForDevice(wanted));
  }

  /** Relays die all the while. */
  async rage(): Promise<void> {
    let over = false;
    const losses = Promise.all(
      this.devices.map(async (device, at) => {
        await pause(at * LOSS_EVERY_MS);
        await this.#lose(device, at % 2 === 0);
      }),
    ).finally(() => {
      over = true;
    });
    const deaths = this.#relays.map(async (id) => {
      for (let kills = 0; kills < KILLS || !over; kills += 1) {
        const relay = this.vendor.run(id);
        // It may still wait for whoever had its port, and dies so.
        await Promise.race([relay.ready(), pause(10 * LIFE_MAX_MS)]);
        await pause(Math.random() * LIFE_MAX_MS);
        await this.kill(id, relay);
      }
    });
    await Promise.all([losses, ...deaths]);
  }

  async kill(id: RelayId, relay: ProgramProcess): Promise<void> {
    const { vendor, toll } = this;
    await vendor.kill(id, relay, 0);
    const held = await vendor.query(
      'update certificate_revocations set leased_until = 0 where ended_at is null ' +
        `and leased_by like '${id} %' returning id`,
    );
    await vendor.endLeasesOf(id);
    // As though deaths were days apart: for the same names only a few are ordered in a week.
    await vendor.query(`update certificate_orders set at = at - ${WEEK_MS} returning id`);
    toll.kills += 1;
    toll.held += held.length;
    if (held.length > 0) toll.deadly += 1;
  }

  /** With nobody left who goes on with an order, an hour passes; then all that waits is done. */
  async end(): Promise<void> {
    const { vendor } = this;
    for (const { name, fate, heir } of this.devices) {
      if (fate === 'recovered' || fate === 'replaced') await this.want(name, heir);
    }
    await vendor.query(
      'update certificate_revocations set asked_at = asked_at - 7200000, due_at = 0 ' +
        'where ended_at is null returning id',
    );
    for (const id of this.#relays) vendor.run(id);
    const waiting = async () => (await this.queue()).every((row) => row['ended_at'] !== null);
    await until(waiting, WITHIN_MS, 'all revocations').catch(async (error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(await this.queue())}`);
    });
    await this.untilIssued(DEVICES + (2 * DEVICES) / FATES.length);
  }

  queue() {
    return this.vendor.query('select * from certificate_revocations order by id');
  }

  /** So many pairs of a name and a device have a certificate of that device's own. */
  async untilIssued(count: number): Promise<void> {
    const issued = async () => {
      const rows = await this.vendor.query(
        "select distinct subject, thumbprint from certificates where purpose = 'device'",
      );
      const busy = await this.vendor.query(
        'select subject from certificate_work where leased_by is not null',
      );
      return rows.length >= count && busy.length === 0;
    };
    await until(issued, WITHIN_MS, `${count} certificates of devices`);
  }

  /** `underWay`: it has just asked for another certificate. */
  async #lose(device: Device, underWay: boolean): Promise<void> {
    const { name, fate, key, heir } = device;
    const { thumbprint } = key.publicKey;
    const [actor, deviceKey] = ['test', heir.publicKey];
    if (fate === 'lives') return;
    if (underWay) await this.want(name, key);
    await pause(Math.random() * AGAIN_MS);
    if (fate === 'barred') return this.registry.revoke({ thumbprint, actor });
    if (fate === 'replaced') {
      await this.registry.enroll({ name, deviceKey, replacing: thumbprint, actor });
      return;
    }
    if (fate === 'released') await this.#insist(device, () => releaseName(this.#api(key), name));
    else await this.#insist(device, () => this.#recover(device));
  }

  /** Again and again, through one relay after the other, until the registry says that it is done. */
  async #insist({ name, key }: Device, work: () => Promise<void>): Promise<void> {
    const { thumbprint } = key.publicKey;
    const lost = () => this.registry.snapshot.deviceOf(name)?.thumbprint !== thumbprint;
    const ask = async () => {
      if (lost()) return true;
      await work().catch((error: unknown) => {
        if (!isGone(error) && !lost()) throw error;
      });
      await pause(AGAIN_MS);
      return lost();
    };
    await until(ask, WITHIN_MS, `${name} to be lost`);
  }

  /** Another device shows a code, and the owner confirms it; then a second passes. */
  async #recover({ name, heir }: Device): Promise<void> {
    const { thumbprint } = heir.publicKey;
    const waiting = await this.registry.read((db) =>
      db.selectFrom('recoveries').select('id').where('new_thumbprint', '=', thumbprint).execute(),
    );
    if (waiting.length > 0) return;
    const { code } = await this.#openClaim(heir);
    const answer = await this.owner.approve(code, name);
    expect(answer).toMatchObject({ status: 200, json: { state: 'recovering' } });
  }

  async #openClaim(key: SigningKey): Promise<{ code: string }> {
    const answer = await this.#api(key).ask('POST', '/v1/device/claims', {});
    return { code: answer.text('code') };
  }

  #api(deviceKey: SigningKey): DeviceApi {
    const { address, port, caPem: ca, vendorKey } = this.vendor.installation;
    const url = new URL(`wss://tunnel.${ZONE}:${port}/`);
    return new DeviceApi({ relay: { url, vendorKey, ca, address }, deviceKey, software: SOFTWARE });
  }
}

/** Numbers in letters of which no two look alike. */
function letters(at: number): string {
  return Array.from(at.toString(8), (digit) => 'abefghkp'[Number(digit)]).join('');
}

/** The relay was not there, or died over the request. */
function isGone(error: unknown): boolean {
  if (error instanceof ApiError) return error.kind === 'unreachable';
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(code);
}

interface Judged {
  readonly purpose: string;
  readonly fate: string;
  readonly status: string;
}

/** Of every certificate that Pebble has signed, whose it is and what Pebble says of it. */
async function judged({ vendor, devices }: Siege): Promise<readonly Judged[]> {
  const number = (serial: string) => BigInt(`0x${serial}`);
  const rows = await vendor.query('select purpose, subject, thumbprint, serial from certificates');
  const known = new Map(rows.map((row) => [number(String(row['serial'])), row]));
  const all: Judged[] = [];
  for (const serial of vendor.pebble.issued) {
    const row = known.get(number(serial));
    const of = devices.find(({ name }) => `${name}.${ZONE}` === row?.['subject']);
    const own = of !== undefined && row?.['thumbprint'] === of.key.publicKey.thumbprint;
    all.push({
      purpose: String(row?.['purpose']),
      fate: own ? of.fate : 'lives',
      status: await vendor.pebble.statusOf(serial),
    });
  }
  return all;
}

async function siege(vendor: IssuingVendor, relays: readonly RelayId[]): Promise<void> {
  const { installation } = vendor;
  // A second, so that relays end recoveries between two deaths.
  for (const file of ['relay.yaml', 'relay2.yaml']) {
    appendFileSync(join(installation.folder, file), 'names: { recoveryDelay: 1s }\n');
  }
  const owner = await SignedInOwner.make(installation, 'ann@example.org');
  await installation.withRegistry(async (registry) => {
    const all = new Siege({ vendor, registry, owner, relays });
    await all.begin();
    await all.rage();
    await all.end();
    const certificates = await judged(all);
    const wrong = certificates.filter(({ purpose, fate, status }) => {
      const lost = purpose === 'device' && fate !== 'lives';
      return !['device', 'relay'].includes(purpose) || status !== (lost ? 'Revoked' : 'Valid');
    });
    expect(wrong).toEqual([]);
    const queue = await all.queue();
    const outcomes = Map.groupBy(queue, (row) => row['outcome']);
    const revoked = certificates.filter(({ status }) => status === 'Revoked').length;
    expect(outcomes.get('revoked')).toHaveLength(revoked);
    expect(new Set(outcomes.keys()).difference(new Set(['revoked', 'nothing']))).toEqual(new Set());
    // One for each that lost its name, at the least.
    expect(revoked).toBeGreaterThanOrEqual((DEVICES * (FATES.length - 1)) / FATES.length);
    const { kills, deadly, held } = all.toll;
    process.stdout.write(
      `${certificates.length} certificates, ${revoked} of them revoked; ${queue.length} asked for, ` +
        `${outcomes.get('nothing')?.length ?? 0} orders came to nothing; ${kills} kills, ${deadly} of ` +
        `them with ${held} revocations begun\n`,
    );
    expect(deadly).toBeGreaterThan(0);
  });
}

const need = requires('pebble', 'initdb', 'setpriv');

describe.skipIf(need.skip)('40 devices under kills', { timeout: 4 * WITHIN_MS }, () => {
  it('with one relay on SQLite', async () => {
    await using vendor = await IssuingVendor.make({ validitySeconds: 90 * 86_400 });
    await siege(vendor, ['one']);
  });

  it('with two relays on PostgreSQL', async () => {
    await using postgres = await PostgresServer.start({ fsync: true });
    await using vendor = await IssuingVendor.make({ validitySeconds: 90 * 86_400, postgres });
    await siege(vendor, ['one', 'two']);
  });
});
