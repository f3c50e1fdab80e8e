// One end says what it must not say. Whatever it is, the other end answers with a typed reset or with
// a close, its other streams go on, and nothing throws.
import { afterEach, describe, expect, it } from 'vitest';
import { encodeFrame, FRAME, type FrameType } from '../../../relay/protocol/frame.ts';
import { LIMITS } from '../../../relay/protocol/limits.ts';
import { encodeOpen } from '../../../relay/protocol/open.ts';
import { encodeReset } from '../../../relay/protocol/reset-reason.ts';
import { CLOSE } from '../../../relay/protocol/wire.ts';
import { HEADER } from '../../world/memory-tunnel.ts';
import { RawTunnel, u32 } from '../../world/raw-tunnel.ts';
import { Recorder } from '../../world/recorder.ts';

let raw: RawTunnel;
afterEach(() => {
  expect(raw.faults).toEqual([]);
  raw.stop();
});

const NOTHING = Buffer.alloc(0);
const text = (value: string): Buffer => Buffer.from(value);
const say = (type: FrameType, id: number, payload: Buffer = NOTHING): void =>
  raw.say(encodeFrame(type, id, payload));

/** A device with streams 1 (attacked) and 2 (the witness), or a relay with the same. */
function attacked(role: 'relay' | 'device'): { victim: Recorder; witness: Recorder } {
  raw = new RawTunnel(role);
  if (role === 'device') return { victim: raw.open(1), witness: raw.open(2) };
  const listen = (): Recorder => {
    const stream = raw.session.open(HEADER);
    if (stream === undefined) throw new Error('not opened');
    return new Recorder(stream);
  };
  return { victim: listen(), witness: listen() };
}

function expectUnhurt(witness: Recorder): void {
  say(FRAME.data, 2, text('unhurt'));
  expect(witness.text).toBe('unhurt');
  expect(raw.closed).toBe(undefined);
}

for (const role of ['relay', 'device'] as const) {
  describe(`the other side of a ${role}`, () => {
    const strays: readonly (readonly [string, FrameType, Buffer])[] = [
      ['data', FRAME.data, text('x')],
      ['an end', FRAME.end, NOTHING],
      ['a window', FRAME.window, u32(1_000)],
      ['a malformed window', FRAME.window, NOTHING],
    ];
    for (const [name, type, payload] of strays) {
      it(`U-4 sends ${name} for a stream that never was: reset of that stream`, async () => {
        const { witness } = attacked(role);
        say(type, 77, payload);
        expect(await raw.resets()).toEqual([
          { streamId: 77, reason: 'protocol', detail: 'no such stream' },
        ]);
        expectUnhurt(witness);
      });
    }

    it('U-4 sends a reset for a stream that never was: a reset is never answered', async () => {
      const { witness } = attacked(role);
      say(FRAME.reset, 77, encodeReset('protocol', ''));
      expect(await raw.resets()).toEqual([]);
      expectUnhurt(witness);
    });

    it('U-4 keeps on with streams that never were: close', () => {
      attacked(role);
      for (let times = 0; times <= LIMITS.strayFramesMax; times++) say(FRAME.end, 77);
      expect(raw.closed).toMatchObject({ code: CLOSE.protocol });
    });

    it('U-4 sends to a stream that is closed: ignored', async () => {
      const { victim, witness } = attacked(role);
      victim.link.reset('cancelled');
      say(FRAME.data, 1, Buffer.alloc(60_000));
      say(FRAME.window, 1, u32(5));
      say(FRAME.end, 1);
      say(FRAME.end, 1);
      say(FRAME.reset, 1, encodeReset('internal', ''));
      expect([victim.bytes, victim.ends, victim.breaks]).toEqual([0, 0, []]);
      expect(await raw.resets()).toHaveLength(1);
      expectUnhurt(witness);
    });

    it('U-6 sends on to a closed stream beyond the credit that it had: close 1008', () => {
      const { victim } = attacked(role);
      victim.link.reset('cancelled');
      for (let times = 0; times < 4; times++) say(FRAME.data, 1, Buffer.alloc(65_535));
      expect(raw.closed).toBe(undefined);
      say(FRAME.data, 1, Buffer.alloc(65_535));
      expect(raw.closed).toMatchObject({ code: CLOSE.policy });
      expect(raw.closed?.reason).toContain('flow-control');
    });

    it('U-6 sends beyond its credit: close 1008, and not one byte too many is delivered', () => {
      const { victim, witness } = attacked(role);
      victim.takes = false;
      for (let times = 0; times < 4; times++) say(FRAME.data, 1, Buffer.alloc(65_535));
      expect(victim.bytes).toBe(LIMITS.windowBytesStart - 4);
      say(FRAME.data, 1, Buffer.alloc(5));
      expect(victim.bytes).toBe(LIMITS.windowBytesStart - 4);
      expect(raw.closed).toMatchObject({ code: CLOSE.policy });
      expect([victim.reason, witness.reason]).toEqual(['tunnel-lost', 'tunnel-lost']);
    });

    it('U-6 gives credit without end, or none: close 1008', () => {
      for (const bytes of [0xffff_ffff, 2 * LIMITS.windowBytesMax, 0]) {
        attacked(role);
        say(FRAME.window, 1, u32(bytes));
        expect(raw.closed).toMatchObject({ code: CLOSE.policy });
      }
      attacked(role);
      for (let times = 0; times < 13; times++) say(FRAME.window, 1, u32(1_048_576));
      expect(raw.closed).toMatchObject({ code: CLOSE.policy });
    });

    const malformed: readonly (readonly [string, FrameType, Buffer])[] = [
      ['an empty data frame', FRAME.data, NOTHING],
      ['an end with a payload', FRAME.end, text('x')],
      ['a window of three bytes', FRAME.window, Buffer.alloc(3)],
      ['a window of five bytes', FRAME.window, Buffer.alloc(5)],
      ['a reset without a code', FRAME.reset, NOTHING],
      ['a reset with a novel', FRAME.reset, Buffer.alloc(3 + LIMITS.detailBytesMax)],
    ];
    for (const [name, type, payload] of malformed) {
      it(`U-14 sends ${name}: reset of that stream`, async () => {
        const { victim, witness } = attacked(role);
        say(type, 1, payload);
        expect(victim.breaks).toHaveLength(1);
        expect(victim.reason).toBe('protocol');
        expect((await raw.resets()).map((one) => [one.streamId, one.reason])).toEqual([
          [1, 'protocol'],
        ]);
        expectUnhurt(witness);
      });
    }

    it('sends data or an end after its end: reset of that stream', async () => {
      for (const [type, payload] of [
        [FRAME.data, text('x')] as const,
        [FRAME.end, NOTHING] as const,
      ]) {
        const { victim, witness } = attacked(role);
        say(FRAME.end, 1);
        say(type, 1, payload);
        expect([victim.ends, victim.bytes, victim.reason]).toEqual([1, 0, 'protocol']);
        expect(await raw.resets()).toHaveLength(1);
        expectUnhurt(witness);
      }
    });

    it('sends a reset with a code of the future or "tunnel-lost": internal', () => {
      for (const code of [9, 11, 0xffff]) {
        const { victim, witness } = attacked(role);
        say(FRAME.reset, 1, Buffer.from([code >> 8, code & 0xff]));
        expect(victim.reason).toBe('internal');
        expectUnhurt(witness);
      }
    });

    const fatal: readonly (readonly [string, Buffer])[] = [
      ['an unknown type', Buffer.from([13, 0, 0, 0, 0, 0, 0, 1])],
      ['type 0', Buffer.alloc(8)],
      ['a flag', Buffer.from([5, 1, 0, 0, 0, 0, 0, 1])],
      ['half a header', Buffer.alloc(5, 5)],
      ['an empty message', NOTHING],
      ['a frame longer than its message', Buffer.from([5, 0, 0xff, 0xff, 0, 0, 0, 1, 0])],
      ['a message over the limit', Buffer.alloc(LIMITS.messageBytesMax + 1, 5)],
      ['a ping with a stream id', Buffer.from([9, 0, 0, 0, 0, 0, 0, 1])],
      ['data for stream 0', Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0])],
      ['a stream id of 32 bits', Buffer.from([5, 0, 0, 1, 0x80, 0, 0, 1, 0])],
      ['a short ping', encodeFrame(FRAME.ping, 0, Buffer.alloc(7))],
      ['a long pong', encodeFrame(FRAME.pong, 0, Buffer.alloc(9))],
      ['a drain without a time', encodeFrame(FRAME.drain, 0, NOTHING)],
      ['an empty sync', encodeFrame(FRAME.sync, 0, NOTHING)],
      ['a sync of half an id', encodeFrame(FRAME.sync, 0, Buffer.alloc(6))],
      ['a sync that falls', encodeFrame(FRAME.sync, 0, u32(2, 2, 1))],
      ['a sync of streams that never were', encodeFrame(FRAME.sync, 0, u32(9))],
      ['a second challenge', encodeFrame(FRAME.challenge, 0, text('{}'))],
      ['a second proof', encodeFrame(FRAME.proof, 0, text('{}'))],
      ['a second welcome', encodeFrame(FRAME.welcome, 0, text('{}'))],
    ];
    for (const [name, message] of fatal) {
      it(`U-9 sends ${name}: close 1002 with a reason, and what follows is not read`, () => {
        const { victim, witness } = attacked(role);
        raw.say(encodeFrame(FRAME.data, 1, text('before')));
        raw.say(message);
        expect(raw.closed).toMatchObject({ code: CLOSE.protocol });
        expect(raw.closed?.reason).toMatch(/^protocol: .{5,100}$/);
        raw.say(encodeFrame(FRAME.data, 2, text('after')));
        expect([victim.text, witness.text]).toEqual(['before', '']);
        expect([victim.reason, witness.reason]).toEqual(['tunnel-lost', 'tunnel-lost']);
        expect(raw.ended).toEqual(raw.closed);
      });
    }

    it('U-8 floods with pings, pongs, syncs or drains: close 1008', () => {
      const floods = [
        encodeFrame(FRAME.ping, 0, Buffer.alloc(8)),
        encodeFrame(FRAME.pong, 0, Buffer.alloc(8)),
        encodeFrame(FRAME.sync, 0, u32(0)),
        encodeFrame(FRAME.drain, 0, u32(0)),
      ];
      for (const frame of floods) {
        attacked(role);
        for (let times = 0; times < LIMITS.tunnelFramesPerSecondMax; times++) raw.say(frame);
        expect(raw.closed).toBe(undefined);
        raw.say(frame);
        expect(raw.closed).toMatchObject({ code: CLOSE.policy });
      }
    });

    it('answers pings that were never sent: they tell no round trip', () => {
      const { witness } = attacked(role);
      const nowMs = performance.now();
      for (const value of [Number.NaN, Infinity, -1, 0, nowMs - 20_000, nowMs, nowMs + 1e6]) {
        const payload = Buffer.alloc(8);
        payload.writeDoubleBE(value, 0);
        say(FRAME.pong, 0, payload);
        expect(raw.session.roundTripMs).toBe(undefined);
      }
      expectUnhurt(witness);
    });

    it('sends many frames in one message: all are read, in order', async () => {
      const { victim, witness } = attacked(role);
      raw.say(
        encodeFrame(FRAME.data, 1, text('one ')),
        encodeFrame(FRAME.ping, 0, text('12345678')),
        encodeFrame(FRAME.data, 1, text('two')),
        encodeFrame(FRAME.end, 1, NOTHING),
      );
      expect([victim.text, victim.ends]).toEqual(['one two', 1]);
      const pongs = await raw.heard(FRAME.pong);
      expect(pongs.map((pong) => pong.payload.toString())).toEqual(['12345678']);
      expectUnhurt(witness);
    });
  });
}

describe('a device', () => {
  it('U-4 opens a stream, which only a relay may: close 1002', () => {
    attacked('relay');
    say(FRAME.open, 3, encodeOpen(HEADER));
    expect(raw.closed).toMatchObject({ code: CLOSE.protocol });
    expect(raw.closed?.reason).toContain('this side opens the streams');
  });

  it('U-4 answers the streams of its own tunnel only: another tunnel has other streams', () => {
    const { victim } = attacked('relay');
    const other = new RawTunnel('relay');
    const stranger = other.session.open(HEADER);
    if (stranger === undefined) throw new Error('not opened');
    const listener = new Recorder(stranger);
    say(FRAME.data, 1, text('for my own'));
    expect([victim.text, listener.text]).toEqual(['for my own', '']);
    other.stop();
  });
});

describe('a relay', () => {
  it('U-4 uses an id again, or a lower one: close 1002', () => {
    for (const id of [2, 1]) {
      attacked('device');
      say(FRAME.open, id, encodeOpen(HEADER));
      expect(raw.closed).toMatchObject({ code: CLOSE.protocol });
      expect(raw.closed?.reason).toContain('stream ids must rise');
    }
  });

  it('U-4 uses the last id of 31 bits, and none after it', () => {
    const { witness } = attacked('device');
    raw.open(LIMITS.streamIdMax);
    expectUnhurt(witness);
    expect(() => encodeFrame(FRAME.open, LIMITS.streamIdMax + 1, NOTHING)).not.toThrow();
    say(FRAME.open, LIMITS.streamIdMax + 1, encodeOpen(HEADER));
    expect(raw.closed).toMatchObject({ code: CLOSE.protocol });
  });

  it('U-1 sends an open that is not what the protocol says: reset, and nobody is asked', async () => {
    const { witness } = attacked('device');
    const bad = ['', '{}', 'null', '[]', '{"name":"a"}', '\xff\xfe', '{"name":"a","workspace":7}'];
    for (const [index, payload] of bad.entries()) {
      say(FRAME.open, 10 + index, Buffer.from(payload, 'latin1'));
    }
    expect((await raw.resets()).map((one) => [one.streamId, one.reason])).toEqual(
      bad.map((_, index) => [10 + index, 'protocol']),
    );
    expect(raw.arrived).toHaveLength(2);
    expect(raw.session.streamCount).toBe(2);
    expectUnhurt(witness);
  });
});
