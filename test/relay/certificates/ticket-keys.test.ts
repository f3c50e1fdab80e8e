import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket, connect as tlsConnect } from 'node:tls';
import { pino } from 'pino';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { createAuthority } from '../../../certs/authority.ts';
import { Chooser } from '../../../certs/chooser.ts';
import { Envelope } from '../../../certs/envelope.ts';
import { TicketKeys } from '../../../relay/certificates/ticket-keys.ts';
import { tlsSettings } from '../../../relay/entrance/tls-settings.ts';
import { DAY_MS, ZONE } from './issuing-stand.ts';

const NOON_MS = Date.UTC(2026, 10, 21, 12);
const authority = await createAuthority(ZONE);
const certificate = await authority.issue([ZONE]);
let file: string;
let nowMs: number;

beforeEach(async () => {
  nowMs = NOON_MS;
  const directory = await mkdtemp(join(tmpdir(), 'waygate-tickets-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  file = join(directory, 'envelope.key');
});

const relayKeys = async () => new TicketKeys(await Envelope.open(file), () => nowMs);

test('all who have the envelope key have the same keys, which are others each day (UTC)', async () => {
  const [one, other] = [await relayKeys(), await relayKeys()];
  const today = one.keys;
  expect(today).toHaveLength(48);
  expect(other.keys).toEqual(today);
  nowMs = NOON_MS + DAY_MS / 2 - 1;
  expect(one.keys).toEqual(today);
  nowMs += 1;
  expect(one.keys).not.toEqual(today);
  expect(other.keys).toEqual(one.keys);
  const stranger = new TicketKeys(await Envelope.open(`${file}.other`), () => nowMs);
  expect(stranger.keys).not.toEqual(one.keys);
});

/** A relay with a chooser of its own; the port. */
async function relay(): Promise<{ readonly port: number; readonly chooser: Chooser }> {
  const tickets = await relayKeys();
  const chooser = new Chooser({
    subjects: () => [ZONE],
    source: { load: () => Promise.resolve(certificate), onChange: () => undefined },
    settings: (subject) => tlsSettings(subject, tickets.keys),
    edition: () => tickets.day,
    log: pino({ enabled: false }),
  });
  // As the entrance does it: the context is chosen before TLS begins.
  const server = createServer(async (socket) => {
    const secureContext = await chooser.choose(ZONE);
    const visitor = new TLSSocket(socket, {
      isServer: true,
      ...(secureContext && { secureContext }),
    });
    visitor.on('error', () => undefined).resume();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, chooser };
}

interface Visit {
  readonly resumed: boolean;
  readonly session: Buffer | undefined;
}

/** By TLS 1.2, where the ticket is there with the handshake. */
async function visit(port: number, session?: Buffer): Promise<Visit> {
  const trusted = { servername: ZONE, ca: authority.caPem, maxVersion: 'TLSv1.2' } as const;
  const socket = tlsConnect({ port, host: '127.0.0.1', session, ...trusted });
  await once(socket, 'secureConnect');
  const seen = { resumed: socket.isSessionReused(), session: socket.getSession() };
  socket.destroy();
  return seen;
}

test('a visitor resumes at another relay; after midnight once with a full handshake', async () => {
  const [first, second] = [await relay(), await relay()];
  const { session } = await visit(first.port);
  expect((await visit(second.port, session)).resumed).toBe(true);
  nowMs += DAY_MS;
  const before = await second.chooser.choose(ZONE);
  await vi.waitFor(async () => expect(await second.chooser.choose(ZONE)).not.toBe(before));
  const next = await visit(second.port, session);
  expect(next.resumed).toBe(false);
  expect((await visit(second.port, next.session)).resumed).toBe(true);
});
