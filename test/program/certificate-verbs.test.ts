// `waygate relay certs`, `renew-cert`, `rotate-envelope-key` and `forget-sealed-keys` on the command line:
// what an operator reads, and what a relay that runs makes of what he asks.
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Envelope } from '../../certs/envelope.ts';
import { WITH_DEVICE_MS } from '../../relay/certificates/device-work.ts';
import { relayFiles } from '../../relay/config.ts';
import { failWork } from '../../relay/registry/certificates/held-work.ts';
import {
  askRevocations,
  putOffRevocation,
  takeRevocations,
} from '../../relay/registry/certificates/revocation-queue.ts';
import {
  DAY_MS,
  issueFor,
  NOW_MS,
  takeOne,
  wanting,
} from '../relay/registry/certificates/certificate-world.ts';
import { Installation, ZONE } from '../world/installation.ts';
import { IssuingVendor } from '../world/issuing-vendor.ts';
import type { ProgramProcess } from '../world/program-process.ts';
import { requires } from '../world/requires.ts';
import { jsonOf, runVerb } from '../world/verb.ts';
import { until } from '../world/visits.ts';

const of = (name: string): string => `${name}.${ZONE}`;

describe('without an authority', () => {
  let local: Installation;
  beforeAll(async () => {
    local = await Installation.make();
  });
  afterAll(() => local[Symbol.asyncDispose]());
  const verb = (...words: string[]) => runVerb('relay', ...words, '--config', local.relayConfig);

  it('certs says that there is nothing to order, and how there would be', async () => {
    const { code, stdout, stderr } = await verb('certs');
    expect([code, stdout]).toEqual([0, '']);
    expect(stderr).toMatch(
      /^This relay has no certificate authority but its own, .*authorities: \[/,
    );
    expect((await verb('certs', '--json')).stdout).toBe('[]\n');
  });

  it('nothing is renewed, and no key is made', async () => {
    const renew = await verb('renew-cert', of('alice'));
    expect([renew.code, renew.stdout]).toEqual([2, '']);
    expect(renew.stderr).toMatch(/^This relay has no certificate authority but its own, /);
    const rotate = await verb('rotate-envelope-key');
    expect([rotate.code, rotate.stdout]).toEqual([2, '']);
    expect(rotate.stderr).toContain('There are no keys to seal. This relay has no certificate');
  });
});

describe('of a relay that does not run', () => {
  let vendor: Installation;
  beforeAll(async () => {
    vendor = await Installation.make();
    appendFileSync(
      vendor.relayConfig,
      'certificates: { authorities: [{ name: away, directory: "https://127.0.0.1:1/dir" }] }\n',
    );
    await vendor.withRegistry(async (registry) => {
      await issueFor(registry, ZONE, {}, { urgency: -2 });
      const ofDevice = { purpose: 'device', csr: 'AAAA', thumbprint: 'a-device' } as const;
      await issueFor(registry, of('resting'), { renewAtMs: WITH_DEVICE_MS, key: null }, ofDevice);
      await wanting(registry, of('failing'));
      const job = await takeOne(registry);
      const failure = { message: 'The authority said no.', attempts: 3, authority: 0 };
      const times = { nowMs: NOW_MS, nextAtMs: NOW_MS + DAY_MS };
      await registry.write(failWork(job, { ...failure, ...times }));
      await wanting(registry, of('ordered'));
      await takeOne(registry);
      await wanting(registry, of('absent'), { nowMs: NOW_MS + DAY_MS });
      await wanting(registry, of('absent'), { ...ofDevice, nowMs: NOW_MS + DAY_MS });
    });
  });
  afterAll(() => vendor[Symbol.asyncDispose]());
  const verb = (...words: string[]) => runVerb('relay', ...words, '--config', vendor.relayConfig);
  const list = (...words: string[]) =>
    jsonOf('relay', 'certs', ...words, '--config', vendor.relayConfig);

  it('certs shows each state: until when, when the next comes, what failed', async () => {
    const { code, stdout, stderr } = await verb('certs');
    expect([code, stderr]).toEqual([0, '']);
    const tomorrow = '2030-01-02T00:00:00.000Z';
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.replaceAll(/ {2,}/g, '  ')),
    ).toEqual([
      `${of('absent')}  device  absent  not there yet  next ${tomorrow}`,
      `${of('absent')}  relay  absent  not there yet  next ${tomorrow}`,
      `${of('failing')}  relay  failing  not there yet  next ${tomorrow}`,
      '  The authority said no.',
      `${of('ordered')}  relay  ordered  not there yet  next 2030-01-01T00:00:00.000Z`,
      `${of('resting')}  device  issued  until 2030-04-01T00:00:00.000Z  next when its device asks`,
      `${ZONE}  relay  issued  until 2030-04-01T00:00:00.000Z  next 2030-03-02T00:00:00.000Z`,
    ]);
  });

  it('certs --json has all of it, for scripts', async () => {
    const rows = await list();
    expect(rows).toMatchObject([
      { subject: of('absent'), purpose: 'device', device: 'a-device', state: 'absent' },
      { subject: of('absent'), purpose: 'relay', device: null, notAfter: null },
      { subject: of('failing'), state: 'failing', attempts: 3 },
      { subject: of('ordered'), state: 'ordered' },
      { subject: of('resting'), state: 'issued', next: null },
      { subject: ZONE, state: 'issued' },
    ]);
    expect(await list(of('failing'))).toEqual([
      {
        ...{ subject: of('failing'), purpose: 'relay', state: 'failing', device: null },
        names: [`*.${of('failing')}`, of('failing')],
        ...{ ca: null, serial: null, notAfter: null, next: '2030-01-02T00:00:00.000Z' },
        ...{ attempts: 3, lastError: 'The authority said no.' },
        lastErrorAt: '2030-01-01T00:00:00.000Z',
      },
    ]);
    expect(await list('--limit', '2')).toHaveLength(2);
    expect(await list(of('nobody'))).toEqual([]);
  });

  it('names that are none, or have no certificate, are told', async () => {
    const unknown = await verb('certs', of('nobody'));
    expect(unknown).toEqual({ code: 0, stdout: '', stderr: 'There is no such certificate.\n' });
    const nobody = await verb('renew-cert', 'nobody');
    expect(nobody.stderr).toContain(`No certificate is wanted for ${of('nobody')}.`);
    for (const words of [['certs'], ['renew-cert']]) {
      const wrong = await verb(...words, 'not a name');
      expect([wrong.code, wrong.stdout]).toEqual([2, '']);
      expect(wrong.stderr).toMatch(/^NAME: "not a name" /);
    }
    expect((await verb('renew-cert', of('nobody'))).code).toBe(2);
    expect((await verb('renew-cert')).code).toBe(2);
  });

  it('renew-cert asks for all of a name, whatever has failed before', async () => {
    const asked = await verb('renew-cert', of('absent'));
    expect(asked).toEqual({
      ...{ code: 0, stderr: '' },
      stdout:
        `${of('absent')}: ordered next, for a device when it comes with a new key; ` +
        `see: waygate relay certs ${of('absent')} --config ${vendor.relayConfig}\n`,
    });
    const failing = ['relay', 'renew-cert', of('failing'), '--config', vendor.relayConfig];
    expect(await jsonOf(...failing)).toEqual({
      ...{ subject: of('failing'), outcome: 'asked', certificates: 1 },
    });
    expect(await list(of('failing'))).toMatchObject([{ state: 'absent', attempts: 0 }]);
    expect(await list('failing')).toEqual(await list(of('failing')));
  });
});

describe('certs of a registry', () => {
  const NOW = Date.now();
  let vendor: Installation;
  beforeAll(async () => {
    vendor = await Installation.make();
    const times = { notBeforeMs: NOW, notAfterMs: NOW + 90 * DAY_MS, key: null };
    const ofDevice = { purpose: 'device', csr: 'AAAA', thumbprint: 'lost' } as const;
    await vendor.withRegistry(async (registry) => {
      await issueFor(registry, of('alice'), times, ofDevice);
      await issueFor(registry, of('spoilt'));
      const spoilt = { names: '\u001b[2J' };
      await registry.write(async (db) => {
        const spoil = db.updateTable('certificate_work').set(spoilt);
        await spoil.where('subject', '=', of('spoilt')).execute();
        await db.deleteFrom('certificate_work').where('purpose', '=', 'device').execute();
        await askRevocations(db, { thumbprint: 'lost' }, { reason: 1, nowMs: NOW });
      });
      const taking = { holder: 'relay-1', nowMs: NOW, leaseMs: 1, max: 1 };
      const [taken] = await registry.write(takeRevocations(taking));
      if (taken === undefined) throw new Error('nothing is to be revoked');
      const later = { message: 'It is away.', attempts: 2, nextAtMs: NOW_MS };
      await registry.write(putOffRevocation(taken, later));
    });
  });
  afterAll(() => vendor[Symbol.asyncDispose]());
  const certs = (...words: string[]) =>
    ['certs', ...words, '--config', vendor.relayConfig] as const;

  it('shows what is being revoked, and what cannot be read, with what to do', async () => {
    const { code, stdout, stderr } = await runVerb('relay', ...certs());
    expect([code, stderr]).toEqual([0, '']);
    const until = new Date(NOW + 90 * DAY_MS).toISOString();
    expect(stdout.trimEnd().split('\n')).toEqual([
      expect.stringMatching(`^${of('spoilt')} +relay +unreadable +until `),
      expect.stringMatching(/^ {4}.*cannot be read.*Restore it.*remove the name/),
      expect.stringMatching(
        `^${of('alice')} +device +revoking +until ${until} +next 2030-01-01.*Z, keyCompromise$`,
      ),
      '    It is away.',
    ]);
    expect(await jsonOf('relay', ...certs('--limit', '1'))).toHaveLength(1);
    expect(await jsonOf('relay', ...certs(of('alice')))).toEqual([
      {
        ...{ subject: of('alice'), purpose: 'device', state: 'revoking', device: 'lost' },
        ...{ ca: 'test-ca', serial: `https://ca.test/order/${of('alice')}`, notAfter: until },
        ...{ reason: 'keyCompromise', askedAt: new Date(NOW).toISOString(), endedAt: null },
        ...{ next: '2030-01-01T00:00:00.000Z', attempts: 2, lastError: 'It is away.' },
      },
    ]);
  });
});

const need = requires('pebble');

describe.skipIf(need.skip)('while a relay runs', { timeout: 120_000 }, () => {
  let vendor: IssuingVendor;
  let relay: ProgramProcess;
  let config: readonly string[];
  beforeAll(async () => {
    vendor = await IssuingVendor.make({ validitySeconds: 90 * 86_400 });
    config = ['--config', vendor.installation.relayConfig];
    await vendor.enroll(2);
    relay = vendor.run('one');
    await relay.ready();
    await vendor.untilIssued(1, 60_000);
  }, 120_000);
  afterAll(() => vendor[Symbol.asyncDispose]());

  it('renew-cert has a certificate ordered anew and served', async () => {
    const [, subject = ''] = vendor.subjects;
    await jsonOf('relay', 'renew-cert', subject, ...config);
    const count = async () => {
      const rows = await vendor.ledger();
      return rows.filter((row) => row.subject === subject).length;
    };
    await until(async () => (await count()) === 2, 30_000, 'a new certificate');
    await vendor.expectWhole();
    await vendor.expectServed();
  });

  it('a device hears of renew-cert at once; the certificates of a revoked one are revoked', async () => {
    const files = await vendor.installation.device('dora', { code: 'http://127.0.0.1:9' });
    const first = await files.start();
    await first.said(/^own certificate: a new one is here$/, 60_000);
    // One that has just come is not followed by another within the hour; a restarted device knows no more.
    await first.end('SIGTERM');
    const device = await files.start();
    await device.said(/^tunnel: up$/, 30_000);
    const serials = async () =>
      (await vendor.ledger()).filter((row) => row.purpose === 'device').map(({ serial }) => serial);
    expect(await serials()).toHaveLength(1);
    await jsonOf('relay', 'renew-cert', of('dora'), ...config);
    await device.said(/^own certificate: to be renewed early$/, 30_000);
    await until(async () => (await serials()).length === 2, 30_000, 'a certificate for a new key');
    await jsonOf('relay', 'revoke', '--name', 'dora', '--yes', ...config);
    const listed = async () => {
      const rows = await jsonOf('relay', 'certs', of('dora'), ...config);
      return Array.isArray(rows) ? rows.filter(({ purpose }) => purpose === 'device') : [];
    };
    const revoked = async () => (await listed()).every(({ state }) => state === 'revoked');
    await until(revoked, 30_000, 'its authority');
    expect(await listed()).toMatchObject([
      { state: 'revoked', reason: 'keyCompromise', next: null },
      { state: 'revoked', serial: (await serials())[1] },
    ]);
    for (const serial of await serials()) {
      expect(await vendor.pebble.statusOf(serial)).toBe('Revoked');
    }
    const { stdout } = await runVerb('relay', 'certs', of('dora'), ...config);
    expect(stdout).toMatch(/ device {2}revoked {2}until \S+Z +since \S+Z, keyCompromise$/m);
    await device.end('SIGTERM');
    // The operator may yet put another device in its place.
    vendor.subjects.push(of('dora'));
  });

  it('rotate-envelope-key in the midst of orders leaves nothing under the old key', async () => {
    const state = join(vendor.installation.folder, 'relay');
    const file = relayFiles({ state }).envelopeKey;
    const keys = () => readFileSync(file, 'utf8').match(/^[^#\n]+$/gm) ?? [];
    const before = keys();
    await vendor.enroll(6);
    const begun = async () => {
      const rows = await vendor.query('select 1 from certificate_work where order_url is not null');
      return rows.length > 3;
    };
    await until(begun, 30_000, 'orders');
    const outcome = await jsonOf('relay', 'rotate-envelope-key', ...config);
    expect(outcome).toMatchObject({ lost: [] });
    expect(Number(Object(outcome).resealed)).toBeGreaterThan(3);
    expect(keys().slice(1)).toEqual(before);
    await vendor.untilIssued(1, 60_000);
    await vendor.expectWhole();
    await vendor.expectServed();
    const envelope = await Envelope.open(file);
    const old = (await vendor.ledger()).filter(
      ({ key }) => key !== null && !envelope.isCurrent(key),
    );
    expect(old.map(({ subject }) => subject)).toEqual([]);
    expect(relay.log.filter(({ level }) => level >= 50)).toEqual([]);
  });

  it('forget-sealed-keys has a relay recover that has lost its envelope keys', async () => {
    const { envelopeKey } = relayFiles({ state: join(vendor.installation.folder, 'relay') });
    await relay.end('SIGTERM');
    rmSync(envelopeKey);
    relay = vendor.run('one');
    await until(async () => existsSync(envelopeKey), 30_000, 'a new file of keys');
    const before = await vendor.ledger();
    const held = before.filter(({ key }) => key !== null).length;
    expect(await jsonOf('relay', 'forget-sealed-keys', '--yes', ...config)).toMatchObject({
      ...{ accounts: 1, certificates: held },
    });
    await relay.ready();
    const fresh = async () => (await vendor.ledger()).slice(before.length);
    const all = async () => (await fresh()).length >= vendor.subjects.length;
    await until(all, 60_000, 'new certificates');
    await vendor.untilIssued(1, 60_000);
    await vendor.expectWhole();
    await vendor.expectServed();
    const subjects = (await fresh()).map(({ subject }) => subject);
    expect(subjects.toSorted()).toEqual(vendor.subjects.toSorted());
  });
});
