import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requires } from '../../world/requires.ts';
import { type FrontDoor, openFrontDoor, openssl } from './front-door.ts';

const need = requires('openssl');
/** Old protocols and weak suites are barred by OpenSSL's default level: the client must not be. */
const ANYTHING = ['-cipher', 'ALL:@SECLEVEL=0'];

describe.skipIf(need.skip)('what every certificate is served with', () => {
  let door: FrontDoor;
  let folder = '';

  beforeAll(async () => {
    door = await openFrontDoor();
    folder = await mkdtemp(join(tmpdir(), 'waygate-'));
  });
  afterAll(async () => {
    door.stop();
    await rm(folder, { recursive: true });
  });

  const connect = (name: string, ...args: readonly string[]): Promise<string> =>
    openssl(door.listener.port, '-servername', `${name}.vendor.test`, ...args);

  it('T-5 TLS 1.3 and 1.2 are spoken, with AES-128-GCM first', async () => {
    expect(await connect('alice', '-tls1_3')).toContain('Cipher is TLS_AES_128_GCM_SHA256');
    const second = await connect('alice', '-tls1_2', ...ANYTHING);
    expect(second).toContain('Cipher is ECDHE-ECDSA-AES128-GCM-SHA256');
    const rsa = await connect('rsa', '-tls1_2', ...ANYTHING);
    expect(rsa).toContain('Cipher is ECDHE-RSA-AES128-GCM-SHA256');
  });

  it('T-5 TLS 1.1 and 1.0 are not', async () => {
    for (const version of ['-tls1_1', '-tls1']) {
      const output = await connect('alice', version, ...ANYTHING);
      expect(output).toContain('alert protocol version');
      expect(output).not.toContain('HELLO');
    }
  });

  const WEAK = {
    alice: ['ECDHE-ECDSA-AES128-SHA', 'ECDHE-ECDSA-AES256-SHA384', 'ECDHE-ECDSA-AES128-CCM'],
    rsa: ['ECDHE-RSA-AES128-SHA256', 'AES128-GCM-SHA256', 'DHE-RSA-AES128-GCM-SHA256'],
  };
  for (const [name, suites] of Object.entries(WEAK)) {
    for (const suite of suites) {
      it(`T-5 ${suite} is not`, async () => {
        const output = await connect(name, '-tls1_2', '-cipher', `${suite}:@SECLEVEL=0`);
        expect(output).toContain('handshake failure');
        expect(output).not.toContain('HELLO');
      });
    }
  }

  for (const version of ['-tls1_2', '-tls1_3']) {
    it(`T-9 with ${version} a ticket saves the next handshake, and is worth nothing at another device`, async () => {
      const session = join(folder, `session${version}.pem`);
      const first = await connect('alice', version, '-sess_out', session);
      expect(first).toContain('"hostname":"alice.vendor.test","alpn":"http/1.1","resumed":false');
      const again = await connect('alice', version, '-sess_in', session);
      expect(again).toContain('"hostname":"alice.vendor.test","alpn":"http/1.1","resumed":true');
      const other = await connect('bob', version, '-sess_in', session);
      expect(other).toContain('"hostname":"bob.vendor.test","alpn":"http/1.1","resumed":false');
      const workspace = await connect('code.alice', version, '-sess_in', session);
      expect(workspace).toContain('"hostname":"code.alice.vendor.test"');
    });
  }
});
