// The device's own certificates when the relay sends what does not fit, when the vendor is away for weeks,
// and when the clock of the device is wrong.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { csrPublicKey, makeCsr } from '../../certs/csr.ts';
import { DeviceCertificates } from '../../device-client/certificate.ts';
import { readCertificates } from '../../device-client/certificate-status.ts';
import { Clock } from '../../device-client/clock.ts';
import { type Hostname, parseHostname } from '../../dns/name.ts';
import { order } from '../../relay/registry/deeds/order.ts';
import { DeviceRelay, deviceName, ZONE } from '../world/device-relay.ts';
import { at } from '../world/faked-time.ts';
import { requires } from '../world/requires.ts';
import { SimulatedTime } from '../world/simulated-time.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const faketime = requires('faketime');

let relay: DeviceRelay;
beforeAll(async () => {
  relay = await DeviceRelay.open();
  relay.tellsTime = false;
});
afterAll(() => relay[Symbol.asyncDispose]());

function subjectOf(name: string): Hostname {
  const subject = parseHostname(`${name}.${ZONE}`);
  if (subject === undefined) throw new Error(`${name} is no name`);
  return subject;
}

/** A device that has its certificate. */
async function certified(name: string) {
  const key = await relay.holder(name);
  const directory = mkdtempSync(join(tmpdir(), 'waygate-device-'));
  const time = new SimulatedTime();
  const clock = new Clock(time);
  const warnings: string[] = [];
  const log = pino(
    { level: 'warn' },
    { write: (line) => void warnings.push(JSON.parse(line).msg) },
  );
  let asked = 0;
  const certificates = new DeviceCertificates({
    ...{ directory, clock, log },
    api: () => {
      asked += 1;
      return relay.api(key, clock);
    },
    random: () => 0.5,
  });
  onTestFinished(async () => {
    await certificates.stop();
    rmSync(directory, { recursive: true });
  });
  await certificates.start();
  const told = async (): Promise<void> => {
    certificates.told({ names: [deviceName(name)], zone: ZONE });
    await time.idle();
  };
  await told();
  const load = () => certificates.load(subjectOf(name));
  const first = await load();
  if (first === undefined) throw new Error(warnings.join(' '));
  return {
    ...{ directory, time, clock, certificates, warnings, told, load, first },
    asked: () => asked,
  };
}

describe('a relay that answers with a certificate that does not fit', () => {
  const sign = () => relay.deviceCertificate;

  it.each([
    [
      'gita',
      'for another key',
      /for another key than was asked for\. What the relay has sent is not used/,
    ],
    ['gloria', 'for other names', /is for .*somebody-else.*not for exactly/],
    ['gundula', 'that is none', /no certificate chain/],
  ])('%s gets one %s: it is refused, and the old one stays', async (name, how, words) => {
    const device = await certified(name);
    const honest = sign();
    const { csr: other } = await makeCsr([subjectOf('other')]);
    relay.deviceCertificate = async (wanted) => {
      const publicKey = csrPublicKey(how === 'for another key' ? other : wanted.csr);
      const named = how === 'for other names' ? deviceName('somebody-else') : wanted.name;
      const issued = await relay.sign(named, publicKey);
      return how === 'that is none' ? { ...issued, chain: 'nonsense' } : issued;
    };
    onTestFinished(() => {
      relay.deviceCertificate = honest;
    });
    await device.time.pass(62 * DAY_MS);
    expect(device.warnings.join('\n')).toMatch(words);
    expect(await device.load()).toEqual(device.first);
    const [entry] = await readCertificates(device.directory);
    expect(entry?.problem).toMatch(words);
    expect(device.certificates.standings()).toMatchObject([{ failedAtMs: expect.any(Number) }]);
  });
});

describe('a vendor who is away', () => {
  it('for thirty days is not noticed by visitors, and asked a few times a day', async () => {
    const device = await certified('hilda');
    await device.time.pass(59 * DAY_MS);
    await relay.goAway();
    const before = device.asked();
    for (let day = 0; day < 30; day += 1) {
      await device.time.pass(DAY_MS);
      expect(await device.load()).toEqual(device.first);
    }
    const tries = device.asked() - before;
    expect(tries).toBeGreaterThan(100);
    expect(tries).toBeLessThan(140);
    // Said once, not each time.
    expect(device.warnings).toEqual([
      expect.stringMatching(/^own certificate: Nothing listens at tunnel\.vendor\.test/),
    ]);
    const [entry] = await readCertificates(device.directory);
    expect(Date.parse(entry?.problemAt ?? '')).toBeGreaterThan(device.clock.now() - 7 * HOUR_MS);
    await relay.comeBack();
    // A tunnel is up, long before the next try would be due.
    await device.told();
    await device.time.pass(10_000);
    expect((await device.load())?.keyPem).not.toBe(device.first.keyPem);
    expect((await readCertificates(device.directory))[0]?.problem).toBeUndefined();
  });

  it('for good: the certificate serves to its last second, and no longer', async () => {
    const device = await certified('jonas');
    device.clock.learn(device.first.notAfterMs - 60_000);
    await relay.goAway();
    await device.time.pass(59_999);
    expect(await device.load()).toEqual(device.first);
    await device.time.pass(1);
    expect(await device.load()).toBeUndefined();
    await relay.comeBack();
  });
});

describe.skipIf(faketime.skip)('a device whose clock is wrong', () => {
  it.each([
    ['karla', 'in 1970', '@1970-01-01 00:01:00'],
    ['klaus', 'ten years ahead', '+3650d'],
  ])(
    '%s, %s, redeems its code, gets its certificate, and knows the time',
    async (text, _, time) => {
      const name = deviceName(text);
      const { code } = await relay.registry.perform(order({ name, actor: 'test' }));
      const folder = mkdtempSync(join(tmpdir(), 'waygate-clock-'));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      const { url, vendorKey, ca, address } = relay.address;
      const place = { url: url.href, vendorKey: vendorKey.text, ca, address };
      const directory = join(folder, 'certificates');
      writeFileSync(
        join(folder, 'facts.json'),
        JSON.stringify({ ...place, code, name, zone: ZONE, directory }),
      );
      const device = resolve('test/device-client/wrong-clock-device-program.ts');
      const [command = '', ...args] = [...at(time), process.execPath, device];
      const { stdout } = await promisify(execFile)(command, [...args, join(folder, 'facts.json')]);
      const said: Readonly<Record<string, number>> = JSON.parse(stdout);
      const { machineMs = 0, nowMs = 0, notAfterMs = 0 } = said;
      expect(Math.abs(machineMs - Date.now())).toBeGreaterThan(1_000 * DAY_MS);
      expect(Math.abs(nowMs - Date.now())).toBeLessThan(5_000);
      expect(notAfterMs - Date.now()).toBeGreaterThan(89 * DAY_MS);
      const [entry] = await readCertificates(directory);
      expect(Date.parse(entry?.renewAt ?? '') - Date.now()).toBeGreaterThan(55 * DAY_MS);
    },
  );
});
