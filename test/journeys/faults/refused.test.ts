// A device that is not let in, and why, in one sentence. What only a person at the device can change ends
// the program (exit code 1 or 2); what passes by itself, or is done elsewhere, is waited for, and said.
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openAuthority } from '../../../certs/authority.ts';
import { openStore } from '../../../certs/store.ts';
import { parseHostname } from '../../../dns/name.ts';
import { CLOSE } from '../../../relay/protocol/wire.ts';
import { type DeviceFiles, Installation, ZONE } from '../../world/installation.ts';
import { type ProgramProcess, within } from '../../world/program-process.ts';
import { ask, until, untilStatus } from '../../world/visits.ts';
import { startWorkspace } from '../../world/workspaces.ts';

const WORKSPACES = { code: 'http://127.0.0.1:9' };

let vendor: Installation;
beforeAll(async () => {
  vendor = await Installation.make();
  await vendor.relay();
}, 60_000);
afterAll(() => vendor[Symbol.asyncDispose]());

/** Its exit code, and what it said that was no mere news. */
async function endOf(device: ProgramProcess): Promise<readonly [number | string, string[]]> {
  const code = await within(device.ended, 20_000, 'the end of the device');
  return [code, [...new Set(device.log.filter(({ level }) => level > 30).map(({ msg }) => msg))]];
}

describe.concurrent('a device is told why it is refused', { timeout: 60_000 }, () => {
  it('by a relay of another vendor', async () => {
    await using other = await Installation.make();
    const files = await vendor.device('wrong-vendor', WORKSPACES);
    files.write({ workspaces: WORKSPACES, vendorKey: other.vendorKey.text });
    expect(await endOf(files.run())).toEqual([
      1,
      [
        expect.stringMatching(
          /^The challenge is not signed by the vendor key .* configured with\./,
        ),
      ],
    ]);
  });

  it('when its key is not enrolled: it waits to be claimed', async () => {
    const files = await vendor.device('stranger', WORKSPACES);
    files.write({ workspaces: WORKSPACES, key: `${files.keyFile}.new` });
    const device = files.run();
    const { msg } = await device.said(/^This device key is not enrolled here, or it was/, 20_000);
    expect(msg).toContain('Claim a name with "waygate device claim"');
    await device.said(/^tunnel: connecting again$/, 20_000);
    expect(device.running).toBe(true);
    expect(await device.end('SIGTERM')).toBe(0);
  });

  it('when others can read its key', async () => {
    const files = await vendor.device('open-key', WORKSPACES);
    files.setKeyMode(0o644);
    const [code, said] = await endOf(files.run());
    expect(code).toBe(1);
    expect(said.join()).toContain(files.keyFile);
    expect(said.join()).toMatch(/chmod 600/);
  });

  it('when its configuration is wrong, with the place in the file', async () => {
    const files = await vendor.device('misspelt', WORKSPACES);
    files.write({ workspaces: WORKSPACES, vendorKey: 'waygate-vendor:short' });
    const device = files.run();
    expect(await device.ended).toBe(2);
    expect(device.words()).toMatch(/device\.yaml:\d+:\d+: .*vendorKey/);
  });
});

describe.concurrent('a device finds something else than its relay', { timeout: 60_000 }, () => {
  const servers: Server[] = [];
  afterAll(() => {
    for (const server of servers) server.close();
  });

  /** A device that dials this server. */
  async function dials(server: Server, name: string): Promise<DeviceFiles> {
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const files = await vendor.device(name, WORKSPACES);
    files.write({ workspaces: WORKSPACES, url: `wss://tunnel.${ZONE}:${port}/` });
    return files;
  }

  /** A web server that has a certificate of the vendor for the relay's name. */
  async function webServer(status: number): Promise<Server> {
    const zone = parseHostname(ZONE);
    const hostname = parseHostname(`tunnel.${ZONE}`);
    if (zone === undefined || hostname === undefined) throw new Error('unreachable');
    const authority = await openAuthority(
      await openStore(`${vendor.folder}/relay/certificates`),
      zone,
    );
    const { certPem: cert, keyPem: key } = await authority.issue([hostname]);
    return createHttpsServer({ cert, key }, (_, response) => {
      response.writeHead(status).end('no relay');
    });
  }

  it('a web server: ends with exit code 1', async () => {
    const files = await dials(await webServer(404), 'web-server');
    expect(await endOf(files.run())).toEqual([
      1,
      [expect.stringMatching(/^The server at \S+ \(127\.0\.0\.1\) is no relay: .* status 404\./)],
    ]);
  });

  it.each([
    ['a balancer without a relay', () => webServer(503), /cannot be used now \(status 503\)\./],
    ['plain HTTP', async () => createHttpServer(), /speaks no TLS\. Check the port/],
    [
      'another certificate',
      async () => (await strangeServer()).unref(),
      /The certificate that \S+ \(127\.0\.0\.1\) shows cannot be trusted \(\w+\)\./,
    ],
    ['nothing', async () => createServer((socket) => socket.destroy()), /closed the connection/],
  ])('%s: says so, and waits', async (what, make, sentence) => {
    const files = await dials(await make(), what.replaceAll(' ', '-').slice(0, 20));
    const device = files.run();
    await device.said(sentence, 20_000);
    await device.said(/^tunnel: connecting again$/, 5_000);
    expect(device.log.filter(({ msg }) => /\n|[^\x20-\x7e]/.test(msg))).toEqual([]);
    expect(device.running).toBe(true);
    expect(await device.end('SIGTERM')).toBe(0);
  });

  async function strangeServer(): Promise<Server> {
    await using other = await Installation.make();
    const zone = parseHostname(ZONE);
    if (zone === undefined) throw new Error('unreachable');
    const authority = await openAuthority(
      await openStore(`${other.folder}/relay/certificates`),
      zone,
    );
    const { certPem: cert, keyPem: key } = await authority.issue([zone]);
    return createHttpsServer({ cert, key });
  }

  it('no relay at first, and then one that does not know it: says so, and waits', async () => {
    await using later = await Installation.make();
    const files = await later.device('early', WORKSPACES);
    files.write({ workspaces: WORKSPACES, key: `${files.keyFile}.new` });
    const device = files.run();
    await device.said(/^Nothing listens at/, 20_000);
    await later.relay();
    await device.said(/^This device key is not enrolled here/, 20_000);
    const attempts = () => device.count(/^tunnel: connecting again/);
    const before = attempts();
    await until(() => attempts() >= before + 3, 20_000, 'another attempt');
    // Said once, however often it is tried.
    expect(device.count(/^This device key is not enrolled here/)).toBe(1);
    expect(device.running).toBe(true);
  });
});

describe('a device whose key is revoked', { timeout: 60_000 }, () => {
  it('U-11 is cut off within 5 s, by a change that another process makes', async () => {
    await using workspace = await startWorkspace('here');
    const files = await vendor.device('revoked', { code: workspace.target });
    const device = await files.start();
    const url = `https://code.revoked.${ZONE}:${vendor.port}/`;
    await untilStatus(vendor, url, 200, 10_000);
    const { thumbprint } = await files.makeKey();
    const revokedAtMs = performance.now();
    await vendor.withRegistry((registry) => registry.revoke({ thumbprint, actor: 'test' }));
    await until(
      async () => (await ask(vendor, url)).status === 503,
      5_000,
      'the end of its service',
    );
    await device.said(/^The vendor has revoked the key of this device/, 5_000);
    expect(performance.now() - revokedAtMs).toBeLessThan(5_000);
    expect(device.count(/^tunnel: connecting again$/)).toBe(0);
    const { ops } = await device.ready();
    const readiness = await fetch(`${ops.url}/readyz`);
    expect([readiness.status, await readiness.text()]).toEqual([
      503,
      expect.stringMatching(/^The vendor has revoked/),
    ]);
    expect(CLOSE.revoked).toBe(4006);
    // Started again it is refused.
    await device.end('SIGTERM');
    await files.run().said(/^This device key is not enrolled here, or it was revoked\./, 20_000);
  });
});
