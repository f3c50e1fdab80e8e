// One stream of a tunnel: a visitor's connection to a workspace, with credit in both directions.
// The receiver delivers bytes at once and holds none; whoever listens says with `taken()` when they
// have found room, and only then the other side gets new credit. So a visitor who reads nothing
// stops his own workspace after one window, and nobody else.
import { FRAME } from './frame.ts';
import { LIMITS } from './limits.ts';
import type { Link, LinkEvents } from './link.ts';
import type { Outbox, Sender } from './outbox.ts';
import type { ResetReason } from './reset-reason.ts';

/** The session's side of a stream. */
export interface StreamHost {
  readonly outbox: Outbox;
  /** Monotonic milliseconds, as of the last message. */
  readonly nowMs: number;
  /** The shortest round trip seen, or undefined before the first pong. */
  readonly roundTripMs: number | undefined;
  /** Bytes by which windows of this tunnel may still grow. */
  growthBytesLeft: number;
  /** What is delivered in this tunnel and not yet taken, and the cost of holding it. */
  heldBytes: number;
  /** Bytes that may still arrive for streams that we closed and the other side has not. */
  lateBytesLeft: number;
  /** One of our own callbacks threw. */
  report(error: unknown): void;
  sendReset(streamId: number, reason: ResetReason, detail: string): void;
  forget(stream: Stream): void;
}

const nobody = (): void => undefined;
/** Before somebody listens. */
const SILENT: LinkEvents = { data: nobody, end: nobody, broken: nobody, drain: nobody };

export class Stream implements Link, Sender {
  readonly id: number;
  events: LinkEvents = SILENT;
  waiting = false;
  /** Called once when the stream is over, however it ended; for who counts streams. */
  over: (() => void) | undefined = undefined;
  /** Delivered and not yet taken, while the stream is open. */
  heldBytes = 0;
  /** Since when the listener has bytes and has taken none; for choosing the stalest. */
  takenAtMs: number;
  readonly #host: StreamHost;
  #closed = false;
  #heldCost = 0;

  #credit: number;
  #queue: (Buffer | string)[] = [];
  #queueBytes = 0;
  #blocked = false;
  #endWanted = false;
  #endSent = false;

  #windowBytes: number = LIMITS.windowBytesStart;
  #creditGiven: number = LIMITS.windowBytesStart;
  #takenBytes = 0;
  #grantedAtMs: number;
  #endReceived = false;

  constructor(id: number, host: StreamHost) {
    this.id = id;
    this.#host = host;
    this.#credit = LIMITS.windowBytesStart;
    this.takenAtMs = host.nowMs;
    this.#grantedAtMs = host.nowMs;
  }

  write(bytes: Buffer | string): boolean {
    if (this.#closed || this.#endWanted || bytes.length === 0) return true;
    const { outbox } = this.#host;
    if (
      this.#queueBytes === 0 &&
      bytes.length <= this.#credit &&
      bytes.length <= LIMITS.quantumBytes &&
      !outbox.busy
    ) {
      this.#credit -= bytes.length;
      outbox.put(FRAME.data, this.id, bytes);
      return true;
    }
    this.#queue.push(bytes);
    this.#queueBytes += bytes.length;
    if (this.#credit > 0) outbox.wait(this);
    this.#blocked = this.#queueBytes > 0;
    return !this.#blocked;
  }

  end(): void {
    if (this.#closed || this.#endWanted) return;
    this.#endWanted = true;
    if (this.#queueBytes === 0) this.#sendEnd();
  }

  reset(reason: ResetReason, detail = ''): void {
    if (this.#closed) return;
    this.#host.sendReset(this.id, reason, detail);
    this.#close();
  }

  taken(bytes: number): void {
    if (this.#closed) return;
    const held = this.heldBytes;
    if (!(bytes >= 0 && bytes <= held)) {
      return this.faulted(new RangeError(`${bytes} bytes were taken of ${held}`));
    }
    const cost = bytes === held ? this.#heldCost : Math.floor((this.#heldCost * bytes) / held);
    this.heldBytes = held - bytes;
    this.#heldCost -= cost;
    this.#host.heldBytes -= cost;
    this.takenAtMs = this.#host.nowMs;
    this.#takenBytes += bytes;
    if (this.#endReceived || this.#takenBytes * 2 < this.#windowBytes) return;
    this.#grant();
  }

  /** The outbox's turn: one frame of what is queued, as far as the credit goes. */
  turn(): boolean {
    if (this.#closed || this.#queueBytes === 0 || this.#credit === 0) return false;
    const piece = this.#nextPiece(Math.min(this.#credit, LIMITS.quantumBytes));
    this.#credit -= piece.length;
    this.#queueBytes -= piece.length;
    this.#host.outbox.put(FRAME.data, this.id, piece);
    if (this.#queueBytes > 0) return this.#credit > 0;
    if (this.#endWanted) this.#sendEnd();
    else this.#unblock();
    return this.#queueBytes > 0 && this.#credit > 0;
  }

  /** Data from the other side. False: it was beyond the credit, the tunnel must be closed. */
  receive(payload: Buffer): boolean {
    if (this.#endReceived || payload.length === 0) {
      this.fail('protocol', this.#endReceived ? 'data after end' : 'an empty data frame');
      return true;
    }
    if (payload.length > this.#creditGiven) return false;
    this.#creditGiven -= payload.length;
    const bytes = this.heldBytes === 0 ? payload : unpinned(payload);
    if (this.heldBytes === 0) this.takenAtMs = this.#host.nowMs;
    const cost = bytes.length + LIMITS.heldFrameBytes;
    this.heldBytes += bytes.length;
    this.#heldCost += cost;
    this.#host.heldBytes += cost;
    try {
      this.events.data(bytes);
    } catch (error) {
      this.faulted(error);
    }
    return true;
  }

  receiveEnd(): void {
    if (this.#endReceived) return this.fail('protocol', 'a second end');
    this.#endReceived = true;
    try {
      this.events.end();
    } catch (error) {
      this.faulted(error);
    }
    this.#closeIfDone();
  }

  receiveStopping(): void {
    try {
      this.events.stopping?.();
    } catch (error) {
      this.faulted(error);
    }
  }

  /** False: the sum of credits is absurd, the tunnel must be closed. */
  receiveWindow(bytes: number): boolean {
    if (bytes === 0 || this.#credit + bytes > 2 * LIMITS.windowBytesMax) return false;
    this.#credit += bytes;
    if (this.#queueBytes > 0) this.#host.outbox.wait(this);
    return true;
  }

  /** The stream is dead, by the other side's word or because its tunnel is. */
  broken(reason: ResetReason, detail: string): void {
    if (this.#closed) return;
    const { events } = this;
    this.#close();
    try {
      events.broken(reason, detail);
    } catch (error) {
      this.#host.report(error);
    }
  }

  /** Resets towards the other side and tells our own as well. */
  fail(reason: ResetReason, detail: string): void {
    if (this.#closed) return;
    this.#host.sendReset(this.id, reason, detail);
    this.broken(reason, detail);
  }

  /** A callback of ours threw: this stream is given up, the tunnel and its other streams are not. */
  faulted(error: unknown): void {
    this.#host.report(error);
    this.fail('internal', 'a fault in the program; its log tells more');
  }

  #nextPiece(bytesMax: number): Buffer | string {
    const first = this.#queue[0] ?? '';
    if (first.length <= bytesMax) {
      this.#queue.shift();
      return first;
    }
    const piece =
      typeof first === 'string' ? first.slice(0, bytesMax) : first.subarray(0, bytesMax);
    this.#queue[0] = typeof first === 'string' ? first.slice(bytesMax) : first.subarray(bytesMax);
    return piece;
  }

  /**
   * Gives credit for what was taken; the window doubles when half of it was used up within two round
   * trips. The time is asked for here: a slow listener takes long after the last message, and must
   * not look fast.
   */
  #grant(): void {
    const host = this.#host;
    let bytes = this.#takenBytes;
    const nowMs = performance.now();
    const roundTripMs = host.roundTripMs;
    const growth = Math.min(this.#windowBytes, LIMITS.windowBytesMax - this.#windowBytes);
    if (
      roundTripMs !== undefined &&
      roundTripMs >= LIMITS.windowGrowthRoundTripMs &&
      growth > 0 &&
      growth <= host.growthBytesLeft &&
      nowMs - this.#grantedAtMs < 2 * roundTripMs
    ) {
      host.growthBytesLeft -= growth;
      this.#windowBytes += growth;
      bytes += growth;
    }
    this.#takenBytes = 0;
    this.#creditGiven += bytes;
    this.#grantedAtMs = nowMs;
    const payload = Buffer.allocUnsafe(4);
    payload.writeUInt32BE(bytes, 0);
    host.outbox.put(FRAME.window, this.id, payload);
  }

  #unblock(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    try {
      this.events.drain();
    } catch (error) {
      this.faulted(error);
    }
  }

  #sendEnd(): void {
    this.#endSent = true;
    this.#host.outbox.put(FRAME.end, this.id);
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (this.#endSent && this.#endReceived) this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.events = SILENT;
    this.#queue = [];
    this.#queueBytes = 0;
    this.heldBytes = 0;
    this.#host.heldBytes -= this.#heldCost;
    this.#host.growthBytesLeft += this.#windowBytes - LIMITS.windowBytesStart;
    if (!this.#endReceived) this.#host.lateBytesLeft += this.#creditGiven;
    this.#host.forget(this);
    this.over?.();
  }
}

/** Of those that hold bytes, the one whose listener has taken nothing for longest. */
export function findStalest(streams: Iterable<Stream>): Stream | undefined {
  let stalest: Stream | undefined;
  for (const stream of streams) {
    if (stream.heldBytes === 0) continue;
    if (stalest === undefined || stream.takenAtMs < stalest.takenAtMs) stalest = stream;
  }
  return stalest;
}

/** A few held bytes must not keep a whole read of the socket alive, so these are copied. */
function unpinned(payload: Buffer): Buffer {
  if (payload.length * 4 >= payload.buffer.byteLength) return payload;
  const copy = Buffer.allocUnsafeSlow(payload.length);
  payload.copy(copy);
  return copy;
}
