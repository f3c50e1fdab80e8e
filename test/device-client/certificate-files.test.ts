// The files of the device's certificates when the power fails at any moment, and when the disk is full.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Authority, createAuthority } from '../../certs/authority.ts';
import { DeviceCertificates } from '../../device-client/certificate.ts';
import { CertificateFiles, namesFor } from '../../device-client/certificate-files.ts';
import { readCertificates } from '../../device-client/certificate-status.ts';
import { Clock } from '../../device-client/clock.ts';
import { parseHostname } from '../../dns/name.ts';
import { DeviceRelay, deviceName, ZONE } from '../world/device-relay.ts';
import { requires } from '../world/requires.ts';
import { SimulatedTime } from '../world/simulated-time.ts';
import { SmallDisk } from '../world/small-disk.ts';

const strace = requires('strace');
const mounts = requires('root', 'unshare', 'mount');
const run = promisify(execFile);
const log = pino({ level: 'silent' });
const folder = mkdtempSync(join(tmpdir(), 'waygate-device-certs-'));
const [alice, bob] = [deviceName('alice'), deviceName('bob')];
const ALICE = subjectOf('alice');

/** A device with a certificate, and the key for the next one, whose chain lies ready to be taken. */
const ready = join(folder, 'ready');
let authority: Authority;
let chains: { readonly old: string; readonly next: string };

beforeAll(async () => {
  authority = await createAuthority(ZONE);
  mkdirSync(ready);
  const files = await CertificateFiles.open(join(ready, 'certificates'), () => undefined);
  const names = namesFor(ALICE);
  const first = await files.makePending(alice, names);
  const { certPem: old } = await authority.sign(names, first.publicKeyDer);
  await files.keep(alice, first, old);
  const second = await files.makePending(alice, names);
  const { certPem: next } = await authority.sign(names, second.publicKeyDer);
  writeFileSync(join(ready, 'chain.pem'), next);
  chains = { old, next };
});
afterAll(() => rmSync(folder, { recursive: true }));

function subjectOf(name: string) {
  const subject = parseHostname(`${name}.${ZONE}`);
  if (subject === undefined) throw new Error(`${name} is no name`);
  return subject;
}

/** Keeps the certificate of alice, under strace with these options; true: to the end. */
async function keep(place: string, options: readonly string[]): Promise<boolean> {
  cpSync(ready, place, { recursive: true });
  const writer = resolve('test/device-client/certificate-writer-program.ts');
  // One thread for all that touches the disk: what it does has an order then.
  const traced = ['-f', '-qq', '-E', 'UV_THREADPOOL_SIZE=1', ...options];
  try {
    await run('strace', [...traced, process.execPath, writer, place]);
    return true;
  } catch (error) {
    if (error instanceof Error && 'signal' in error && error.signal === 'SIGKILL') return false;
    throw error;
  }
}

/** What the next start finds, with no relay to ask: the certificate that it serves, at least. */
async function expectUsable(place: string): Promise<'old' | 'next'> {
  const directory = join(place, 'certificates');
  const device = new DeviceCertificates({
    ...{ directory, clock: new Clock(new SimulatedTime()), log },
    api: () => {
      throw new Error('nobody is asked');
    },
  });
  await device.start();
  const served = await device.load(ALICE);
  await device.stop();
  const files = await CertificateFiles.open(directory, () => undefined);
  const pending = await files.pending(alice, namesFor(ALICE));
  if (served?.certPem === chains.old) {
    // Its certificate may have been issued, and is asked for again.
    expect(pending).toBeDefined();
    return 'old';
  }
  expect(served?.certPem).toBe(chains.next);
  expect(pending).toBeUndefined();
  return 'next';
}

describe.skipIf(strace.skip)('the power fails while a certificate is kept', () => {
  it.concurrent.each([
    ['fsync', 7],
    ['rename', 3],
    ['unlink', 1],
    ['openat', 5],
  ])('at any %s: the next start has a pair that fits', async (call, times) => {
    const found = new Set<string>();
    let kills = 0;
    for (;;) {
      const place = join(folder, `${call}-${kills}`);
      // Of openat only what opens the directory: the rest is Node that starts.
      const path = call === 'openat' ? ['-P', join(place, 'certificates')] : [];
      const kill = `inject=${call}:signal=KILL:when=${kills + 1}`;
      const whole = await keep(place, [...path, '-e', `trace=${call}`, '-e', kill]);
      found.add(await expectUsable(place));
      if (whole) break;
      kills += 1;
    }
    expect(kills).toBe(times);
    // Nothing is removed before the new pair has its name.
    expect([...found].toSorted()).toEqual(call === 'unlink' ? ['next'] : ['next', 'old']);
  });

  it('each file is on the disk before it has its name, and the name before anything goes on', async () => {
    const place = join(folder, 'whole');
    const trace = join(folder, 'trace');
    expect(await keep(place, ['-o', trace, '-e', 'trace=fsync,rename,unlink'])).toBe(true);
    const calls = [...readFileSync(trace, 'utf8').matchAll(/^\d+ +(\w+)\(/gm)];
    const placed = ['fsync', 'rename', 'fsync'];
    expect(calls.map(([, call]) => call)).toEqual([
      ...[...placed, ...placed],
      ...['unlink', 'fsync'],
      ...placed,
    ]);
  });
});

describe('the files of certificates', () => {
  it('are for their owner alone, and damaged ones count as absent, which is said', async () => {
    const place = join(folder, 'modes');
    cpSync(ready, place, { recursive: true });
    const directory = join(place, 'fresh', 'certificates');
    const damaged: string[] = [];
    const files = await CertificateFiles.open(directory, (name) => damaged.push(name));
    const names = namesFor(ALICE);
    const pending = await files.makePending(alice, names);
    expect(statSync(join(directory, 'alice.next.pem')).mode & 0o777).toBe(0o600);
    const { certPem } = await authority.sign(names, pending.publicKeyDer);
    await files.keep(alice, pending, certPem);
    await files.makePending(bob, namesFor(subjectOf('bob')));
    await files.writeNote(alice, { problem: 'none' });
    expect(readdirSync(directory).toSorted()).toEqual([
      ...['alice.json', 'alice.pem', 'bob.next.pem'],
    ]);
    for (const entry of readdirSync(directory)) {
      expect(statSync(join(directory, entry)).mode & 0o777).toBe(0o600);
    }
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(await files.pair(alice)).toMatchObject({ keyPem: pending.keyPem, chainPem: certPem });

    const other = await files.pending(bob, namesFor(subjectOf('bob')));
    for (const text of ['', 'nonsense', `${other?.keyPem}${certPem}`, pending.keyPem, certPem]) {
      writeFileSync(join(directory, 'alice.pem'), text);
      expect(await files.pair(alice)).toBeUndefined();
    }
    expect(damaged).toEqual(Array.from({ length: 5 }, () => 'alice'));
    // A request for other names, as of another vendor, is none for these.
    expect(await files.pending(bob, names)).toBeUndefined();
    writeFileSync(join(directory, 'alice.json'), '[1');
    expect(await files.note(alice)).toEqual({});
  });

  it('are not made by who only looks', async () => {
    const directory = join(folder, 'nothing', 'certificates');
    expect(await readCertificates(directory)).toEqual([]);
    expect(existsSync(directory)).toBe(false);
  });
});

/** A directory on a disk of its own, which is there as long as a process. */
async function smallDisk(): Promise<{ readonly disk: SmallDisk; readonly directory: string }> {
  const state = mkdtempSync(join(folder, 'disk-'));
  const disk = new SmallDisk(state, 65_536);
  const [command = '', ...rest] = disk.make.under ?? [];
  const holder = spawn(command, [...rest, 'sh', '-c', 'echo mounted; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  onTestFinished(async () => {
    holder.stdin.end();
    await once(holder, 'close');
  });
  await once(holder.stdout, 'data');
  disk.belongsTo({ pid: holder.pid ?? 0 });
  return { disk, directory: join(`/proc/${holder.pid}/root${state}`, 'certificates') };
}

describe.skipIf(mounts.skip)('the disk is full', () => {
  it('before there is a key: nobody is asked, and the old certificate stays', async () => {
    await using relay = await DeviceRelay.open();
    relay.tellsTime = false;
    const key = await relay.holder('alice');
    const { disk, directory } = await smallDisk();
    cpSync(join(ready, 'certificates', 'alice.pem'), join(directory, 'alice.pem'));
    const time = new SimulatedTime();
    const clock = new Clock(time);
    const device = new DeviceCertificates({
      directory,
      clock,
      log,
      api: () => relay.api(key, clock),
    });
    await device.start();
    device.told({ names: [alice], zone: ZONE });
    disk.fill();
    let asked = 0;
    const sign = relay.deviceCertificate;
    relay.deviceCertificate = (wanted) => {
      asked += 1;
      return sign(wanted);
    };
    await time.pass(70 * 86_400_000);
    expect(asked).toBe(0);
    expect(device.standings()).toMatchObject([{ name: 'alice', failedAtMs: expect.any(Number) }]);
    expect((await device.load(ALICE))?.certPem).toBe(chains.old);
    disk.makeRoom();
    await time.pass(7 * 3_600_000);
    expect(asked).toBe(1);
    expect((await device.load(ALICE))?.certPem).not.toBe(chains.old);
    await device.stop();
  });

  it('when the certificate comes: it is served from memory, and kept once there is room', async () => {
    await using relay = await DeviceRelay.open();
    const key = await relay.holder('alice');
    const { disk, directory } = await smallDisk();
    const sign = relay.deviceCertificate;
    relay.deviceCertificate = (wanted) => {
      disk.fill();
      return sign(wanted);
    };
    const time = new SimulatedTime();
    const clock = new Clock(time);
    const options = { directory, clock, log, api: () => relay.api(key, clock) };
    const device = new DeviceCertificates(options);
    await device.start();
    device.told({ names: [alice], zone: ZONE });
    await time.idle();
    const served = await device.load(ALICE);
    expect(served).toBeDefined();
    expect(readdirSync(directory)).toContain('alice.next.pem');
    expect(readdirSync(directory)).not.toContain('alice.pem');
    relay.deviceCertificate = sign;
    disk.makeRoom();
    await time.pass(3_600_000);
    await device.stop();
    const [entry] = await readCertificates(directory);
    expect([entry?.name, entry?.problem]).toEqual(['alice', undefined]);
    const again = new DeviceCertificates(options);
    await again.start();
    // The same key; the local authority signs it anew each time that it is asked.
    expect((await again.load(ALICE))?.keyPem).toBe(served?.keyPem);
    await again.stop();
  });
});
