// Attacks on a name server in this process, by real sockets: each costs it less than a millisecond,
// none makes it grow, and it answers honest questions meanwhile.
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NameServer } from '../../dns/server.ts';
import type { TcpLimits } from '../../dns/tcp-connection.ts';
import { MemoryZone } from '../../dns/zone-source.ts';
import { askUdp, DnsConnection } from '../world/dns-client.ts';
import { requires } from '../world/requires.ts';
import { MALFORMED } from './malformed.ts';
import { framed, message, opt, uint16s, wireName } from './messages.ts';
import { probeZone } from './probe-zone.ts';

/** Short, so that the tests are; the order between them is that of the real ones. */
const SHORT: Partial<TcpLimits> = {
  firstByteMs: 300,
  messageMs: 300,
  idleMs: 600,
  stallMs: 600,
  sweepMs: 50,
};

let server: NameServer;
let place: { address: string; port: number };
const faults: Error[] = [];

beforeEach(async () => {
  faults.length = 0;
  server = new NameServer({
    listen: [{ address: '127.0.0.1', port: 0 }],
    source: new MemoryZone(probeZone()),
    responsesPerSecond: 0,
    tcpLimits: SHORT,
    onFault: (error) => faults.push(error),
  });
  await server.start();
  place = server.places[0] ?? { address: '', port: 0 };
});

afterEach(async () => {
  expect(faults).toEqual([]);
  const answer = await askUdp(place, message());
  expect(answer.readUInt16BE(6)).toBe(1);
  await server.stop();
});

describe('by UDP', () => {
  test.each(MALFORMED)('%s', async (_, bytes, verdict) => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const answers: Buffer[] = [];
    socket.on('message', (answer) => answers.push(answer));
    const rounds = 100;
    const started = process.cpuUsage();
    for (let round = 0; round < rounds; round += 1) {
      socket.send(bytes, place.port, place.address);
      if (round % 20 === 19) await new Promise((resolve) => setImmediate(resolve));
    }
    await expect.poll(() => server.counters.udp.received, { interval: 2 }).toBe(rounds);
    const answered = verdict === 'drop' ? 0 : rounds;
    await expect.poll(() => answers.length, { interval: 2 }).toBe(answered);
    const spent = process.cpuUsage(started);
    // Both sides and the test itself.
    expect((spent.user + spent.system) / rounds).toBeLessThan(1_000);
    const rcode = verdict === 'notimp' ? 4 : 1;
    for (const answer of answers) {
      expect(answer.readUInt16BE(2) & 0x800f).toBe(0x8000 | rcode);
      // Nothing is gained by sending such a thing in another's name.
      expect(answer.length).toBeLessThanOrEqual(bytes.length);
    }
    socket.close();
  });

  test('50,000 of them leave nothing behind', async () => {
    const socket = createSocket('udp4');
    const send = async (count: number): Promise<void> => {
      for (let at = 0; at < count; at += 1) {
        const [, bytes = Buffer.alloc(12)] = MALFORMED[at % MALFORMED.length] ?? [];
        socket.send(bytes, place.port, place.address);
        if (at % 20 === 19) await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await send(10_000);
    const before = process.memoryUsage();
    await send(40_000);
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(20e6);
    expect(after.heapUsed - before.heapUsed).toBeLessThan(40e6);
    socket.close();
  });
});

const need = requires('root', 'python3');

describe.skipIf(need.skip)('by raw sockets', () => {
  test('a packet from port 0, to which nothing can be sent', async () => {
    const packet = message();
    const lines = [
      'import socket, struct, sys',
      'data = bytes.fromhex(sys.argv[2])',
      's = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)',
      'udp = struct.pack("!HHHH", 0, int(sys.argv[1]), 8 + len(data), 0) + data',
      'for _ in range(20): s.sendto(udp, ("127.0.0.1", 0))',
    ];
    const args = ['-c', lines.join('\n'), String(place.port), packet.toString('hex')];
    await promisify(execFile)('python3', args);
    await expect.poll(() => server.counters.dropped.portZero).toBe(20);
    expect(server.counters.udp.received).toBe(0);
  });
});

describe('by TCP', () => {
  test.each([
    ['65,535 bytes announced', uint16s(65_535)],
    ['4,097 bytes announced', uint16s(4_097)],
    ['an empty message', uint16s(0)],
    ['less than a header', framed(Buffer.alloc(11))],
    ['65,535 bytes that come', framed(Buffer.alloc(65_535))],
  ])('%s: cut at once', async (_, bytes) => {
    using connection = await DnsConnection.open(place);
    const startedMs = performance.now();
    connection.socket.write(bytes);
    await connection.closed;
    expect(performance.now() - startedMs).toBeLessThan(280);
    expect(server.counters.tcp.received).toBe(0);
    await expect.poll(() => server.counters.connections.cut).toBe(1);
  });

  test('who says nothing is cut', async () => {
    const silent = await Promise.all(Array.from({ length: 60 }, () => DnsConnection.open(place)));
    await expect.poll(() => server.counters.connections.open).toBe(60);
    await Promise.all(silent.map(({ closed }) => closed));
    await expect.poll(() => server.counters.connections.open).toBe(0);
  });

  test('who drips is cut, however steadily', async () => {
    using connection = await DnsConnection.open(place);
    const bytes = framed(message());
    const startedMs = performance.now();
    for (const byte of bytes) {
      if (connection.socket.destroyed) break;
      connection.socket.write(Buffer.of(byte));
      await delay(30);
    }
    await connection.closed;
    expect(performance.now() - startedMs).toBeLessThan(1_200);
    expect(server.counters.tcp.received).toBe(0);
  });

  test('who is idle between questions is cut', async () => {
    using connection = await DnsConnection.open(place);
    for (let round = 0; round < 4; round += 1) {
      connection.socket.write(framed(message()));
      expect(await connection.message()).toBeDefined();
      await delay(200);
    }
    await connection.closed;
    expect(server.counters.tcp.answered).toBe(4);
  });

  test('who closes his side and stays is cut', async () => {
    using connection = await DnsConnection.open(place);
    connection.socket.end(framed(message()));
    expect(await connection.message()).toBeDefined();
    await expect.poll(() => server.counters.connections.open).toBe(0);
  });

  test('who asks without end and never reads: nothing is read of him any more, and he is cut', async () => {
    using connection = await DnsConnection.open(place);
    connection.socket.pause();
    const asked = framed(message({ name: wireName('big.odd.vendor.test'), type: 16, rest: opt() }));
    const many = Buffer.concat(new Array<Buffer>(1_000).fill(asked));
    const before = process.memoryUsage().arrayBuffers;
    for (let round = 0; round < 100; round += 1) connection.socket.write(many);
    const own = connection.socket.writableLength;
    let grown = 0;
    const watch = setInterval(() => {
      grown = Math.max(grown, process.memoryUsage().arrayBuffers - before);
    }, 10);
    await connection.closed;
    clearInterval(watch);
    // What the client itself holds, and some megabytes of sockets; all answers would be 300 MB.
    expect(grown).toBeLessThan(own + 24e6);
    expect(server.counters.tcp.received).toBeLessThan(10_000);
    await expect.poll(() => server.counters.connections.cut).toBe(1);
  });

  test('one address cannot take all places, and of many the idlest makes room', async () => {
    const crowded = new NameServer({
      listen: [{ address: '127.0.0.1', port: 0 }],
      source: new MemoryZone(probeZone()),
      tcpLimits: { connections: 4, connectionsPerAddress: 3 },
    });
    await crowded.start();
    const there = crowded.places[0] ?? place;
    const first = await Promise.all(Array.from({ length: 3 }, () => DnsConnection.open(there)));
    await expect.poll(() => crowded.counters.connections.open).toBe(3);
    const fourth = await DnsConnection.open(there);
    await fourth.closed;
    expect(crowded.counters.connections.refused).toBe(1);
    for (const connection of first) connection.socket.destroy();
    await crowded.stop();
  });

  test('all places taken: who has been idle longest loses his', async () => {
    const crowded = new NameServer({
      listen: [{ address: '127.0.0.1', port: 0 }],
      source: new MemoryZone(probeZone()),
      tcpLimits: { connections: 3 },
    });
    await crowded.start();
    const there = crowded.places[0] ?? place;
    const idle = await DnsConnection.open(there);
    await delay(20);
    const others = [await DnsConnection.open(there), await DnsConnection.open(there)];
    using last = await DnsConnection.open(there);
    await idle.closed;
    last.socket.write(framed(message()));
    expect(await last.message()).toBeDefined();
    for (const connection of others) {
      connection.socket.write(framed(message()));
      expect(await connection.message()).toBeDefined();
      connection.socket.destroy();
    }
    await crowded.stop();
  });
});
