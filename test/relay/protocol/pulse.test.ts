// Time: silence, standing still, sync. All clocks are the test's own.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodeFrame, FRAME } from '../../../relay/protocol/frame.ts';
import { LIMITS } from '../../../relay/protocol/limits.ts';
import { CLOSE } from '../../../relay/protocol/wire.ts';
import { HEADER, MemoryTunnel } from '../../world/memory-tunnel.ts';
import { RawTunnel, u32 } from '../../world/raw-tunnel.ts';

const SECONDS = 1_000;
const pong = (): Buffer => encodeFrame(FRAME.pong, 0, Buffer.alloc(8));

/** Time that passed without any timer having had the chance to fire. */
let stoodStillMs = 0;
beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setInterval', 'clearInterval', 'setImmediate', 'clearImmediate', 'performance'],
  });
  const now = performance.now.bind(performance);
  stoodStillMs = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => now() + stoodStillMs);
});
afterEach(() => {
  expect(vi.getTimerCount(), 'timers are left behind').toBe(0);
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('a tunnel that falls silent', () => {
  it('F-4 is noticed by both ends within 27.5 s, and cut', () => {
    const tunnel = new MemoryTunnel();
    const near = tunnel.open();
    vi.advanceTimersByTime(61 * SECONDS);
    expect(tunnel.relayEnd).toBe(undefined);
    tunnel.relayWire.stall(true);
    tunnel.deviceWire.stall(true);
    const silentAtMs = performance.now();
    vi.advanceTimersByTime(15 * SECONDS);
    expect([tunnel.relayEnd, tunnel.deviceEnd]).toEqual([undefined, undefined]);
    while (tunnel.relayEnd === undefined || tunnel.deviceEnd === undefined) {
      vi.advanceTimersByTime(100);
      expect(performance.now() - silentAtMs).toBeLessThanOrEqual(27.5 * SECONDS);
    }
    expect(tunnel.relayEnd.code).toBe(CLOSE.silent);
    expect(tunnel.deviceEnd.code).toBe(CLOSE.silent);
    expect([tunnel.relayWire.closedBy, tunnel.deviceWire.closedBy]).toEqual(['cut', 'cut']);
    expect([near.reason, tunnel.deviceEndOf(0).reason]).toEqual(['tunnel-lost', 'tunnel-lost']);
    vi.advanceTimersByTime(1);
  });

  it('F-4 in one direction only is noticed as well', () => {
    const tunnel = new MemoryTunnel();
    vi.advanceTimersByTime(5 * SECONDS);
    tunnel.deviceWire.stall(true);
    vi.advanceTimersByTime(27.5 * SECONDS);
    expect(tunnel.relayEnd?.code).toBe(CLOSE.silent);
    expect(tunnel.deviceEnd).toEqual({ code: 1006, reason: '' });
    vi.advanceTimersByTime(1);
  });

  it('lives for hours when nothing but pings is said', () => {
    const tunnel = new MemoryTunnel();
    tunnel.open();
    vi.advanceTimersByTime(3 * 3_600 * SECONDS);
    expect([tunnel.relayEnd, tunnel.deviceEnd]).toEqual([undefined, undefined]);
    expect(tunnel.relay.roundTripMs).toBeLessThan(LIMITS.pulseMs);
    tunnel.stop();
    vi.advanceTimersByTime(1);
  });
});

describe('a process that stood still', () => {
  it('F-21 for 60 s reads what arrived meanwhile before it judges a live tunnel', () => {
    const raw = new RawTunnel('device');
    vi.advanceTimersByTime(5 * SECONDS);
    raw.say(pong());
    stoodStillMs += 60 * SECONDS;
    // The timers come first, and only then the socket is read.
    vi.advanceTimersByTime(LIMITS.pulseMs);
    expect(raw.ended).toBe(undefined);
    raw.say(pong());
    for (let times = 0; times < 10; times++) {
      vi.advanceTimersByTime(10 * SECONDS);
      raw.say(pong());
    }
    expect(raw.ended).toBe(undefined);
    raw.stop();
    vi.advanceTimersByTime(1);
  });

  it('F-21 for 60 s asks at once, and knows 15 s later when the other side has gone', () => {
    const raw = new RawTunnel('device');
    vi.advanceTimersByTime(5 * SECONDS);
    raw.say(pong());
    stoodStillMs += 60 * SECONDS;
    vi.advanceTimersByTime(LIMITS.pulseMs);
    const pings = raw.frames.filter((frame) => frame.type === FRAME.ping).length;
    vi.advanceTimersByTime(1);
    expect(raw.frames.filter((frame) => frame.type === FRAME.ping)).toHaveLength(pings + 1);
    vi.advanceTimersByTime(15 * SECONDS);
    expect(raw.ended?.code).toBe(CLOSE.silent);
    expect(raw.wasCut).toBe(true);
    vi.advanceTimersByTime(1);
  });

  it('does not take a slow socket for one that is stuck', () => {
    const raw = new RawTunnel('device');
    vi.advanceTimersByTime(1);
    raw.holdsSent = true;
    raw.open(1).link.write(Buffer.alloc(30_000));
    vi.advanceTimersByTime(5 * SECONDS);
    raw.say(pong());
    stoodStillMs += 300 * SECONDS;
    vi.advanceTimersByTime(LIMITS.pulseMs);
    expect(raw.ended).toBe(undefined);
    raw.stop();
    vi.advanceTimersByTime(1);
  });
});

describe('the round trip', () => {
  it('is asked for 16 times at the start, and the shortest answer counts', () => {
    const raw = new RawTunnel('device');
    const pings = (): Buffer[] =>
      raw.frames.filter(({ type }) => type === FRAME.ping).map(({ payload }) => payload);
    const tooksMs = [9, 4, 2, 3, ...Array.from({ length: LIMITS.firstPings - 4 }, () => 5)];
    for (const [asked, tookMs] of tooksMs.entries()) {
      vi.advanceTimersByTime(1);
      expect(pings()).toHaveLength(asked + 1);
      vi.advanceTimersByTime(tookMs - 1);
      raw.say(encodeFrame(FRAME.pong, 0, pings().at(-1) ?? Buffer.alloc(0)));
    }
    vi.advanceTimersByTime(5 * SECONDS);
    expect(pings()).toHaveLength(LIMITS.firstPings);
    expect(Math.round(raw.session.roundTripMs ?? 0)).toBe(2);
    raw.stop();
    vi.advanceTimersByTime(1);
  });
});

describe('an other side that goes on sending and has stopped reading', () => {
  it('U-7 is closed after 60 s in which nothing has left', () => {
    const raw = new RawTunnel('relay');
    vi.advanceTimersByTime(1);
    raw.holdsSent = true;
    raw.session.open(HEADER)?.write(Buffer.alloc(100));
    for (let s = 0; s < 58; s += 2) {
      vi.advanceTimersByTime(2 * SECONDS);
      raw.say(pong());
    }
    expect(raw.closed).toBe(undefined);
    for (let s = 0; s < 8; s += 2) {
      vi.advanceTimersByTime(2 * SECONDS);
      raw.say(pong());
    }
    expect(raw.closed).toMatchObject({ code: CLOSE.stuck });
    vi.advanceTimersByTime(1);
  });

  it('is not closed while something leaves, however slowly', () => {
    const raw = new RawTunnel('relay');
    raw.holdsSent = true;
    const stream = raw.session.open(HEADER);
    for (let s = 0; s < 600; s += 20) {
      stream?.write(Buffer.alloc(1_000));
      vi.advanceTimersByTime(20 * SECONDS);
      raw.say(pong());
      raw.unsent.shift()?.();
    }
    expect(raw.closed).toBe(undefined);
    raw.stop();
    vi.advanceTimersByTime(1);
  });
});

describe('a tunnel that drains', () => {
  it('closes when its last stream is gone, not before the other side could connect elsewhere', () => {
    const tunnel = new MemoryTunnel();
    const near = tunnel.open();
    vi.advanceTimersByTime(100);
    tunnel.relay.drain(600 * SECONDS);
    vi.advanceTimersByTime(60 * SECONDS);
    expect(tunnel.relayEnd).toBe(undefined);
    near.link.reset('cancelled');
    vi.advanceTimersByTime(LIMITS.pulseMs);
    expect(tunnel.relayEnd).toEqual({ code: CLOSE.done, reason: 'done: drained' });
    vi.advanceTimersByTime(1);
    const empty = new MemoryTunnel();
    empty.relay.drain(600 * SECONDS);
    vi.advanceTimersByTime(LIMITS.drainEmptyMs - 1);
    expect(empty.relayEnd).toBe(undefined);
    vi.advanceTimersByTime(LIMITS.pulseMs + 100);
    expect(empty.deviceEnd).toEqual({ code: CLOSE.done, reason: 'done: drained' });
  });

  it('closes when its time is up, whatever still runs', () => {
    const tunnel = new MemoryTunnel();
    const near = tunnel.open();
    vi.advanceTimersByTime(100);
    tunnel.device.drain(30 * SECONDS);
    vi.advanceTimersByTime(29 * SECONDS);
    expect(near.reason).toBe(undefined);
    vi.advanceTimersByTime(1 * SECONDS + LIMITS.pulseMs);
    expect(near.reason).toBe('tunnel-lost');
    expect(tunnel.relayEnd).toEqual({ code: CLOSE.done, reason: 'done: drained' });
  });
});

describe('sync', () => {
  it('frees a stream that the other side has forgotten, within a minute', () => {
    const tunnel = new MemoryTunnel();
    const [kept, leaked] = [tunnel.open(), tunnel.open()];
    vi.advanceTimersByTime(1 * SECONDS);
    // As by a fault of the device: its end is gone, and it has told nobody.
    const lost = tunnel.deviceEndOf(1).link;
    tunnel.device.outbox.put = () => undefined;
    lost.reset('internal');
    Reflect.deleteProperty(tunnel.device.outbox, 'put');
    vi.advanceTimersByTime(LIMITS.syncEveryMs + LIMITS.pulseMs);
    expect([kept.reason, leaked.reason]).toEqual([undefined, 'internal']);
    expect(tunnel.relay.streamCount).toBe(1);
    tunnel.stop();
    vi.advanceTimersByTime(1);
  });

  it('leaves alone what was opened while it was under way, and what has just ended', () => {
    const tunnel = new MemoryTunnel();
    const streams = Array.from({ length: 5 }, () => tunnel.open());
    for (let s = 0; s < 600; s += 1) {
      vi.advanceTimersByTime(1 * SECONDS);
      streams.push(tunnel.open());
      const ending = streams[s];
      ending?.link.end();
      tunnel.deviceEndOf(s).link.end();
    }
    expect(streams.filter((stream) => stream.breaks.length > 0)).toEqual([]);
    tunnel.stop();
    vi.advanceTimersByTime(1);
  });

  it('is sent every minute, with the ids that live', () => {
    const raw = new RawTunnel('device');
    for (const id of [3, 5, 8]) raw.open(id);
    raw.arrived[1]?.link.reset('cancelled');
    for (let s = 0; s < 65; s += 5) {
      vi.advanceTimersByTime(5 * SECONDS);
      raw.say(pong());
    }
    const syncs = raw.frames.filter((frame) => frame.type === FRAME.sync);
    expect(syncs.map((frame) => frame.payload)).toEqual([u32(8, 3, 8)]);
    raw.stop();
    vi.advanceTimersByTime(1);
  });
});
