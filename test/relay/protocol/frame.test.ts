import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFrame, FRAME, FrameCursor, HEADER_BYTES } from '../../../relay/protocol/frame.ts';
import { LIMITS } from '../../../relay/protocol/limits.ts';
import { decodeOpen, encodeOpen } from '../../../relay/protocol/open.ts';
import { decodeReset, encodeReset, RESET_CODES } from '../../../relay/protocol/reset-reason.ts';
import { encodeSync, findLeaked } from '../../../relay/protocol/sync.ts';
import { HEADER } from '../../world/memory-tunnel.ts';
import { u32 } from '../../world/raw-tunnel.ts';

interface Read {
  readonly frames: readonly { type: number; streamId: number; payload: string }[];
  readonly fault: string | undefined;
}

function read(message: Buffer): Read {
  const cursor = new FrameCursor();
  cursor.read(message);
  const frames: Read['frames'][number][] = [];
  while (cursor.next()) {
    const { type, streamId } = cursor;
    frames.push({ type, streamId, payload: cursor.payload().toString('latin1') });
  }
  return { frames, fault: cursor.fault };
}

describe('frame', () => {
  it('has the bytes that PROTOCOL.md shows', () => {
    const bytes = encodeFrame(FRAME.data, 0x01020304, Buffer.from('hi'));
    expect(bytes.toString('hex')).toBe(`05${'00'}${'0002'}${'01020304'}${'6869'}`);
  });

  it('reads what was written: any frames, in order', () => {
    const frame = fc.record({
      type: fc.constantFrom(...Object.values(FRAME)),
      id: fc.integer({ min: 1, max: LIMITS.streamIdMax }),
      payload: fc.uint8Array({ maxLength: 300 }),
    });
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 20 }), (list) => {
        const written = list.map(({ type, id, payload }) => ({
          type,
          streamId: type >= FRAME.open && type <= FRAME.window ? id : 0,
          payload: Buffer.from(payload),
        }));
        const message = Buffer.concat(
          written.map(({ type, streamId, payload }) => encodeFrame(type, streamId, payload)),
        );
        expect(read(message)).toEqual({
          frames: written.map((one) => ({ ...one, payload: one.payload.toString('latin1') })),
          fault: undefined,
        });
      }),
    );
  });

  it('reads any bytes without throwing, and either to the end or to a fault', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const { frames, fault } = read(Buffer.from(bytes));
        const sizes = frames.map((frame) => HEADER_BYTES + frame.payload.length);
        const readBytes = sizes.reduce((sum, size) => sum + size, 0);
        expect(fault === undefined ? readBytes : -1).toBe(fault === undefined ? bytes.length : -1);
        expect(readBytes).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 2_000 },
    );
  });

  const good = encodeFrame(FRAME.data, 7, Buffer.from('good'));
  const changed = (offset: number, value: number): Buffer => {
    const bytes = Buffer.from(good);
    bytes[offset] = value;
    return bytes;
  };
  const cases: readonly (readonly [string, Buffer, string])[] = [
    ['no frame', Buffer.alloc(0), 'a message without a frame'],
    ['type 0', changed(0, 0), 'unknown frame type 0'],
    ['type 14', changed(0, 14), 'unknown frame type 14'],
    ['type 255', changed(0, 255), 'unknown frame type 255'],
    ['a flag', changed(1, 1), 'unknown flags 1'],
    ['a length beyond the message', changed(3, 5), 'a frame longer than its message'],
    ['half a header', good.subarray(0, 7), 'a frame header cut short'],
    ['an id of 32 bits', changed(4, 0x80), 'a stream id over 31 bits'],
    ['data with id 0', changed(7, 0), 'frame type 5 with stream id 0'],
    ['ping with an id', changed(0, FRAME.ping), 'frame type 9 with stream id 7'],
    ['a hello with an id', changed(0, FRAME.proof), 'frame type 2 with stream id 7'],
    ['too large', Buffer.alloc(LIMITS.messageBytesMax + 1, 1), 'a message over 66,560 bytes'],
  ];
  for (const [name, bytes, fault] of cases) {
    it(`refuses ${name}`, () => {
      expect(read(bytes)).toEqual({ frames: [], fault });
    });
  }

  it('reads the frames before a fault, and none after it', () => {
    const { frames, fault } = read(Buffer.concat([good, changed(0, 99), good]));
    expect([frames.length, fault]).toEqual([1, 'unknown frame type 99']);
  });

  it('keeps no message alive once it is read, or an idle tunnel costs 64 KiB', () => {
    const cursor = new FrameCursor();
    cursor.read(Buffer.alloc(60_000, good));
    while (cursor.next()) expect(cursor.payload()).toHaveLength(4);
    expect(cursor.payload().buffer.byteLength).toBe(0);
    expect(cursor.next()).toBe(false);
  });
});

describe('open', () => {
  it('reads what was written', () => {
    expect(decodeOpen(encodeOpen(HEADER))).toEqual(HEADER);
  });

  it('ignores members that a later version adds', () => {
    const payload = Buffer.from(JSON.stringify({ ...HEADER, dial: '169.254.169.254:80' }));
    expect(decodeOpen(payload)).toEqual(HEADER);
  });

  it('is undefined for anything else', () => {
    const wrong = [
      { ...HEADER, name: '' },
      { ...HEADER, workspace: 'x'.repeat(256) },
      { ...HEADER, address: 7 },
      { ...HEADER, port: 65_536 },
      { ...HEADER, port: 1.5 },
      { ...HEADER, port: '80' },
      { ...HEADER, trust: 4 },
      { ...HEADER, trust: -1 },
      { ...HEADER, padding: 'x'.repeat(LIMITS.openBytesMax) },
      [HEADER],
      'alice',
      null,
    ];
    for (const value of wrong)
      expect(decodeOpen(Buffer.from(JSON.stringify(value)))).toBe(undefined);
    expect(decodeOpen(Buffer.from('{"name":'))).toBe(undefined);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(decodeOpen(Buffer.from(bytes))).toBe(undefined);
      }),
    );
  });
});

describe('reset', () => {
  it('carries every reason but the one that only a loser of a tunnel may state', () => {
    for (const reason of Object.keys(RESET_CODES) as (keyof typeof RESET_CODES)[]) {
      const told = decodeReset(encodeReset(reason, 'why'));
      expect(told).toEqual({
        reason: reason === 'tunnel-lost' ? 'internal' : reason,
        detail: 'why',
      });
    }
  });

  it('never believes "tunnel-lost" from the wire, or a device could make a relay ask another', () => {
    expect(decodeReset(Buffer.from([0, RESET_CODES['tunnel-lost']]))?.reason).toBe('internal');
  });

  it('reads a code of a newer version as internal', () => {
    expect(decodeReset(Buffer.from([0x7f, 0xff]))?.reason).toBe('internal');
  });

  it('cuts a long detail, and shows nothing that a terminal would obey', () => {
    const long = decodeReset(encodeReset('internal', 'é'.repeat(1_000)));
    expect(long?.detail).toBe('é'.repeat(LIMITS.detailBytesMax / 2));
    const evil = decodeReset(encodeReset('internal', 'a\u001b[2J\nb\u202ec\u2028d'));
    expect(evil?.detail).toBe('a\ufffd[2J\ufffdb\ufffdc\ufffdd');
  });

  it('is undefined when cut short or too long', () => {
    expect(decodeReset(Buffer.alloc(1))).toBe(undefined);
    expect(decodeReset(Buffer.alloc(3 + LIMITS.detailBytesMax))).toBe(undefined);
  });
});

describe('sync', () => {
  const ours = new Map([2, 5, 9].map((id) => [id, `stream ${id}`]));

  it('finds what the other side has not, among what it must have seen', () => {
    expect(encodeSync(9, ours)).toEqual(u32(9, 2, 5, 9));
    expect(findLeaked(u32(9, 2, 5, 9), 9, ours)).toEqual([]);
    expect(findLeaked(u32(9, 5), 9, ours)).toEqual(['stream 2', 'stream 9']);
    expect(findLeaked(u32(9), 9, ours)).toEqual(['stream 2', 'stream 5', 'stream 9']);
    // 9 may still be on its way to the other side.
    expect(findLeaked(u32(8, 5), 9, ours)).toEqual(['stream 2']);
    // Ids that we have closed, or that it has and we have not, say nothing about ours.
    expect(findLeaked(u32(9, 1, 2, 3, 5, 8, 9), 9, ours)).toEqual([]);
  });

  it('refuses ids that do not rise, were never opened, or are cut short', () => {
    for (const payload of [u32(9, 5, 2), u32(9, 5, 5), u32(9, 0), u32(10), u32(5, 9)]) {
      expect(findLeaked(payload, 9, ours)).toBe(undefined);
    }
    expect(findLeaked(Buffer.alloc(3), 9, ours)).toBe(undefined);
    expect(findLeaked(Buffer.alloc(7), 9, ours)).toBe(undefined);
  });

  it('agrees with a set difference, whatever the ids', () => {
    const ids = fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 40 });
    fc.assert(
      fc.property(ids, ids, fc.nat({ max: 60 }), (one, other, highest) => {
        const kept = new Map(one.toSorted((a, b) => a - b).map((id) => [id, id]));
        const told = other.filter((id) => id <= highest).toSorted((a, b) => a - b);
        const expected = [...kept.keys()].filter((id) => id <= highest && !told.includes(id));
        expect(findLeaked(u32(highest, ...told), 60, kept)).toEqual(expected);
      }),
    );
  });
});
