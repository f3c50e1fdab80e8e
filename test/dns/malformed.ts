// What attackers and broken programs send, one of each kind, and what the gate says of it.
import type { Verdict } from '../../dns/gate.ts';
import { message, opt, option, record, uint16s } from './messages.ts';

export type Malformed = readonly [name: string, bytes: Buffer, verdict: Verdict];

const ROOT = Buffer.of(0);
const QUESTION_POINTER = Buffer.of(0xc0, 12);
const TSIG = record(Buffer.from('\x03key\0', 'latin1'), 250, Buffer.alloc(16)).fill(0xff, 7, 9);

/** 200 names of one pointer each, every one leading to the one before; a classic of slow parsers. */
function pointerChain(depth: number): Buffer {
  const links = Array.from({ length: depth }, (_, at) => uint16s(0xc000 | (45 + at * 2)));
  return record(ROOT, 10, Buffer.concat([ROOT, ...links]));
}

function longName(labels: number, bytes: number): Buffer {
  const label = Buffer.concat([Buffer.of(bytes), Buffer.alloc(bytes, 'a')]);
  return Buffer.concat([...new Array<Buffer>(labels).fill(label), ROOT]);
}

export const MALFORMED: readonly Malformed[] = [
  ['nothing', Buffer.alloc(0), 'drop'],
  ['one byte', Buffer.of(0), 'drop'],
  ['eleven bytes', Buffer.alloc(11), 'drop'],
  ['more bytes than any question has', message({ rest: Buffer.alloc(4096) }), 'drop'],
  ['QR=1: an answer, from another server or from ourselves', message({ flags: 0x8000 }), 'drop'],
  ['QR=1 with RCODE FORMERR', message({ flags: 0x8001 }), 'drop'],
  ['QR=1 and an unknown opcode', message({ flags: 0xf800 }), 'drop'],
  ['a header only, RFC 9619: QDCOUNT 0', uint16s(1, 0, 0, 0, 0, 0), 'formerr'],
  ['a header that promises a question', uint16s(1, 0, 1, 0, 0, 0), 'formerr'],
  [
    'RFC 9619: QDCOUNT 2, both there',
    message({ counts: [2, 0, 0, 0], rest: Buffer.from('\0\0\x01\0\x01', 'latin1') }),
    'formerr',
  ],
  [
    'QDCOUNT 0, an OPT and a byte more',
    Buffer.concat([uint16s(1, 0, 0, 0, 0, 1), opt(), ROOT]),
    'formerr',
  ],
  ['QDCOUNT 0 and an answer', uint16s(1, 0, 0, 1, 0, 1), 'formerr'],
  ['QDCOUNT 0 with a question there', message({ counts: [0, 0, 0, 0] }), 'formerr'],
  ['QDCOUNT 65535', message({ counts: [65535, 0, 0, 0] }), 'formerr'],
  ['all counts 65535, nothing else', uint16s(1, 0, 65535, 65535, 65535, 65535), 'formerr'],
  ['ANCOUNT 65535', message({ counts: [1, 65535, 0, 0] }), 'formerr'],
  ['NSCOUNT 65535', message({ counts: [1, 0, 65535, 0] }), 'formerr'],
  ['ARCOUNT 65535', message({ counts: [1, 0, 0, 65535] }), 'formerr'],
  ['ARCOUNT 1, nothing there', message({ counts: [1, 0, 0, 1] }), 'formerr'],
  ['ARCOUNT 0, an OPT there', message({ counts: [1, 0, 0, 0], rest: opt() }), 'formerr'],
  ['ARCOUNT 3', message({ counts: [1, 0, 0, 3], rest: opt() }), 'formerr'],
  [
    'an answer in the question',
    message({ counts: [1, 1, 0, 0], rest: record(QUESTION_POINTER, 1, Buffer.alloc(4)) }),
    'formerr',
  ],
  [
    'an authority in the question',
    message({ counts: [1, 0, 1, 0], rest: record(QUESTION_POINTER, 1, Buffer.alloc(4)) }),
    'formerr',
  ],
  ['one byte too many', message({ rest: Buffer.of(0), counts: [1, 0, 0, 0] }), 'formerr'],
  ['bytes behind the OPT', message({ rest: Buffer.concat([opt(), Buffer.alloc(300)]) }), 'formerr'],
  [
    'a label that ends the message',
    message({ name: Buffer.from('\x05ab', 'latin1') }).subarray(0, 15),
    'formerr',
  ],
  [
    'a name without an end',
    message({ name: Buffer.from('\x03abc', 'latin1') }).subarray(0, 16),
    'formerr',
  ],
  ['no type', message().subarray(0, -4), 'formerr'],
  ['half a class', message().subarray(0, -1), 'formerr'],
  ['a question that is a pointer to itself', message({ name: QUESTION_POINTER }), 'formerr'],
  [
    'a question that ends with a pointer',
    message({ name: Buffer.from('\x01a\xc0\x0c', 'latin1') }),
    'formerr',
  ],
  ['a forward pointer', message({ name: Buffer.of(0xc0, 40) }), 'formerr'],
  ['a pointer beyond the message', message({ name: Buffer.of(0xff, 0xff) }), 'formerr'],
  ['a pointer into the header', message({ name: Buffer.of(0xc0, 0) }), 'formerr'],
  ['half a pointer', message({ name: Buffer.of(0xc0) }).subarray(0, 13), 'formerr'],
  ['a label of 64 bytes (01 bits)', message({ name: longName(1, 64) }), 'formerr'],
  [
    'an extended label (10 bits)',
    message({ name: Buffer.concat([Buffer.of(0x80), ROOT]) }),
    'formerr',
  ],
  ['a name of 256 bytes', message({ name: longName(4, 63).subarray(1) }), 'formerr'],
  ['a name of 257 bytes', message({ name: longName(4, 63) }), 'formerr'],
  ['a name of 128 labels', message({ name: longName(128, 1) }), 'formerr'],
  ['a name of 2,000 labels', message({ name: longName(2000, 1) }), 'formerr'],
  [
    'two OPT records (RFC 6891, 6.1.1)',
    message({ rest: Buffer.concat([opt(), opt()]), additionals: 2 }),
    'formerr',
  ],
  [
    'an OPT with an owner',
    message({ rest: Buffer.concat([Buffer.from('\x01a', 'latin1'), opt()]) }),
    'formerr',
  ],
  [
    'an OPT whose owner is a pointer',
    message({ rest: record(QUESTION_POINTER, 41, Buffer.alloc(0)) }),
    'formerr',
  ],
  ['an OPT cut in its fixed part', message({ rest: opt().subarray(0, 9) }), 'formerr'],
  [
    'an OPT with RDLENGTH 65535',
    message({ rest: record(ROOT, 41, Buffer.alloc(4), 65535) }),
    'formerr',
  ],
  [
    'an OPT with RDLENGTH one too short',
    message({ rest: record(ROOT, 41, option(3, Buffer.alloc(2)), 5) }),
    'formerr',
  ],
  [
    'an option longer than its data',
    message({ rest: opt(option(10, Buffer.alloc(8), 9)) }),
    'formerr',
  ],
  [
    'an option of 65535 bytes',
    message({ rest: opt(option(10, Buffer.alloc(8), 65535)) }),
    'formerr',
  ],
  ['half an option', message({ rest: opt(uint16s(10)) }), 'formerr'],
  [
    'an additional record that is no OPT',
    message({ rest: record(ROOT, 1, Buffer.alloc(4)) }),
    'formerr',
  ],
  ['a pointer chain of 200 behind the question', message({ rest: pointerChain(200) }), 'formerr'],
  ['a pointer chain of 1,900, 4 KB', message({ rest: pointerChain(1900) }), 'formerr'],
  ['TSIG before OPT', message({ rest: Buffer.concat([TSIG, opt()]), additionals: 2 }), 'formerr'],
  ['TSIG cut short', message({ rest: TSIG.subarray(0, -1) }), 'formerr'],
  ['IQUERY', message({ flags: 0x0800 }), 'notimp'],
  ['STATUS', message({ flags: 0x1000 }), 'notimp'],
  ['opcode 3', message({ flags: 0x1800 }), 'notimp'],
  ['DSO (RFC 8490)', message({ flags: 0x3000, counts: [0, 0, 0, 0] }), 'notimp'],
  ['opcode 15 with counts that lie', message({ flags: 0x7800, counts: [9, 9, 9, 9] }), 'notimp'],
  ['a NOTIFY without a question', uint16s(1, 0x2000, 0, 0, 0, 0), 'formerr'],
  [
    'a NOTIFY with an answer that is not there',
    message({ flags: 0x2000, type: 6, counts: [1, 1, 0, 0] }),
    'formerr',
  ],
];

export const SOUND: readonly Malformed[] = [
  [
    'RFC 7873, 5.4: no question, a cookie',
    Buffer.concat([uint16s(1, 0, 0, 0, 0, 1), opt(option(10, Buffer.alloc(8)))]),
    'cookie',
  ],
  ['a question', message(), 'query'],
  ['the root', message({ name: ROOT }), 'query'],
  [
    'the longest name, 255 bytes',
    message({ name: Buffer.concat([longName(3, 63).subarray(0, -1), longName(1, 61)]) }),
    'query',
  ],
  ['127 labels', message({ name: longName(127, 1) }), 'query'],
  ['any bytes in a label', message({ name: Buffer.from('\x04\0.\xff@\0', 'latin1') }), 'query'],
  ['EDNS', message({ rest: opt() }), 'query'],
  [
    'EDNS with options',
    message({
      rest: opt(Buffer.concat([option(10, Buffer.alloc(8)), option(100, Buffer.alloc(0))])),
    }),
    'query',
  ],
  ['EDNS of another version', message({ rest: opt(Buffer.alloc(0), 0x00ff0000) }), 'query'],
  ['AA, TC, RD, RA, Z, AD, CD and an RCODE', message({ flags: 0x07ff }), 'query'],
  ['any class', message({ class: 65535 }), 'query'],
  ['AXFR', message({ type: 252 }), 'special'],
  [
    'IXFR with the SOA that it has',
    message({
      type: 251,
      counts: [1, 0, 1, 0],
      rest: record(QUESTION_POINTER, 6, Buffer.alloc(22)),
    }),
    'special',
  ],
  [
    'NOTIFY with an SOA',
    message({
      flags: 0x2400,
      type: 6,
      counts: [1, 1, 0, 0],
      rest: record(QUESTION_POINTER, 6, Buffer.alloc(22)),
    }),
    'special',
  ],
  [
    'UPDATE',
    message({
      flags: 0x2800,
      type: 6,
      counts: [1, 0, 1, 0],
      rest: record(QUESTION_POINTER, 1, Buffer.alloc(4)),
    }),
    'special',
  ],
  ['signed', message({ rest: TSIG }), 'special'],
  ['signed with EDNS', message({ rest: Buffer.concat([opt(), TSIG]), additionals: 2 }), 'special'],
];
