// The promise (F-13, U-7): a visitor who reads nothing stops his own workspace, and holds up nobody.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readHead, readResponse, statusOf } from '../world/http-text.ts';
import { startVendor, type Vendor } from '../world/vendor.ts';
import { arrive, dialTls } from '../world/visitor.ts';
import { HttpWorkspace } from '../world/workspace.ts';

const KIB = 1_024;
const MIB = 1_024 * KIB;
const SAMPLES = 400;

const open = new AsyncDisposableStack();
let web: HttpWorkspace;
let vendor: Vendor;

beforeAll(async () => {
  web = open.use(await HttpWorkspace.open());
  vendor = open.use(await startVendor({ web: web.url }, { relayConfig: 'accessLog: false\n' }));
  web.answer = (request, response) => {
    if (request.url !== '/endless') return response.end('answer');
    response.writeHead(200);
    const piece = Buffer.alloc(64 * KIB);
    const more = (): void => {
      while (!response.destroyed && response.write(piece));
    };
    response.on('drain', more);
    more();
    return response;
  };
}, 60_000);
afterAll(() => open.disposeAsync());

/** A visitor who asks for an endless download and reads not a byte of it. */
async function stall(): Promise<Socket> {
  const socket = await dialTls(vendor, 'web');
  socket.on('error', () => undefined);
  socket.pause();
  socket.write(`GET /endless HTTP/1.1\r\nHost: ${vendor.host('web')}\r\n\r\n`);
  return socket;
}

/** Waits until the workspace's sockets have stood still for half a second. */
async function untilStill(): Promise<void> {
  const sent = () => web.sockets.reduce((sum, socket) => sum + socket.bytesWritten, 0);
  for (let before = -1; before !== sent(); await pause(500)) before = sent();
}

/** Milliseconds of one small request at each time, on a connection that is kept. */
async function latencies(): Promise<number[]> {
  using visitor = await arrive(vendor, 'web');
  const request = `GET / HTTP/1.1\r\nHost: ${vendor.host('web')}\r\n\r\n`;
  const taken: number[] = [];
  for (let count = 0; count < SAMPLES; count++) {
    const begunMs = performance.now();
    visitor.write(request);
    expect(statusOf(await readResponse(visitor, 'GET'))).toBe(200);
    taken.push(performance.now() - begunMs);
  }
  return taken;
}

function p99(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? 0;
}

describe('visitors who read nothing', () => {
  it('U-7 leave the p99 of another visitor within 10 %', async () => {
    const free: number[] = [];
    const beside: number[] = [];
    // Interleaved, so that a busy machine is as busy for the one as for the other.
    for (let round = 0; round < 5; round++) {
      free.push(...(await latencies()));
      const stalled = await Promise.all(Array.from({ length: 8 }, stall));
      await untilStill();
      beside.push(...(await latencies()));
      for (const socket of stalled) socket.destroy();
      expect(await streamsLeft()).toBe(0);
    }
    process.stderr.write(
      `p99 alone ${p99(free).toFixed(2)} ms, beside ${p99(beside).toFixed(2)} ms\n`,
    );
    // A tenth, and two milliseconds for what the scheduler of a busy machine does.
    expect(p99(beside)).toBeLessThan(p99(free) * 1.1 + 2);
  }, 120_000);

  it('F-13 a workspace that reads nothing of an upload stops its visitor, not the relay', async () => {
    const reached = new Promise<Socket>((resolve) => {
      web.server.once('connection', (socket: Socket) => resolve(socket));
    });
    const respond = web.answer;
    web.answer = (request) => void request.pause();
    const before = { relay: vendor.residentBytes('relay'), device: vendor.residentBytes('device') };
    const visitor = await dialTls(vendor, 'web');
    visitor.on('error', () => undefined);
    visitor.write(
      `PUT /up HTTP/1.1\r\nHost: ${vendor.host('web')}\r\nContent-Length: ${1_024 * MIB}\r\n\r\n`,
    );
    await reached;
    const piece = Buffer.alloc(MIB);
    let sent = 0;
    while (sent < 256 && (visitor.write(piece) || (await drained(visitor)))) sent++;
    // The kernels on the way hold some megabytes; we hold a window at each hop.
    expect(sent).toBeLessThan(64);
    expect(vendor.residentBytes('relay') - before.relay).toBeLessThan(16 * MIB);
    expect(vendor.residentBytes('device') - before.device).toBeLessThan(16 * MIB);
    visitor.destroy();
    web.answer = respond;
    using other = await arrive(vendor, 'web');
    other.write(`GET / HTTP/1.1\r\nHost: ${vendor.host('web')}\r\n\r\n`);
    expect(statusOf(await readHead(other))).toBe(200);
  }, 60_000);
});

/** False: nothing has moved for a second. */
async function drained(socket: Socket): Promise<boolean> {
  const moved = await Promise.race([once(socket, 'drain').then(() => true), pause(1_000, false)]);
  return moved;
}

async function streamsLeft(): Promise<number> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const count = await vendor.metric('relay', 'waygate_streams');
    if (count === 0 || performance.now() > deadline) return count;
    await pause(50);
  }
}
