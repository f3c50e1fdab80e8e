// Somebody between device and relay, or in front of the relay: a proxy that ends TLS with a certificate
// that the device trusts (U-10), and one that claims who the visitor is (N-2). And what a workspace sees
// of where a request came from (N-8).
import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openAuthority } from '../../../certs/authority.ts';
import { openStore } from '../../../certs/store.ts';
import { type Sample, startSample } from '../../../device-client/sample.ts';
import { parseHostname } from '../../../dns/name.ts';
import { Installation, ZONE } from '../../world/installation.ts';
import { within } from '../../world/program-process.ts';
import { ask, until, untilStatus } from '../../world/visits.ts';

let sample: Sample;
let vendor: Installation;
let url: string;
beforeAll(async () => {
  sample = await startSample();
  vendor = await Installation.make();
  const files = await vendor.device('alice', { code: sample.url });
  await vendor.relay();
  await files.start();
  url = `https://code.alice.${ZONE}:${vendor.port}/`;
  await untilStatus(vendor, url, 200, 10_000);
}, 60_000);
afterAll(async () => {
  await vendor[Symbol.asyncDispose]();
  await sample.stop();
});

describe('a proxy between device and relay', { timeout: 60_000 }, () => {
  it('U-10 is found out although its certificate is trusted, and gets no proof', async () => {
    const zone = parseHostname(ZONE);
    const hostname = parseHostname(`tunnel.${ZONE}`);
    if (zone === undefined || hostname === undefined) throw new Error('unreachable');
    const authority = await openAuthority(
      await openStore(`${vendor.folder}/relay/certificates`),
      zone,
    );
    const { certPem: cert, keyPem: key } = await authority.issue([hostname]);
    let toRelay = 0;
    const proxy = createTlsServer({ cert, key }, (device: TLSSocket) => {
      const { address: host, port, caPem: ca } = vendor;
      const relay = connectTls({ host, port, ca, servername: hostname });
      device.on('error', () => relay.destroy());
      relay.on('error', () => device.destroy());
      device.on('data', (bytes) => {
        toRelay += bytes.length;
      });
      device.pipe(relay).pipe(device);
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const { port } = proxy.address() as AddressInfo;
    const files = await vendor.device('bob', { code: sample.url });
    files.write({ workspaces: { code: sample.url }, url: `wss://tunnel.${ZONE}:${port}/` });
    const device = files.run();
    expect(await within(device.ended, 20_000, 'the end of the device')).toBe(1);
    expect(device.words()).toMatch(/do not see the same TLS connection\. Somebody in between/);
    // Two upgrades and two closes went through; a proof alone has more than 400 bytes.
    expect(toRelay).toBeLessThan(2 * 500);
    proxy.close();
  });

  it('that passes the bytes on is welcome', async () => {
    const proxy = createTcpServer((device) => {
      const relay = connectTcp({ host: vendor.address, port: vendor.port });
      device.on('error', () => relay.destroy());
      relay.on('error', () => device.destroy());
      device.pipe(relay).pipe(device);
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const { port } = proxy.address() as AddressInfo;
    const files = await vendor.device('carol', { code: sample.url });
    files.write({ workspaces: { code: sample.url }, url: `wss://tunnel.${ZONE}:${port}/` });
    await files.start();
    await untilStatus(vendor, `https://code.carol.${ZONE}:${vendor.port}/`, 200, 10_000);
    proxy.close();
  });
});

describe('where a visitor is', { timeout: 30_000 }, () => {
  const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
  const v2 = Buffer.concat([
    signature,
    Buffer.from([0x21, 0x11, 0, 12, 10, 0, 0, 1, 127, 0, 0, 1, 0, 80, 1, 187]),
  ]);
  it.each([
    ['PROXY protocol 1', Buffer.from('PROXY TCP4 10.0.0.1 127.0.0.1 80 443\r\n')],
    ['PROXY protocol 2', v2],
  ])('N-2 %s is no TLS, and is refused', async (_, header) => {
    const socket = connectTcp({ host: vendor.address, port: vendor.port });
    const pieces: Buffer[] = [];
    socket.on('data', (bytes) => pieces.push(bytes));
    socket.on('error', () => undefined);
    let over = false;
    socket.on('close', () => {
      over = true;
    });
    socket.write(header);
    const tls = connectTls({ socket, servername: `code.alice.${ZONE}`, ca: vendor.caPem });
    tls.on('error', () => undefined);
    await until(() => over, 5_000, 'the end of the connection');
    expect(tls.authorized).toBe(false);
    // No page, and no certificate: an alert at most.
    expect(Buffer.concat(pieces).length).toBeLessThan(10);
  });

  it('N-8 shows in every request through a tunnel, although it comes from loopback', async () => {
    const forged = {
      'x-forwarded-for': '192.0.2.66',
      forwarded: 'for=192.0.2.66',
      'x-real-ip': '192.0.2.66',
      'x-waygate-trust': '3',
      'x-waygate-via': 'lan',
    };
    for (const headers of [{}, forged]) {
      const { body } = await ask(vendor, `${url}headers`, { headers });
      const seen = JSON.parse(body);
      expect(seen).toMatchObject({ trust: '0', via: 'relay', address: '127.0.0.1' });
      expect(seen.headers['x-forwarded-proto']).toBe('https');
      expect(body).not.toContain('192.0.2.66');
      expect(seen.headers.host).toBe(`code.alice.${ZONE}:${vendor.port}`);
    }
    // Straight to the workspace there is none of it.
    const direct: { readonly headers: object } = JSON.parse(
      await (await fetch(`${sample.url}/headers`)).text(),
    );
    expect(Object.keys(direct.headers).filter((name) => /forwarded|waygate/.test(name))).toEqual(
      [],
    );
  });
});
