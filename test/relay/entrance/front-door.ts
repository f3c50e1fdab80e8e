// A TLS listener with two devices' certificates, for tests. What it accepts it greets with one line.
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import {
  type ConnectionOptions,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
  connect as tlsConnect,
} from 'node:tls';
import { pino } from 'pino';
import { Journal } from '../../../relay/entrance/journal.ts';
import { Sweep } from '../../../relay/entrance/sweep.ts';
import { listenTls, type TlsListener, type TlsOptions } from '../../../relay/entrance/tls.ts';
import { tlsSettings } from '../../../relay/entrance/tls-settings.ts';

export interface Greeting {
  readonly hostname: string | null;
  readonly alpn: string;
  readonly resumed: boolean;
}

export interface FrontDoor {
  readonly listener: TlsListener;
  readonly journal: Journal;
  readonly logged: string[];
  readonly accepted: Set<TLSSocket>;
  stop(): void;
}

const ticketKeys = randomBytes(48);
export const alice = servedAs('alice.vendor.test', '*.alice.vendor.test');
const bob = servedAs('bob.vendor.test', '*.bob.vendor.test');
export const vendor = servedAs('vendor.test');
/** What an authority is shown; another certificate is enough here. */
export const proof = servedAs('proof.vendor.test');
const rsa = servedWith(['rsa:2048'], 'rsa.vendor.test');

export function chooseContext(hostname: string): SecureContext | undefined {
  if (hostname === 'alice.vendor.test' || hostname.endsWith('.alice.vendor.test')) return alice;
  if (hostname === 'bob.vendor.test') return bob;
  return hostname === 'rsa.vendor.test' ? rsa : undefined;
}

export async function openFrontDoor(options: Partial<TlsOptions> = {}): Promise<FrontDoor> {
  const logged: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => logged.push(line) });
  const journal = new Journal({ log, accessLog: false });
  const sweep = new Sweep();
  const accepted = new Set<TLSSocket>();
  const listener = await listenTls({
    host: '127.0.0.1',
    port: 0,
    choose: chooseContext,
    fallback: () => vendor,
    offers: (hostname) =>
      hostname === 'bob.vendor.test' ? ['http/1.1'] : (['h2', 'http/1.1'] as const),
    accept: (socket, { hostname }, alpn) => {
      accepted.add(socket);
      socket.on('close', () => accepted.delete(socket));
      socket.on('end', () => socket.end());
      socket.resume();
      const resumed = socket.isSessionReused();
      socket.write(`HELLO ${JSON.stringify({ hostname: hostname ?? null, alpn, resumed })}\n`);
    },
    journal,
    sweep,
    ...options,
  });
  const stop = (): void => {
    listener.destroy();
    sweep.stop();
  };
  return { listener, journal, logged, accepted, stop };
}

/** Does a handshake; resolves with the greeting, rejects with the TLS error. */
export async function greet(
  port: number,
  servername: string,
  options: ConnectionOptions = {},
): Promise<Greeting> {
  const socket = tlsConnect({
    host: '127.0.0.1',
    port,
    servername,
    rejectUnauthorized: false,
    ...options,
  });
  return await greetingOf(socket);
}

export function greetingOf(socket: TLSSocket): Promise<Greeting> {
  return new Promise((resolve, reject) => {
    socket.once('data', (bytes) => {
      resolve(JSON.parse(bytes.toString().slice('HELLO '.length)));
      socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed')));
  });
}

/** Writes bytes to the port as they are; resolves with all that comes until the connection closes. */
export async function answerTo(port: number, bytes: Buffer | string): Promise<Buffer> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.write(bytes);
  return await received(socket);
}

export function received(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  return new Promise((resolve, reject) => {
    socket.on('data', (part) => parts.push(Buffer.from(part)));
    socket.on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(parts)));
  });
}

/** Runs `openssl s_client` until the greeting or its end; resolves with all that it printed. */
export function openssl(port: number, ...args: readonly string[]): Promise<string> {
  const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...args]);
  let output = '';
  const more = (part: Buffer): void => {
    output += part.toString();
    if (output.includes('HELLO')) child.stdin.end('Q\n');
  };
  child.stdout.on('data', more);
  child.stderr.on('data', more);
  child.stdin.on('error', () => child.kill());
  return new Promise((resolve) => child.on('close', () => resolve(output)));
}

function servedAs(...names: readonly string[]): SecureContext {
  return servedWith(['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], ...names);
}

function servedWith(keyType: readonly string[], ...names: readonly string[]): SecureContext {
  const subject = `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`;
  const args = ['req', '-x509', '-nodes', '-newkey', ...keyType, '-subj', `/CN=${names[0]}`];
  const out = ['-addext', subject, '-keyout', '-', '-out', '-'];
  const { stdout: pem } = spawnSync('openssl', [...args, ...out], { encoding: 'latin1' });
  return createSecureContext({ key: pem, cert: pem, ...tlsSettings(names[0] ?? '', ticketKeys) });
}
