// The device's API as a device, or somebody who is none, may ask it: over real HTTP, on a registry of
// its own. TLS is the entrance's.
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseDeviceName } from '../../../dns/name.ts';
import { deviceRoutes } from '../../../relay/portal/device-routes.ts';
import { makeServer } from '../../../relay/portal/server.ts';
import { signDeviceRequest } from '../../../relay/protocol/device-request.ts';
import { generateKey, type SigningKey } from '../../../relay/protocol/key.ts';
import { signKeyRotation } from '../../../relay/protocol/key-rotation.ts';
import { order } from '../../../relay/registry/deeds/order.ts';
import { listHistory } from '../../../relay/registry/listings.ts';
import { openRegistry, type Registry } from '../../../relay/registry/registry.ts';
import { blindDomains } from '../../world/blind-domains.ts';
import { hostname } from '../protocol/hello-fixture.ts';

const ZONE = hostname('vendor.dev');
const HOST = hostname('tunnel.vendor.dev');
const PROBLEM = 'application/problem+json; charset=utf-8';
const log = pino({ level: 'silent' });
const folder = mkdtempSync(join(tmpdir(), 'waygate-api-'));
const vendorKey = generateKey('vendor');
const told: string[] = [];
let registry: Registry;
let server: FastifyInstance;
let port: number;

beforeAll(async () => {
  const database = { kind: 'sqlite', file: join(folder, 'registry.sqlite') } as const;
  registry = await openRegistry({ database, log });
  server = makeServer({ hostname: HOST, log, accessLog: false });
  await deviceRoutes(server, {
    ...{ registry, hostname: HOST, zone: ZONE, vendorKey, log },
    domains: blindDomains({ registry, zone: ZONE, log }),
    portalOrigin: () => 'https://my.vendor.dev:8443',
    softwarePolicy: { refused: ['acme/<2.0.0'], updateUrl: 'https://vendor.dev/new' },
    notices: {
      renamed: (former) => async () => void told.push(former),
      recoveryEnded:
        (_ownerId, { name }) =>
        async () =>
          void told.push(name),
    },
  });
  await server.listen({ host: '127.0.0.1', port: 0 });
  port = (server.server.address() as AddressInfo).port;
});
afterAll(async () => {
  await server.close();
  await registry.close();
  rmSync(folder, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly json: Readonly<Record<string, unknown>>;
}

/** One request as it is given. */
async function send(
  method: string,
  path: string,
  { headers = {}, body = '' }: { headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const asked = request({
    ...{ host: '127.0.0.1', port, method, path, agent: false },
    headers: {
      host: HOST,
      ...(body === '' ? {} : { 'content-type': 'application/json' }),
      'content-length': String(Buffer.byteLength(body)),
      ...headers,
    },
  });
  asked.end(body);
  return new Promise((resolve, reject) => {
    asked.on('error', reject);
    asked.on('response', (response) => {
      text(response).then((words) => {
        const { 'content-type': type } = response.headers;
        resolve({ status: response.statusCode ?? 0, type, json: JSON.parse(words || '{}') });
      }, reject);
    });
  });
}

async function authorize(
  key: SigningKey,
  { method, path, body = '' }: { method: string; path: string; body?: string },
  software = 'waygate/1.0.0',
): Promise<Record<string, string>> {
  const { json } = await send('GET', '/v1/device/nonce');
  const asked = { method, host: HOST, path, body: Buffer.from(body) };
  const nonce = String(json['nonce']);
  return { authorization: await signDeviceRequest(asked, { nonce, software }, key) };
}

/** One request that the key has signed. */
async function ask(key: SigningKey, method: string, path: string, members?: unknown) {
  const body = members === undefined ? '' : JSON.stringify(members);
  return send(method, path, { headers: await authorize(key, { method, path, body }), body });
}

/** A key that holds this name. */
async function holder(text_: string): Promise<SigningKey> {
  const name = parseDeviceName(text_);
  if (name === undefined) throw new Error(`${text_} is no name`);
  const key = generateKey('device');
  await registry.enroll({ name, deviceKey: key.publicKey, actor: 'test' });
  return key;
}

async function lastDeed(): Promise<number> {
  const [last] = await registry.read(listHistory({ limit: 1 }));
  return last?.id ?? 0;
}

describe('the API for devices', () => {
  it('gives whoever asks a nonce, and a description of itself', async () => {
    expect((await send('GET', '/v1/device/nonce')).json).toEqual({ nonce: expect.any(String) });
    const { json } = await send('GET', '/v1/device/openapi.json');
    expect(Object.keys(json['paths'] as object).toSorted()).toEqual([
      '/v1/device',
      '/v1/device/claims',
      '/v1/device/claims/{id}',
      '/v1/device/domains',
      '/v1/device/domains/{domain}/check',
      '/v1/device/domains/{domain}/remove',
      '/v1/device/key',
      '/v1/device/lan',
      '/v1/device/names/{name}/release',
      '/v1/device/names/{name}/rename',
      '/v1/device/nonce',
      '/v1/device/orders/redeem',
      '/v1/device/recoveries/{id}/veto',
    ]);
  });

  it('opens a claim, tells its state to its own key alone, and replaces it by a new one', async () => {
    const key = generateKey('device');
    const { status, json } = await ask(key, 'POST', '/v1/device/claims', { name: 'alice' });
    expect([status, json]).toEqual([
      201,
      {
        id: expect.any(String),
        code: expect.stringMatching(/^[0-9A-Z]{4}-[0-9A-Z]{4}$/),
        url: `https://my.vendor.dev:8443/claim?code=${json['code']}`,
        expiresAt: expect.stringMatching(/Z$/),
        expiresInSeconds: expect.any(Number),
        pollSeconds: 3,
      },
    ]);
    const path = `/v1/device/claims/${json['id']}`;
    expect((await ask(key, 'GET', path)).json).toEqual({ state: 'open' });
    const stranger = await ask(generateKey('device'), 'GET', path);
    const unknown = await ask(key, 'GET', '/v1/device/claims/none');
    expect([stranger.status, stranger.json]).toEqual([404, unknown.json]);
    expect((await ask(key, 'POST', '/v1/device/claims', {})).status).toBe(201);
    expect((await ask(key, 'GET', path)).status).toBe(404);
  });

  it('redeems an order once, again for the same key, and answers every wrong code the same', async () => {
    const name = parseDeviceName('olga');
    if (name === undefined) throw new Error('unreachable');
    const { code } = await registry.perform(order({ name, serial: 'SN-1', actor: 'test' }));
    const key = generateKey('device');
    const redeem = (by: SigningKey, members: object) =>
      ask(by, 'POST', '/v1/device/orders/redeem', members);
    const wrong = await redeem(key, { code: 'WG-00000-00000-00000-00000', serial: 'SN-1' });
    expect([wrong.status, wrong.type]).toEqual([404, PROBLEM]);
    for (const members of [{ code }, { code, serial: 'SN-2' }, { code: 'x', serial: 'SN-1' }]) {
      expect(await redeem(key, members)).toEqual(wrong);
    }
    expect((await redeem(key, { code, serial: 'SN-1' })).json).toEqual({ name: 'olga' });
    expect((await redeem(key, { code, serial: 'SN-1' })).json).toEqual({ name: 'olga' });
    expect(await redeem(generateKey('device'), { code, serial: 'SN-1' })).toEqual(wrong);
  });

  it('tells a device its names, and one that is not known the same shape', async () => {
    const key = await holder('standing');
    expect((await ask(key, 'GET', '/v1/device')).json).toEqual({
      enrolled: true,
      names: [{ name: 'standing', state: 'held' }],
      recoveries: [],
    });
    const stranger = await ask(generateKey('device'), 'GET', '/v1/device');
    expect(stranger).toMatchObject({
      status: 200,
      json: { enrolled: false, names: [], recoveries: [] },
    });
  });

  it('changes a name and takes one away for its own key alone; the owner is told', async () => {
    const key = await holder('rita');
    const other = await holder('stranger');
    const renameBy = (by: SigningKey) =>
      ask(by, 'POST', '/v1/device/names/rita/rename', { to: 'roberta' });
    const foreign = await renameBy(other);
    const unknown = await ask(other, 'POST', '/v1/device/names/nobody/rename', { to: 'roberta' });
    expect([foreign.status, foreign.json['type']]).toEqual([404, unknown.json['type']]);
    expect((await renameBy(key)).json).toEqual({
      name: 'roberta',
      formerUntil: expect.any(String),
    });
    expect(told).toContain('rita');
    const release = (by: SigningKey) => ask(by, 'POST', '/v1/device/names/roberta/release');
    expect((await release(other)).status).toBe(404);
    expect((await release(key)).status).toBe(204);
    expect((await ask(key, 'POST', '/v1/device/recoveries/none/veto')).status).toBe(404);
  });

  it('exchanges a key for one that has agreed to it', async () => {
    const key = await holder('karin');
    const newKey = generateKey('device');
    const oldThumbprint = key.publicKey.thumbprint;
    const proof = await signKeyRotation({ host: HOST, oldThumbprint }, newKey);
    const members = { newKey: newKey.publicKey.text, proof };
    const stranger = generateKey('device').publicKey.text;
    const refused = await ask(key, 'POST', '/v1/device/key', { newKey: stranger, proof });
    expect(refused).toMatchObject({ status: 400 });
    const done = await ask(key, 'POST', '/v1/device/key', members);
    expect([done.status, done.json]).toEqual([200, { names: ['karin'] }]);
    expect((await ask(key, 'GET', '/v1/device')).json).toMatchObject({ enrolled: false });
    expect((await ask(newKey, 'GET', '/v1/device')).json).toMatchObject({ enrolled: true });
  });

  it('takes the addresses of a device at home', async () => {
    const key = await holder('linda');
    const put = (addresses: unknown) => ask(key, 'PUT', '/v1/device/lan', { addresses });
    expect((await put(['192.168.1.7', 'fd00::7'])).status).toBe(204);
    expect(await put(['127.0.0.1'])).toMatchObject({ status: 409 });
    expect((await put([])).status).toBe(204);
  });
});

describe('what is refused changes nothing', () => {
  const JSON_ = { 'content-type': 'application/json' };

  it.each([
    ['no signature', () => ({})],
    ['a bearer token', () => ({ authorization: 'Bearer x' })],
    [
      'a signature of another path',
      (key: SigningKey) =>
        authorize(key, { method: 'POST', path: '/v1/device/claims', body: '{}' }),
    ],
    [
      'a signature of another body',
      (key: SigningKey) =>
        authorize(key, { method: 'POST', path: '/v1/device/names/una/rename', body: '{}' }),
    ],
    [
      'a signature of another method',
      (key: SigningKey) =>
        authorize(key, { method: 'PUT', path: '/v1/device/names/una/rename', body: BODY }),
    ],
  ])('%s', async (_, headersOf) => {
    const key = await holder(`una${Math.random().toString(36).slice(2, 10)}`);
    const before = await lastDeed();
    const headers = { ...JSON_, ...(await headersOf(key)) };
    const answer = await send('POST', '/v1/device/names/una/rename', { headers, body: BODY });
    expect([answer.status, answer.type]).toEqual([401, PROBLEM]);
    expect(await lastDeed()).toBe(before);
  });
  const BODY = '{"to":"other"}';

  it('a request that was seen before', async () => {
    const key = generateKey('device');
    const path = '/v1/device/claims';
    const headers = await authorize(key, { method: 'POST', path, body: '{}' });
    expect((await send('POST', path, { headers, body: '{}' })).status).toBe(201);
    const again = await send('POST', path, { headers, body: '{}' });
    expect(again).toMatchObject({ status: 401, json: { type: 'urn:waygate:problem:nonce' } });
  });

  it('a request for another host', async () => {
    const headers = { host: 'my.vendor.dev' };
    expect((await send('GET', '/v1/device/nonce', { headers })).status).toBe(421);
  });

  it('software that the vendor does not admit, with words that say what to do', async () => {
    const asked = { method: 'GET', path: '/v1/device' };
    const headers = await authorize(generateKey('device'), asked, 'acme/1.0');
    const answer = await send('GET', '/v1/device', { headers });
    expect(answer).toMatchObject({
      status: 403,
      json: { type: 'urn:waygate:problem:software-refused' },
    });
    expect(answer.json['detail']).toMatch(/It is acme\/1\.0\..*https:\/\/vendor\.dev\/new/);
  });

  it.each([
    ['POST', '/v1/device/claims', { name: '' }],
    ['POST', '/v1/device/claims', { name: 'www' }],
    ['POST', '/v1/device/claims', { name: '-x-' }],
    ['POST', '/v1/device/claims', { name: 7 }],
    ['POST', '/v1/device/claims', { name: 'x'.repeat(64) }],
    ['POST', '/v1/device/claims', { more: 1 }],
    ['POST', '/v1/device/claims', []],
    ['POST', '/v1/device/claims', 'alice'],
    ['POST', '/v1/device/claims', null],
    ['GET', '/v1/device/claims/a%20b', undefined],
    ['GET', `/v1/device/claims/${'x'.repeat(65)}`, undefined],
    ['POST', '/v1/device/orders/redeem', {}],
    ['POST', '/v1/device/orders/redeem', { code: '' }],
    ['POST', '/v1/device/orders/redeem', { code: 'x'.repeat(65) }],
    ['POST', '/v1/device/orders/redeem', { code: ['x'] }],
    ['POST', '/v1/device/orders/redeem', { code: 'x', serial: 7 }],
    ['POST', '/v1/device/orders/redeem', { code: 'x', serial: 'x'.repeat(65) }],
    ['POST', '/v1/device/names/mine/rename', {}],
    ['POST', '/v1/device/names/mine/rename', { to: 'www' }],
    ['POST', '/v1/device/names/mine/rename', { to: 'a--b' }],
    ['POST', '/v1/device/names/mine/rename', { to: null }],
    ['POST', '/v1/device/names/m/rename', { to: 'other' }],
    ['POST', '/v1/device/names/%00/release', undefined],
    ['POST', '/v1/device/recoveries/a.b/veto', undefined],
    ['POST', '/v1/device/key', { newKey: 'x' }],
    ['POST', '/v1/device/key', { newKey: 'x', proof: '' }],
    ['POST', '/v1/device/key', { newKey: 'x'.repeat(129), proof: 'x' }],
    ['POST', '/v1/device/key', { newKey: 'waygate-device:x', proof: 'a.b.c' }],
    ['PUT', '/v1/device/lan', { addresses: '192.168.1.7' }],
    ['PUT', '/v1/device/lan', { addresses: [7] }],
    ['PUT', '/v1/device/lan', { addresses: Array(65).fill('') }],
    ['PUT', '/v1/device/lan', {}],
  ])('%s %s with %j', async (method, path, members) => {
    const key = generateKey('device');
    const before = await lastDeed();
    const { status, type, json } = await ask(key, method, path, members);
    expect([status, type]).toEqual([400, PROBLEM]);
    expect(json).toEqual({
      type: expect.stringMatching(/^urn:waygate:problem:[a-z-]+$/),
      title: expect.any(String),
      status: 400,
      detail: expect.stringMatching(/\.$/),
      next: expect.stringMatching(/\.$/),
    });
    expect(await lastDeed()).toBe(before);
  });

  it.each([
    [400, '', {}],
    [400, '', { domain: 'app.example.org' }],
    [400, '', { name: 7, domain: 'app.example.org' }],
    [400, '', { name: 'alice', domain: '' }],
    [400, '', { name: 'alice', domain: 'x'.repeat(255) }],
    [400, '', { name: 'alice', domain: 'app.example.org', wildcard: 'yes' }],
    [400, '', { name: 'alice', domain: 'app.example.org', workspace: 'x'.repeat(65) }],
    [400, '', { name: 'alice', domain: 'app.example.org', more: 1 }],
    [422, '', { name: 'www', domain: 'app.example.org' }],
    [422, '', { name: 'alice', domain: 'https://app.example.org' }],
    [422, '', { name: 'alice', domain: 'alice.vendor.dev' }],
    [422, '', { name: 'alice', domain: 'app.example.org', workspace: 'a_b' }],
    [404, '', { name: 'alice', domain: 'app.example.org' }],
    [422, '/localhost/check', {}],
    [422, '/%00.org/remove', {}],
    [422, '/app.example.org/check', { name: 'x' }],
    [400, '/app.example.org/check', { more: 1 }],
    [404, '/app.example.org/check', {}],
    [404, '/app.example.org/remove', { name: 'alice' }],
  ])('%i: POST /v1/device/domains%s with %j', async (status, rest, members) => {
    const before = await lastDeed();
    const path = `/v1/device/domains${rest}`;
    const answer = await ask(generateKey('device'), 'POST', path, members);
    expect([answer.status, answer.type]).toEqual([status, PROBLEM]);
    expect(answer.json['next']).toMatch(/\.$/);
    expect(await lastDeed()).toBe(before);
  });

  it.each([
    ['no JSON', '{', 400],
    ['a prototype', '{"__proto__":{"name":"alice"}}', 400],
    ['too much', `{"name":"${'x'.repeat(20_000)}"}`, 413],
  ])('a body that is %s', async (_, body, status) => {
    const path = '/v1/device/claims';
    const key = generateKey('device');
    const headers = await authorize(key, { method: 'POST', path, body });
    expect((await send('POST', path, { headers, body })).status).toBe(status);
  });

  it('more from one key than a device ever asks', async () => {
    const key = generateKey('device');
    const statuses = new Set<number>();
    for (let count = 0; count < 100; count += 1) {
      statuses.add((await ask(key, 'GET', '/v1/device')).status);
    }
    expect([...statuses]).toEqual([200, 429]);
    expect((await ask(generateKey('device'), 'GET', '/v1/device')).status).toBe(200);
  });
});
