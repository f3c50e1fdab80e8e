// What a session wants to send. Frames of one turn of the event loop leave as one message; when the
// socket is full, streams queue and take turns of `quantumBytes` each, so that none starves another.
import { type FrameType, HEADER_BYTES, writeHeader } from './frame.ts';
import { LIMITS } from './limits.ts';
import type { Wire } from './wire.ts';

/** A stream as the outbox sees it: something that, on its turn, gives one frame's worth of bytes. */
export interface Sender {
  /** True while it waits for its turn; kept by the outbox. */
  waiting: boolean;
  /** Puts at most `quantumBytes` into the outbox. True when it could use another turn. Never throws. */
  turn(): boolean;
}

interface OutFrame {
  readonly type: FrameType;
  readonly streamId: number;
  readonly payload: Buffer | string;
}

const NOTHING = Buffer.alloc(0);

export class Outbox {
  /** The other side has stopped reading and even control frames pile up. */
  readonly #stuck: () => void;
  readonly #wire: Wire;
  #frames: OutFrame[] = [];
  #batchedBytes = 0;
  #inFlightBytes = 0;
  #flushing = false;
  #closed = false;
  #waiting: Sender[] = [];
  #turning = false;
  /** Something has left the wire since the last beat. */
  #moved = false;
  #stillMs = 0;
  readonly #flushSoon = (): void => {
    this.#flushing = false;
    this.flush();
    // Looked at here and not in put(): whoever puts a frame need not expect the tunnel to end below him.
    if (!this.#closed && this.#inFlightBytes > LIMITS.inFlightBytesHard) this.#stuck();
  };
  /** Bytes given to the wire since the start, for metrics. */
  sentBytes = 0;

  constructor(wire: Wire, stuck: () => void) {
    this.#wire = wire;
    this.#stuck = stuck;
  }

  /** Whether stream data has to queue: the socket holds all that it should. */
  get full(): boolean {
    return this.#inFlightBytes + this.#batchedBytes >= LIMITS.inFlightBytesMax;
  }

  /** Whether a stream that has bytes must line up behind others or wait for room. */
  get busy(): boolean {
    return this.#waiting.length > 0 || this.full;
  }

  /** Adds a frame to the message of this turn. Data frames are cut by the caller. */
  put(type: FrameType, streamId: number, payload: Buffer | string = NOTHING): void {
    if (this.#closed) return;
    this.#frames.push({ type, streamId, payload });
    this.#batchedBytes += HEADER_BYTES + payload.length;
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(this.#flushSoon);
  }

  /** Lines a stream up for its turn; it has bytes and credit. */
  wait(sender: Sender): void {
    if (sender.waiting || this.#closed) return;
    sender.waiting = true;
    this.#waiting.push(sender);
    if (!this.full) this.#takeTurns();
  }

  /** Packs what was put into messages and hands them to the wire. */
  flush(): void {
    const frames = this.#frames;
    if (frames.length === 0 || this.#closed) return;
    this.#frames = [];
    this.#batchedBytes = 0;
    let first = 0;
    let bytes = 0;
    for (let index = 0; index < frames.length; index++) {
      const size = HEADER_BYTES + (frames[index]?.payload.length ?? 0);
      if (bytes + size > LIMITS.messageBytesMax) {
        this.#send(frames, first, index, bytes);
        first = index;
        bytes = 0;
      }
      bytes += size;
    }
    this.#send(frames, first, frames.length, bytes);
  }

  /** Once in `pulseMs`. A process that stood still has no beats, so it finds nobody stuck. */
  beat(): void {
    if (this.#moved || this.#inFlightBytes === 0) this.#stillMs = 0;
    else this.#stillMs += LIMITS.pulseMs;
    this.#moved = false;
    if (this.#stillMs >= LIMITS.stuckAfterMs && !this.#closed) this.#stuck();
  }

  /** Forgets everything: the wire is gone. */
  close(): void {
    this.#closed = true;
    this.#frames = [];
    this.#waiting = [];
  }

  #send(frames: readonly OutFrame[], from: number, to: number, bytes: number): void {
    const message = Buffer.allocUnsafe(bytes);
    let offset = 0;
    for (let index = from; index < to; index++) {
      const frame = frames[index];
      if (frame === undefined) continue;
      const { payload } = frame;
      writeHeader(message, offset, frame.type, {
        streamId: frame.streamId,
        payloadBytes: payload.length,
      });
      offset += HEADER_BYTES;
      if (typeof payload === 'string') message.write(payload, offset, 'latin1');
      else payload.copy(message, offset);
      offset += payload.length;
    }
    this.#inFlightBytes += bytes;
    this.sentBytes += bytes;
    this.#wire.send(message, () => this.#sent(bytes));
  }

  #sent(bytes: number): void {
    this.#inFlightBytes -= bytes;
    this.#moved = true;
    if (this.#waiting.length > 0 && !this.full) this.#takeTurns();
  }

  /** A turn tells a listener that there is room, and he may write: that must not nest. */
  #takeTurns(): void {
    if (this.#turning) return;
    this.#turning = true;
    while (this.#waiting.length > 0 && !this.full) {
      const sender = this.#waiting.shift();
      if (sender === undefined) break;
      sender.waiting = false;
      if (sender.turn() && !sender.waiting) {
        sender.waiting = true;
        this.#waiting.push(sender);
      }
    }
    this.#turning = false;
  }
}
