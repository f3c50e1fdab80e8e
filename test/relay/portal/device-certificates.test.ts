// A device asks for a certificate for a key of its own, or somebody tries to have one for what is not
// his: over real HTTPS, on a real registry, signed by a real authority.
import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CertificateName } from '../../../certs/certificate.ts';
import { judgeChain } from '../../../certs/chain.ts';
import { csrPublicKey, makeCsr, makeCsrFor } from '../../../certs/csr.ts';
import { ApiError } from '../../../device-client/api-error.ts';
import { parseHostname } from '../../../dns/name.ts';
import type { SigningKey } from '../../../relay/protocol/key.ts';
import {
  DEVICE_KEY_LIMITS,
  keepOwnKey,
  showDeviceKey,
} from '../../../relay/registry/certificates/device-keys.ts';
import { rename } from '../../../relay/registry/deeds/rename.ts';
import { DeviceRelay, deviceName, ZONE } from '../../world/device-relay.ts';

let relay: DeviceRelay;

beforeAll(async () => {
  relay = await DeviceRelay.open();
});
afterAll(() => relay[Symbol.asyncDispose]());

function namesOf(name: string): CertificateName[] {
  const subject = parseHostname(`${name}.${ZONE}`);
  if (subject === undefined) throw new Error(`${name} is no name`);
  return [subject, `*.${subject}`];
}

function ask(key: SigningKey, name: string, csr: Buffer) {
  const asked = { name, csr: csr.toString('base64') };
  return relay.api(key).ask('POST', '/v1/device/certificate', asked);
}

/** The kind of the refusal, and its words. */
async function refusal(key: SigningKey, name: string, csr: Buffer): Promise<[string, string]> {
  const error: unknown = await ask(key, name, csr).catch((reason: unknown) => reason);
  if (error instanceof ApiError) return [error.kind, error.message];
  throw new Error('it was not refused');
}

const OPERATOR = { kind: 'operator', user: 'test' } as const;

const keyIdOf = (csr: Buffer): string =>
  createHash('sha256').update(csrPublicKey(csr)).digest('base64url');

describe('a certificate for a key of the device', () => {
  it('is for that key and for the name that the registry says, with its workspaces', async () => {
    const alice = await relay.holder('alice');
    const { csr } = await makeCsr(namesOf('alice'));
    const answer = await ask(alice, 'alice', csr);
    const chain = answer.text('chain');
    const expected = { names: namesOf('alice'), publicKeyDer: csrPublicKey(csr) };
    expect(judgeChain(chain, expected)).toBeUndefined();
    expect(relay.authority.signed(new X509Certificate(chain))).toBe(true);
    const days = (Date.parse(answer.text('renewAt')) - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(50);
    expect(days).toBeLessThan(70);
  });

  it('is being ordered: the device is told when to ask again, and why it takes longer', async () => {
    const key = await relay.holder('anton');
    const { csr } = await makeCsr(namesOf('anton'));
    const before = relay.deviceCertificate;
    const problem = 'The authority is away. The relay tries again.';
    relay.deviceCertificate = async () => ({ kind: 'ordered', retryAfterMs: 7_001, problem });
    const answer = await ask(key, 'anton', csr);
    relay.deviceCertificate = before;
    expect(answer.optionalText('chain')).toBeUndefined();
    expect([answer.number('retryAfterSeconds'), answer.text('problem')]).toEqual([8, problem]);
    expect((await ask(key, 'anton', csr)).optionalText('chain')).toBeDefined();
  });

  it('is one order, however often and with whatever signature its key asks', async () => {
    const key = await relay.holder('arne');
    const { keyPem, csr } = await makeCsr(namesOf('arne'));
    const before = relay.deviceCertificate;
    const seen: string[] = [];
    relay.deviceCertificate = async (wanted) => {
      seen.push(wanted.csr.toString('base64'));
      return before(wanted);
    };
    await ask(key, 'arne', csr);
    const again = makeCsrFor(keyPem, namesOf('arne'));
    expect(again.equals(csr)).toBe(false);
    await ask(key, 'arne', again);
    relay.deviceCertificate = before;
    expect(seen).toEqual([csr.toString('base64'), csr.toString('base64')]);
  });
});

describe('when to come with a new key', () => {
  const when = (key: SigningKey, name: string) =>
    relay.api(key).ask('GET', `/v1/device/certificate?name=${name}`);

  /** While `known` is what is known of all certificates. */
  async function known<Result>(known: number | undefined, asking: () => Promise<Result>) {
    const before = relay.deviceRenewalMs;
    relay.deviceRenewalMs = async () => known;
    try {
      return await asking();
    } finally {
      relay.deviceRenewalMs = before;
    }
  }

  const kindOf = (asking: Promise<unknown>) =>
    asking.then(
      () => 'answered',
      (error: unknown) => (error instanceof ApiError ? error.kind : String(error)),
    );

  it('is told to the holder of the name, as it is known in that moment', async () => {
    const key = await relay.holder('lena');
    const seen: unknown[] = [];
    const before = relay.deviceRenewalMs;
    relay.deviceRenewalMs = async (certificate) => {
      seen.push(certificate);
      return Date.UTC(2026, 0, 2);
    };
    const answer = await when(key, 'lena');
    relay.deviceRenewalMs = before;
    expect(answer.text('renewAt')).toBe('2026-01-02T00:00:00.000Z');
    expect(seen).toEqual([{ thumbprint: key.publicKey.thumbprint, name: 'lena' }]);
  });

  it('is told to nobody else, and of no former name', async () => {
    const key = await relay.holder('luis');
    await relay.holder('lotte');
    const [name, to] = [deviceName('luis'), deviceName('luisa')];
    await relay.registry.perform(rename({ name, to, by: OPERATOR }));
    const kinds = await known(Date.now(), () =>
      Promise.all(['lotte', 'luis', 'nobody-has-it'].map((each) => kindOf(when(key, each)))),
    );
    expect(kinds).toEqual(['name-unknown', 'name-unknown', 'name-unknown']);
    expect(await known(Date.now(), () => kindOf(when(key, 'luisa')))).toBe('answered');
    const { thumbprint } = key.publicKey;
    await relay.registry.revoke({ thumbprint, actor: 'test' });
    expect(await known(Date.now(), () => kindOf(when(key, 'luisa')))).toBe('device-barred');
  });

  it('is unknown where there is no certificate; what is no name is refused', async () => {
    const key = await relay.holder('lukas');
    expect(await kindOf(when(key, 'lukas'))).toBe('certificate-unknown');
    for (const name of ['', '-x-', 'x'.repeat(64), 'lukas&name=lena', 'lukas&more=1']) {
      expect([name, await kindOf(when(key, name))]).not.toContain('answered');
    }
    const nameless = relay.api(key).ask('GET', '/v1/device/certificate');
    expect(await kindOf(nameless)).toMatch(/^invalid/);
  });
});

describe('who asks for what is not his gets no certificate', () => {
  it('a CSR that asks for another name, for one beside the own, or for the zone', async () => {
    const key = await relay.holder('bertha');
    await relay.holder('bob');
    const zone: CertificateName[] = [ZONE, `*.${ZONE}`];
    for (const names of [namesOf('bob'), [...namesOf('bertha'), ...namesOf('bob')], zone]) {
      const { csr } = await makeCsr(names);
      const [kind, words] = await refusal(key, 'bertha', csr);
      expect(kind).toBe('csr-refused');
      expect(words).toContain(
        'Ask with a new P-256 key for exactly bertha.vendor.test and *.bertha.vendor.test.',
      );
    }
  });

  it('the name of another device, a free one, and one that is only a former one', async () => {
    const key = await relay.holder('carla');
    await relay.holder('chris');
    const [name, to] = [deviceName('carla'), deviceName('carlotta')];
    await relay.registry.perform(rename({ name, to, by: OPERATOR }));
    for (const other of ['chris', 'nobody-has-it', 'carla']) {
      const { csr } = await makeCsr(namesOf(other));
      const [kind, words] = await refusal(key, other, csr);
      expect([other, kind]).toEqual([other, 'name-unknown']);
      expect(words).toContain('waygate device status');
    }
    const { csr } = await makeCsr(namesOf('carlotta'));
    expect((await ask(key, 'carlotta', csr)).text('chain')).toContain('BEGIN CERTIFICATE');
  });
});

describe('a key that a certificate must not be for', () => {
  it("another device's, which its CSR or even its key has come from", async () => {
    const [dora, daniel] = [await relay.holder('dora'), await relay.holder('daniel')];
    const doras = await makeCsr(namesOf('dora'));
    await ask(dora, 'dora', doras.csr);
    const stolen = makeCsrFor(doras.keyPem, namesOf('daniel'));
    const [kind, words] = await refusal(daniel, 'daniel', stolen);
    expect(kind).toBe('certificate-key-known');
    expect(words).toContain('Make a new key on this device');
    // The name goes to another device of the owner, which finds what the first one sent.
    const next = await relay.holder();
    const [name, replacing] = [deviceName('dora'), dora.publicKey.thumbprint];
    const enrolment = { name, deviceKey: next.publicKey, actor: 'test', replacing };
    await relay.registry.enroll(enrolment);
    expect((await refusal(next, 'dora', doras.csr))[0]).toBe('certificate-key-known');
    expect((await refusal(dora, 'dora', doras.csr))[0]).toBe('name-unknown');
  });

  it('one that has a certificate for another name of the same device', async () => {
    const key = await relay.holder('emil', 'emma');
    const { keyPem, csr } = await makeCsr(namesOf('emil'));
    await ask(key, 'emil', csr);
    const again = makeCsrFor(keyPem, namesOf('emma'));
    expect((await refusal(key, 'emma', again))[0]).toBe('certificate-key-known');
  });

  it("the relay's own: of this name, of the zone, and any that it has ordered with", async () => {
    const key = await relay.holder('frieda');
    const [subject] = namesOf('frieda');
    for (const own of [subject, ZONE]) {
      const hostname = parseHostname(own ?? '');
      const held = hostname === undefined ? undefined : await relay.source.load(hostname);
      const csr = makeCsrFor(held?.keyPem ?? '', namesOf('frieda'));
      expect((await refusal(key, 'frieda', csr))[0]).toBe('certificate-key-known');
    }
    const { csr } = await makeCsr(namesOf('frieda'));
    await relay.registry.write(keepOwnKey(keyIdOf(csr), Date.now()));
    expect((await refusal(key, 'frieda', csr))[0]).toBe('certificate-key-known');
  });

  it('the identity key of the device, or one of RSA', async () => {
    const key = await relay.holder('gustav');
    const identity = key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const rsa = generateKeyPairSync('rsa', {
      modulusLength: 2_048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    }).privateKey;
    for (const pem of [identity, rsa]) {
      const [kind, words] = await refusal(key, 'gustav', opensslCsr(pem, namesOf('gustav')));
      expect(kind).toBe('csr-refused');
      expect(words).toMatch(/P-256/);
    }
  });

  it('one whose CSR somebody has changed, or that is no CSR', async () => {
    const key = await relay.holder('hanna');
    const { csr } = await makeCsr(namesOf('hanna'));
    const bent = Buffer.from(csr);
    bent.writeUInt8(bent.readUInt8(bent.length - 1) ^ 1, bent.length - 1);
    for (const bytes of [bent, randomBytes(300), csr.subarray(0, -1), Buffer.of(0x30)]) {
      expect((await refusal(key, 'hanna', bytes))[0]).toBe('csr-refused');
    }
  });

  it('an older one of the same device, whose CSR is replayed', async () => {
    const key = await relay.holder('ida');
    const [first, second] = [await makeCsr(namesOf('ida')), await makeCsr(namesOf('ida'))];
    await ask(key, 'ida', first.csr);
    await ask(key, 'ida', second.csr);
    const [kind, words] = await refusal(key, 'ida', first.csr);
    expect([kind, words]).toEqual([
      'certificate-key-followed',
      expect.stringMatching(/Ask with the newest key, or make another one\.$/),
    ]);
    expect((await ask(key, 'ida', second.csr)).text('chain')).toContain('BEGIN CERTIFICATE');
  });
});

describe('what a device may have', () => {
  it('is a few new keys a day for each name, and tomorrow again', async () => {
    const key = await relay.holder('jan', 'jutta');
    const csrs = await Promise.all(
      Array.from({ length: DEVICE_KEY_LIMITS.keysPerDay + 1 }, () => makeCsr(namesOf('jan'))),
    );
    const last = csrs.pop();
    for (const { csr } of csrs) await ask(key, 'jan', csr);
    if (last === undefined) throw new Error('unreachable');
    const [kind, words] = await refusal(key, 'jan', last.csr);
    expect(kind).toBe('too-many-keys');
    expect(words).toMatch(/5 keys for certificates of jan within a day\. Go on with the newest/);
    const { csr } = await makeCsr(namesOf('jutta'));
    expect((await ask(key, 'jutta', csr)).text('chain')).toContain('BEGIN CERTIFICATE');
    const shown = {
      ...{ name: deviceName('jan'), thumbprint: key.publicKey.thumbprint, csr: last.csr },
      ...{ keyId: keyIdOf(last.csr), nowMs: Date.now() + 86_400_000 },
    };
    expect(await relay.registry.write(showDeviceKey(shown))).toMatchObject({ kind: 'admitted' });
  });

  it('is nothing once its key is revoked, though the name is still with it', async () => {
    const key = await relay.holder('karl');
    const { csr } = await makeCsr(namesOf('karl'));
    await ask(key, 'karl', csr);
    const { thumbprint } = key.publicKey;
    await relay.registry.revoke({ thumbprint, actor: 'test' });
    const [kind, words] = await refusal(key, 'karl', csr);
    expect([kind, words]).toEqual(['device-barred', expect.stringContaining('claim the name')]);
  });
});

/** A CSR that ours would not make: openssl signs with whatever key. */
function opensslCsr(keyPem: string, names: readonly CertificateName[]): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'waygate-csr-'));
  const file = join(folder, 'key.pem');
  writeFileSync(file, keyPem);
  const alternatives = names.map((name) => `DNS:${name}`).join(',');
  const asked = ['req', '-new', '-key', file, '-subj', '/', '-outform', 'DER'];
  const csr = execFileSync('openssl', [...asked, '-addext', `subjectAltName=${alternatives}`]);
  rmSync(folder, { recursive: true });
  return csr;
}
