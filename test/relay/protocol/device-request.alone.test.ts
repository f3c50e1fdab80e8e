import { describe, expect, it } from 'vitest';
import {
  DEVICE_REQUEST_LIMITS,
  type DeviceRequest,
  DeviceRequests,
  signDeviceRequest,
} from '../../../relay/protocol/device-request.ts';
import { generateKey, type SigningKey } from '../../../relay/protocol/key.ts';
import { signToken } from '../../../relay/protocol/token.ts';
import { device, hostname, RELAY, vendor } from './hello-fixture.ts';

const NOW = { wallMs: 1_790_000_000_000, monotonicMs: 5_000 };
const later = (ms: number) => ({
  wallMs: NOW.wallMs + ms,
  monotonicMs: NOW.monotonicMs + ms,
});
const SOFTWARE = 'waygate/1.2.3';
const REQUEST: DeviceRequest = {
  method: 'POST',
  host: RELAY,
  path: '/v1/device/claims',
  body: Buffer.from('{"name":"alice"}'),
};

const make = () => new DeviceRequests(vendor);

function sign(relay: DeviceRequests, request = REQUEST, key: SigningKey = device) {
  return signDeviceRequest(request, { nonce: relay.nonce(NOW.wallMs), software: SOFTWARE }, key);
}

function claimsOf(authorization: string): Record<string, unknown> {
  const [, payload = ''] = authorization.split('.');
  return JSON.parse(Buffer.from(payload, 'base64url').toString());
}

/** A request as a misbehaving device may sign it. */
async function forge(relay: DeviceRequests, change: object, key: SigningKey = device) {
  const claims = claimsOf(await sign(relay));
  return `Waygate ${await signToken('waygate-device-request+jwt', { ...claims, ...change }, key)}`;
}

describe('a signed request of a device', () => {
  it('is taken once, and tells whose it is', async () => {
    const relay = make();
    const authorization = await sign(relay);
    const taken = await relay.judge(authorization, REQUEST, NOW);
    expect(taken).toMatchObject({ ok: true, value: { software: SOFTWARE } });
    expect(taken.ok && taken.value.deviceKey.text).toBe(device.publicKey.text);
    expect(await relay.judge(authorization, REQUEST, NOW)).toMatchObject({ fault: 'nonce' });
  });

  it('may have no body', async () => {
    const relay = make();
    const request = { ...REQUEST, method: 'GET', path: '/v1/device', body: Buffer.alloc(0) };
    expect((await relay.judge(await sign(relay, request), request, NOW)).ok).toBe(true);
  });

  it('is taken by another relay of the same vendor, and by none of another', async () => {
    const relay = make();
    expect((await make().judge(await sign(relay), REQUEST, NOW)).ok).toBe(true);
    const other = new DeviceRequests(generateKey('vendor'));
    expect(await other.judge(await sign(relay), REQUEST, NOW)).toMatchObject({ fault: 'nonce' });
  });

  it.each([
    ['method', { method: 'PUT' }],
    ['host', { host: hostname('tunnel.other.dev') }],
    ['path', { path: '/v1/device/claims/x' }],
    ['query', { path: '/v1/device/claims?a=b' }],
    ['body', { body: Buffer.from('{"name":"bob"}') }],
    ['body that is gone', { body: Buffer.alloc(0) }],
  ] as const)('is good for no other %s', async (_, change) => {
    const relay = make();
    const asked = { ...REQUEST, ...change };
    expect(await relay.judge(await sign(relay), asked, NOW)).toMatchObject({
      fault: 'other-request',
    });
  });

  it('is refused with any claim changed after it was signed, and with any byte changed', async () => {
    const relay = make();
    const token = (await sign(relay)).slice('Waygate '.length);
    const [header = '', payload = '', signature = ''] = token.split('.');
    for (const name of Object.keys(claimsOf(`x.${payload}`))) {
      const claims = { ...claimsOf(`x.${payload}`), [name]: 'x' };
      const changed = Buffer.from(JSON.stringify(claims)).toString('base64url');
      const judged = await relay.judge(`Waygate ${header}.${changed}.${signature}`, REQUEST, NOW);
      expect([name, judged.ok]).toEqual([name, false]);
    }
    for (let at = 0; at < token.length; at += 7) {
      const other = token[at] === 'A' ? 'B' : 'A';
      const changed = `Waygate ${token.slice(0, at)}${other}${token.slice(at + 1)}`;
      const judged = await relay.judge(changed, REQUEST, NOW);
      expect([at, judged.ok]).toEqual([at, false]);
    }
    expect((await relay.judge(`Waygate ${token}`, REQUEST, NOW)).ok).toBe(true);
  });

  it('is refused when another key has signed it than it names', async () => {
    const relay = make();
    const stranger = generateKey('device');
    const judge = async (authorization: string) => relay.judge(authorization, REQUEST, NOW);
    expect(await judge(await forge(relay, {}, stranger))).toMatchObject({ fault: 'malformed' });
    const forged = await forge(relay, { key: stranger.publicKey.text });
    expect(await judge(forged)).toMatchObject({ fault: 'malformed' });
    const [header = '', payload = ''] = (await forge(relay, {})).split('.');
    const [, , signature = ''] = (await forge(relay, {}, stranger)).split('.');
    expect(await judge(`${header}.${payload}.${signature}`)).toMatchObject({ fault: 'signature' });
  });

  it.each([
    ['a vendor key', { key: vendor.publicKey.text }],
    ['no key', { key: undefined }],
    ['a number as key', { key: 1 }],
    ['the point of order 1', { key: `waygate-device:AQ${'A'.repeat(41)}` }],
    ['no nonce', { nonce: undefined }],
    ['a list as nonce', { nonce: [] }],
    ['no software', { software: undefined }],
    ['software with a line break', { software: 'waygate/1\n' }],
    ['endless software', { software: 'w'.repeat(65) }],
  ])('is refused with %s', async (_, change) => {
    const relay = make();
    const judged = await relay.judge(await forge(relay, change), REQUEST, NOW);
    expect(judged).toMatchObject({ ok: false, fault: 'malformed' });
  });

  it('is refused as another type of token, or under another algorithm', async () => {
    const relay = make();
    const claims = claimsOf(await sign(relay));
    for (const type of ['waygate-device-proof+jwt', 'waygate-key-rotation+jwt', 'JWT']) {
      const token = await signToken(type, claims, device);
      expect((await relay.judge(`Waygate ${token}`, REQUEST, NOW)).ok).toBe(false);
    }
    const [, payload = ''] = (await sign(relay)).split('.');
    const none = Buffer.from('{"alg":"none","typ":"waygate-device-request+jwt"}');
    const unsigned = `Waygate ${none.toString('base64url')}.${payload}.`;
    expect((await relay.judge(unsigned, REQUEST, NOW)).ok).toBe(false);
  });

  it('is refused when it is missing, malformed or huge, at no cost', async () => {
    const relay = make();
    const judge = (text: string | undefined) => relay.judge(text, REQUEST, NOW);
    expect(await judge(undefined)).toMatchObject({ fault: 'missing' });
    const texts = [
      '',
      'Waygate',
      'Waygate ',
      'Bearer x',
      'waygate x',
      'Waygate a.b.c',
      'Waygate ..',
    ];
    for (const text of texts) expect(await judge(text)).toMatchObject({ fault: 'malformed' });
    const deep = Buffer.from('['.repeat(3_000)).toString('base64url');
    expect(await judge(`Waygate a.${deep}.c`)).toMatchObject({ fault: 'malformed' });
    const startedAtMs = performance.now();
    expect(await judge(`Waygate ${'a.'.repeat(5_000_000)}`)).toMatchObject({ fault: 'malformed' });
    expect(performance.now() - startedAtMs).toBeLessThan(50);
  });

  it('tells a failure in constant words, with nothing of what was sent', async () => {
    const relay = make();
    const authorization = await forge(relay, { nonce: 'attacker-chosen-text' });
    const judged = await relay.judge(authorization, REQUEST, NOW);
    expect(JSON.stringify(judged)).not.toContain('attacker');
    expect(judged).toMatchObject({ message: expect.stringMatching(/^[A-Z].*\.$/) });
  });
});

describe('the nonce of a request', () => {
  const { nonceAgeMaxMs, clockSkewMs, usedNoncesMax } = DEVICE_REQUEST_LIMITS;

  it('is good for a minute by the relay, whatever the clock of the device says', async () => {
    const relay = make();
    const judge = async (ms: number) => relay.judge(await sign(relay), REQUEST, later(ms));
    expect((await judge(nonceAgeMaxMs)).ok).toBe(true);
    expect(await judge(nonceAgeMaxMs + 1)).toMatchObject({ fault: 'nonce' });
    expect((await judge(-clockSkewMs)).ok).toBe(true);
    expect(await judge(-clockSkewMs - 1)).toMatchObject({ fault: 'nonce' });
  });

  it('is none when it was made up, changed or written in another way', async () => {
    const relay = make();
    const nonce = relay.nonce(NOW.wallMs);
    const bytes = Buffer.from(nonce, 'base64url');
    const wrong = [`${nonce}=`, `${nonce} `, '', 'x', 'a'.repeat(2_000), nonce.slice(1)];
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      wrong.push(changed.toString('base64url'));
    }
    for (const text of wrong) {
      const judged = await relay.judge(await forge(relay, { nonce: text }), REQUEST, NOW);
      expect([text, judged.ok]).toEqual([text, false]);
    }
    // 32 bytes are 43 characters, of which the last one has two bits to spare.
    const twin = nonce.slice(0, -1) + String.fromCharCode(nonce.charCodeAt(42) + 1);
    expect((await relay.judge(await forge(relay, { nonce: twin }), REQUEST, NOW)).ok).toBe(false);
  });

  it('is not used up by a request that was refused', async () => {
    const relay = make();
    const authorization = await sign(relay);
    await relay.judge(authorization, { ...REQUEST, method: 'PUT' }, NOW);
    expect((await relay.judge(authorization, REQUEST, NOW)).ok).toBe(true);
  });

  it('stays used as long as it is fresh, over the change of periods', async () => {
    const relay = make();
    const authorization = await sign(relay);
    expect((await relay.judge(authorization, REQUEST, NOW)).ok).toBe(true);
    for (const ms of [1, 30_000, nonceAgeMaxMs]) {
      const judged = await relay.judge(authorization, REQUEST, later(ms));
      expect([ms, judged.ok]).toEqual([ms, false]);
    }
  });

  it('is remembered within a bound: beyond it requests wait, and are taken again later', async () => {
    const relay = new DeviceRequests(vendor, 3);
    const ask = async (ms: number) => {
      const nonce = relay.nonce(NOW.wallMs + ms);
      const authorization = await signDeviceRequest(REQUEST, { nonce, software: SOFTWARE }, device);
      return relay.judge(authorization, REQUEST, later(ms));
    };
    for (let count = 0; count < 3; count += 1) expect((await ask(count)).ok).toBe(true);
    expect(await ask(4)).toMatchObject({ fault: 'busy' });
    expect((await ask(3 * nonceAgeMaxMs)).ok).toBe(true);
    expect(usedNoncesMax).toBeGreaterThan(10_000);
  });
});
