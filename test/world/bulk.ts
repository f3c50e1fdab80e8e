// Bodies of many gigabytes that nobody holds: made as they are sent, hashed as they come.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Readable, Writable } from 'node:stream';
import type { ProgramName, Vendor } from './vendor.ts';
import { begin } from './visits.ts';
import type { HttpWorkspace } from './workspace.ts';

const BLOCK_BYTES = 1_048_576;
const PROGRAMS: readonly ProgramName[] = ['relay', 'device'];

export interface Bulk {
  readonly sent: string;
  readonly received: string;
  readonly bytes: number;
  /** How far the memory of each program rose above what it had after the first 64 MiB. */
  readonly grewBytes: Readonly<Record<ProgramName, number>>;
  readonly mibPerSecond: number;
}

/** Writes so many bytes, no two blocks alike, and returns their SHA-256. */
async function send(to: Writable, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  const base = randomBytes(BLOCK_BYTES);
  for (let at = 0; at < bytes; at += BLOCK_BYTES) {
    const block = Buffer.from(base.subarray(0, Math.min(BLOCK_BYTES, bytes - at)));
    block.writeDoubleBE(at, 0);
    hash.update(block);
    if (!to.write(block)) await once(to, 'drain');
  }
  to.end();
  return hash.digest('hex');
}

async function receive(from: Readable, seen: (bytes: number) => void): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of from) {
    hash.update(piece);
    seen(piece.length);
  }
  return hash.digest('hex');
}

/** Watches the memory of both programs while bytes pass. */
class MemoryWatch {
  readonly #vendor: Vendor;
  readonly #base = new Map<ProgramName, number>();
  readonly #peak = new Map<ProgramName, number>();
  #bytes = 0;
  #lookedAt = 0;

  constructor(vendor: Vendor) {
    this.#vendor = vendor;
  }

  readonly seen = (bytes: number): void => {
    this.#bytes += bytes;
    if (this.#bytes - this.#lookedAt < 64 * BLOCK_BYTES) return;
    this.#lookedAt = this.#bytes;
    for (const name of PROGRAMS) {
      const now = this.#vendor.residentBytes(name);
      if (!this.#base.has(name)) this.#base.set(name, now);
      this.#peak.set(name, Math.max(now, this.#peak.get(name) ?? 0));
    }
  };

  get bytes(): number {
    return this.#bytes;
  }

  grew(name: ProgramName): number {
    return (this.#peak.get(name) ?? 0) - (this.#base.get(name) ?? 0);
  }
}

/** One response of so many bytes, through one stream. */
export async function download(
  vendor: Vendor,
  workspace: HttpWorkspace,
  url: string,
  bytes: number,
): Promise<Bulk> {
  const watch = new MemoryWatch(vendor);
  const sent = Promise.withResolvers<string>();
  workspace.answer = (_, response) => {
    response.writeHead(200, { 'content-length': bytes });
    send(response, bytes).then(sent.resolve, sent.reject);
  };
  const begunMs = performance.now();
  const received = await receive(await begin(vendor, url), watch.seen);
  return report(watch, { sent: await sent.promise, received, begunMs });
}

/** One request body of so many bytes, through one stream. */
export async function upload(
  vendor: Vendor,
  workspace: HttpWorkspace,
  url: string,
  bytes: number,
): Promise<Bulk> {
  const watch = new MemoryWatch(vendor);
  workspace.answer = (request, response) => {
    void receive(request, watch.seen).then((hash) => response.end(hash));
  };
  const { hostname, pathname } = new URL(url);
  const asked = httpsRequest({
    host: vendor.address,
    port: vendor.port,
    servername: hostname,
    ca: vendor.caPem,
    path: pathname,
    method: 'PUT',
    headers: { host: new URL(url).host, 'content-length': bytes },
  });
  const begunMs = performance.now();
  const answered = once(asked, 'response');
  const sent = await send(asked, bytes);
  const [response]: IncomingMessage[] = await answered;
  if (response === undefined) throw new Error('no response');
  const pieces = await response.toArray();
  return report(watch, { sent, received: Buffer.concat(pieces).toString('latin1'), begunMs });
}

function report(
  watch: MemoryWatch,
  facts: { readonly sent: string; readonly received: string; readonly begunMs: number },
): Bulk {
  const seconds = (performance.now() - facts.begunMs) / 1_000;
  return {
    sent: facts.sent,
    received: facts.received,
    bytes: watch.bytes,
    grewBytes: { relay: watch.grew('relay'), device: watch.grew('device') },
    mibPerSecond: Math.round(watch.bytes / BLOCK_BYTES / seconds),
  };
}
