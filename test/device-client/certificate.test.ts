// The device's own certificates over weeks that pass at once: asked for, renewed, kept through renames and
// restarts, and served for as long as they are valid, whatever becomes of the vendor.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeCsr } from '../../certs/csr.ts';
import { DeviceCertificates } from '../../device-client/certificate.ts';
import { readCertificates } from '../../device-client/certificate-status.ts';
import { Clock } from '../../device-client/clock.ts';
import { type Hostname, parseHostname } from '../../dns/name.ts';
import type { SigningKey } from '../../relay/protocol/key.ts';
import { release } from '../../relay/registry/deeds/release.ts';
import { rename } from '../../relay/registry/deeds/rename.ts';
import { DeviceRelay, deviceName, ZONE } from '../world/device-relay.ts';
import { SimulatedTime } from '../world/simulated-time.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

let relay: DeviceRelay;
let directory: string;
let lines: { readonly msg: string; readonly level: number }[];

beforeAll(async () => {
  relay = await DeviceRelay.open();
  relay.tellsTime = false;
});
afterAll(() => relay[Symbol.asyncDispose]());

let sign: DeviceRelay['deviceCertificate'];
let news: DeviceRelay['deviceRenewalMs'];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'waygate-device-'));
  lines = [];
  sign = relay.deviceCertificate;
  news = relay.deviceRenewalMs;
  relay.asked.length = 0;
});
afterEach(() => {
  relay.deviceCertificate = sign;
  relay.deviceRenewalMs = news;
  rmSync(directory, { recursive: true });
});

function subjectOf(name: string): Hostname {
  const subject = parseHostname(`${name}.${ZONE}`);
  if (subject === undefined) throw new Error(`${name} is no name`);
  return subject;
}

/** A device, its clock, and which certificates it said were others. */
class Device implements AsyncDisposable {
  readonly time = new SimulatedTime();
  readonly clock = new Clock(this.time);
  readonly changed: Hostname[] = [];
  readonly certificates: DeviceCertificates;

  private constructor(key: SigningKey) {
    const log = pino({ level: 'debug' }, { write: (line) => void lines.push(JSON.parse(line)) });
    this.certificates = new DeviceCertificates({
      ...{ directory: join(directory, 'certificates'), clock: this.clock, log },
      api: () => relay.api(key, this.clock),
      random: () => 0.5,
    });
    this.certificates.onChange((subject) => this.changed.push(subject));
  }

  static async start(key: SigningKey): Promise<Device> {
    const device = new Device(key);
    await device.certificates.start();
    return device;
  }

  /** The relay tells its names, and the device does what there is to do. */
  async told(...names: readonly string[]): Promise<void> {
    this.certificates.told({ names: names.map(deviceName), zone: ZONE });
    await this.time.idle();
  }

  load(name: string) {
    return this.certificates.load(subjectOf(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.certificates.stop();
  }
}

const file = (entry: string): string => join(directory, 'certificates', entry);
const asks = (): number => relay.asked.filter((each) => each.startsWith('POST')).length;
const warnings = (): string[] => lines.filter(({ level }) => level >= 40).map(({ msg }) => msg);

describe('a device', () => {
  it('asks once for each name that it holds, and hands key and chain to whoever serves', async () => {
    const key = await relay.holder('anna', 'anton');
    await using device = await Device.start(key);
    expect([await device.load('anna'), device.certificates.standings()]).toEqual([undefined, []]);
    await device.told('anna', 'anton');
    expect(device.changed).toEqual([subjectOf('anna'), subjectOf('anton')]);
    const [anna, anton] = [await device.load('anna'), await device.load('anton')];
    const leaf = new X509Certificate(anna?.certPem ?? '');
    expect(leaf.subjectAltName).toBe('DNS:anna.vendor.test, DNS:*.anna.vendor.test');
    expect(leaf.checkPrivateKey(createPrivateKey(anna?.keyPem ?? ''))).toBe(true);
    expect(createPrivateKey(anna?.keyPem ?? '').asymmetricKeyDetails).toEqual({
      namedCurve: 'prime256v1',
    });
    expect(anna?.keyPem).not.toBe(anton?.keyPem);
    expect(readFileSync(file('anna.pem'), 'latin1')).toBe(`${anna?.keyPem}${anna?.certPem}`);
    expect(device.certificates.standings()).toEqual([
      { name: 'anna', notAfterMs: anna?.notAfterMs, failedAtMs: undefined },
      { name: 'anton', notAfterMs: anton?.notAfterMs, failedAtMs: undefined },
    ]);
    await device.told('anna', 'anton');
    await device.time.pass(50 * DAY_MS);
    expect([asks(), warnings()]).toEqual([2, []]);
  });

  it('asks again, with a new key, when two thirds of the life are over; what it had stays till then', async () => {
    const key = await relay.holder('berta');
    await using device = await Device.start(key);
    await device.told('berta');
    const first = await device.load('berta');
    await device.time.pass(58 * DAY_MS);
    expect(asks()).toBe(1);
    await device.time.pass(3.5 * DAY_MS);
    expect(asks()).toBe(2);
    const second = await device.load('berta');
    expect(second?.keyPem).not.toBe(first?.keyPem);
    expect(device.changed).toEqual([subjectOf('berta'), subjectOf('berta')]);
    const files = readdirSync(join(directory, 'certificates')).toSorted();
    expect(files).toEqual(['berta.json', 'berta.pem']);
  });

  it('asks when the relay wants it renewed sooner, and not in a circle when that is always', async () => {
    const key = await relay.holder('carl');
    relay.deviceCertificate = async (wanted) => ({
      ...(await sign(wanted)),
      renewAtMs: Date.now() - DAY_MS,
    });
    await using device = await Device.start(key);
    await device.told('carl');
    await device.time.pass(HOUR_MS - 1);
    expect(asks()).toBe(1);
    await device.time.pass(3 * HOUR_MS);
    expect(asks()).toBe(4);
  });

  it('waits while its certificate is ordered, as long as the relay says, and tells why', async () => {
    const key = await relay.holder('dora');
    const problem = 'The authority is away. The relay tries again.';
    const ordered = { kind: 'ordered', retryAfterMs: 90_000, problem } as const;
    relay.deviceCertificate = async () => ordered;
    await using device = await Device.start(key);
    await device.told('dora');
    await device.time.pass(90_000 * 3 - 1);
    expect(asks()).toBe(3);
    expect(warnings()).toEqual([`own certificate: ${problem}`]);
    const [entry] = await readCertificates(join(directory, 'certificates'));
    expect(entry).toEqual({ name: 'dora', problem, problemAt: expect.stringMatching(/Z$/) });
    relay.deviceCertificate = sign;
    await device.time.pass(1);
    expect(await device.load('dora')).toBeDefined();
    const [after] = await readCertificates(join(directory, 'certificates'));
    expect(after).toEqual({
      ...{ name: 'dora', ends: expect.stringMatching(/Z$/) },
      renewAt: expect.stringMatching(/Z$/),
    });
  });

  it('goes on with the key that it had when it was killed while the order was under way', async () => {
    const key = await relay.holder('erik');
    const seen: string[] = [];
    relay.deviceCertificate = async ({ csr }) => {
      seen.push(csr.toString('base64'));
      return { kind: 'ordered', retryAfterMs: 60_000 };
    };
    const killed = await Device.start(key);
    await killed.told('erik');
    await killed.certificates.stop();
    relay.deviceCertificate = (wanted) => {
      seen.push(wanted.csr.toString('base64'));
      return sign(wanted);
    };
    await using device = await Device.start(key);
    await device.told('erik');
    expect(seen).toHaveLength(2);
    expect(seen[0]).toBe(seen[1]);
    expect(await device.load('erik')).toBeDefined();
  });

  it('makes another key when the relay does not take the one that it has', async () => {
    const key = await relay.holder('fritz');
    relay.deviceCertificate = async () => ({ kind: 'ordered', retryAfterMs: 60_000 });
    const device = await Device.start(key);
    await device.told('fritz');
    await device.certificates.stop();
    // Restored from a backup, its key is older than one that it has shown since.
    const { csr } = await makeCsr([subjectOf('fritz'), `*.${subjectOf('fritz')}`]);
    const asked = { name: 'fritz', csr: csr.toString('base64') };
    await relay.api(key).ask('POST', '/v1/device/certificate', asked);
    relay.deviceCertificate = sign;
    await using restored = await Device.start(key);
    await restored.told('fritz');
    expect(warnings().at(-1)).toMatch(/has shown a newer key for this name/);
    await restored.time.pass(2 * 60_000);
    expect(await restored.load('fritz')).toBeDefined();
  });
});

describe('a certificate that is to be renewed early', () => {
  const NEWS = 'GET /v1/device/certificate';
  const questions = (): number => relay.asked.filter((each) => each.startsWith(NEWS)).length;

  it('within a day after its window has moved there is one for a new key', async () => {
    const key = await relay.holder('ivan', 'ines');
    const startMs = Date.now();
    relay.deviceRenewalMs = async () => startMs + 60 * DAY_MS;
    await using device = await Device.start(key);
    await device.told('ivan', 'ines');
    const [ivan, ines] = [await device.load('ivan'), await device.load('ines')];
    await device.time.pass(10 * DAY_MS);
    expect(asks()).toBe(2);
    const before = questions();
    expect(before).toBeGreaterThanOrEqual(20);
    expect(before).toBeLessThanOrEqual(28);
    let revoked = true;
    relay.deviceRenewalMs = async ({ name }) =>
      startMs + (name === 'ivan' && revoked ? 0 : 60 * DAY_MS);
    relay.deviceCertificate = (wanted) => {
      revoked = false;
      return sign(wanted);
    };
    await device.time.pass(DAY_MS);
    expect(asks()).toBe(3);
    expect((await device.load('ivan'))?.keyPem).not.toBe(ivan?.keyPem);
    expect(await device.load('ines')).toEqual(ines);
    await device.time.pass(10 * DAY_MS);
    expect([asks(), warnings()]).toEqual([3, []]);
  });

  it('is renewed within seconds when the relay calls, which it is asked about once an hour', async () => {
    const key = await relay.holder('igor');
    const startMs = Date.now();
    relay.deviceRenewalMs = async () => startMs + 60 * DAY_MS;
    await using device = await Device.start(key);
    await device.told('igor');
    const first = await device.load('igor');
    await device.time.pass(10 * DAY_MS);
    const before = questions();
    relay.deviceRenewalMs = async () => startMs;
    const renewals = [deviceName('igor'), deviceName('nobody')];
    const call = async () => {
      device.certificates.told({ names: [deviceName('igor')], zone: ZONE, renewals });
      await device.time.pass(3_000);
    };
    await call();
    expect([questions() - before, asks()]).toEqual([1, 2]);
    expect((await device.load('igor'))?.keyPem).not.toBe(first?.keyPem);
    // It calls for a day, with each connection and in all news.
    relay.deviceRenewalMs = async () => startMs + 60 * DAY_MS;
    for (let repeated = 0; repeated < 20; repeated += 1) await call();
    expect([questions() - before, asks()]).toEqual([1, 2]);
    await device.time.pass(HOUR_MS);
    await call();
    expect([questions() - before, asks()]).toEqual([2, 2]);
  });

  it('is renewed after a restart as well, which forgets no date; the device hears of one within an hour', async () => {
    const key = await relay.holder('isolde');
    const former = await Device.start(key);
    await former.told('isolde');
    await former.certificates.stop();
    await using device = await Device.start(key);
    await device.told('isolde');
    const soonMs = Date.now() + 5 * DAY_MS;
    relay.deviceRenewalMs = async () => soonMs;
    await device.time.pass(HOUR_MS);
    expect([questions(), asks()]).toEqual([1, 1]);
    await device.certificates.stop();
    const [entry] = await readCertificates(join(directory, 'certificates'));
    expect(entry?.renewAt).toBe(new Date(soonMs).toISOString());
  });

  it.each([
    ['daily', 'ignaz', 3 * DAY_MS, 20 * HOUR_MS],
    ['with each certificate too', 'ilse', 4 * HOUR_MS, HOUR_MS],
  ])(
    'a relay that says "renew now" for ever, %s, gets no more keys than one an hour',
    async (...row) => {
      const [how, name, passMs, leastMs] = row;
      const key = await relay.holder(name);
      await using device = await Device.start(key);
      const asked: number[] = [];
      const past = { renewAtMs: Date.now() - DAY_MS };
      relay.deviceRenewalMs = async () => past.renewAtMs;
      relay.deviceCertificate = async (wanted) => {
        asked.push(device.time.monotonicMs());
        return { ...(await sign(wanted)), ...(how === 'daily' ? {} : past) };
      };
      await device.told(name);
      await device.time.pass(passMs);
      expect(asked.length).toBeGreaterThanOrEqual(4);
      const gaps = asked.slice(1).map((at, index) => at - (asked[index] ?? 0));
      expect(Math.min(...gaps)).toBeGreaterThanOrEqual(leastMs);
    },
  );

  it('nothing changes by a relay that is older, away, or talks nonsense', async () => {
    const key = await relay.holder('irma');
    await using device = await Device.start(key);
    await device.told('irma');
    const note = () => readFileSync(file('irma.json'), 'utf8');
    const before = [await device.load('irma'), note()];
    relay.asked.length = 0;
    await device.time.pass(2 * DAY_MS);
    expect(questions()).toBeGreaterThanOrEqual(2);
    relay.deviceRenewalMs = async () => Number.NaN;
    await device.time.pass(2 * DAY_MS);
    await relay.goAway();
    await device.time.pass(2 * DAY_MS);
    await relay.comeBack();
    expect([await device.load('irma'), note()]).toEqual(before);
    expect([asks(), warnings()]).toEqual([0, []]);
    // It is no reason to ask more often, either.
    expect(questions()).toBeLessThanOrEqual(12);
  });
});

describe('names come and go', () => {
  it('a renamed device gets another one; the former name keeps its own for its grace', async () => {
    const key = await relay.holder('gerd');
    const by = { kind: 'device', thumbprint: key.publicKey.thumbprint } as const;
    await using device = await Device.start(key);
    await device.told('gerd');
    const former = await device.load('gerd');
    const [name, to] = [deviceName('gerd'), deviceName('gerda')];
    await relay.registry.perform(rename({ name, to, by }));
    await device.told('gerda');
    expect(new X509Certificate((await device.load('gerda'))?.certPem ?? '').subjectAltName).toBe(
      'DNS:gerda.vendor.test, DNS:*.gerda.vendor.test',
    );
    await device.time.pass(DAY_MS);
    expect(await device.load('gerd')).toEqual(former);
    expect(device.certificates.standings().map((each) => each.name)).toEqual(['gerda']);
    await relay.registry.perform(release({ name, by: { kind: 'operator', user: 'test' } }));
    await device.time.pass(DAY_MS);
    expect([await device.load('gerd'), existsSync(file('gerd.pem'))]).toEqual([undefined, false]);
    expect(device.changed.at(-1)).toBe(subjectOf('gerd'));
  });

  it('the files of a released name are removed, its pending key too', async () => {
    const key = await relay.holder('hans', 'heike', 'hugo');
    const by = { kind: 'operator', user: 'test' } as const;
    await using device = await Device.start(key);
    await device.told('hans');
    relay.deviceCertificate = async () => ({ kind: 'ordered', retryAfterMs: HOUR_MS });
    await device.told('hans', 'heike', 'hugo');
    const entries = () => readdirSync(join(directory, 'certificates')).toSorted();
    const ofHeike = ['heike.json', 'heike.next.pem'];
    const others = ['hugo.json', 'hugo.next.pem'];
    expect(entries()).toEqual(['hans.json', 'hans.pem', ...ofHeike, ...others]);
    await relay.registry.perform(release({ name: deviceName('hans'), by }));
    await relay.registry.perform(release({ name: deviceName('hugo'), by }));
    await device.told('heike');
    expect(entries()).toEqual(ofHeike);
    expect(device.changed).toEqual(['hans', 'hans', 'hugo'].map(subjectOf));
    expect(await device.load('hans')).toBeUndefined();
  });

  it('nothing is removed for a relay that does not know the device, or does not answer', async () => {
    const key = await relay.holder('inge');
    await using device = await Device.start(key);
    await device.told('inge');
    const kept = await device.load('inge');
    await relay.goAway();
    await device.told();
    await device.time.pass(2 * DAY_MS);
    expect(await device.load('inge')).toEqual(kept);
    await relay.comeBack();
    await relay.registry.revoke({ thumbprint: key.publicKey.thumbprint, actor: 'test' });
    await device.time.pass(2 * DAY_MS);
    expect(await device.load('inge')).toEqual(kept);
  });
});
