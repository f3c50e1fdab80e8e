// From a message's bytes to an answer's, without sockets: read by two decoders that are not ours, the
// same whether it comes from the cache or not, and new at once when the zone changes.
import { type Packet as DnsPacket, decode } from 'dns-packet';
import { Packet } from 'dns2';
import { beforeEach, describe, expect, test } from 'vitest';
import { makeCounters, type NameServerCounters } from '../../dns/counters.ts';
import { gate } from '../../dns/gate.ts';
import { rdataText } from '../../dns/rdata.ts';
import { TYPE } from '../../dns/record.ts';
import { Responder } from '../../dns/responder.ts';
import { MemoryZone } from '../../dns/zone-source.ts';
import { message, opt, option, uint16s, wireName } from './messages.ts';
import { changesOf, PROBE_ZONE, probeZone } from './probe-zone.ts';

let source: MemoryZone;
let responder: Responder;
let counters: NameServerCounters;

beforeEach(() => {
  source = new MemoryZone(probeZone());
  counters = makeCounters();
  responder = new Responder({ source, counters, responsesPerSecond: 0 });
});

function udp(bytes: Buffer, address = '198.51.100.9'): Buffer {
  const length = responder.prepare(bytes, gate(bytes), address, 'udp');
  const out = Buffer.alloc(length);
  if (length > 0) responder.write(out, 0);
  return out;
}

function question(name: string, type: number, rest?: Buffer): Buffer {
  return message({ name: wireName(name), type, ...(rest === undefined ? {} : { rest }) });
}

function answers(bytes: Buffer): string[] {
  return (decode(bytes).answers ?? []).map(
    (one) => `${one.name} ${one.type} ${'data' in one ? String(one.data) : ''}`,
  );
}

describe('every record of the zone, asked for by name and type', () => {
  test('dns-packet and dns2 read what the zone has', () => {
    for (const { owner, set } of probeZone().records()) {
      const answer = responder.respond(question(owner, set.type, opt()), '::1') ?? Buffer.alloc(0);
      const packet: DnsPacket = decode(answer);
      const found = (packet.answers ?? []).filter((one) => one.name === owner);
      expect(found, owner).toHaveLength(set.data.length);
      for (const one of found) expect('ttl' in one && one.ttl, owner).toBe(set.ttl);
      const other = Packet.parse(answer);
      expect(other.errors).toEqual([]);
      expect(other.answers.filter(({ name }) => name === owner)).toHaveLength(set.data.length);
      expect(new Set(other.answers.map((one) => text(one, set.type)))).toEqual(
        new Set(set.data.map((data) => rdataText(set.type, data))),
      );
    }
  });

  /** dns2's reading in presentation form; what it does not know it gives as bytes. */
  function text(one: ReturnType<typeof Packet.parse>['answers'][number], type: number): string {
    if (type === TYPE.A || type === TYPE.AAAA) return String(one.address);
    if (type === TYPE.NS) return `${one.ns}.`;
    if (type === TYPE.CNAME) return `${one.domain}.`;
    if (type === TYPE.SOA) {
      const numbers = [one.serial, one.refresh, one.retry, one.expiration, one.minimum];
      return [`${one.primary}.`, `${one.admin}.`, ...numbers].join(' ');
    }
    if (type === TYPE.TXT) {
      return (Array.isArray(one.data) ? one.data : [])
        .map((part: unknown) => `"${String(part)}"`)
        .join(' ');
    }
    if (type === TYPE.CAA) return `${one.flags} ${one.tag} "${one.value}"`;
    return Buffer.isBuffer(one.data) ? rdataText(type, one.data) : '';
  }
});

test('RFC 1035, 4.1.4: names are compressed, those in HTTPS are not', () => {
  const answer = udp(question('code.alice.vendor.test', TYPE.AAAA));
  // Header, question, a CNAME with `edge` and a pointer, two addresses with a pointer each.
  expect(answer.length).toBe(12 + 28 + (12 + 7) + 2 * 28);
});

test('an answer from the cache is the answer made anew, but for the order of addresses', () => {
  for (const name of [
    'alice',
    'x.y.alice',
    'nope',
    'ns1',
    'bob',
    'ws.dev1',
    '_acme-challenge.bob',
  ]) {
    for (const type of [1, 5, 16, 28, 65, 255, 1000]) {
      const asked = question(`${name}.vendor.test`, type, opt());
      const [first, second, third] = [udp(asked), udp(asked), udp(asked)];
      expect(sorted(second)).toEqual(sorted(first));
      expect(sorted(third)).toEqual(sorted(first));
      expect(second.length).toBe(first.length);
    }
  }
  expect(counters.cacheHits).toBe(2 * counters.cacheMisses);
});

function sorted(bytes: Buffer): unknown {
  const { answers: found = [], authorities, additionals, ...rest } = decode(bytes);
  return {
    ...rest,
    found: found.map((one) => JSON.stringify(one)).sort(),
    authorities,
    additionals,
  };
}

test('addresses take turns', () => {
  const firsts = new Set<string | undefined>();
  for (let at = 0; at < 8; at += 1) firsts.add(answers(udp(question('edge.vendor.test', 1)))[0]);
  expect(firsts.size).toBe(2);
});

test('0x20: the question comes back byte for byte, from the cache too, and owners point to it', () => {
  for (const name of [
    'alice.vendor.test',
    'aLiCe.vEnDoR.tEsT',
    'ALICE.VENDOR.TEST',
    'alice.VENDOR.test',
  ]) {
    const asked = question(name, 1);
    const answer = udp(asked);
    expect(answer.subarray(12, asked.length)).toEqual(asked.subarray(12));
    expect(answers(answer)[0]).toContain(name);
  }
  expect(counters.cacheHits).toBe(3);
});

test('names that differ in more than the case of ASCII letters are different names', () => {
  const label = (bytes: number[]): Buffer =>
    message({
      name: Buffer.concat([Buffer.from([bytes.length, ...bytes]), wireName('dev1.vendor.test')]),
    });
  // A dot inside of a label; letters of latin1; `@` and `[`, which frame the alphabet.
  for (const [one, other] of [
    [
      [0x61, 0x2e, 0x62],
      [0x61, 0x2d, 0x62],
    ],
    [[0xc0], [0xe0]],
    [[0x40], [0x60]],
    [[0x5b], [0x7b]],
  ]) {
    const first = udp(label(one ?? []));
    const second = udp(label(other ?? []));
    expect(first.readUInt16BE(6)).toBe(1);
    expect(second.subarray(12, second.length)).not.toEqual(first.subarray(12));
    expect(second.subarray(12, 12 + (other ?? []).length + 1)).toEqual(
      Buffer.from([(other ?? []).length, ...(other ?? [])]),
    );
  }
  expect(counters.cacheHits).toBe(0);
});

describe('a change of the zone is served at once', () => {
  test('a name that is claimed, renamed, released', () => {
    const asked = question('carol.vendor.test', 1);
    for (let round = 0; round < 3; round += 1) expect(udp(asked).readUInt16BE(2) & 0xf).toBe(3);
    source.apply(changesOf(PROBE_ZONE, { carol: 'device' }));
    for (let round = 0; round < 3; round += 1) expect(answers(udp(asked))).toHaveLength(3);
    source.apply([['carol', undefined]]);
    for (let round = 0; round < 3; round += 1) expect(udp(asked).readUInt16BE(2) & 0xf).toBe(3);
  });

  test('the relays that are alive, in the answers about every device', () => {
    const asked = question('alice.vendor.test', 1);
    udp(asked);
    udp(asked);
    source.apply(changesOf(PROBE_ZONE, { edge: [['edge', 60, 'A', ['192.0.2.99']]] }));
    expect(answers(udp(asked))[1]).toContain('192.0.2.99');
  });

  test('a wildcard of the zone, in answers about names that were not there', () => {
    const asked = question('nobody.vendor.test', 1);
    udp(asked);
    udp(asked);
    source.apply(changesOf(PROBE_ZONE, { '*': [['*', 60, 'A', ['192.0.2.50']]] }));
    expect(answers(udp(asked))).toHaveLength(1);
  });

  test('glue', () => {
    const asked = question('vendor.test', 2);
    udp(asked);
    udp(asked);
    source.apply(changesOf(PROBE_ZONE, { ns1: [['ns1', 60, 'A', ['192.0.2.53']]] }));
    expect(JSON.stringify(decode(udp(asked)).additionals)).toContain('192.0.2.53');
  });

  test('what a chain leads to elsewhere', () => {
    source.apply(changesOf(PROBE_ZONE, { link: [['link', 60, 'CNAME', ['dev1.vendor.test.']]] }));
    const asked = question('link.vendor.test', 1);
    for (let round = 0; round < 3; round += 1)
      expect(answers(udp(asked))[1]).toContain('192.0.2.9');
    source.apply(changesOf(PROBE_ZONE, { dev1: [['dev1', 60, 'A', ['192.0.2.77']]] }));
    expect(answers(udp(asked))[1]).toContain('192.0.2.77');
  });

  test('the serial, in the SOA and in negative answers that are in the cache', () => {
    for (const name of ['vendor.test', 'nope.vendor.test']) {
      const asked = question(name, 6);
      for (let round = 0; round < 3; round += 1) udp(asked);
      source.apply([['alice', undefined]]);
      expect(JSON.stringify(decode(udp(asked)))).toContain(`"serial":${source.zone.serial}`);
    }
  });
});

describe('truncation', () => {
  test.each([
    ['512 without EDNS', undefined, 512],
    ['the client says 800', opt(Buffer.alloc(0), 0, 800), 800],
    ['the client says 100: 512', opt(Buffer.alloc(0), 0, 100), 512],
    ['the client says 65535: 1232', opt(Buffer.alloc(0), 0, 65_535), 1232],
  ])('%s: whole sets, TC, the OPT kept', (_, edns, bytesMax) => {
    for (const name of ['big.odd.vendor.test', 'mid.odd.vendor.test', 'alice.vendor.test']) {
      const whole = responder.respond(question(name, 16, edns), '::1') ?? Buffer.alloc(0);
      for (let round = 0; round < 3; round += 1) {
        const answer = udp(question(name, 16, edns));
        const packet = decode(answer);
        expect(answer.length).toBeLessThanOrEqual(bytesMax);
        expect(packet.flag_tc).toBe(whole.length > bytesMax);
        expect(packet.additionals ?? []).toHaveLength(edns === undefined ? 0 : 1);
        if (whole.length > bytesMax) expect(packet.answers).toEqual([]);
        else expect(answer.length).toBe(whole.length);
      }
    }
  });

  test('a chain is cut behind its CNAME, not inside the set', () => {
    const long = Array.from({ length: 40 }, (_, at) => `192.0.2.${at}`);
    source.apply(changesOf(PROBE_ZONE, { edge: [['edge', 60, 'A', long]] }));
    const packet = decode(udp(question('alice.vendor.test', 1)));
    expect(packet.flag_tc).toBe(true);
    expect(packet.answers?.map(({ type }) => type)).toEqual(['CNAME']);
  });

  test('RFC 2181, 9: glue that does not fit is left out without TC', () => {
    const many = Array.from({ length: 14 }, (_, at) => `2001:db8::${at}`);
    source.apply(
      changesOf(PROBE_ZONE, { ns1: [['ns1', 60, 'AAAA', many]], ns2: [['ns2', 60, 'AAAA', many]] }),
    );
    const packet = decode(udp(question('vendor.test', 2)));
    expect(packet.flag_tc).toBe(false);
    expect(packet.answers).toHaveLength(2);
    expect(packet.additionals).toHaveLength(14);
  });
});

describe('cookies', () => {
  const CLIENT = Buffer.from('0102030405060708', 'hex');

  test.each([0, 7, 9, 15, 41])('RFC 7873, 5.2.2: a cookie of %i bytes is FORMERR', (bytes) => {
    const answer = udp(question('vendor.test', 6, opt(option(10, Buffer.alloc(bytes)))));
    expect(answer.readUInt16BE(2) & 0xf).toBe(1);
  });

  test('who brings the right cookie is not limited; who brings another one is', () => {
    responder = new Responder({ source, counters, responsesPerSecond: 10 });
    const answer = udp(question('vendor.test', 6, opt(option(10, CLIENT))));
    const cookie = answer.subarray(-24);
    const good = question('vendor.test', 6, opt(option(10, cookie)));
    const bad = question(
      'vendor.test',
      6,
      opt(option(10, Buffer.concat([CLIENT, Buffer.alloc(16, 7)]))),
    );
    for (let round = 0; round < 100; round += 1) expect(udp(good).length).toBe(answer.length);
    const lengths = Array.from({ length: 100 }, () => udp(bad).length);
    expect(lengths.filter((length) => length === 0).length).toBeGreaterThan(40);
  });
});

test('beyond the rate: every second answer empty with TC and no longer than the question', () => {
  responder = new Responder({ source, counters, responsesPerSecond: 10 });
  const startedMs = performance.now();
  // Other names under one wildcard are of one kind; random ones gain nothing.
  const all = Array.from({ length: 110 }, (_, at) => {
    const asked = question(`x${at}.alice.vendor.test`, 1, opt());
    return { asked, answer: udp(asked) };
  });
  const sent = all.filter(({ answer }) => answer.length > 0);
  const slipped = sent.filter(({ answer }) => decode(answer).flag_tc === true);
  expect(counters.slipped).toBe(slipped.length);
  expect(sent.length - slipped.length).toBeLessThanOrEqual(withinRate(10, startedMs));
  expect(slipped.length).toBeGreaterThan(0);
  for (const { asked, answer } of slipped) expect(answer.length).toBeLessThanOrEqual(asked.length);
  expect(counters.dropped.rateLimited).toBe(110 - sent.length);
  expect(Math.abs(counters.dropped.rateLimited - slipped.length)).toBeLessThanOrEqual(1);
});

test('what is special and not signed is refused within the rate, for its sender may be forged', () => {
  responder = new Responder({ source, counters, responsesPerSecond: 10 });
  const asked = question('vendor.test', TYPE.AXFR, opt());
  const flood = (transport: 'udp' | 'tcp') =>
    Array.from({ length: 110 }, () => responder.respond(asked, '192.0.2.1', transport));
  const startedMs = performance.now();
  const sent = flood('udp').filter((answer) => answer !== undefined);
  const whole = sent.filter((answer) => (answer.readUInt16BE(2) & 0x0200) === 0);
  expect(whole.length).toBeLessThanOrEqual(withinRate(10, startedMs));
  expect(counters.dropped.rateLimited).toBe(110 - sent.length);
  for (const answer of sent) {
    expect(answer.readUInt16BE(2) & 0xf).toBe(5);
    expect(answer.length).toBeLessThanOrEqual(asked.length);
  }
  expect(flood('tcp')).not.toContain(undefined);
});

/** A second's worth at once, and what came to it since, however slow the machine is. */
function withinRate(perSecond: number, startedMs: number): number {
  return perSecond + 1 + ((performance.now() - startedMs) / 1000) * perSecond;
}

test('a flood of random names neither fills memory nor washes names out of a full cache', () => {
  responder = new Responder({ source, counters, responsesPerSecond: 0, cacheBytes: 64 * 1024 });
  const asked = question('alice.vendor.test', 1);
  udp(asked);
  for (let at = 0; at < 8_000; at += 1) {
    udp(question(`r${at}.alice.vendor.test`, 1));
    if (at % 100 === 0) udp(asked);
  }
  const hits = counters.cacheHits;
  for (let at = 0; at < 100; at += 1) udp(asked);
  expect(counters.cacheHits - hits).toBeGreaterThanOrEqual(99);
});

test('RCODE beyond 15 lies in the OPT', () => {
  const answer = udp(question('vendor.test', 6, opt(Buffer.alloc(0), 0x00010000)));
  expect(answer.readUInt16BE(2) & 0xf).toBe(0);
  expect(answer.subarray(-11)).toEqual(
    Buffer.concat([Buffer.of(0), uint16s(41, 1232, 0x0100, 0, 0)]),
  );
});
