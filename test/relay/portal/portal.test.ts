// The portal in a real relay: its host beside devices and visitors on one port, by name only; what it
// does with settings that cannot be followed; and how it ends.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAuthority } from '../../../certs/authority.ts';
import { parseHostname } from '../../../dns/name.ts';
import { Installation } from '../../world/installation.ts';
import { PortalVisitor } from '../../world/portal-visitor.ts';
import type { ProgramProcess } from '../../world/program-process.ts';

let vendor: Installation;
let relay: ProgramProcess;

beforeAll(async () => {
  vendor = await Installation.make({ more: 'portal: { mail: { print: true } }\n' });
  relay = await vendor.relay();
}, 60_000);

afterAll(async () => {
  await vendor[Symbol.asyncDispose]();
});

function visitor(host: string): PortalVisitor {
  return new PortalVisitor(`https://${host}:${vendor.port}`, vendor);
}

describe('the portal of a relay', () => {
  it('tells its parent where it is, and signs in by a link in the log', async () => {
    const ready = await relay.ready();
    expect(ready).toMatchObject({ portal: `https://my.vendor.test:${vendor.port}` });
    const alice = visitor('my.vendor.test');
    await alice.form('/sign-in/mail', { email: 'alice@example.org' });
    const { signInLink } = await relay.said(/^sign in as alice/, 10_000);
    const token = new URL(String(signInLink)).searchParams.get('token') ?? '';
    expect((await alice.form('/sign-in/link', { token })).status).toBe(303);
    expect((await alice.api('GET', '/v1/me')).json()['email']).toBe('alice@example.org');
    // Signing in is a matter of this one host: no other answers to its cookie, or asks for it.
    for (const host of ['tunnel.vendor.test', 'vendor.test', 'alice.vendor.test']) {
      const elsewhere = await visitor(host).get('/v1/me', { host: 'my.vendor.test' });
      expect([404, 421, 426]).toContain(elsewhere.status);
    }
  });

  it('T-2 answers for its own host only, whatever the request names', async () => {
    const odd = visitor('my.vendor.test');
    for (const host of ['tunnel.vendor.test', 'evil.example', 'my.vendor.test.evil.example', '']) {
      expect([400, 421]).toContain((await odd.get('/sign-in', { host })).status);
    }
    expect((await odd.get('/sign-in', { host: 'MY.vendor.test' })).status).toBe(200);
  });

  it('P-12 sends the headers that keep a page from being abused, with every answer', async () => {
    const asker = visitor('my.vendor.test');
    for (const path of ['/sign-in', '/', '/nowhere', '/v1/me', '/v1/%zz', '/openapi.json']) {
      const { headers } = await asker.get(path);
      expect(headers['content-security-policy'], path).toMatch(
        /default-src 'none'.*frame-ancestors 'none'/,
      );
      expect(headers['content-security-policy']).not.toContain('unsafe');
      expect(headers, path).toMatchObject({
        'strict-transport-security': 'max-age=31536000',
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'same-origin',
        'cache-control': 'no-store',
      });
    }
    const page = (await asker.get('/sign-in')).body;
    expect(page).not.toMatch(/<script|javascript:|\son\w+=|https?:\/\//);
  });

  it('keeps the door of devices: a request is answered there, a WebSocket is not meant here', async () => {
    const tunnel = visitor('tunnel.vendor.test');
    expect((await tunnel.get('/')).status).toBe(426);
    expect((await tunnel.get('/v1/devices')).status).toBe(426);
    expect((await tunnel.get('/v1/device/nonce')).status).toBe(200);
    const upgrade = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
    const portal = await visitor('my.vendor.test').get('/', upgrade);
    expect(portal.status).toBe(303);
  });

  it('ends with the relay, also while somebody holds a connection', async () => {
    await using other = await Installation.make({ drainSeconds: 1 });
    const process = await other.relay();
    const said = await process.said(/nobody can sign in/, 10_000);
    expect(said.level).toBe(30);
    const page = await new PortalVisitor(`https://my.vendor.test:${other.port}`, other).get(
      '/sign-in',
    );
    expect(page.body).toContain('Nobody can sign in here yet');
    expect(await process.end('SIGTERM')).toBe(0);
  }, 30_000);
});

describe('a portal on another domain', () => {
  it('has a certificate from files, which is exchanged when they change', async () => {
    const host = parseHostname('names.example.org');
    if (host === undefined) throw new Error('unreachable');
    const authority = await createAuthority(host);
    await using other = await Installation.make();
    const write = async () => {
      const { certPem, keyPem } = await authority.issue([host]);
      writeFileSync(join(other.folder, 'portal.pem'), certPem);
      writeFileSync(join(other.folder, 'portal.key'), keyPem);
    };
    await write();
    const config = readFileSync(other.relayConfig, 'utf8');
    const files = 'certificateFiles: { certificate: portal.pem, key: portal.key }';
    writeFileSync(other.relayConfig, `${config}portal: { host: ${host}, ${files} }\n`);
    await other.relay();
    const { port } = other;
    const asker = new PortalVisitor(`https://${host}:${port}`, { caPem: authority.caPem, port });
    expect((await asker.get('/sign-in')).status).toBe(200);
  }, 30_000);

  it.each([
    [
      'oidc: [{ name: a, issuer: "https://id.example", clientId: a, clientSecretFile: /nowhere }]',
      /nowhere/,
    ],
    [
      'host: names.example.org, certificateFiles: { certificate: relay.yaml, key: relay.yaml }',
      /portal.certificateFiles: .* cannot be read/,
    ],
  ])(
    'does not start with %s',
    async (settings, sentence) => {
      await using other = await Installation.make({ more: `portal: { ${settings} }\n` });
      const process = other.run('relay', other.relayConfig);
      process.ready().catch(() => undefined);
      expect(await process.ended).toBe(1);
      expect(process.words()).toMatch(sentence);
    },
    30_000,
  );
});
