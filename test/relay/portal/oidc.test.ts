// Signing in with a provider: the way there and back with a real one, and every way to come back that
// must not sign anybody in.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../world/free-port.ts';
import { CLIENT, ForgingProvider, RealProvider } from '../../world/identity-provider.ts';
import { PortalStand } from '../../world/portal-stand.ts';
import type { PortalAnswer, PortalVisitor } from '../../world/portal-visitor.ts';

let stand: PortalStand;
let real: RealProvider;
let forging: ForgingProvider;

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'waygate-oidc-'));
  const clientSecretFile = join(folder, 'secret');
  writeFileSync(clientSecretFile, `${CLIENT.secret}\n`);
  const port = await freePort();
  const origin = `https://my.vendor.test:${port}`;
  real = await RealProvider.open(`${origin}/sign-in/back`, `${origin}/signed-out`);
  forging = await ForgingProvider.open();
  const client = { clientId: CLIENT.id, clientSecretFile };
  stand = await PortalStand.open({
    publicPort: port,
    oidc: [
      { ...client, name: 'company', issuer: real.issuer, trustEmail: true },
      { ...client, name: 'stranger', issuer: forging.issuer, trustEmail: false },
      { ...client, name: 'gone', issuer: 'http://127.0.0.1:9', trustEmail: false },
    ],
  });
});

afterAll(async () => {
  await stand[Symbol.asyncDispose]();
  await real[Symbol.asyncDispose]();
  await forging[Symbol.asyncDispose]();
});

/** Leaves for a provider; resolves with where the browser is sent. */
async function leave(visitor: PortalVisitor, provider: string): Promise<URL> {
  const answer = await visitor.get(`/sign-in/with/${provider}?to=/claim`);
  expect(answer.status).toBe(303);
  return new URL(answer.headers.location ?? '');
}

function back(visitor: PortalVisitor, to: URL): Promise<PortalAnswer> {
  return visitor.get(to.pathname + to.search);
}

function isSignedIn(visitor: PortalVisitor): Promise<boolean> {
  return visitor.api('GET', '/v1/me').then(({ status }) => status === 200);
}

/** A way back from the provider that says what a test wants. */
async function forgedWay(visitor: PortalVisitor): Promise<URL> {
  const there = await leave(visitor, 'stranger');
  forging.nonce = there.searchParams.get('nonce') ?? '';
  const way = new URL('/sign-in/back', stand.origin);
  way.searchParams.set('code', 'a-code');
  way.searchParams.set('state', there.searchParams.get('state') ?? '');
  return way;
}

describe('a real provider', () => {
  it('signs somebody in, and out; the next time he is the same owner', async () => {
    real.account = { sub: 'alice-1', email: 'Alice@Example.org', email_verified: true };
    const ids: unknown[] = [];
    for (let time = 0; time < 2; time += 1) {
      const alice = stand.visitor();
      const there = await leave(alice, 'company');
      expect(there.searchParams.get('code_challenge_method')).toBe('S256');
      const answer = await back(alice, await real.walk(there.href));
      expect([answer.status, answer.headers.location]).toEqual([303, '/claim']);
      expect(alice.cookies.has('__Host-waygate-trip')).toBe(false);
      const me = (await alice.api('GET', '/v1/me')).json();
      expect(me['email']).toBe('alice@example.org');
      ids.push(me['id']);
      await alice.form('/sign-out');
      expect(await isSignedIn(alice)).toBe(false);
      expect((await alice.get('/signed-out')).body).toContain(`${real.issuer}/session/end`);
    }
    expect(ids[0]).toBe(ids[1]);
    // The provider is trusted with addresses, so whoever reads that mail is the same person.
    expect((await stand.owner('alice@example.org')).id).toBe(ids[0]);
  });

  it('is not believed about an address that it has not verified', async () => {
    await stand.owner('victim@example.org');
    real.account = { sub: 'mallory-1', email: 'victim@example.org', email_verified: false };
    const mallory = stand.visitor();
    const answer = await back(mallory, await real.walk((await leave(mallory, 'company')).href));
    expect(answer.status).toBe(303);
    const me = (await mallory.api('GET', '/v1/me')).json();
    expect(me['email']).toBeNull();
    expect(me['id']).not.toBe((await stand.owner('victim@example.org')).id);
  });

  it('replayed: a way back works once', async () => {
    real.account = { sub: 'bob-1' };
    const bob = stand.visitor();
    const way = await real.walk((await leave(bob, 'company')).href);
    const cookie = bob.cookies.get('__Host-waygate-trip') ?? '';
    expect((await back(bob, way)).status).toBe(303);
    const thief = stand.visitor();
    thief.cookies.set('__Host-waygate-trip', cookie);
    expect((await back(thief, way)).status).toBe(400);
    expect(await isSignedIn(thief)).toBe(false);
  });

  it('code injection: a way back that another browser began signs nobody in', async () => {
    real.account = { sub: 'mallory-2' };
    const mallory = stand.visitor();
    const way = await real.walk((await leave(mallory, 'company')).href);
    const victim = stand.visitor();
    expect((await back(victim, way)).status).toBe(400);
    await leave(victim, 'company');
    expect((await back(victim, way)).status).toBe(400);
    const mixed = new URL(way);
    mixed.searchParams.set('state', 'A'.repeat(43));
    expect((await back(victim, mixed)).status).toBe(400);
    expect(await isSignedIn(victim)).toBe(false);
  });

  it('a code in a way of another provider is refused by its issuer', async () => {
    real.account = { sub: 'carol-1' };
    const carol = stand.visitor();
    const way = await real.walk((await leave(carol, 'company')).href);
    const other = await forgedWay(carol);
    other.searchParams.set('code', way.searchParams.get('code') ?? '');
    other.searchParams.set('iss', way.searchParams.get('iss') ?? '');
    expect((await back(carol, other)).status).toBe(403);
    expect(await isSignedIn(carol)).toBe(false);
  });

  it('a way back ends after ten minutes', async () => {
    real.account = { sub: 'dave-1' };
    const dave = stand.visitor();
    const way = await real.walk((await leave(dave, 'company')).href);
    stand.clock.aheadMs = 10 * 60_000 + 1_000;
    try {
      expect((await back(dave, way)).status).toBe(400);
    } finally {
      stand.clock.aheadMs = 0;
    }
    expect(await isSignedIn(dave)).toBe(false);
  });
});

describe('a provider that lies', () => {
  it('is believed when it does not, and gets the verifier and the secret', async () => {
    const visitor = stand.visitor();
    const answer = await back(visitor, await forgedWay(visitor));
    expect(answer.status).toBe(303);
    const sent = forging.exchanges.at(-1);
    expect(sent?.get('code_verifier')).toMatch(/^[\w-]{43}$/);
    expect(sent?.get('redirect_uri')).toBe(`${stand.origin}/sign-in/back`);
  });

  it.each([
    ['nonce', { nonce: 'another' }],
    ['no nonce', { nonce: undefined }],
    ['audience', { aud: 'somebody-else' }],
    ['issuer', { iss: 'https://evil.example' }],
    ['end', { exp: 1_000_000_000 }],
    ['no subject', { sub: undefined }],
    ['authorized party', { aud: [CLIENT.id, 'other'], azp: 'other' }],
  ])('a wrong %s in the ID token signs nobody in', async (_what, claims) => {
    const visitor = stand.visitor();
    const way = await forgedWay(visitor);
    forging.claims = claims;
    try {
      expect((await back(visitor, way)).status).toBe(403);
    } finally {
      forging.claims = {};
    }
    expect(await isSignedIn(visitor)).toBe(false);
  });

  it.each([
    ['without a signature', (token: string) => `${unsigned()}.${token.split('.')[1]}.`],
    ['with a signature of another', (token: string) => `${token.slice(0, -8)}AAAAAAAA`],
    ['that is none', () => 'a.b.c'],
  ])('an ID token %s signs nobody in', async (_what, forge) => {
    const visitor = stand.visitor();
    const way = await forgedWay(visitor);
    forging.forge = forge;
    try {
      const { status } = await back(visitor, way);
      expect([403, 502]).toContain(status);
    } finally {
      forging.forge = (token) => token;
    }
    expect(await isSignedIn(visitor)).toBe(false);
  });

  it('a refused code and a refusal are told without what the provider said', async () => {
    const visitor = stand.visitor();
    const way = await forgedWay(visitor);
    forging.tokenStatus = 400;
    try {
      expect((await back(visitor, way)).status).toBe(403);
    } finally {
      forging.tokenStatus = 200;
    }
    const denied = await forgedWay(visitor);
    denied.searchParams.delete('code');
    denied.searchParams.set('error', 'access_denied');
    denied.searchParams.set('error_description', '<script>alert(1)</script>');
    const answer = await back(visitor, denied);
    expect(answer.status).toBe(403);
    expect(answer.body).not.toContain('script');
  });
});

describe('a provider that is down', () => {
  it('gives a page that says so, at once the second time, and the others go on', async () => {
    const visitor = stand.visitor();
    for (let time = 0; time < 2; time += 1) {
      const answer = await visitor.get('/sign-in/with/gone');
      expect(answer.status).toBe(502);
      expect(answer.body).toContain('does not answer');
      expect(answer.headers['retry-after']).toBe('5');
    }
    expect((await visitor.get('/sign-in')).status).toBe(200);
    await leave(visitor, 'company');
  });

  it('an unknown provider and a foreign place to return to', async () => {
    const visitor = stand.visitor();
    expect((await visitor.get('/sign-in/with/nobody')).status).toBe(404);
    real.account = { sub: 'erin-1' };
    const answer = await visitor.get('/sign-in/with/company?to=https://evil.example/');
    const way = await real.walk(answer.headers.location ?? '');
    expect((await back(visitor, way)).headers.location).toBe('/');
  });

  it('no secret of any of these journeys is in the log', () => {
    const log = stand.log.join('');
    expect(log).toContain('/sign-in/back');
    for (const secret of [CLIENT.secret, 'code=', 'state=', 'eyJ', 'a-code']) {
      expect(log).not.toContain(secret);
    }
  });
});

function unsigned(): string {
  return Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
}
