// Visitors of journeys: one who says any bytes over TLS, and the programs that people use.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { buffer, text } from 'node:stream/consumers';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { ByteStream } from './byte-stream.ts';
import { type RawMessage, readResponse } from './http-text.ts';
import { within } from './program-process.ts';
import type { Vendor } from './vendor.ts';

const WAIT_MS = 15_000;

/** A TLS connection for a workspace's name, as a visitor's program makes it. */
export async function dialTls(
  vendor: Vendor,
  workspace: string,
  options: ConnectionOptions = {},
): Promise<TLSSocket> {
  const socket = connect({
    host: vendor.address,
    port: vendor.port,
    servername: vendor.hostname(workspace),
    ca: vendor.caPem,
    ALPNProtocols: ['http/1.1'],
    ...options,
  });
  socket.setNoDelay(true);
  await within(once(socket, 'secureConnect'), WAIT_MS, 'a TLS connection');
  return socket;
}

/** A visitor who says bytes. */
export async function arrive(
  vendor: Vendor,
  workspace: string,
  options: ConnectionOptions = {},
): Promise<ByteStream> {
  return new ByteStream(await dialTls(vendor, workspace, options));
}

/** One request of raw text on a connection of its own, up to the end of its response. */
export async function askRaw(
  vendor: Vendor,
  workspace: string,
  request: string,
): Promise<RawMessage> {
  using visitor = await arrive(vendor, workspace);
  visitor.write(request);
  return await readResponse(visitor, request.slice(0, request.indexOf(' ')));
}

/**
 * Proof that time has passed for both programs: everything that was under way before is where it
 * can get to, because this request took the same ways and came back.
 */
export async function roundTrip(vendor: Vendor, workspace: string): Promise<void> {
  const host = vendor.host(workspace);
  await askRaw(vendor, workspace, `GET /round-trip HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
}

export interface CurlResult {
  /** 0: all is well. 18: a part is missing. 56: the connection broke. */
  readonly exitCode: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** What `curl -sS ARGS URL` makes of it: a visitor's program that is not of our kind. */
export async function curl(
  vendor: Vendor,
  url: string,
  ...args: readonly string[]
): Promise<CurlResult> {
  const { hostname } = new URL(url);
  const resolve = `${hostname}:${vendor.port}:${vendor.address}`;
  const given = ['-sS', '--cacert', vendor.ca, '--resolve', resolve, '--max-time', '20', ...args];
  const child = spawn('curl', [...given, url], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr, [exitCode]] = await Promise.all([
    buffer(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { exitCode, stdout, stderr };
}
