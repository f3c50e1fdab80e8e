// Credit: whatever the schedule, every byte arrives once and in order or its stream breaks, nothing
// stalls for want of credit, and nobody holds more than he was given. The clock is the test's own.
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodeFrame, FRAME } from '../../../relay/protocol/frame.ts';
import { LIMITS } from '../../../relay/protocol/limits.ts';
import { MemoryTunnel } from '../../world/memory-tunnel.ts';
import { RawTunnel } from '../../world/raw-tunnel.ts';
import { type Plan, Transfer } from '../../world/transfer.ts';

const SECONDS = 1_000;
const MEGABYTE = Buffer.alloc(1_048_576, 'm');

let nowMs = 0;
beforeEach(() => {
  nowMs = 1 * SECONDS;
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
});
afterEach(() => vi.restoreAllMocks());

function expectEmpty(tunnel: MemoryTunnel): void {
  for (const session of [tunnel.relay, tunnel.device]) {
    expect(session.streamCount).toBe(0);
    expect(session.heldBytes).toBe(0);
    expect(session.growthBytesLeft).toBe(LIMITS.windowGrowthBytesMax);
  }
}

describe('credit', () => {
  const plan: fc.Arbitrary<Plan> = fc.record({
    upBytes: fc.nat({ max: 900_000 }),
    downBytes: fc.nat({ max: 900_000 }),
    pieceBytesMax: fc.constantFrom(7_000, 32_768, 65_536, 300_000),
    takeChance: fc.double({ min: 0.05, max: 1, noNaN: true }),
    resetAtTurn: fc.option(fc.nat({ max: 60 }), { nil: undefined, freq: 4 }),
  });
  const schedule = fc.record({
    seed: fc.nat(),
    capacity: fc.integer({ min: 1, max: 8 }),
    lag: fc.double({ min: 0, max: 0.6, noNaN: true }),
    plans: fc.array(plan, { minLength: 1, maxLength: 6 }),
    cutAtTurn: fc.option(fc.nat({ max: 60 }), { nil: undefined, freq: 8 }),
  });

  it('moves every byte once and in order, or breaks the stream, in any schedule', async () => {
    await fc.assert(
      fc.asyncProperty(schedule, async ({ seed, capacity, lag, plans, cutAtTurn }) => {
        const tunnel = new MemoryTunnel({ seed, capacity, lag });
        const transfers = plans.map((one, index) => new Transfer(tunnel, one, seed + index));
        let stillTurns = 0;
        let before = -1;
        for (let turn = 0; transfers.some((one) => !one.done); turn++) {
          nowMs += turn % 5;
          if (turn === cutAtTurn) tunnel.relay.lost(1006, 'cut');
          if (turn === cutAtTurn) tunnel.device.lost(1006, 'cut');
          await nextTurn();
          for (const transfer of transfers) transfer.turn(turn);
          const moved = transfers.reduce((sum, one) => sum + one.movedBytes, 0);
          stillTurns = moved === before ? stillTurns + 1 : 0;
          before = moved;
          if (stillTurns > 500) throw new Error(`stalled in turn ${turn} after ${moved} bytes`);
        }
        await tunnel.settle();
        expect(tunnel.faults).toEqual([]);
        for (const transfer of transfers) transfer.judge();
        expectEmpty(tunnel);
        tunnel.stop();
      }),
      { numRuns: 200 },
    );
  }, 60_000);

  it('F-13 a visitor who reads nothing holds one window at each hop, and delays nobody', async () => {
    const tunnel = new MemoryTunnel();
    const stalled = tunnel.open();
    const other = tunnel.open();
    stalled.takes = false;
    await tunnel.settle();
    const writer = tunnel.deviceEndOf(0).link;
    expect(writer.write(MEGABYTE)).toBe(false);
    tunnel.deviceEndOf(1).link.write(MEGABYTE);
    await tunnel.settle();
    expect(stalled.bytes).toBe(LIMITS.windowBytesStart);
    expect(tunnel.relay.heldBytes).toBeLessThanOrEqual(524_288);
    expect(other.bytes).toBe(MEGABYTE.length);
    stalled.link.reset('too-slow');
    expect(tunnel.relay.heldBytes).toBe(0);
    tunnel.stop();
  });

  it('grows for a listener who uses it up, and is given back when the stream closes', async () => {
    const tunnel = new MemoryTunnel();
    await moved(tunnel, 40);
    expect(tunnel.device.growthBytesLeft).toBe(
      LIMITS.windowGrowthBytesMax - (LIMITS.windowBytesMax - LIMITS.windowBytesStart),
    );
    expect(tunnel.relay.growthBytesLeft).toBe(LIMITS.windowGrowthBytesMax);
    tunnel.deviceEndOf(0).link.reset('cancelled');
    expect(tunnel.device.growthBytesLeft).toBe(LIMITS.windowGrowthBytesMax);
    tunnel.stop();
  });

  it('grows for no more streams than the tunnel can afford', async () => {
    const tunnel = new MemoryTunnel();
    for (let count = 0; count < 7; count++) await moved(tunnel, 40);
    expect(tunnel.device.growthBytesLeft).toBeGreaterThanOrEqual(0);
    expect(tunnel.device.growthBytesLeft).toBeLessThan(LIMITS.windowBytesMax);
    tunnel.stop();
  });

  it('F-13 never grows between neighbours, whose first window is enough', async () => {
    const tunnel = new MemoryTunnel();
    await moved(tunnel, 40, 0.1);
    expect(tunnel.device.roundTripMs).toBeLessThan(LIMITS.windowGrowthRoundTripMs);
    expect(tunnel.device.growthBytesLeft).toBe(LIMITS.windowGrowthBytesMax);
    tunnel.stop();
  });

  it('F-13 never grows for a slow listener, who takes long after the last message', async () => {
    const tunnel = new MemoryTunnel();
    const near = tunnel.open();
    await advance(tunnel, 20);
    const far = tunnel.deviceEndOf(0);
    far.takes = false;
    // A window at a time, so that no message comes between the two halves that he takes.
    for (let count = 0; count < 8; count++) {
      near.link.write(MEGABYTE.subarray(0, LIMITS.windowBytesStart));
      await advance(tunnel, 20);
      for (const half of [131_072, 131_072]) {
        nowMs += 1 * SECONDS;
        far.take(half);
      }
    }
    expect(far.bytes).toBe(8 * LIMITS.windowBytesStart);
    expect(tunnel.device.growthBytesLeft).toBe(LIMITS.windowGrowthBytesMax);
    tunnel.stop();
  });
});

describe('held bytes', () => {
  const data = (id: number, bytes: number): Buffer =>
    encodeFrame(FRAME.data, id, Buffer.alloc(bytes));

  it('beyond the bound of a tunnel cost the stalest stream, not one that was idle', async () => {
    const raw = new RawTunnel('device');
    const idle = raw.open(1);
    idle.takes = false;
    const count = LIMITS.heldBytesMax / LIMITS.windowBytesStart - 1;
    const stalled = Array.from({ length: count }, (_, index) => {
      const listener = raw.open(index + 2);
      listener.takes = false;
      return listener;
    });
    for (const [index, listener] of stalled.entries()) {
      nowMs += 10;
      for (let times = 0; times < 4; times++) raw.say(data(index + 2, 65_535));
      expect(listener.bytes).toBe(262_140);
    }
    expect(stalled.every((listener) => listener.reason === undefined)).toBe(true);
    nowMs += 60 * SECONDS;
    for (let times = 0; times < 4; times++) raw.say(data(1, 65_535));
    const broken = [idle, ...stalled].filter((listener) => listener.reason !== undefined);
    expect(broken).toEqual([stalled[0]]);
    expect((await raw.resets()).map((one) => [one.streamId, one.reason])).toEqual([
      [2, 'too-slow'],
    ]);
    expect(raw.session.heldBytes).toBeLessThanOrEqual(LIMITS.heldBytesMax);
    raw.stop();
  });

  it('U-14 count what holding a frame costs: 1-byte frames fill the bound as well', async () => {
    const raw = new RawTunnel('device');
    const listener = raw.open(1);
    listener.takes = false;
    const message = Buffer.concat(Array.from({ length: 7_000 }, () => data(1, 1)));
    let said = 0;
    while (listener.reason === undefined && said < 262_144) {
      raw.say(message);
      said += 7_000;
    }
    expect(listener.reason).toBe('too-slow');
    expect(said).toBeLessThanOrEqual(LIMITS.heldBytesMax / LIMITS.heldFrameBytes + 7_000);
    expect(raw.session.heldBytes).toBe(0);
    raw.stop();
  });

  it('are given back exactly, in whatever portions they are taken', () => {
    const raw = new RawTunnel('device');
    const listener = raw.open(1);
    listener.takes = false;
    for (const bytes of [1, 10, 1_000, 3, 65_535]) raw.say(data(1, bytes));
    for (const portion of [5, 0, 1, 7_000, 59_542]) listener.take(portion);
    expect(listener.heldBytes).toBe(1);
    expect(raw.session.heldBytes).toBeGreaterThan(0);
    listener.take();
    expect(raw.session.heldBytes).toBe(0);
    raw.stop();
  });

  it('U-14 keep no whole message alive: what waits behind held bytes is copied when small', () => {
    const raw = new RawTunnel('device');
    const listener = raw.open(1);
    raw.open(2);
    listener.takes = false;
    for (let times = 0; times < 100; times++) {
      // One byte to hold, in a message full of what another listener takes.
      raw.say(data(1, 1), encodeFrame(FRAME.end, 99, Buffer.alloc(60_000)));
    }
    const pinned = new Set(listener.chunks.map((chunk) => chunk.buffer));
    const pinnedBytes = [...pinned].reduce((sum, buffer) => sum + buffer.byteLength, 0);
    expect(listener.chunks).toHaveLength(100);
    expect(pinnedBytes).toBeLessThan(2 * LIMITS.messageBytesMax);
    raw.stop();
  });
});

/** Lets `turns` of one millisecond pass. */
async function advance(tunnel: MemoryTunnel, turns: number, turnMs = 1): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    nowMs += turnMs;
    await nextTurn();
  }
  expect(tunnel.faults).toEqual([]);
}

/** Opens a stream and moves that many megabytes to the device, as fast as they are taken. */
async function moved(tunnel: MemoryTunnel, megabytes: number, turnMs = 1): Promise<void> {
  const near = tunnel.open();
  await advance(tunnel, 20, turnMs);
  for (let count = 0; count < megabytes; count++) near.link.write(MEGABYTE);
  const far = tunnel.deviceEndOf(tunnel.arrived.length - 1);
  for (let turn = 0; far.bytes < megabytes * MEGABYTE.length; turn++) {
    if (turn > 10_000) throw new Error('stalled');
    await advance(tunnel, 1, turnMs);
  }
}
