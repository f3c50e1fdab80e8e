import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ClientHello,
  ClientHelloReader,
  type HelloFault,
  tlsAlert,
} from '../../../relay/entrance/client-hello.ts';
import { extension, handshake, helloBody, helloBytes, records, serverName } from './hello-bytes.ts';

type Result = 'more' | ClientHello | HelloFault;

function read(bytes: Buffer, segmentBytes = bytes.length): Result {
  const reader = new ClientHelloReader();
  let result: Result = 'more';
  for (let at = 0; at < bytes.length && result === 'more'; at += segmentBytes) {
    result = reader.push(bytes.subarray(at, at + segmentBytes));
  }
  return result;
}

function readName(...names: string[]): Result {
  return read(helloBytes({ serverNames: [serverName(...names)] }));
}

const named = (hostname: string | undefined): object => ({ kind: 'hello', hostname, alpn: [] });
const refused = (alert: string): object => expect.objectContaining({ kind: 'fault', alert });

describe('what a visitor asks for', () => {
  it('is the name and the protocols, in his order', () => {
    const bytes = helloBytes({
      serverNames: [serverName('code.alice.vendor.dev')],
      alpn: ['h2', 'http/1.1'],
    });
    expect(read(bytes)).toEqual({
      kind: 'hello',
      hostname: 'code.alice.vendor.dev',
      alpn: ['h2', 'http/1.1'],
    });
  });

  it('T-1 is compared in lower case and without the trailing dot', () => {
    expect(readName('Code.ALICE.Vendor.Dev.')).toEqual(named('code.alice.vendor.dev'));
  });

  it('T-3 is nothing when there is no name, or an IP address', () => {
    expect(read(helloBytes({}))).toEqual(named(undefined));
    expect(readName('192.0.2.7')).toEqual(named(undefined));
    expect(readName('2001:db8::1')).toEqual(named(undefined));
  });

  it('is read from a hello without extensions', () => {
    const body = helloBody({});
    expect(read(records(handshake(body.subarray(0, -2)), 16_384))).toEqual(named(undefined));
  });
});

describe('T-1 names that nobody can have get unrecognized_name', () => {
  const label63 = 'a'.repeat(63);
  const cases: Record<string, string> = {
    empty: '',
    'a dot': '.',
    'two dots at the end': 'alice.vendor.dev..',
    'an empty label': 'alice..vendor.dev',
    'a leading dot': '.vendor.dev',
    'a label of 64': `${'a'.repeat(64)}.vendor.dev`,
    '254 characters': `${label63}.${label63}.${label63}.${'a'.repeat(62)}`,
    NUL: 'alice.vendor.dev\0.evil.test',
    UTF8: 'ä.vendor.dev',
    BEL: 'alice\x07.vendor.dev',
    'ANSI escapes': '\x1b[31malice.vendor.dev',
    underscore: '_acme-challenge.vendor.dev',
    space: 'alice vendor.dev',
    star: '*.vendor.dev',
    port: 'alice.vendor.dev:443',
    slash: '../../etc/passwd',
    'leading hyphen': '-alice.vendor.dev',
    'trailing hyphen': 'alice-.vendor.dev',
  };
  for (const [what, name] of Object.entries(cases)) {
    it(what, () => expect(readName(name)).toEqual(refused('unrecognized_name')));
  }

  it('but 253 characters in labels of 63 are a name', () => {
    const name = `${label63}.${label63}.${label63}.${'a'.repeat(61)}`;
    expect(name).toHaveLength(253);
    expect(readName(name)).toEqual(named(name));
  });

  it('two host_names', () => {
    expect(readName('alice.vendor.dev', 'bob.vendor.dev')).toEqual(refused('unrecognized_name'));
    expect(readName('alice.vendor.dev', 'alice.vendor.dev')).toEqual(refused('unrecognized_name'));
  });

  it('a server_name without host_name', () => {
    const other = Buffer.concat([Buffer.from([0, 6, 1, 0, 3]), Buffer.from('abc')]);
    expect(read(helloBytes({ serverNames: [other] }))).toEqual(refused('unrecognized_name'));
    expect(read(helloBytes({ serverNames: [Buffer.from([0, 0])] }))).toEqual(
      refused('unrecognized_name'),
    );
  });
});

describe('broken messages', () => {
  it('lengths that do not add up are refused at every place', () => {
    const good = helloBody({ serverNames: [serverName('alice.vendor.dev')], alpn: ['h2'] });
    for (let cut = 1; cut < good.length; cut += 1) {
      const result = read(records(handshake(good.subarray(0, cut)), 16_384));
      const noExtensions = cut === 2 + 32 + 33 + 6 + 2;
      expect(result, `cut at ${cut}`).toEqual(
        noExtensions ? named(undefined) : refused('decode_error'),
      );
    }
  });

  it('an extension that reaches beyond the others is refused', () => {
    const bytes = helloBytes({ extensions: [Buffer.from([0, 21, 0, 9, 0])] });
    expect(read(bytes)).toEqual(refused('decode_error'));
  });

  it('doubled extensions are refused', () => {
    const name = serverName('alice.vendor.dev');
    expect(read(helloBytes({ serverNames: [name, name] }))).toEqual(refused('decode_error'));
    const alpn = extension(16, Buffer.from([0, 3, 2, 0x68, 0x32]));
    expect(read(helloBytes({ extensions: [alpn, alpn] }))).toEqual(refused('decode_error'));
  });

  it('malformed ALPN is refused', () => {
    for (const body of [[], [0, 0], [0, 1, 0], [0, 3, 3, 0x68, 0x32], [0, 9, 2, 0x68, 0x32]]) {
      const bytes = helloBytes({ extensions: [extension(16, Buffer.from(body))] });
      expect(read(bytes)).toEqual(refused('decode_error'));
    }
  });

  it('another handshake message, another record type, bytes behind the hello are refused', () => {
    const body = helloBody({});
    expect(read(records(handshake(body, 2), 16_384))).toEqual(refused('unexpected_message'));
    expect(read(Buffer.from([23, 3, 3, 0, 1, 0]))).toEqual(refused('unexpected_message'));
    expect(read(Buffer.from([22, 3, 1, 0, 0]))).toEqual(refused('unexpected_message'));
    expect(read(Buffer.from([22, 2, 0, 0, 1, 1]))).toEqual(refused('decode_error'));
    const two = Buffer.concat([handshake(body), Buffer.from([0])]);
    expect(read(records(two, 16_384))).toEqual(refused('unexpected_message'));
    const interleaved = Buffer.concat([records(handshake(body), 50).subarray(0, 55)]);
    const alert = Buffer.from([21, 3, 1, 0, 2, 2, 0]);
    expect(read(Buffer.concat([interleaved, alert]))).toEqual(refused('unexpected_message'));
  });

  it('plain HTTP is told apart from noise', () => {
    expect(read(Buffer.from('GET / HTTP/1.1\r\n'))).toMatchObject({ plainHttp: true });
    expect(read(Buffer.from([0x80, 0x2e, 1, 0, 2]))).toMatchObject({ plainHttp: false });
  });

  it('alerts are records that a TLS client understands', () => {
    const bytes = tlsAlert({ alert: 'unrecognized_name' });
    expect(bytes.toString('hex')).toBe('15030100020270');
  });
});

describe('T-10 segments and records of any size', () => {
  const shape = { serverNames: [serverName('alice.vendor.dev')], alpn: ['http/1.1'] };
  const expected = { kind: 'hello', hostname: 'alice.vendor.dev', alpn: ['http/1.1'] };

  it('give the same result, and the TLS library gets all bytes', () => {
    const anySize = fc.integer({ min: 1, max: 200 });
    fc.assert(
      fc.property(anySize, anySize, (recordBytes, segmentBytes) => {
        const bytes = helloBytes({ ...shape, recordBytes });
        expect(read(bytes, segmentBytes)).toEqual(expected);
        const reader = new ClientHelloReader();
        for (let at = 0; at < bytes.length; at += segmentBytes) {
          if (reader.push(bytes.subarray(at, at + segmentBytes)) !== 'more') break;
        }
        expect(bytes.subarray(0, reader.bytes().length)).toEqual(reader.bytes());
        expect(bytes.length - reader.bytes().length).toBeLessThan(segmentBytes);
      }),
    );
  });

  it('a hello above 16 KiB is refused before it is collected', () => {
    const padding = extension(21, Buffer.alloc(20_000));
    const bytes = helloBytes({ ...shape, extensions: [padding] });
    expect(read(bytes)).toEqual(refused('record_overflow'));
    const reader = new ClientHelloReader();
    expect(reader.push(bytes.subarray(0, 9))).toEqual(refused('record_overflow'));
    const small = helloBytes({ ...shape, extensions: [padding], recordBytes: 1_000 });
    expect(read(small, 100)).toEqual(refused('record_overflow'));
  });

  it('16 KiB in records of one byte, by single bytes, cost no more than a few milliseconds', () => {
    const bytes = helloBytes({
      extensions: [extension(21, Buffer.alloc(2_400))],
      recordBytes: 1,
    });
    expect(bytes.length).toBeGreaterThan(14_000);
    read(bytes, 1);
    const before = process.cpuUsage();
    expect(read(bytes, 1)).toMatchObject({ kind: 'hello' });
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1_000).toBeLessThan(50);
  });
});

describe('T-4 nothing makes it throw', () => {
  it('100,000 names', () => {
    const name = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.stringMatching(/^[a-zA-Z0-9.-]{0,255}$/),
    );
    let hostnames = 0;
    fc.assert(
      fc.property(name, (text) => {
        const bytes = Buffer.from(text).subarray(0, 400).toString('latin1');
        const result = readName(bytes);
        if (result === 'more') throw new Error('a whole hello was not understood');
        if (result.kind === 'fault') {
          expect(result.alert).toBe('unrecognized_name');
        } else if (result.hostname !== undefined) {
          hostnames += 1;
          expect(result.hostname).toMatch(/^[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*$/);
        }
      }),
      { numRuns: 100_000 },
    );
    expect(hostnames).toBeGreaterThan(1_000);
  });

  it('20,000 damaged messages', () => {
    const good = helloBytes({ serverNames: [serverName('alice.vendor.dev')], alpn: ['h2'] });
    const place = fc.integer({ min: 0, max: good.length - 1 });
    const edit = fc.tuple(place, fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of edits) bytes[at] = value;
        const result = read(bytes);
        expect(['more', 'hello', 'fault']).toContain(result === 'more' ? result : result.kind);
      }),
      { numRuns: 20_000 },
    );
  });
});
