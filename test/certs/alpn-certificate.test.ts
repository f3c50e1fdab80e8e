import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import { makeAlpnCertificate } from '../../certs/alpn-certificate.ts';
import { type Hostname, parseHostname } from '../../dns/name.ts';

const DOMAIN = parseHostname('app.example.org') as Hostname;
const KEY_AUTHORIZATION = 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ.thumbprint';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

test('an ALPN certificate has the one name and the digest in a critical extension', async () => {
  const { certPem } = await makeAlpnCertificate(DOMAIN, KEY_AUTHORIZATION);
  const certificate = new X509Certificate(certPem);
  expect(certificate.subjectAltName).toBe('DNS:app.example.org');
  const digest = createHash('sha256').update(KEY_AUTHORIZATION).digest('hex');
  // OID 1.3.6.1.5.5.7.1.31, critical, OCTET STRING of the extension, OCTET STRING of the digest.
  const extension = `06082b0601050507011f0101ff042204 20${digest}`.replace(' ', '');
  expect(certificate.raw.toString('hex')).toContain(extension);
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(certificate.ca).toBe(false);
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)('it is shown by %s', async (version) => {
  const { certPem, keyPem } = await makeAlpnCertificate(DOMAIN, KEY_AUTHORIZATION);
  const server = createServer({ cert: certPem, key: keyPem, ALPNProtocols: ['acme-tls/1'] });
  closing.push(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const socket: TLSSocket = tlsConnect({
    ...{ port, host: '127.0.0.1', servername: DOMAIN, ALPNProtocols: ['acme-tls/1'] },
    ...{ rejectUnauthorized: false, minVersion: version, maxVersion: version },
  });
  await once(socket, 'secureConnect');
  expect(socket.alpnProtocol).toBe('acme-tls/1');
  expect(socket.getPeerX509Certificate()?.toString()).toBe(certPem);
  socket.destroy();
});
