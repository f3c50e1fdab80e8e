// Mutated frames against sessions of both roles. A model of the other side says what an honest one
// would say; then frames are repeated, dropped, swapped, renamed, resized, and bytes are overwritten.
// After each input (one message) the invariants are checked. The seed decides everything but time.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { encodeFrame, FRAME, FrameCursor, type FrameType } from '../../relay/protocol/frame.ts';
import { LIMITS } from '../../relay/protocol/limits.ts';
import { encodeOpen } from '../../relay/protocol/open.ts';
import { encodeReset } from '../../relay/protocol/reset-reason.ts';
import { Session } from '../../relay/protocol/session.ts';
import type { Stream } from '../../relay/protocol/stream.ts';
import { encodeSync } from '../../relay/protocol/sync.ts';
import { FuzzListener, PlantedFault } from './fuzz-listener.ts';
import { HEADER } from './memory-tunnel.ts';
import { SeededRandom } from './random.ts';

const STREAMS_MAX = 20;
const NOTHING = Buffer.alloc(0);
const BYTES = Buffer.alloc(65_535, 'fuzz');
const INPUTS_PER_TURN = 32;
const EXTREMES = [0, 1, 2, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const STREAM_TYPES = [FRAME.open, FRAME.data, FRAME.end, FRAME.reset, FRAME.window];

export interface FuzzTotals {
  inputs: number;
  sessions: number;
  streams: number;
  /** Sessions by the close code with which they ended. */
  readonly closes: Map<number, number>;
}

/** Feeds `inputs` messages; throws with the seed, the number and the bytes of the one that failed. */
export async function fuzzFrames(seed: number, inputs: number): Promise<FuzzTotals> {
  const random = new SeededRandom(seed);
  const totals: FuzzTotals = { inputs: 0, sessions: 0, streams: 0, closes: new Map() };
  let fuzzed: FuzzedSession | undefined;
  while (totals.inputs < inputs) {
    for (let count = 0; count < INPUTS_PER_TURN && totals.inputs < inputs; count++) {
      if (fuzzed === undefined || fuzzed.session.ended || random.chance(0.002)) {
        fuzzed?.session.close(1000, '');
        fuzzed = new FuzzedSession(random, totals);
      }
      totals.inputs += 1;
      const message = fuzzed.nextMessage();
      try {
        fuzzed.session.receive(message);
        fuzzed.act();
        fuzzed.check();
      } catch (error) {
        const bytes = message.subarray(0, 200).toString('hex');
        throw new Error(`seed ${seed}, input ${totals.inputs}: ${bytes}`, { cause: error });
      }
    }
    await nextTurn();
    fuzzed?.settle();
  }
  fuzzed?.session.close(1000, '');
  return totals;
}

class FuzzedSession {
  readonly session: Session;
  readonly #random: SeededRandom;
  readonly #totals: FuzzTotals;
  readonly #listeners = new Map<number, FuzzListener>();
  /** What the other side may still send, by stream. */
  readonly #credit = new Map<number, number>();
  readonly #cursor = new FrameCursor();
  readonly #opens: boolean;
  /** A wire that takes nothing, or takes it late. */
  readonly #stuck: boolean;
  #unsent: (() => void)[] = [];
  #lastId = 0;

  constructor(random: SeededRandom, totals: FuzzTotals) {
    this.#random = random;
    this.#totals = totals;
    totals.sessions += 1;
    this.#opens = random.chance(0.5);
    this.#stuck = random.chance(0.05);
    const options = {
      wire: {
        send: (message: Buffer, sent: () => void) => this.#hear(message, sent),
        close: () => undefined,
        cut: () => undefined,
      },
      drained: () => this.#maybeThrow(),
      ended: ({ code }: { code: number }) =>
        void totals.closes.set(code, (totals.closes.get(code) ?? 0) + 1),
      faulted: (error: unknown) => {
        if (!(error instanceof PlantedFault)) throw error;
      },
      streamsMax: STREAMS_MAX,
      peerStreamsMax: STREAMS_MAX,
    };
    const accept = (stream: Stream): void => {
      this.#listen(stream);
      this.#maybeThrow();
    };
    this.session = new Session(this.#opens ? options : { ...options, accept });
  }

  /** One message: honest frames, most of them changed afterwards. */
  nextMessage(): Buffer {
    const random = this.#random;
    if (random.chance(0.01)) return this.#noise();
    const frames = Array.from({ length: 1 + random.below(5) }, () => this.#honestFrame());
    const kind = random.next();
    if (kind < 0.35) return Buffer.concat(frames);
    this.#changeFrames(frames);
    const message = Buffer.concat(frames);
    return kind < 0.93 ? message : this.#changeBytes(message);
  }

  /** What our own side does meanwhile. */
  act(): void {
    const random = this.#random;
    if (this.#opens && random.chance(0.3)) {
      const stream = this.session.open(HEADER);
      if (stream !== undefined) this.#listen(stream);
    }
    for (const [id, listener] of this.#listeners) {
      if (listener.dead) this.#listeners.delete(id);
      else if (random.chance(0.2)) listener.act();
    }
    if (random.chance(0.001)) this.session.drain(random.below(100_000));
  }

  check(): void {
    const { session } = this;
    let heldBytes = 0;
    for (const listener of this.#listeners.values()) heldBytes += listener.countedBytes;
    const { growthBytesLeft, streamCount } = session;
    const empty = session.heldBytes === 0 && growthBytesLeft === LIMITS.windowGrowthBytesMax;
    if (session.heldBytes < heldBytes) throw new Error('held bytes are not counted');
    if (session.heldBytes > LIMITS.heldBytesMax && !session.ended) throw new Error('too much held');
    if (growthBytesLeft < 0 || growthBytesLeft > LIMITS.windowGrowthBytesMax) {
      throw new Error(`growth of ${growthBytesLeft}`);
    }
    if (streamCount > STREAMS_MAX) throw new Error(`${streamCount} streams`);
    if (session.ended && streamCount > 0) throw new Error('streams outlive the tunnel');
    if (streamCount === 0 && !empty) throw new Error('no streams, and something is left of them');
  }

  /** After a turn of the event loop: the wire has taken what it was given. */
  settle(): void {
    if (this.#stuck) return;
    const unsent = this.#unsent;
    this.#unsent = [];
    for (const sent of unsent) sent();
  }

  #listen(stream: Stream): void {
    this.#totals.streams += 1;
    this.#lastId = Math.max(this.#lastId, stream.id);
    this.#credit.set(stream.id, LIMITS.windowBytesStart);
    this.#listeners.set(stream.id, new FuzzListener(stream, this.#random));
  }

  #hear(message: Buffer, sent: () => void): void {
    this.#unsent.push(sent);
    const cursor = this.#cursor;
    cursor.read(message);
    while (cursor.next()) {
      if (cursor.type !== FRAME.window) continue;
      const left = this.#credit.get(cursor.streamId);
      if (left !== undefined) {
        this.#credit.set(cursor.streamId, left + cursor.payload().readUInt32BE(0));
      }
    }
    if (cursor.fault !== undefined) throw new Error(`the session sent ${cursor.fault}`);
  }

  #honestFrame(): Buffer {
    const random = this.#random;
    const kind = random.next();
    if (kind < 0.003) return this.#tunnelFrame();
    if (!this.#opens && (kind < 0.2 || this.#credit.size === 0)) {
      this.#lastId += 1 + random.below(2);
      return encodeFrame(FRAME.open, this.#lastId, encodeOpen(HEADER));
    }
    const id = this.#anyId();
    if (kind < 0.75) return encodeFrame(FRAME.data, id, this.#data(id));
    if (kind < 0.85) return encodeFrame(FRAME.window, id, u32(1 + random.below(200_000)));
    this.#credit.delete(id);
    if (kind < 0.95) return encodeFrame(FRAME.end, id, NOTHING);
    return encodeFrame(FRAME.reset, id, encodeReset('workspace-broke', 'fuzz'));
  }

  #tunnelFrame(): Buffer {
    const random = this.#random;
    const kind = random.next();
    if (kind < 0.4) return encodeFrame(FRAME.ping, 0, BYTES.subarray(0, 8));
    if (kind < 0.6) return encodeFrame(FRAME.pong, 0, BYTES.subarray(0, 8));
    if (kind < 0.9) {
      const live = new Map([...this.#credit].toSorted(([one], [other]) => one - other));
      return encodeFrame(FRAME.sync, 0, encodeSync(this.#lastId, live));
    }
    return encodeFrame(FRAME.drain, 0, u32(random.below(60_000)));
  }

  #anyId(): number {
    const ids = [...this.#credit.keys()];
    return ids[this.#random.below(ids.length)] ?? 1 + this.#random.below(this.#lastId + 1);
  }

  #data(id: number): Buffer {
    const random = this.#random;
    const left = this.#credit.get(id) ?? 1;
    const wanted = random.chance(0.05) ? random.below(60_000) : random.below(1_000);
    const bytes = Math.max(1, Math.min(left, wanted));
    this.#credit.set(id, left - bytes);
    return BYTES.subarray(0, bytes);
  }

  /** Whole frames: repeated, dropped, swapped, for another stream, of another type or size. */
  #changeFrames(frames: Buffer[]): void {
    const random = this.#random;
    const at = random.below(frames.length);
    const frame = frames[at] ?? NOTHING;
    switch (random.below(6)) {
      case 0:
        frames.splice(at, 0, frame);
        return;
      case 1:
        if (frames.length > 1) frames.splice(at, 1);
        return;
      case 2:
        frames.push(...frames.splice(at, 1));
        return;
      case 3:
        frame.writeUInt32BE(1 + random.below(this.#lastId + 3), 4);
        return;
      case 4:
        frame[0] = STREAM_TYPES[random.below(STREAM_TYPES.length)] ?? 0;
        return;
      default: {
        const id = frame.readUInt32BE(4);
        const type = frame[0] as FrameType;
        const payload = frame.subarray(8, 8 + random.below(frame.length - 7));
        frames[at] = encodeFrame(type, id, payload);
      }
    }
  }

  #changeBytes(message: Buffer): Buffer {
    const random = this.#random;
    const at = random.below(message.length);
    switch (random.below(5)) {
      case 0:
        message[at] = (message[at] ?? 0) ^ (1 << random.below(8));
        return message;
      case 1:
        message[at] = random.below(256);
        return message;
      case 2:
        return message.subarray(0, at);
      case 3:
        return Buffer.concat([message.subarray(0, at), message.subarray(random.below(at + 1))]);
      default: {
        const value = EXTREMES[random.below(EXTREMES.length)] ?? 0;
        if (message.length >= at + 4) message.writeUInt32BE(value, at);
        return message;
      }
    }
  }

  #noise(): Buffer {
    const random = this.#random;
    return Buffer.from(Array.from({ length: random.below(100) }, () => random.below(256)));
  }

  #maybeThrow(): void {
    if (this.#random.chance(0.001)) throw new PlantedFault();
  }
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}
