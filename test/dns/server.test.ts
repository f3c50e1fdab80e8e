// The name server on real sockets: what an honest client may do, and who else answers.
import { createSocket } from 'node:dgram';
import { setTimeout as delay } from 'node:timers/promises';
import { decode } from 'dns-packet';
import { afterEach, describe, expect, test } from 'vitest';
import { NameServer, type NameServerOptions, type Special } from '../../dns/server.ts';
import { MemoryZone } from '../../dns/zone-source.ts';
import { askUdp, DnsConnection } from '../world/dns-client.ts';
import { framed, message, opt, wireName } from './messages.ts';
import { probeZone } from './probe-zone.ts';

let server: NameServer | undefined;

afterEach(async () => {
  await server?.stop();
  server = undefined;
});

async function start(options: Partial<NameServerOptions> = {}): Promise<NameServer> {
  const listen = [{ address: '127.0.0.1', port: 0 }];
  server = new NameServer({ listen, source: new MemoryZone(probeZone()), ...options });
  await server.start();
  return server;
}

function placeOf(one: NameServer, at = 0): { address: string; port: number } {
  const place = one.places[at];
  if (place === undefined) throw new Error('it does not listen');
  return place;
}

function ids(count: number, rest?: Buffer): Buffer[] {
  return Array.from({ length: count }, (_, id) =>
    message({ id, name: wireName(`n${id % 50}.alice.vendor.test`), rest: rest ?? opt() }),
  );
}

describe('UDP', () => {
  test('answers come from the address that was asked, on each of them', async () => {
    const one = await start({
      listen: [
        { address: '127.0.0.1', port: 0 },
        { address: '127.0.0.2', port: 0 },
        { address: '::1', port: 0 },
      ],
    });
    for (const place of one.places) {
      const answer = await askUdp(place, message());
      expect(decode(answer).answers).toHaveLength(1);
    }
    expect(one.counters.udp).toEqual({ received: 3, answered: 3, truncated: 0 });
  });

  test('`::` is all addresses, of IPv4 too, by UDP and TCP', async () => {
    const one = await start({ listen: [{ address: '::', port: 0 }] });
    const { port } = placeOf(one);
    for (const address of ['127.0.0.1', '::1']) {
      expect(decode(await askUdp({ address, port }, message())).answers).toHaveLength(1);
      using connection = await DnsConnection.open({ address, port });
      connection.socket.write(framed(message()));
      expect((await connection.message())?.length).toBeGreaterThan(12);
    }
  });

  test('`::` leaves IPv4 to a place of its own', async () => {
    const free = placeOf(await start());
    await server?.stop();
    const { port } = free;
    await start({ listen: ['::', '127.0.0.1'].map((address) => ({ address, port })) });
    expect(decode(await askUdp(free, message())).answers).toHaveLength(1);
    expect(decode(await askUdp({ address: '::1', port }, message())).answers).toHaveLength(1);
  });

  test('two servers share a port', async () => {
    const first = await start({ reusePort: true });
    const listen = [placeOf(first)];
    const second = new NameServer({ listen, source: new MemoryZone(probeZone()), reusePort: true });
    await second.start();
    await second.stop();
    expect((await askUdp(placeOf(first), message())).length).toBeGreaterThan(12);
  });

  test('a port that is taken: start says so and leaves nothing open', async () => {
    const first = await start();
    const taken = placeOf(first);
    const free = { address: '127.0.0.3', port: taken.port };
    const source = new MemoryZone(probeZone());
    const second = new NameServer({ listen: [free, taken], source });
    await expect(second.start()).rejects.toThrow(/EADDRINUSE/);
    const third = new NameServer({ listen: [free], source });
    await third.start();
    await third.stop();
  });

  test('a stopped server has forgotten its zone', async () => {
    const one = await start();
    const { port } = placeOf(one);
    await one.stop();
    const socket = createSocket('udp4').bind(port, '127.0.0.1');
    await new Promise((resolve) => socket.once('listening', resolve));
    socket.close();
  });
});

describe('TCP', () => {
  test('RFC 7766: a thousand questions in one go get a thousand answers', async () => {
    const one = await start();
    using connection = await DnsConnection.open(placeOf(one));
    connection.socket.write(Buffer.concat(ids(1_000).map((each) => framed(each))));
    const found = new Set<number>();
    while (found.size < 1_000) {
      const answer = await connection.message();
      if (answer === undefined) break;
      found.add(answer.readUInt16BE(0));
    }
    expect(found.size).toBe(1_000);
    expect(one.counters.tcp).toEqual({ received: 1_000, answered: 1_000, truncated: 0 });
  });

  test('messages in pieces of any size', async () => {
    const one = await start();
    using connection = await DnsConnection.open(placeOf(one));
    const bytes = Buffer.concat(ids(40).map((each) => framed(each)));
    for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 7) % 61) {
      connection.socket.write(bytes.subarray(at, at + size));
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (let id = 0; id < 40; id += 1) {
      expect((await connection.message())?.readUInt16BE(0)).toBe(id);
    }
  });

  test('who has closed his side still gets all answers', async () => {
    const one = await start();
    using connection = await DnsConnection.open(placeOf(one));
    connection.socket.end(Buffer.concat(ids(500).map((each) => framed(each))));
    let count = 0;
    while ((await connection.message()) !== undefined) count += 1;
    expect(count).toBe(500);
    await connection.closed;
  });

  test('a malformed message gets FORMERR, and the connection lives on', async () => {
    const one = await start();
    using connection = await DnsConnection.open(placeOf(one));
    connection.socket.write(framed(message({ counts: [2, 0, 0, 0] })));
    expect(((await connection.message())?.readUInt16BE(2) ?? 0) & 0xf).toBe(1);
    connection.socket.write(framed(message()));
    expect(decode((await connection.message()) ?? Buffer.alloc(0)).answers).toHaveLength(1);
  });

  test('no rate limit by TCP', async () => {
    const one = await start({ responsesPerSecond: 1 });
    using connection = await DnsConnection.open(placeOf(one));
    connection.socket.write(Buffer.concat(ids(100).map((each) => framed(each))));
    for (let id = 0; id < 100; id += 1) {
      const answer = await connection.message();
      expect(answer && decode(answer).flag_tc).toBe(false);
    }
  });
});

describe('what is special goes to whoever takes it', () => {
  const AXFR = message({ id: 7, name: wireName('vendor.test'), type: 252 });

  test.each(['udp', 'tcp'] as const)('by %s, with a way back', async (transport) => {
    const special: Special = async (bytes, asker) => {
      expect(asker).toMatchObject({ address: '127.0.0.1', transport });
      const answer = Buffer.from(bytes);
      answer[2] = 0x80;
      await asker.send(answer);
    };
    const one = await start({ special });
    if (transport === 'udp') {
      expect((await askUdp(placeOf(one), AXFR)).readUInt16BE(2)).toBe(0x8000);
    } else {
      using connection = await DnsConnection.open(placeOf(one));
      connection.socket.end(framed(AXFR));
      expect((await connection.message())?.readUInt16BE(2)).toBe(0x8000);
    }
    expect(one.counters.special).toBe(1);
  });

  test('nobody takes it: REFUSED, NOTAUTH for NOTIFY, and NOTIMP for UPDATE', async () => {
    const one = await start();
    expect((await askUdp(placeOf(one), AXFR)).readUInt16BE(2) & 0xf).toBe(5);
    const notify = message({ flags: 0x2000, name: wireName('vendor.test'), type: 6 });
    expect((await askUdp(placeOf(one), notify)).readUInt16BE(2) & 0xf).toBe(9);
    const update = message({ flags: 0x2800, name: wireName('vendor.test'), type: 6 });
    expect((await askUdp(placeOf(one), update)).readUInt16BE(2) & 0xf).toBe(4);
  });

  test('a failure cuts the connection, so that nothing looks whole; by UDP it is silence', async () => {
    const faults: Error[] = [];
    const one = await start({
      special: () => Promise.reject(new Error('no more')),
      onFault: (error) => faults.push(error),
    });
    using connection = await DnsConnection.open(placeOf(one));
    connection.socket.write(framed(AXFR));
    expect(await connection.message()).toBeUndefined();
    const socket = createSocket('udp4');
    socket.send(AXFR, placeOf(one).port, '127.0.0.1');
    await expect.poll(() => faults.length).toBe(1);
    socket.close();
    expect((await askUdp(placeOf(one), message())).length).toBeGreaterThan(12);
  });

  test('a long answer waits while the other side does not read', async () => {
    let sent = 0;
    const special: Special = async (bytes, asker) => {
      for (; sent < 2_000; sent += 1)
        await asker.send(Buffer.concat([bytes, Buffer.alloc(16_000)]));
    };
    const one = await start({ special });
    using connection = await DnsConnection.open(placeOf(one));
    connection.socket.pause();
    connection.socket.write(framed(AXFR));
    // Until the kernel's buffers and ours are full.
    let before = -1;
    while (before !== sent || sent === 0) {
      before = sent;
      await delay(200);
    }
    expect(sent).toBeLessThan(1_000);
    connection.socket.resume();
    let messages = 0;
    while (messages < 2_000 && (await connection.message()) !== undefined) messages += 1;
    expect(messages).toBe(2_000);
  });

  test('the waiting send of a connection that is gone rejects', async () => {
    const ended = Promise.withResolvers<unknown>();
    const special: Special = async (bytes, asker) => {
      try {
        for (;;) await asker.send(Buffer.concat([bytes, Buffer.alloc(30_000)]));
      } catch (error) {
        ended.resolve(error);
      }
    };
    const one = await start({ special });
    const connection = await DnsConnection.open(placeOf(one));
    connection.socket.pause();
    connection.socket.write(framed(AXFR));
    await delay(100);
    connection.socket.resetAndDestroy();
    expect(String(await ended.promise)).toContain('is closed');
  });

  test('at most a hundred are under way per connection', async () => {
    const gates: (() => void)[] = [];
    const special: Special = () => new Promise((resolve) => gates.push(resolve));
    const one = await start({ special });
    using connection = await DnsConnection.open(placeOf(one));
    connection.socket.write(Buffer.concat(Array.from({ length: 150 }, () => framed(AXFR))));
    await expect.poll(() => gates.length).toBe(100);
    await delay(50);
    expect(gates.length).toBe(100);
    for (const open of gates.splice(0, 100)) open();
    await expect.poll(() => gates.length).toBe(50);
    for (const open of gates) open();
  });
});

test('special packets that nobody finishes: a bound, and ordinary questions are answered', async () => {
  const one = await start({ special: () => new Promise(() => undefined) });
  const socket = createSocket('udp4');
  const axfr = message({ name: wireName('vendor.test'), type: 252 });
  for (let at = 0; at < 300; at += 1) {
    socket.send(axfr, placeOf(one).port, '127.0.0.1');
    if (at % 20 === 19) await new Promise((resolve) => setImmediate(resolve));
  }
  await expect.poll(() => one.counters.udp.received).toBe(300);
  expect(one.counters.special).toBe(256);
  expect(one.counters.dropped.busy).toBe(44);
  expect((await askUdp(placeOf(one), message())).length).toBeGreaterThan(12);
  socket.close();
});

test('the plain answer to a signed question, for whoever signs it', async () => {
  const one = await start();
  const asker = {
    address: '192.0.2.1',
    port: 5,
    transport: 'udp',
    send: async () => undefined,
  } as const;
  const answer = one.answer(message({ name: wireName('vendor.test'), type: 6 }), asker);
  expect(decode(answer ?? Buffer.alloc(0)).answers).toHaveLength(1);
  expect(one.answer(message({ flags: 0x8000 }), asker)).toBeUndefined();
});
