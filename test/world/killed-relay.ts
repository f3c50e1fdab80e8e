// A relay that is killed with -9 again and again while devices redeem, claim and rename over its API, and
// what is asked after each death: is all there that was acknowledged, is anything half-done, and does
// the name server say the same as the registry?
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import { DeviceApi } from '../../device-client/api.ts';
import { ApiError } from '../../device-client/api-error.ts';
import { askStanding } from '../../device-client/standing.ts';
import { generateKey, type SigningKey } from '../../relay/protocol/key.ts';
import { SOFTWARE } from '../../relay/protocol/software.ts';
import { order } from '../../relay/registry/deeds/order.ts';
import type { Registry } from '../../relay/registry/registry.ts';
import { deviceName } from '../relay/registry/fixture.ts';
import { expectWhole, type Query } from '../relay/registry/killed-writers.ts';
import { type Installation, ZONE } from './installation.ts';
import { TestNameServer } from './name-server.ts';
import { SignedInOwner } from './owner.ts';
import { until } from './visits.ts';

const KILL_LIMITS = {
  /** Orders that a relay has at its start: more than it redeems in its life. */
  ordersMin: 20,
  /** Orders made in one go. */
  ordersMore: 60,
  /** Lives with the same owner, who has room for a hundred names. */
  livesPerOwner: 5,
  /** From the first acknowledgement to the end; a request takes some 20 ms. */
  lifeMaxMs: 250,
  /** For what one process did to be seen by another; a busy machine takes some seconds. */
  seenWithinMs: 10_000,
} as const;

/** For relay.yaml: claims that were cut off do not pile up to the bound of one address. */
export const SHORT_CLAIM_CODES = 'names: { claimCode: 10s }\n';

/** A device and what it was told that it is called. */
interface Device {
  readonly key: SigningKey;
  name: string;
  /** What was asked last, when no answer came. */
  asked: { readonly path: string; readonly body: object; readonly name: string } | undefined;
}

interface Siege {
  readonly vendor: Installation;
  readonly dns: TestNameServer;
  readonly devices: Device[];
  readonly codes: string[];
  /** Acknowledged, by kind. */
  readonly done: Record<'redeem' | 'claim' | 'rename', number>;
  at: number;
}

/** `query`: runs SQL on the database as a stranger would. */
export async function killRelays(
  vendor: Installation,
  { kills, query }: { readonly kills: number; readonly query: Query },
): Promise<void> {
  await using dns = await TestNameServer.make(vendor);
  const done = { redeem: 0, claim: 0, rename: 0 };
  const siege: Siege = { vendor, dns, devices: [], codes: [], done, at: 0 };
  const nameServer = await dns.start();
  let owner = await SignedInOwner.make(vendor, 'owner-0@example.org');
  // Few short lives may by chance hold no request of one kind: then some more are lived.
  const missing = () => Object.values(done).includes(0);
  for (let at = 0; at < kills || (missing() && at < 4 * kills); at += 1) {
    if (at % KILL_LIMITS.livesPerOwner === 0 && at > 0) {
      owner = await SignedInOwner.make(vendor, `owner-${at}@example.org`);
    }
    if (siege.codes.length < KILL_LIMITS.ordersMin) await orderMore(siege);
    await life(siege, owner);
    await vendor.withRegistry((registry) => expectTold(siege, registry));
  }
  for (const count of Object.values(done)) expect(count).toBeGreaterThan(0);
  await vendor.withRegistry((registry) => expectWhole(query, registry));
  await using relay = await vendor.relay();
  for (const device of siege.devices) await expectRepeated(siege, device);
  expect(relay.log.filter(({ level }) => level >= 50)).toEqual([]);
  expect(nameServer.log.filter(({ level }) => level >= 50)).toEqual([]);
}

/** One relay, from its start to its end in the midst of requests. */
async function life(siege: Siege, owner: SignedInOwner): Promise<void> {
  const { vendor, codes } = siege;
  const relay = await vendor.relay();
  const first = Promise.withResolvers<void>();
  const lanes = [0, 1].flatMap(() => [
    lane(siege, async (device) => {
      const code = codes.shift();
      if (code === undefined) throw new ApiError('unreachable', 'no more orders');
      await redeem(siege, device, code);
      first.resolve();
      await rename(siege, device);
    }),
    lane(siege, async (device) => {
      await claim(siege, device, owner);
      first.resolve();
    }),
  ]);
  await Promise.race([first.promise, Promise.all(lanes)]);
  // A random moment is what is wanted here, not an event.
  await pause(Math.random() * KILL_LIMITS.lifeMaxMs);
  await relay.end('SIGKILL');
  await Promise.all(lanes);
  expect(relay.log.filter(({ level }) => level >= 50)).toEqual([]);
}

/** One new device after the other, until the relay is gone. */
async function lane(siege: Siege, work: (device: Device) => Promise<void>): Promise<void> {
  for (;;) {
    const device: Device = { key: generateKey('device'), name: '', asked: undefined };
    siege.devices.push(device);
    try {
      await work(device);
    } catch (error) {
      if (error instanceof ApiError && error.kind === 'unreachable') return;
      // What the owner's request ends with, which is none of the device's.
      if (error instanceof Error && 'code' in error && GONE.has(String(error.code))) return;
      throw error;
    }
  }
}

const GONE: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE']);

function orderMore(siege: Siege): Promise<void> {
  return siege.vendor.withRegistry(async (registry) => {
    for (let made = 0; made < KILL_LIMITS.ordersMore; made += 1) {
      const name = deviceName(nextName(siege));
      const { code } = await registry.perform(order({ name, actor: 'test' }));
      siege.codes.push(code);
    }
  });
}

/** Numbers in letters of which no two look alike. */
function nextName(siege: Siege): string {
  siege.at += 1;
  const letters = Array.from(siege.at.toString(8), (digit) => 'abefghkp'[Number(digit)]);
  return `box-${letters.join('')}`;
}

async function redeem(siege: Siege, device: Device, code: string): Promise<void> {
  await change(siege, device, { path: '/v1/device/orders/redeem', body: { code }, name: '' });
  siege.done.redeem += 1;
}

async function rename(siege: Siege, device: Device): Promise<void> {
  const to = nextName(siege);
  const path = `/v1/device/names/${device.name}/rename`;
  await change(siege, device, { path, body: { to }, name: to });
  siege.done.rename += 1;
}

async function claim(siege: Siege, device: Device, owner: SignedInOwner): Promise<void> {
  const answer = await apiOf(siege, device).ask('POST', '/v1/device/claims', {});
  const name = nextName(siege);
  const { status, json } = await owner.approve(answer.text('code'), name);
  expect([status, json]).toEqual([200, { state: 'bound', name }]);
  device.name = name;
  siege.done.claim += 1;
}

/** A request of which it is known, whatever happens, that it was made. */
async function change(
  siege: Siege,
  device: Device,
  asked: NonNullable<Device['asked']>,
): Promise<void> {
  device.asked = asked;
  const answer = await apiOf(siege, device).ask('POST', asked.path, asked.body);
  device.name = answer.text('name');
  device.asked = undefined;
}

function apiOf({ vendor }: Siege, { key: deviceKey }: Device): DeviceApi {
  const { address, port, caPem: ca, vendorKey } = vendor;
  const url = new URL(`wss://tunnel.${ZONE}:${port}/`);
  return new DeviceApi({ relay: { url, vendorKey, ca, address }, deviceKey, software: SOFTWARE });
}

/** What was acknowledged is there, or what was asked after it; and the zone says the same. */
async function expectTold({ devices, dns }: Siege, registry: Registry): Promise<void> {
  const { snapshot } = registry;
  const lost = devices.filter(({ key, name, asked }) => {
    if (name === '') return false;
    const names = [name, ...(asked === undefined ? [] : [asked.name])];
    const { thumbprint } = key.publicKey;
    return !names.some((each) => snapshot.deviceOf(deviceName(each))?.thumbprint === thumbprint);
  });
  expect(lost).toEqual([]);
  const rows = await registry.read((db) =>
    db.selectFrom('names').select(['name', 'state']).orderBy('name').execute(),
  );
  const served = rows.flatMap(({ name, state }) => (state === 'ordered' ? [] : [name]));
  const { serial } = await registry.read((db) =>
    db.selectFrom('zone').select('serial').executeTakeFirstOrThrow(),
  );
  const isSeen = async () => (await dns.serial()) === Number(serial);
  await until(isSeen, KILL_LIMITS.seenWithinMs, `the serial ${serial} in the zone`);
  const zone = await dns.transfer('AXFR', '+noall', '+answer');
  for (const owner of ['', '\\*\\.']) {
    const line = new RegExp(`^${owner}(box-[a-z]+)\\.${ZONE}\\.\\s+\\d+\\s+IN\\s+CNAME\\s`, 'gm');
    expect([...zone.matchAll(line)].map(([, name]) => name).sort()).toEqual(served);
  }
}

/** Who got no answer asks again, and is told what he would have been told. */
async function expectRepeated(siege: Siege, device: Device): Promise<void> {
  const { asked } = device;
  if (asked !== undefined) {
    const again = await change(siege, device, asked).then(
      () => 'done',
      (error: unknown) => (error instanceof ApiError ? error.kind : String(error)),
    );
    // A rename that was done cannot be done again; the standing tells that it was.
    if (again !== 'done') device.name = asked.name;
  }
  const { names } = await askStanding(apiOf(siege, device));
  const held = names.flatMap(({ name, state }) => (state === 'held' ? [name] : []));
  if (device.name !== '') expect(held).toEqual([device.name]);
}
