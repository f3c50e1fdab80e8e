// The owners' API against its own document: the document is sound, every answer is as it promises, and
// no input that it does not describe changes anything or gets anything but a clear refusal.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  answerFault,
  type Document,
  documentFaults,
  type Operation,
  operations,
} from '../../world/openapi.ts';
import { PortalStand } from '../../world/portal-stand.ts';
import type { Asking, PortalAnswer, PortalVisitor } from '../../world/portal-visitor.ts';

/** In the order of their names. */
const ROUTES = [
  'DELETE /v1/domains/{domain}',
  'DELETE /v1/names/{name}/transfer',
  'DELETE /v1/sessions',
  'DELETE /v1/sessions/{id}',
  'GET /v1/domains',
  'GET /v1/domains/{domain}',
  'GET /v1/me',
  'GET /v1/names',
  'GET /v1/names/{name}',
  'GET /v1/names/{name}/history',
  'GET /v1/recoveries',
  'GET /v1/sessions',
  'POST /v1/claims/approve',
  'POST /v1/claims/deny',
  'POST /v1/claims/look',
  'POST /v1/domains',
  'POST /v1/domains/{domain}/check',
  'POST /v1/names/{name}/release',
  'POST /v1/names/{name}/rename',
  'POST /v1/names/{name}/transfer',
  'POST /v1/recoveries/{id}/veto',
  'POST /v1/recoveries/{id}/withdraw',
  'POST /v1/transfers/accept',
];
const WITH_BODY = ROUTES.filter((route) => /POST.*(claims|domains$|names|accept)/.test(route));
const UNSAFE = ROUTES.filter((route) => !route.startsWith('GET'));
const WITH_NAME = ROUTES.filter((route) => /\{(name|domain)\}/.test(route));

let stand: PortalStand;
let document: Document;
let before: unknown;
/** For each route an owner of a name, so that the budget of one is not spent by another. */
const owners = new Map<string, { readonly visitor: PortalVisitor; readonly name: string }>();

beforeAll(async () => {
  stand = await PortalStand.open();
  document = JSON.parse((await stand.visitor().get('/openapi.json')).body);
  for (const [at, route] of ['alice', 'stranger', 'curious', ...ROUTES].entries()) {
    const visitor = await stand.signedIn(`owner-${at}@example.org`);
    const name = `held-${'abcdefghijklmnopqrstuvwxyz'.charAt(at)}-box`;
    const { code } = await stand.claimant();
    const bound = await visitor.api('POST', '/v1/claims/approve', { code, name });
    expect(promise('POST /v1/claims/approve', bound)).toBe('');
    owners.set(route, { visitor, name });
    if (route !== 'alice' && route !== 'curious') continue;
    const domain = { name, domain: `${name}.example.org` };
    expect((await visitor.api('POST', '/v1/domains', domain)).status).toBe(201);
  }
  await stand.claimant('waiting');
  before = await stand.state();
}, 60_000);

afterAll(async () => {
  expect(await stand.state()).toEqual(before);
  // A refusal is no fault.
  expect(stand.log.filter((line) => JSON.parse(line).level >= 50)).toEqual([]);
  await stand[Symbol.asyncDispose]();
});

function ownerOf(key: string): { readonly visitor: PortalVisitor; readonly name: string } {
  const owner = owners.get(key);
  if (owner === undefined) throw new Error(`nobody for ${key}`);
  return owner;
}

function operationOf(route: string): Operation {
  const found = operations(document).find(({ method, path }) => `${method} ${path}` === route);
  if (found === undefined) throw new Error(`${route} is not in the document`);
  return found;
}

/** Why the answer is not what the document promises of the route. */
function promise(route: string, answer: PortalAnswer): string {
  const type = answer.headers['content-type'];
  return answerFault(operationOf(route), { status: answer.status, type, body: answer.body });
}

function pathOf(route: string, name: string): string {
  const [, path = ''] = route.split(' ');
  return path
    .replace('{name}', name)
    .replace('{domain}', `${name}.example.org`)
    .replace('{id}', 'nobody-knows-this');
}

/** What would be taken, if names and codes were right. */
const RIGHT: Readonly<Record<string, string | boolean>> = {
  code: '0000-0000',
  name: 'brand-new',
  to: 'brand-new',
  confirm: 'brand-new',
  toEmail: 'bob@example.org',
  domain: 'app.example.org',
  workspace: 'code',
  wildcard: true,
};

function rightBody(route: string): Record<string, string | boolean> {
  const keys = Object.keys(operationOf(route).body?.properties ?? {});
  return Object.fromEntries(keys.map((key) => [key, RIGHT[key] ?? '']));
}

function send(route: string, asker: PortalVisitor, how: Asking & { readonly path: string }) {
  const [method = ''] = route.split(' ');
  const json = how.body === undefined ? {} : { 'content-type': 'application/json' };
  const headers = { origin: stand.origin, ...json, ...how.headers };
  return asker.ask(how.path, { ...how, method, headers });
}

/** A refusal, as the document promises one, and with a next step. */
function expectRefusal(route: string, answer: PortalAnswer, ...statuses: number[]): void {
  expect(statuses, answer.body).toContain(answer.status);
  expect(promise(route, answer)).toBe('');
  expect(answer.json()['next']).toMatch(/\w.*\.$/);
}

describe('the document', () => {
  it('is sound OpenAPI 3.1 and describes every route below /v1', async () => {
    const answer = await stand.visitor().get('/openapi.json');
    expect(answer.headers['content-type']).toContain('application/json');
    expect(documentFaults(document)).toEqual([]);
    expect(
      operations(document)
        .map(({ method, path }) => `${method} ${path}`)
        .toSorted(),
    ).toEqual(ROUTES);
  });

  it('tells a broken document from a sound one', () => {
    const broken = structuredClone(document);
    Object.assign(broken.paths['/v1/names/{name}']?.['get'] ?? {}, { parameters: [] });
    Object.assign(broken, { openapi: '3.0.0' });
    expect(documentFaults(broken)).toHaveLength(2);
  });

  it.each(ROUTES.filter((route) => route.startsWith('GET')))(
    '%s answers as promised',
    async (route) => {
      const { visitor, name } = ownerOf('curious');
      const answer = await visitor.api('GET', pathOf(route, name));
      expect(answer.status).toBe(200);
      expect(promise(route, answer)).toBe('');
    },
  );
});

describe('who may not ask', () => {
  it.each(ROUTES)('%s refuses somebody who is not signed in', async (route) => {
    const body = operationOf(route).body && JSON.stringify(rightBody(route));
    const path = pathOf(route, ownerOf('alice').name);
    const asked = body === undefined ? { path } : { path, body };
    expectRefusal(route, await send(route, stand.visitor(), asked), 401);
    const liar = stand.visitor();
    liar.cookies.set('__Host-waygate', 'A'.repeat(43));
    expectRefusal(route, await send(route, liar, asked), 401);
  });

  it.each(ROUTES.filter((route) => /\{/.test(route)))(
    '%s knows nothing of what is somebody else’s, nor that it exists',
    async (route) => {
      const { visitor } = ownerOf('stranger');
      const { name } = ownerOf('alice');
      const body =
        operationOf(route).body && JSON.stringify({ ...rightBody(route), confirm: name });
      const known = body?.replace(/,"confirm":"[^"]*"/, '');
      const own = route.endsWith('release') ? JSON.stringify({ confirm: name }) : known;
      const ask = (path: string) =>
        send(route, visitor, own === undefined ? { path } : { path, body: own });
      const taken = await ask(pathOf(route, name));
      expectRefusal(route, taken, 404);
      if (!WITH_NAME.includes(route) || route.endsWith('release')) return;
      const free = await ask(pathOf(route, 'nobody-has-it'));
      expect(free.body.replaceAll('nobody-has-it', name)).toBe(taken.body);
    },
  );

  it.each(UNSAFE)('CSRF: %s refuses what no page of the portal has made', async (route) => {
    const { visitor, name } = ownerOf(route);
    const body = operationOf(route).body && JSON.stringify(rightBody(route));
    const path = pathOf(route, name);
    const { hostname, port } = new URL(stand.origin);
    const foreign: readonly Record<string, string | string[]>[] = [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: `http://${hostname}:${port}` },
      { origin: `https://${hostname}` },
      { origin: `https://alice.vendor.test:${port}` },
      { origin: `https://${hostname}:${port}.evil.example` },
      { origin: [stand.origin, 'https://evil.example'] },
      { origin: '', 'sec-fetch-site': 'same-origin' },
      { origin: stand.origin, 'sec-fetch-site': 'cross-site' },
      { origin: stand.origin, 'sec-fetch-site': 'same-site' },
      { origin: stand.origin, 'sec-fetch-site': 'none' },
    ];
    for (const headers of foreign) {
      const asked = body === undefined ? { path, headers } : { path, headers, body };
      expectRefusal(route, await send(route, visitor, asked), 403);
    }
    const [method = ''] = route.split(' ');
    expectRefusal(route, await visitor.ask(path, { method }), 403);
  });
});

const WRONG_VALUES: readonly unknown[] = [
  ...[null, 7, -1.5, true, [], ['alice'], {}, { $gt: '' }, ''],
  ...[
    'a',
    'a'.repeat(65),
    'a'.repeat(300),
    '-alice',
    'al--ice',
    'www',
    'über',
    'ａｌｉｃｅ',
    'alice.bob',
  ],
  ...['alice\u0000', '../alice', '<script>', "'; drop table names; --", '\ud800', '%00'],
];

describe('bad input', () => {
  it.each(WITH_BODY)(
    '%s refuses wrong values of every field',
    { timeout: 60_000 },
    async (route) => {
      const { visitor, name } = ownerOf(route);
      const path = pathOf(route, name);
      const right = rightBody(route);
      for (const key of Object.keys(right)) {
        for (const value of WRONG_VALUES) {
          const body = JSON.stringify({ ...right, [key]: value });
          expectRefusal(route, await send(route, visitor, { path, body }), 400, 404, 409, 422, 429);
        }
        const { [key]: _left, ...rest } = right;
        const statuses = operationOf(route).body?.required?.includes(key) ? [400] : [404];
        const answer = await send(route, visitor, { path, body: JSON.stringify(rest) });
        expectRefusal(route, answer, ...statuses);
      }
    },
  );

  it.each(WITH_BODY)('%s refuses what is no such JSON', async (route) => {
    const { visitor } = ownerOf('stranger');
    const path = pathOf(route, 'some-name');
    const right = JSON.stringify(rightBody(route));
    const plain = { 'content-type': 'text/plain' };
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    const ask = (how: Asking) => send(route, visitor, { path, ...how });
    expectRefusal(route, await ask({ body: right.replace('{', '{"more":1,') }), 400);
    expectRefusal(route, await ask({ body: right.replace('{', '{"__proto__":{},') }), 400);
    expectRefusal(route, await ask({ body: right.slice(0, -1) }), 400);
    expectRefusal(route, await ask({ body: `[${right}]` }), 400);
    expectRefusal(route, await ask({ body: 'null' }), 400);
    expectRefusal(route, await ask({ body: '' }), 400);
    expectRefusal(route, await ask({ body: right, headers: plain }), 415);
    expectRefusal(route, await ask({ body: 'code=1', headers: form }), 415);
    const large = `{"code":"${'a'.repeat(16_384)}"}`;
    expectRefusal(route, await ask({ body: large }), 413);
    expectRefusal(route, await send(route, visitor, { path: `${path}?more=1`, body: right }), 400);
  });

  it.each(WITH_NAME)('%s refuses odd names in its path', async (route) => {
    const { visitor } = ownerOf('alice');
    const body = operationOf(route).body && JSON.stringify(rightBody(route));
    const odd = [
      'a',
      'a'.repeat(65),
      '%00',
      '%2e%2e',
      'al%2Fice',
      '%C3%BCber',
      '__proto__',
      '%20alice',
    ];
    for (const name of odd) {
      const path = pathOf(route, name);
      const answer = await send(route, visitor, body === undefined ? { path } : { path, body });
      expectRefusal(route, answer, 400, 404, 422);
    }
  });

  it('refuses paths that are none, and tells so', async () => {
    const visitor = stand.visitor();
    for (const path of ['/v1/%', '/v1/%zz', '/v1/../v1/me/x', '/v1/', `/v1/${'a'.repeat(200)}`]) {
      const answer = await visitor.get(path);
      expect([400, 404]).toContain(answer.status);
      expect(answer.headers['content-type']).toContain('application/problem+json');
    }
  });

  it.each(WITH_BODY)('fuzz: %s refuses any JSON', { timeout: 60_000 }, async (route) => {
    const { visitor } = ownerOf(`${route}`);
    const keys = Object.keys(rightBody(route));
    const anything = fc.jsonValue({ maxDepth: 2 });
    const shaped = fc.record(
      Object.fromEntries(keys.map((key) => [key, fc.string({ maxLength: 60 })])),
    );
    const path = pathOf(route, 'not-mine');
    await fc.assert(
      fc.asyncProperty(fc.oneof(anything, shaped), async (value) => {
        const answer = await send(route, visitor, { path, body: JSON.stringify(value) });
        expectRefusal(route, answer, 400, 404, 409, 422, 429);
      }),
      { numRuns: 30 },
    );
  });
});
