// What a device asks of its relay when the certificate of the relay is not valid by its clock: the
// vendor's key decides who answers, and nothing is said to anybody else.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DeviceApi } from '../../device-client/api.ts';
import { ApiError } from '../../device-client/api-error.ts';
import { Clock } from '../../device-client/clock.ts';
import { askStanding } from '../../device-client/standing.ts';
import { makeDeviceNonce, openChallenge } from '../../relay/protocol/hello.ts';
import { generateKey, type SigningKey } from '../../relay/protocol/key.ts';
import { type DatedCertificate, datedCertificate } from '../world/dated-certificate.ts';
import { DeviceRelay, HOST } from '../world/device-relay.ts';
import { SimulatedTime } from '../world/simulated-time.ts';

const DAY_MS = 86_400_000;

/** By this machine's clock; a device of 1970 says the same of every other one. */
let notYet: DatedCertificate;
let over: DatedCertificate;
let valid: DatedCertificate;
let relay: DeviceRelay;
let key: SigningKey;

beforeAll(async () => {
  relay = await DeviceRelay.open();
  key = await relay.holder('alice');
  valid = relay.tls;
  const nowMs = Date.now();
  notYet = await datedCertificate(HOST, { fromMs: nowMs + DAY_MS, toMs: nowMs + 9 * DAY_MS });
  over = await datedCertificate(HOST, { fromMs: nowMs - 9 * DAY_MS, toMs: nowMs - DAY_MS });
});

afterAll(() => relay[Symbol.asyncDispose]());

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** The relay shows this certificate from now on, and nobody has asked it anything. */
async function show(tls: DatedCertificate): Promise<void> {
  await relay.goAway();
  relay.tls = tls;
  await relay.comeBack();
  relay.asked.length = 0;
  relay.closes = false;
}

interface Heard {
  readonly path: string;
  readonly body: string;
}

/** Somebody in the middle, with a certificate that is as invalid as the relay's. */
async function impostor(
  tls: DatedCertificate,
  nonceAnswer: (deviceNonce: string) => Promise<object>,
): Promise<{ readonly port: number; readonly heard: Heard[] }> {
  const heard: Heard[] = [];
  const server = createServer(tls, async (asked, response) => {
    const path = asked.url ?? '';
    heard.push({ path, body: await text(asked) });
    const field = String(asked.headers['waygate-nonce'] ?? '');
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(path === '/v1/device/nonce' ? await nonceAnswer(field) : {}));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });
  return { port: (server.address() as AddressInfo).port, heard };
}

/** The relay's device, which is led to another port. */
function misled(to: { readonly port: number; readonly ca: string }): DeviceApi {
  const url = new URL(`wss://${HOST}:${to.port}/`);
  const address = { ...relay.address, url, ca: to.ca };
  return new DeviceApi({ relay: address, deviceKey: key, software: 'test/1', clock: new Clock() });
}

async function failure(asking: Promise<unknown>): Promise<ApiError> {
  const error: unknown = await asking.catch((reason: unknown) => reason);
  if (error instanceof ApiError) return error;
  throw new Error('it did not fail');
}

describe('a device asks at whatever time it believes it is', () => {
  it.each(['not valid yet', 'over'])('the certificate of the relay is %s', async (how) => {
    await show(how === 'over' ? over : notYet);
    const time = new SimulatedTime(60_000);
    const clock = new Clock(time);
    const api = relay.api(key, clock);
    expect(await askStanding(api)).toMatchObject({ enrolled: true, names: [{ name: 'alice' }] });
    expect(Math.abs(clock.now() - Date.now())).toBeLessThan(5_000);
    expect(clock.isTold).toBe(true);
    await api.ask('POST', '/v1/device/claims', { name: 'bob' });
  });

  it('tells the time when the certificate is valid, too', async () => {
    await show(valid);
    const clock = new Clock(new SimulatedTime(60_000));
    expect(clock.now()).toBe(60_000);
    await askStanding(relay.api(key, clock));
    expect(Math.abs(clock.now() - Date.now())).toBeLessThan(5_000);
    // One connection, for the nonce and the question.
    expect(relay.asked).toEqual(['GET /v1/device/nonce', 'GET /v1/device']);
  });

  it('a certificate with any other fault is refused as ever', async () => {
    await show(valid);
    const api = misled({ port: relay.port, ca: over.caPem });
    expect((await failure(askStanding(api))).message).toMatch(/cannot be trusted/);
    expect(relay.asked).toEqual([]);
  });
});

describe('somebody in the middle, whose certificate is not valid by the clock of the device', () => {
  const SECRET = { code: 'ABCD-EFGH-JKLM' };

  async function attack(nonceAnswer: (nonce: string) => Promise<object>): Promise<ApiError> {
    await show(over);
    const middle = await impostor(over, nonceAnswer);
    const api = misled({ port: middle.port, ca: over.caPem });
    const error = await failure(api.ask('POST', '/v1/device/orders/redeem', SECRET));
    // A nonce for nobody is all that it was asked for.
    const asked = middle.heard.filter(({ path }) => path !== '/v1/device/nonce');
    expect([asked, middle.heard.map(({ body }) => body).join('')]).toEqual([[], '']);
    return error;
  }

  it('who cannot sign with the key of the vendor learns nothing', async () => {
    const error = await attack(async () => ({ nonce: 'x'.repeat(43) }));
    expect(error.message).toMatch(/By the clock of this device the certificate .* is not valid/);
    expect([error.kind, error.passing]).toEqual(['unreachable', true]);
  });

  it('who passes on the challenge of the relay learns nothing: it is for another connection', async () => {
    const error = await attack(givenBy);
    expect([error.kind, error.message]).toEqual([
      'not-the-vendor',
      expect.stringMatching(/do not see the same TLS connection/),
    ]);
  });

  it.each<[string, () => SigningKey, boolean, RegExp]>([
    ['of another vendor', () => generateKey('vendor'), true, /not signed by the vendor key/],
    ['for another connection', () => relay.vendorKey, true, /not see the same TLS conn/],
    ['of a relay that sees no TLS', () => relay.vendorKey, false, /is not valid/],
  ])('who has a challenge %s learns nothing', async (_, signer, bound, words) => {
    const error = await attack(async (deviceNonce) => {
      const exporter = bound ? randomBytes(32) : undefined;
      const facts = { relay: HOST, deviceNonce, exporter, limits: {} };
      const clock = { wallMs: Date.now(), monotonicMs: performance.now() };
      const { token } = await openChallenge(facts, signer(), clock);
      return { nonce: 'x'.repeat(43), challenge: token };
    });
    expect(error.message).toMatch(words);
  });

  it('who repeats the challenge of an earlier question learns nothing', async () => {
    let first: Promise<object> | undefined;
    const error = await attack(() => {
      first ??= givenBy(makeDeviceNonce());
      return first;
    });
    expect(error.message).toMatch(/challenge was made for another connection/);
  });

  it('who closes the connection once he has passed on what the relay says hears no question', async () => {
    await show(over);
    // The relay itself, that ends each connection after its answer: a second one was never proven.
    relay.closes = true;
    const error = await failure(askStanding(relay.api(key)));
    expect([error.kind, error.passing]).toEqual(['unreachable', true]);
    expect(relay.asked).toEqual(['GET /v1/device/nonce']);
  });
});

/** What the relay says to whoever asks for a nonce with this one. */
async function givenBy(deviceNonce: string): Promise<object> {
  const { url, ca = '' } = relay.address;
  const asked = request({
    ...{ host: '127.0.0.1', port: url.port, path: '/v1/device/nonce', ca, agent: false },
    ...{ servername: HOST, rejectUnauthorized: false },
    headers: { host: url.host, 'waygate-nonce': deviceNonce },
  });
  asked.end();
  const [response] = await once(asked, 'response');
  const given: { readonly challenge?: string } = JSON.parse(await text(response));
  expect(given.challenge).toMatch(/^ey/);
  return given;
}
