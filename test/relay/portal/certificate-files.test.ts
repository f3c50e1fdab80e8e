// The portal's certificate from files: exchanged when they change, kept when they cannot be used.
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type SecureContext } from 'node:tls';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAuthority } from '../../../certs/authority.ts';
import { type Hostname, parseHostname } from '../../../dns/name.ts';
import { PortalCertificate } from '../../../relay/portal/certificate-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'waygate-certificate-'));
const files = { certificate: join(folder, 'my.pem'), key: join(folder, 'my.key') };
const hostname = nameOf('names.example.org');
const lines: string[] = [];
const log = pino({}, { write: (line: string) => void lines.push(line) });
let authority: Awaited<ReturnType<typeof createAuthority>>;
let certificate: PortalCertificate;

function nameOf(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`${text} is no hostname`);
  return parsed;
}

async function write(name: Hostname): Promise<string> {
  const { certPem, keyPem } = await authority.issue([name]);
  writeFileSync(files.certificate, certPem);
  writeFileSync(files.key, keyPem);
  return new X509Certificate(certPem).serialNumber;
}

/** The serial number of the certificate that a visitor gets. */
async function served(secureContext: SecureContext): Promise<string> {
  const server = createServer({ SNICallback: (_name, done) => done(null, secureContext) });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const visitor = connect({ host: '127.0.0.1', port, servername: hostname, ca: authority.caPem });
  await once(visitor, 'secureConnect');
  const { serialNumber } = visitor.getPeerCertificate();
  visitor.destroy();
  server.close();
  return serialNumber;
}

beforeAll(async () => {
  authority = await createAuthority(nameOf('example.org'));
  await write(hostname);
  certificate = await PortalCertificate.open({ files, hostname, settings: {}, log });
});

afterAll(() => {
  certificate.close();
  rmSync(folder, { recursive: true });
});

describe('a certificate from files', () => {
  it('is exchanged when the files are others', async () => {
    const serial = await write(hostname);
    await certificate.look();
    expect(await served(certificate.context)).toBe(serial);
  });

  it('stays when the new one is for another host, has another key, or is none', async () => {
    const serial = await write(hostname);
    await certificate.look();
    await write(nameOf('other.example.org'));
    await certificate.look();
    expect(lines.at(-1)).toContain('is not for names.example.org');
    await write(hostname);
    writeFileSync(files.key, (await authority.issue([hostname])).keyPem);
    await certificate.look();
    expect(lines.at(-1)).toContain('does not fit to its key');
    writeFileSync(files.key, 'no key');
    await certificate.look();
    expect(lines.at(-1)).toContain('cannot be read');
    rmSync(files.certificate);
    await certificate.look();
    expect(lines.at(-1)).toContain('it cannot be read');
    expect(await served(certificate.context)).toBe(serial);
    expect(lines.join()).not.toContain('PRIVATE');
  });
});
