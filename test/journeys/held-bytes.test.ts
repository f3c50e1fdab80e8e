// The promise (F-13, U-6): of a stream that stands still, relay and device together hold at most
// 512 KiB outside the kernel, in either direction and however it came to stand still.
// Measured by balance: what one end has handed to the kernel, minus what the other end was given,
// minus what the kernel holds of every connection on the way, is in the two programs.
import { connect } from 'node:http2';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../../relay/protocol/limits.ts';
import type { ByteStream } from '../world/byte-stream.ts';
import { readHead } from '../world/http-text.ts';
import { queuedBytes } from '../world/kernel-queues.ts';
import { within } from '../world/program-process.ts';
import { startVendor, type Vendor } from '../world/vendor.ts';
import { dialTls } from '../world/visitor.ts';
import { until } from '../world/visits.ts';
import { RawWorkspace } from '../world/workspace.ts';

const KIB = 1_024;
const HELD_MAX = 512 * KIB;
const PIECE = Buffer.alloc(64 * KIB, 'x');
const WAIT_MS = 20_000;

const open = new AsyncDisposableStack();
let raw: RawWorkspace;
let vendor: Vendor;
/** Connections of the test that runs. */
const sockets: { destroy(): unknown }[] = [];

beforeAll(async () => {
  raw = open.use(await RawWorkspace.open());
  vendor = open.use(await startVendor({ raw: raw.url }));
  // Windows grow only for what is far away. Nothing is on one machine, but for programs that have
  // just started on a busy one; they measure again every ten seconds.
  await until(neighbours, 45_000, 'relay and device to know that they are neighbours');
}, 60_000);
afterEach(async () => {
  raw.forget();
  for (const socket of sockets.splice(0)) socket.destroy();
  await until(() => onTheWay() === 0, WAIT_MS, 'the kernel to forget the streams');
}, 2 * WAIT_MS);
afterAll(() => open.disposeAsync());

async function neighbours(): Promise<boolean> {
  const figures = [
    await vendor.metric('relay', 'waygate_round_trip_seconds'),
    await vendor.metric('device', 'waygate_device_round_trip_seconds'),
  ];
  return figures.every((figure) => figure > 0 && figure * 1_000 < LIMITS.windowGrowthRoundTripMs);
}

/** Writes without end, as far as the other side takes it. */
function pour(socket: Socket): void {
  const more = (): void => {
    while (socket.writable && socket.write(PIECE));
  };
  socket.on('drain', more);
  more();
}

/** What a socket has handed to the kernel. */
function handedBytes(socket: Socket): number {
  return socket.bytesWritten - socket.writableLength;
}

/** The difference of a sum that grows, once it has stood still for some tenths of a second. */
async function settled(bytes: () => number): Promise<number> {
  const stands = async (): Promise<number> => {
    let before = Number.NaN;
    for (let still = 0; still < 4; ) {
      await pause(100);
      const now = bytes();
      still = now === before ? still + 1 : 0;
      before = now;
    }
    return before;
  };
  return await within(stands(), WAIT_MS, 'everything to stand still');
}

function workspacePort(): number {
  return Number(new URL(raw.url).port);
}

/** In the queues of visitors' connections, of both tunnels, and of the workspace's. */
function onTheWay(): number {
  return queuedBytes(vendor.port) + queuedBytes(workspacePort());
}

/** A visitor who reads only when he is told to. */
async function arriveQuietly(protocol = 'http/1.1'): Promise<TLSSocket> {
  const visitor = await dialTls(vendor, 'raw', { ALPNProtocols: [protocol] });
  visitor.on('error', () => undefined);
  sockets.push(visitor);
  return visitor;
}

/** The workspace's end of a response without an end. */
function endless(): Promise<ByteStream> {
  return raw.next(async (connection) => {
    await readHead(connection);
    connection.write('HTTP/1.1 200 OK\r\nContent-Type: x/y\r\n\r\n');
    sockets.push(connection.socket);
    pour(connection.socket);
    return connection;
  });
}

async function endlessDownload(): Promise<{
  readonly visitor: TLSSocket;
  readonly workspace: ByteStream;
}> {
  const served = endless();
  const visitor = await arriveQuietly();
  visitor.write(`GET / HTTP/1.1\r\nHost: ${vendor.host('raw')}\r\n\r\n`);
  return { visitor, workspace: await served };
}

describe('relay and device together', { timeout: 60_000 }, () => {
  it('F-13 hold at most 512 KiB of a download that the visitor never reads', async () => {
    const { visitor, workspace } = await endlessDownload();
    const sent = await settled(() => handedBytes(workspace.socket));
    const held = sent - visitor.readableLength - onTheWay();
    expect(sent).toBeGreaterThan(HELD_MAX);
    expect(held).toBeLessThan(HELD_MAX);
  });

  it('F-13 hold little more of one that he has read fast, before he stopped', async () => {
    const { visitor, workspace } = await endlessDownload();
    let taken = 0;
    const enough = Promise.withResolvers<void>();
    visitor.on('data', (bytes: Buffer) => {
      taken += bytes.length;
      if (taken > 100 * KIB * KIB) {
        visitor.pause();
        enough.resolve();
      }
    });
    await within(enough.promise, WAIT_MS, '100 MiB');
    const sent = await settled(() => handedBytes(workspace.socket));
    const held = sent - taken - visitor.readableLength - onTheWay();
    expect(held).toBeLessThan(HELD_MAX);
  });

  it('F-13 hold at most 512 KiB of a download over HTTP/2 that the visitor never reads', async () => {
    const served = endless();
    const visitor = await arriveQuietly('h2');
    const session = connect(vendor.url('raw'), { createConnection: () => visitor });
    session.on('error', () => undefined);
    sockets.push(session);
    const stream = session.request({ ':path': '/' });
    stream.on('error', () => undefined);
    const workspace = await served;
    const sent = await settled(() => handedBytes(workspace.socket));
    const held = sent - stream.readableLength - onTheWay();
    expect(held).toBeLessThan(HELD_MAX);
  });

  it('F-13 hold at most 512 KiB of an upload that the workspace never reads', async () => {
    const served = raw.next(async (connection) => {
      await readHead(connection);
      connection.socket.pause();
      sockets.push(connection.socket);
      return connection;
    });
    const visitor = await arriveQuietly();
    visitor.write(
      `POST / HTTP/1.1\r\nHost: ${vendor.host('raw')}\r\nContent-Length: 1000000000000\r\n\r\n`,
    );
    const workspace = await served;
    pour(visitor);
    const sent = await settled(() => handedBytes(visitor));
    const held = sent - workspace.socket.bytesRead - onTheWay();
    expect(held).toBeLessThan(HELD_MAX);
  });
});
