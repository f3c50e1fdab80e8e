import { afterEach, describe, expect, it } from 'vitest';
import { encodeFrame, FRAME } from '../../../relay/protocol/frame.ts';
import { LIMITS } from '../../../relay/protocol/limits.ts';
import { CLOSE } from '../../../relay/protocol/wire.ts';
import { HEADER, MemoryTunnel } from '../../world/memory-tunnel.ts';
import { RawTunnel, u32 } from '../../world/raw-tunnel.ts';

let tunnel: MemoryTunnel | RawTunnel | undefined;
afterEach(() => tunnel?.stop());

function memoryTunnel(options?: ConstructorParameters<typeof MemoryTunnel>[0]): MemoryTunnel {
  const made = new MemoryTunnel(options);
  tunnel = made;
  return made;
}

function rawTunnel(...args: ConstructorParameters<typeof RawTunnel>): RawTunnel {
  const made = new RawTunnel(...args);
  tunnel = made;
  return made;
}

describe('streams of a tunnel', () => {
  it('U-5 are limited by the side that opens, which knows the limit of the other', async () => {
    const limited = memoryTunnel({ relay: { peerStreamsMax: 3 }, device: { streamsMax: 3 } });
    const { relay, device, arrived } = limited;
    const open = [relay.open(HEADER), relay.open(HEADER), relay.open(HEADER)];
    expect(open).not.toContain(undefined);
    expect(relay.open(HEADER)).toBe(undefined);
    open[0]?.reset('cancelled');
    // The reset goes before the open, so the other side never sees four.
    expect(relay.open(HEADER)).toBeDefined();
    await limited.settle();
    expect(arrived.map((one) => one.reason)).toEqual([
      'cancelled',
      undefined,
      undefined,
      undefined,
    ]);
    expect(device.streamCount).toBe(3);
  });

  it('U-5 are limited by the side that accepts as well', async () => {
    const raw = rawTunnel('device', { streamsMax: 2 });
    for (const id of [1, 2, 3, 4]) raw.open(id);
    expect((await raw.resets()).map((one) => [one.streamId, one.reason])).toEqual([
      [3, 'too-many-streams'],
      [4, 'too-many-streams'],
    ]);
    expect([raw.arrived.length, raw.session.streamCount]).toEqual([2, 2]);
  });

  it('are never more than a sync frame can list, whatever the other side says it admits', async () => {
    const raw = rawTunnel('relay', { peerStreamsMax: 1_000_000_000 });
    for (let count = 0; count < LIMITS.streamsCeiling; count++) raw.session.open(HEADER);
    expect(raw.session.streamCount).toBe(LIMITS.streamsCeiling);
    expect(raw.session.open(HEADER)).toBe(undefined);
  });

  it('U-4 use ids up to 31 bits; after the last one the tunnel asks to be replaced', async () => {
    const full = memoryTunnel({ relay: { lastStreamId: LIMITS.streamIdMax - 2 } });
    const first = full.open();
    const last = full.open();
    expect(full.relay.open(HEADER)).toBe(undefined);
    await full.settle();
    expect([first.link, last.link].map((link) => 'id' in link && link.id)).toEqual([
      LIMITS.streamIdMax - 1,
      LIMITS.streamIdMax,
    ]);
    expect(full.drains).toEqual([{ side: 'device', ms: LIMITS.replaceWithinMs }]);
    last.link.write('runs on');
    await full.settle();
    expect(full.deviceEndOf(1).text).toBe('runs on');
    expect(full.relayEnd).toBe(undefined);
  });
});

describe('drain', () => {
  it('stops new streams on both sides and lets the others run', async () => {
    const drained = memoryTunnel();
    const near = drained.open();
    await drained.settle();
    drained.device.drain(30_000);
    const crossing = drained.open();
    await drained.settle();
    expect(drained.drains).toEqual([{ side: 'relay', ms: 30_000 }]);
    expect([near.stops, near.breaks]).toEqual([1, []]);
    expect(crossing.reason).toBe('draining');
    expect(drained.relay.open(HEADER)).toBe(undefined);
    near.link.write('finish');
    near.link.end();
    drained.deviceEndOf(0).link.end();
    await drained.settle();
    expect(drained.deviceEndOf(0).text).toBe('finish');
    expect(drained.device.streamCount).toBe(0);
  });

  it('is told by both sides when both drain', async () => {
    const drained = memoryTunnel();
    drained.device.drain(30_000);
    await drained.settle();
    drained.relay.drain(10_000);
    drained.relay.drain(20_000);
    await drained.settle();
    expect(drained.drains).toEqual([
      { side: 'relay', ms: 30_000 },
      { side: 'device', ms: 10_000 },
    ]);
  });

  it('counts once, or a tunnel could make us connect anew without end', () => {
    const raw = rawTunnel('device');
    for (let times = 0; times < 20; times++) raw.say(encodeFrame(FRAME.drain, 0, u32(times)));
    expect(raw.drained).toEqual([0]);
  });

  it('survives a fault of whoever hears it', async () => {
    const raw = rawTunnel('device', {
      drained: () => {
        throw new TypeError('a bug');
      },
    });
    raw.say(encodeFrame(FRAME.drain, 0, u32(1)));
    expect(raw.faults).toHaveLength(1);
    expect(raw.closed).toBe(undefined);
  });
});

describe('the end of a tunnel', () => {
  it('breaks all streams at both ends, says why, and opens nothing more', async () => {
    const ended = memoryTunnel();
    const near = ended.open();
    await ended.settle();
    ended.relay.close(CLOSE.superseded, 'superseded: another instance took over');
    await ended.settle();
    const end = { code: CLOSE.superseded, reason: 'superseded: another instance took over' };
    expect([ended.relayEnd, ended.deviceEnd]).toEqual([end, end]);
    expect(near.breaks).toEqual([{ reason: 'tunnel-lost', detail: end.reason }]);
    expect(ended.deviceEndOf(0).reason).toBe('tunnel-lost');
    expect(ended.relay.open(HEADER)).toBe(undefined);
    near.link.write('after');
    near.link.end();
    near.link.reset('cancelled');
    near.link.taken(0);
  });

  it('sends what was put before it', async () => {
    const ended = memoryTunnel();
    ended.open();
    ended.relay.close(CLOSE.done, '');
    await ended.settle();
    expect(ended.headers).toEqual([HEADER]);
  });

  it('happens once, and nothing is read after it', () => {
    const raw = rawTunnel('device');
    const listener = raw.open(1);
    raw.session.lost(1006, 'gone');
    raw.session.lost(1006, 'gone again');
    raw.say(encodeFrame(FRAME.data, 1, Buffer.from('late')));
    expect(raw.ended).toEqual({ code: 1006, reason: 'gone' });
    expect([listener.breaks.length, listener.bytes]).toEqual([1, 0]);
  });
});

describe('a wire that takes nothing', () => {
  it('U-8 queues data, lets resets and credit through, and holds up to the hard limit', async () => {
    const raw = rawTunnel('relay', { peerStreamsMax: LIMITS.streamsCeiling });
    raw.holdsSent = true;
    const writer = raw.session.open(HEADER);
    for (let times = 0; times < 100; times++) writer?.write(Buffer.alloc(65_536));
    const dataBytes = async (): Promise<number> =>
      (await raw.heard(FRAME.data)).reduce((sum, frame) => sum + frame.payload.length, 0);
    expect(await dataBytes()).toBeLessThanOrEqual(LIMITS.inFlightBytesMax);
    writer?.reset('cancelled');
    expect(await raw.resets()).toHaveLength(1);
    let opened = 0;
    while (raw.closed === undefined && opened < 100_000) {
      raw.session.open(HEADER)?.reset('cancelled', 'x'.repeat(LIMITS.detailBytesMax));
      opened += 1;
      if (opened % 100 === 0) await raw.heard(FRAME.reset);
    }
    expect(raw.closed).toMatchObject({ code: CLOSE.stuck });
    expect(opened).toBeGreaterThan(5_000);
  });

  it('never ends the tunnel below whoever is just opening or resetting a stream', async () => {
    const raw = rawTunnel('relay', { peerStreamsMax: LIMITS.streamsCeiling });
    raw.holdsSent = true;
    const detail = 'x'.repeat(LIMITS.detailBytesMax);
    for (let times = 0; times < 10_000; times++) {
      const stream = raw.session.open(HEADER);
      if (stream === undefined) throw new Error('the tunnel ended in the middle of a turn');
      stream.reset('cancelled', detail);
    }
    expect(raw.ended).toBe(undefined);
    await raw.heard(FRAME.reset);
    expect(raw.closed).toMatchObject({ code: CLOSE.stuck });
  });

  it('gives the room back as messages go, and the streams their turns', async () => {
    const raw = rawTunnel('relay');
    raw.holdsSent = true;
    const streams = [raw.session.open(HEADER), raw.session.open(HEADER)];
    for (const stream of streams) stream?.write(Buffer.alloc(LIMITS.windowBytesStart));
    await raw.heard(FRAME.data);
    while (raw.unsent.length > 0) {
      raw.unsent.shift()?.();
      await raw.heard(FRAME.data);
    }
    const frames = await raw.heard(FRAME.data);
    expect(frames.reduce((sum, frame) => sum + frame.payload.length, 0)).toBe(524_288);
  });
});
