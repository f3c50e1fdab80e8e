import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import {
  type PropagationReport,
  type PublicServer,
  servedEverywhere,
} from '../../dns/propagation.ts';
import { parseRdata } from '../../dns/rdata.ts';
import { TYPE } from '../../dns/record.ts';
import { HiddenPrimary } from '../world/hidden-primary.ts';
import { freePort } from '../world/public-name-server.ts';
import { challenged, VENDOR_ZONE, vendorZone } from '../world/vendor-zone.ts';

describe('whether a value is served everywhere', () => {
  it('waits for the slowest, and tells of each when it was', async () => {
    await using quick = await HiddenPrimary.start(vendorZone(3));
    await using slow = await HiddenPrimary.start(vendorZone(3));
    quick.source.apply([challenged('device-1', ['token'])]);
    setTimeout(() => slow.source.apply([challenged('device-1', ['token'])]), 1_000);
    const report = await asked([named('quick', quick), named('slow', slow)], 'token');
    expect(report.everywhere).toBe(true);
    const [first, second] = report.servers;
    expect(first?.afterMs).toBeLessThan(1_000);
    expect(second?.afterMs).toBeGreaterThanOrEqual(900);
    expect(second?.found).toBe('"token"');
  });

  it('finds it among other values, and by TCP when they do not fit a packet', async () => {
    await using server = await HiddenPrimary.start(vendorZone(3));
    const others = Array.from({ length: 30 }, (_, index) => `${index}-${'x'.repeat(80)}`);
    server.source.apply([challenged('device-1', [...others, 'token'])]);
    expect((await asked([named('one', server)], 'token')).everywhere).toBe(true);
  });

  it('asks a server at another of its addresses when one does not answer', async () => {
    await using own = await HiddenPrimary.start(vendorZone(3));
    own.source.apply([challenged('device-1', ['token'])]);
    // Nobody listens at the first.
    const server = { name: 'own', addresses: ['127.0.0.9', '127.0.0.1'], port: own.port };
    const report = await asked([server], 'token');
    expect(report).toMatchObject({ everywhere: true, servers: [{ name: 'own', asked: 2 }] });
  });

  it('says of a server without an address that nobody knows it', async () => {
    const report = await asked([{ name: 'lost', addresses: [], port: 53 }], 'token');
    expect(report).toMatchObject({
      everywhere: false,
      servers: [{ name: 'lost', found: 'nobody knows its address', asked: 0 }],
    });
  });

  it('ends at the deadline, and tells what each had instead', async () => {
    await using other = await HiddenPrimary.start(vendorZone(3));
    await using none = await HiddenPrimary.start(vendorZone(3));
    other.source.apply([challenged('device-1', ['token-of-before'])]);
    const down = { name: 'down', addresses: ['127.0.0.1'], port: await freePort() };
    const servers = [named('other', other), named('none', none), down];
    const report = await asked(servers, 'token', 400);
    expect(report.everywhere).toBe(false);
    expect(report.servers.map(({ served, found }) => [served, found])).toEqual([
      [false, '"token-of-before"'],
      [false, 'no TXT record'],
      [false, expect.stringContaining('ECONNREFUSED')],
    ]);
    for (const { afterMs, asked: times } of report.servers) {
      expect(afterMs).toBeLessThan(1_000);
      expect(times).toBeGreaterThan(2);
    }
  });

  it('ends when it is told to', async () => {
    await using none = await HiddenPrimary.start(vendorZone(3));
    const startedMs = performance.now();
    const signal = AbortSignal.timeout(100);
    const report = await servedEverywhere({
      ...question('token'),
      servers: [named('x', none)],
      signal,
    });
    expect(report.everywhere).toBe(false);
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  });

  it('believes no answer with another ID, question or sender', async () => {
    const liar = createSocket('udp4');
    liar.bind(0, '127.0.0.1');
    await once(liar, 'listening');
    liar.on('message', (message, { port }) => {
      const value = parseRdata(TYPE.TXT, '"token"') ?? Buffer.alloc(0);
      const true_ = answerTo(message, value);
      const otherId = Buffer.from(true_);
      otherId.writeUInt16BE(message.readUInt16BE(0) ^ 1, 0);
      const otherName = Buffer.from(true_);
      otherName[13] = 0x78;
      const otherType = Buffer.from(true_);
      otherType.writeUInt16BE(TYPE.A, 12 + nameBytes(message));
      const query = Buffer.from(true_);
      query.writeUInt16BE(0, 2);
      for (const each of [otherId, otherName, otherType, query]) liar.send(each, port, '127.0.0.1');
      const elsewhere = createSocket('udp4');
      elsewhere.send(true_, port, '127.0.0.1', () => elsewhere.close());
    });
    const port = liar.address().port;
    const report = await asked([{ name: 'liar', addresses: ['127.0.0.1'], port }], 'token', 500);
    liar.close();
    expect(report.everywhere).toBe(false);
    expect(report.servers[0]?.asked).toBe(1);
  });
});

function named(name: string, { address, port }: HiddenPrimary): PublicServer {
  return { name, addresses: [address], port };
}

function question(token: string) {
  return {
    owner: `_acme-challenge.device-1.${VENDOR_ZONE}`,
    type: TYPE.TXT,
    value: parseRdata(TYPE.TXT, `"${token}"`) ?? Buffer.alloc(0),
  };
}

function asked(
  servers: readonly PublicServer[],
  token: string,
  deadlineMs = 5_000,
): Promise<PropagationReport> {
  const signal = AbortSignal.timeout(deadlineMs);
  return servedEverywhere({ ...question(token), servers, signal });
}

/** Of the name in the question of a message of ours, which begins behind the header. */
function nameBytes(message: Buffer): number {
  return message.indexOf(0, 12) + 1 - 12;
}

function answerTo(message: Buffer, data: Buffer): Buffer {
  const head = Buffer.from(message.subarray(0, 12 + nameBytes(message) + 4));
  head.writeUInt16BE(0x8400, 2);
  head.writeUInt16BE(1, 6);
  head.writeUInt16BE(0, 10);
  return Buffer.concat([
    head,
    Buffer.of(0xc0, 12, 0, TYPE.TXT, 0, 1, 0, 0, 0, 1, 0, data.length),
    data,
  ]);
}
