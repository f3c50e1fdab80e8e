// The portal's certificate from files: exchanged when they change, kept when they cannot be used.
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, TLSSocket } from 'node:tls';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createAuthority } from '../../../certs/authority.ts';
import { type Hostname, parseHostname } from '../../../dns/name.ts';
import { TicketKeys } from '../../../relay/certificates/ticket-keys.ts';
import { tlsSettings } from '../../../relay/entrance/tls-settings.ts';
import { PortalCertificate } from '../../../relay/portal/certificate-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'waygate-certificate-'));
const files = { certificate: join(folder, 'my.pem'), key: join(folder, 'my.key') };
const hostname = nameOf('names.example.org');
const lines: string[] = [];
const log = pino({}, { write: (line: string) => void lines.push(line) });
let authority: Awaited<ReturnType<typeof createAuthority>>;
let certificate: PortalCertificate;
/** A wall clock that a test moves; any key may stand for those that relays share. */
let nowMs = Date.UTC(2026, 10, 21, 23, 59);
const ticketKeys = new TicketKeys(
  { derive: (use, bytes) => createHash('sha512').update(use).digest().subarray(0, bytes) },
  () => nowMs,
);

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

interface Visit {
  readonly serialNumber: string;
  /** What the visitor may come back with. */
  readonly session: Buffer | undefined;
  readonly resumed: boolean;
}

/** By TLS 1.2, where the ticket is there with the handshake. `session`: he was here before. */
async function visit(session?: Buffer): Promise<Visit> {
  // As the entrance does it: the context is chosen before TLS begins.
  const server = createServer((socket) => {
    const secureContext = certificate.context;
    const accepted = new TLSSocket(socket, { isServer: true, secureContext });
    accepted.on('error', () => undefined).resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const trusted = { servername: hostname, ca: authority.caPem, maxVersion: 'TLSv1.2' } as const;
  const visitor = connect({ host: '127.0.0.1', port, session, ...trusted });
  await once(visitor, 'secureConnect');
  const { serialNumber } = visitor.getPeerCertificate();
  const seen = { session: visitor.getSession(), resumed: visitor.isSessionReused(), serialNumber };
  visitor.destroy();
  server.close();
  return seen;
}

/** The serial number of the certificate that a visitor gets. */
async function served(): Promise<string> {
  return (await visit()).serialNumber;
}

beforeAll(async () => {
  authority = await createAuthority(nameOf('example.org'));
  await write(hostname);
  certificate = await PortalCertificate.open({
    ...{ files, hostname, log },
    settings: () => tlsSettings(hostname, ticketKeys.keys),
    edition: () => ticketKeys.day,
  });
});

afterAll(() => {
  certificate.close();
  rmSync(folder, { recursive: true });
});

describe('a certificate from files', () => {
  it('is exchanged when the files are others', async () => {
    const serial = await write(hostname);
    await certificate.look();
    expect(await served()).toBe(serial);
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
    expect(lines.at(-1)).toContain('it cannot be read (ENOENT)');
    expect(await served()).toBe(serial);
    expect(lines.join()).not.toContain('PRIVATE');
  });

  it('bug: a pair that was half copied for a moment is tried again, and told once', async () => {
    const serial = await write(hostname);
    await certificate.look();
    const { certPem, keyPem } = await authority.issue([hostname]);
    const next = new X509Certificate(certPem).serialNumber;
    const at = new Date(Date.now() - 60_000);
    // In place, and within one step of the clock: nothing but its bytes tells one from the other.
    const writeKey = (text: string) => {
      writeFileSync(files.key, text);
      utimesSync(files.key, at, at);
    };
    writeFileSync(files.certificate, certPem);
    writeKey(keyPem.slice(0, keyPem.length / 2).padEnd(keyPem.length, '\0'));
    const told = lines.length;
    for (let look = 0; look < 3; look += 1) await certificate.look();
    expect(lines).toHaveLength(told + 1);
    expect(lines.at(-1)).toContain('or its key cannot be read');
    expect(await served()).toBe(serial);
    writeKey(keyPem);
    // By itself, within seconds.
    const isTaken = () => expect(lines.at(-1)).toContain('a new certificate is in use');
    await vi.waitFor(isTaken, { timeout: 30_000, interval: 50 });
    expect(await served()).toBe(next);
    expect(lines).toHaveLength(told + 2);
  });

  it('stays over the night when the chain behind the new one is none', async () => {
    const serial = await write(hostname);
    await certificate.look();
    const { certPem, keyPem } = await authority.issue([hostname]);
    const broken = '-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n';
    writeFileSync(files.certificate, certPem + broken);
    writeFileSync(files.key, keyPem);
    await certificate.look();
    expect(lines.at(-1)).toContain('or its key cannot be read');
    expect(await served()).toBe(serial);
    // Another day, other ticket keys: the context is made anew.
    nowMs += 86_400_000;
    expect(await served()).toBe(serial);
  });

  it('seals tickets with the keys of the day: those of the day before are worth nothing', async () => {
    await write(hostname);
    await certificate.look();
    const evening = await visit();
    expect((await visit(evening.session)).resumed).toBe(true);
    const { context } = certificate;
    nowMs += 120_000;
    const night = await visit(evening.session);
    expect([night.resumed, night.serialNumber]).toEqual([false, evening.serialNumber]);
    expect((await visit(night.session)).resumed).toBe(true);
    expect(certificate.context).not.toBe(context);
    // Not for every connection anew.
    expect(certificate.context).toBe(certificate.context);
  });
});
