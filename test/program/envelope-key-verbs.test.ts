// `waygate relay rotate-envelope-key` in one step and in two, and `forget-sealed-keys`, on the command line:
// what an operator of several relays reads, and what becomes of his keys.
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Envelope } from '../../certs/envelope.ts';
import { relayFiles } from '../../relay/config.ts';
import { keepAccount } from '../../relay/registry/certificates/ca-account.ts';
import { aboutAccount, aboutCertificate } from '../../relay/registry/certificates/sealed-about.ts';
import { registerRelay } from '../../relay/registry/deeds/relay-alive.ts';
import { issueFor, ledger } from '../relay/registry/certificates/certificate-world.ts';
import { Installation, type VendorOptions, ZONE } from '../world/installation.ts';
import { PostgresServer } from '../world/postgres.ts';
import { requires } from '../world/requires.ts';
import { jsonOf, runVerb } from '../world/verb.ts';

const DIRECTORY = 'https://127.0.0.1:1/dir';
const ALICE = `alice.${ZONE}`;

/** With an account and a certificate, as relay `one` has them. */
class SealedVendor {
  readonly installation: Installation;
  readonly file: string;
  readonly #config: readonly string[];

  private constructor(installation: Installation) {
    this.installation = installation;
    this.file = relayFiles({ state: join(installation.folder, 'relay') }).envelopeKey;
    this.#config = ['--config', installation.relayConfig];
  }

  static async make(options: VendorOptions = {}): Promise<SealedVendor> {
    const installation = await Installation.make(options);
    appendFileSync(
      installation.relayConfig,
      `id: one\ncertificates: { authorities: [{ name: away, directory: "${DIRECTORY}" }] }\n`,
    );
    const vendor = new SealedVendor(installation);
    const envelope = await Envelope.open(vendor.file);
    await installation.withRegistry(async (registry) => {
      const account = envelope.seal('account key', aboutAccount(DIRECTORY));
      await registry.write(keepAccount(DIRECTORY, { key: account }));
      await issueFor(registry, ALICE, { key: envelope.seal('key', aboutCertificate(ALICE)) });
      for (const id of ['one', 'two']) {
        await registry.perform(registerRelay({ id, addresses: [] }));
      }
    });
    return vendor;
  }

  verb(...words: string[]) {
    return runVerb('relay', ...words, ...this.#config);
  }

  json(...words: string[]) {
    return jsonOf('relay', ...words, ...this.#config);
  }

  /** The lines that have keys. */
  get keys(): readonly string[] {
    return readFileSync(this.file, 'utf8').match(/^[^#\n]+$/gm) ?? [];
  }

  /** Of alice's certificate. */
  async sealed(): Promise<string> {
    let key = '';
    await this.installation.withRegistry(async (registry) => {
      key = (await ledger(registry))[0]?.key ?? '';
    });
    return key;
  }
}

const need = requires('initdb', 'setpriv');

describe.skipIf(need.skip)('where several relays have a copy of the file each', () => {
  let server: PostgresServer;
  let vendor: SealedVendor;
  beforeAll(async () => {
    server = await PostgresServer.start();
    vendor = await SealedVendor.make({ postgresUrl: await server.createDatabase() });
  });
  afterAll(async () => {
    await vendor.installation[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  it('one step is refused, with the two that are safe', async () => {
    const before = readFileSync(vendor.file, 'utf8');
    const { code, stdout, stderr } = await vendor.verb('rotate-envelope-key');
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('Other relays are alive (two)');
    for (const word of ['--add-only', '--use-last', '--shared', vendor.file]) {
      expect(stderr).toContain(word);
    }
    expect(readFileSync(vendor.file, 'utf8')).toBe(before);
  });

  it('a copy made between the two steps opens what is sealed after the second', async () => {
    const sealed = await vendor.sealed();
    expect(await vendor.json('rotate-envelope-key', '--add-only')).toEqual({
      ...{ outcome: 'added', file: vendor.file },
    });
    expect(await vendor.json('rotate-envelope-key', '--add-only')).toMatchObject({
      outcome: 'waits already',
    });
    expect(await vendor.sealed()).toBe(sealed);
    const copy = join(vendor.installation.folder, 'copy.key');
    writeFileSync(copy, readFileSync(vendor.file));
    const used = { outcome: 'used', resealed: 2, lost: [] };
    expect(await vendor.json('rotate-envelope-key', '--use-last')).toEqual(used);
    const resealed = await vendor.sealed();
    expect(resealed).not.toBe(sealed);
    expect((await Envelope.open(copy)).open(resealed, aboutCertificate(ALICE))).toBe('key');
    const keys = vendor.keys;
    const again = await vendor.verb('rotate-envelope-key', '--use-last');
    expect(again).toMatchObject({ code: 0, stderr: expect.stringContaining('No key waits in') });
    expect(vendor.keys).toEqual(keys);
  });

  it('one step is done on a file that all of them see; two ways at once are told', async () => {
    const keys = vendor.keys;
    expect(await vendor.json('rotate-envelope-key', '--shared')).toEqual({
      ...{ outcome: 'rotated', resealed: 2, lost: [] },
    });
    expect(vendor.keys.slice(1)).toEqual(keys);
    for (const words of [
      ['--shared', '--add-only'],
      ['--shared', '--use-last'],
      ['--add-only', '--use-last'],
    ]) {
      expect((await vendor.verb('rotate-envelope-key', ...words)).code).toBe(2);
    }
  });
});

describe('keys that are lost', () => {
  let vendor: SealedVendor;
  beforeAll(async () => {
    vendor = await SealedVendor.make();
  });
  afterAll(() => vendor.installation[Symbol.asyncDispose]());

  it('a registry in a file has one relay, whatever rows it has: one step is enough', async () => {
    expect(await vendor.json('rotate-envelope-key')).toMatchObject({ resealed: 2, lost: [] });
  });

  it('nothing is forgotten without --yes, nor without a file', async () => {
    const asked = await vendor.verb('forget-sealed-keys');
    expect([asked.code, asked.stdout]).toEqual([2, '']);
    expect(asked.stderr).toContain('--yes');
    const whole = readFileSync(vendor.file);
    rmSync(vendor.file);
    const absent = await vendor.verb('forget-sealed-keys', '--yes');
    expect([absent.code, absent.stdout]).toEqual([1, '']);
    expect(absent.stderr).toContain('start the relay, which makes a new one');
    writeFileSync(vendor.file, whole);
    const none = { accounts: 0, orders: 0, certificates: 0 };
    expect(await vendor.json('forget-sealed-keys', '--yes')).toEqual(none);
    expect(await vendor.sealed()).not.toBe('');
  });

  it('what they sealed is named by a rotation, and dropped when that is said', async () => {
    rmSync(vendor.file);
    await Envelope.open(vendor.file);
    const rotation = await vendor.verb('rotate-envelope-key');
    expect(rotation.code).toBe(1);
    expect(rotation.stderr).toContain(`certificate ${ALICE}: cannot be opened by any key`);
    expect(rotation.stderr).toContain('waygate relay forget-sealed-keys --yes');
    const { code, stdout, stderr } = await vendor.verb('forget-sealed-keys', '--yes');
    expect([code, stdout]).toEqual([
      0,
      'dropped: accounts 1, orders under way 0, certificate keys 1\n',
    ]);
    expect(stderr).toContain('"caa" in dns.yaml');
    expect(await vendor.sealed()).toBe('');
    expect(await vendor.json('certs')).toMatchObject([{ subject: ALICE, state: 'absent' }]);
    expect(await vendor.json('rotate-envelope-key')).toMatchObject({ resealed: 0, lost: [] });
  });
});
