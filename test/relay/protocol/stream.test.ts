import { afterEach, describe, expect, it } from 'vitest';
import { FRAME } from '../../../relay/protocol/frame.ts';
import { LIMITS } from '../../../relay/protocol/limits.ts';
import type { LinkEvents } from '../../../relay/protocol/link.ts';
import type { Stream } from '../../../relay/protocol/stream.ts';
import { CLOSE } from '../../../relay/protocol/wire.ts';
import { HEADER, MemoryTunnel } from '../../world/memory-tunnel.ts';
import { RawTunnel } from '../../world/raw-tunnel.ts';
import { Recorder } from '../../world/recorder.ts';

const MEGABYTE = Buffer.alloc(1_048_576, 'm');

let tunnel: MemoryTunnel;
afterEach(() => tunnel.stop());

async function opened(options?: ConstructorParameters<typeof MemoryTunnel>[0]) {
  tunnel = new MemoryTunnel(options);
  const near = tunnel.open();
  await tunnel.settle();
  return { near, far: tunnel.deviceEndOf(0) };
}

/** What a tunnel without streams looks like, at both ends. */
function expectEmpty(): void {
  for (const session of [tunnel.relay, tunnel.device]) {
    expect(session.streamCount).toBe(0);
    expect(session.heldBytes).toBe(0);
    expect(session.growthBytesLeft).toBe(LIMITS.windowGrowthBytesMax);
  }
}

describe('stream', () => {
  it('arrives with its header and carries bytes both ways', async () => {
    const { near, far } = await opened();
    expect(tunnel.headers).toEqual([HEADER]);
    near.link.write('GET /');
    near.link.write(Buffer.from(' HTTP'));
    far.link.write('\u00e9\u00ff');
    await tunnel.settle();
    expect(far.text).toBe('GET / HTTP');
    expect(near.text).toBe('\u00e9\u00ff');
  });

  it('ends each half by itself, and is forgotten when both have ended', async () => {
    const { near, far } = await opened();
    near.link.write('question');
    near.link.end();
    await tunnel.settle();
    expect([far.text, far.ends, near.ends]).toEqual(['question', 1, 0]);
    expect(tunnel.device.streamCount).toBe(1);
    far.link.write('answer');
    far.link.end();
    await tunnel.settle();
    expect([near.text, near.ends]).toEqual(['answer', 1]);
    expect([near.breaks, far.breaks]).toEqual([[], []]);
    expectEmpty();
  });

  it('sends its end after everything that was queued before it', async () => {
    const { near, far } = await opened();
    expect(near.link.write(MEGABYTE)).toBe(false);
    near.link.end();
    await tunnel.settle();
    expect([far.bytes, far.ends]).toEqual([MEGABYTE.length, 1]);
  });

  it('breaks both halves by a reset, drops what is queued, and says no more', async () => {
    const { near, far } = await opened();
    far.takes = false;
    near.link.write(MEGABYTE);
    await tunnel.settle();
    near.link.reset('cancelled', 'the visitor left');
    near.link.write('more');
    near.link.end();
    await tunnel.settle();
    expect(far.breaks).toEqual([{ reason: 'cancelled', detail: 'the visitor left' }]);
    expect(far.bytes).toBe(LIMITS.windowBytesStart);
    expect(near.breaks).toEqual([]);
    far.take();
    expectEmpty();
  });

  it('tells when there is room again', async () => {
    const { near, far } = await opened();
    far.takes = false;
    near.link.write(MEGABYTE.subarray(0, 300_000));
    await tunnel.settle();
    expect(near.drains).toBe(0);
    far.take();
    await tunnel.settle();
    expect(near.drains).toBe(1);
    expect(far.bytes).toBe(300_000);
  });

  it('keeps no listener alive once it is closed', async () => {
    const { near, far } = await opened();
    near.link.reset('cancelled');
    await tunnel.settle();
    expect(near.link.events).not.toBe(near);
    expect(far.link.events).not.toBe(far);
  });

  it('waits behind other streams for one turn each, however much they have to say', async () => {
    tunnel = new MemoryTunnel({ capacity: 1 });
    const greedy = [tunnel.open(), tunnel.open(), tunnel.open()];
    const modest = tunnel.open();
    await tunnel.settle();
    for (const one of greedy) one.link.write(MEGABYTE.subarray(0, LIMITS.windowBytesStart));
    modest.link.write('me too');
    while (tunnel.deviceEndOf(3).bytes === 0) await new Promise(setImmediate);
    const ahead = [0, 1, 2].map((index) => tunnel.deviceEndOf(index).bytes);
    // What the socket held already, and one turn of each.
    expect(Math.max(...ahead)).toBeLessThan(LIMITS.inFlightBytesMax + 2 * LIMITS.quantumBytes);
    expect(Math.min(...ahead)).toBeLessThanOrEqual(4 * LIMITS.quantumBytes);
  });

  it('lets nobody jump the queue by writing inside drain()', async () => {
    const { raw, streams } = full(2);
    const [jumper, modest] = streams;
    jumper?.write(MEGABYTE.subarray(0, 1_000));
    modest?.write(MEGABYTE.subarray(0, 200_000));
    listen(jumper, () => {
      // Ignores what write() says, as long as it can.
      for (let times = 0; times < 15; times++) jumper?.write(MEGABYTE.subarray(0, 16_384));
    });
    raw.unsent.shift()?.();
    const frames = (await raw.heard(FRAME.data)).filter((frame) => frame.streamId > 1);
    expect(frames.map((frame) => frame.streamId).slice(0, 2)).toEqual([2, 3]);
    raw.stop();
  });

  it('nests no turns when listeners write inside drain(), or the stack would end', async () => {
    const { raw, streams } = full(2);
    for (const stream of streams) {
      listen(stream, () => stream?.write('x'));
      stream?.write('x');
    }
    for (const sent of raw.unsent.splice(0)) sent();
    expect((await raw.heard(FRAME.data)).length).toBeGreaterThan(5_000);
    expect(raw.faults).toEqual([]);
    raw.stop();
  });
});

/** A wire that is full of what stream 1 wrote, and so many more streams. */
function full(count: number) {
  tunnel = new MemoryTunnel();
  const raw = new RawTunnel('relay');
  raw.holdsSent = true;
  raw.session.open(HEADER)?.write(MEGABYTE.subarray(0, LIMITS.windowBytesStart));
  raw.session.outbox.flush();
  return { raw, streams: Array.from({ length: count }, () => raw.session.open(HEADER)) };
}

function listen(stream: Stream | undefined, drain: () => void): void {
  if (stream === undefined) throw new Error('not opened');
  new Recorder(stream).drain = drain;
}

describe('a listener that acts while it is told something', () => {
  it('may reset inside data(), and nothing follows', async () => {
    const { near, far } = await opened();
    far.data = (bytes) => {
      far.chunks.push(bytes);
      far.link.reset('too-slow');
      far.link.taken(bytes.length);
    };
    for (const text of ['a', 'b', 'c']) near.link.write(text);
    near.link.end();
    await tunnel.settle();
    expect([far.text, far.ends, near.reason]).toEqual(['a', 0, 'too-slow']);
    expectEmpty();
  });

  it('may close the tunnel inside data()', async () => {
    const { near, far } = await opened();
    far.data = () => tunnel.device.close(CLOSE.done, 'enough');
    near.link.write('a');
    near.link.write('b');
    await tunnel.settle();
    expect(far.breaks).toEqual([{ reason: 'tunnel-lost', detail: 'enough' }]);
    expect(tunnel.relayEnd).toEqual({ code: CLOSE.done, reason: 'enough' });
    expect(near.reason).toBe('tunnel-lost');
    expectEmpty();
  });

  it('may end inside end(), write inside drain(), open and reset others inside broken()', async () => {
    const { near, far } = await opened();
    const other = tunnel.open();
    await tunnel.settle();
    far.end = () => far.link.end();
    near.drain = () => {
      near.link.write('last');
      near.link.end();
    };
    near.link.write(MEGABYTE);
    await tunnel.settle();
    expect(far.bytes).toBe(MEGABYTE.length + 4);
    expect(near.ends).toBe(1);
    let third: Recorder | undefined;
    other.broken = () => {
      third = tunnel.open();
    };
    tunnel.deviceEndOf(1).link.reset('workspace-broke');
    await tunnel.settle();
    third?.link.reset('cancelled');
    await tunnel.settle();
    expectEmpty();
  });

  it('is not told of a break that it made itself, however the tunnel ends', async () => {
    const { near } = await opened();
    const other = tunnel.open();
    near.broken = () => other.link.reset('cancelled');
    tunnel.relay.lost(1006, '');
    expect(other.breaks).toEqual([]);
    expect(tunnel.relay.open(HEADER)).toBe(undefined);
  });

  const bug = new TypeError('a bug');
  const fail = (): void => {
    throw bug;
  };
  type Provoke = (near: Recorder, far: Recorder) => void;
  const throwing: Readonly<Record<keyof LinkEvents, Provoke>> = {
    data: (near, far) => {
      far.data = fail;
      near.link.write('some bytes');
    },
    end: (near, far) => {
      far.end = fail;
      near.link.end();
    },
    drain: (near) => {
      near.drain = fail;
      near.link.write(MEGABYTE);
    },
    broken: (near, far) => {
      far.broken = fail;
      near.link.reset('cancelled');
    },
    stopping: (_near, far) => {
      far.stopping = fail;
      tunnel.relay.drain(1_000);
    },
  };
  for (const [callback, provoke] of Object.entries(throwing)) {
    it(`and throws in ${callback}() loses his stream, and nobody else does`, async () => {
      const { near, far } = await opened();
      const witness = tunnel.open();
      await tunnel.settle();
      provoke(near, far);
      await tunnel.settle();
      expect(tunnel.faults).toEqual([bug]);
      if (callback !== 'broken')
        expect((callback === 'drain' ? far : near).reason).toBe('internal');
      expect([tunnel.relay.streamCount, tunnel.device.streamCount]).toEqual([1, 1]);
      witness.link.write('still here');
      await tunnel.settle();
      expect(tunnel.deviceEndOf(1).text).toBe('still here');
    });
  }

  it('and throws when it accepts a stream loses that stream', async () => {
    tunnel = new MemoryTunnel();
    tunnel.accept = () => {
      throw new TypeError('a bug');
    };
    const near = tunnel.open();
    await tunnel.settle();
    expect([near.reason, tunnel.faults.length]).toEqual(['internal', 1]);
    expectEmpty();
  });

  it('and takes more than it was given loses his stream: the credit would be wrong', async () => {
    const { near, far } = await opened();
    far.takes = false;
    near.link.write('abc');
    await tunnel.settle();
    far.link.taken(4);
    await tunnel.settle();
    expect([far.reason, near.reason]).toEqual(['internal', 'internal']);
    expect(tunnel.faults).toHaveLength(1);
    expectEmpty();
  });
});
