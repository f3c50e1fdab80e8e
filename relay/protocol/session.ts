// A tunnel after its hello: many streams over one wire, the same code at both ends. One side opens
// streams (the relay), the other accepts them (the device). Whatever arrives, the session answers
// with a typed reset or a close; it never throws. Neither does it when one of our own callbacks does:
// then the stream concerned is reset.
import { Drain } from './drain.ts';
import { FRAME, FrameCursor } from './frame.ts';
import { LIMITS } from './limits.ts';
import { decodeOpen, encodeOpen, type OpenHeader } from './open.ts';
import { Outbox } from './outbox.ts';
import { Pulse } from './pulse.ts';
import { decodeReset, encodeReset, type ResetReason } from './reset-reason.ts';
import { findStalest, Stream, type StreamHost } from './stream.ts';
import { encodeSync, findLeaked } from './sync.ts';
import { TunnelFrames } from './tunnel-frames.ts';
import { CLOSE, type Wire } from './wire.ts';

/** Why a tunnel ended. `code` is the WebSocket's close code, 1006 when there was none. */
export interface SessionEnd {
  readonly code: number;
  readonly reason: string;
}

export interface SessionOptions {
  readonly wire: Wire;
  /** Opens streams when absent; otherwise called for each stream that the other side opens. */
  readonly accept?: (stream: Stream, header: OpenHeader) => void;
  /** The other side takes no new streams and closes after `ms`. */
  readonly drained: (ms: number) => void;
  /** What the welcome said has changed. Absent: this side tells it. */
  readonly news?: (payload: Buffer) => void;
  /** Called once. All streams have been broken before. */
  readonly ended: (end: SessionEnd) => void;
  /** One of our own callbacks threw, for the log. Its stream has been reset as `internal`. */
  readonly faulted: (error: unknown) => void;
  /** Streams that this side admits. */
  readonly streamsMax?: number;
  /** Streams that the other side said it admits. */
  readonly peerStreamsMax?: number;
  /** Ids rise from the one after this; 0 unless told. A test begins near the last one. */
  readonly lastStreamId?: number;
}

export class Session implements StreamHost {
  readonly outbox: Outbox;
  nowMs = performance.now();
  growthBytesLeft: number = LIMITS.windowGrowthBytesMax;
  heldBytes = 0;
  lateBytesLeft = 0;
  receivedBytes = 0;
  /** We take no new streams, or the other side does not. */
  draining = false;
  readonly #options: SessionOptions;
  readonly #streams = new Map<number, Stream>();
  readonly #cursor = new FrameCursor();
  readonly #pulse: Pulse;
  readonly #streamsMax: number;
  readonly #tunnelFrames: TunnelFrames;
  #lastId: number;
  #strayFrames = 0;
  readonly #drain = new Drain();
  #ended = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    const { accept, streamsMax, peerStreamsMax } = options;
    const limit = (accept === undefined ? peerStreamsMax : streamsMax) ?? LIMITS.streamsMax;
    // What the other side says may not make a sync frame too long for a frame.
    this.#streamsMax = Math.min(limit, LIMITS.streamsCeiling);
    this.#lastId = options.lastStreamId ?? 0;
    this.outbox = new Outbox(options.wire, () =>
      this.close(CLOSE.stuck, 'stuck: the other side does not take what is sent'),
    );
    this.#pulse = new Pulse(this.outbox, {
      silent: () => {
        options.wire.cut();
        this.#end({ code: CLOSE.silent, reason: 'silent: nothing was heard for too long' });
      },
      beat: (nowMs) => {
        if (this.#drain.isOver(nowMs, this.#streams.size)) this.close(CLOSE.done, 'done: drained');
      },
      syncPayload: () => encodeSync(this.#lastId, this.#streams),
    });
    this.#tunnelFrames = new TunnelFrames(this.outbox, this.#pulse, {
      drained: (ms) => this.#receiveDrain(ms),
      sync: (payload) => this.#receiveSync(payload),
      news: options.news,
      faulted: options.faulted,
    });
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  get roundTripMs(): number | undefined {
    return this.#pulse.roundTripMs;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Opens a stream. Undefined: the other side admits no more, or the tunnel is draining or gone. */
  open(header: OpenHeader): Stream | undefined {
    if (this.#ended || this.draining || this.#streams.size >= this.#streamsMax) return undefined;
    if (this.#lastId >= LIMITS.streamIdMax) return undefined;
    const stream = this.#add(this.#lastId + 1);
    this.outbox.put(FRAME.open, stream.id, encodeOpen(header));
    // The ids are used up: the other side connects anew, and this tunnel runs dry.
    if (stream.id === LIMITS.streamIdMax) this.drain(LIMITS.replaceWithinMs);
    return stream;
  }

  /**
   * Tells the other side that we take no new streams, and that we close: in `ms`, or as soon as the
   * last stream is gone.
   */
  drain(ms: number): void {
    if (this.#drain.started || this.#ended) return;
    this.draining = true;
    this.outbox.put(FRAME.drain, 0, this.#drain.start(ms));
  }

  /** Tells the other side what has changed of its welcome; it must know version 2. */
  tell(news: Buffer): void {
    if (!this.#ended) this.outbox.put(FRAME.news, 0, news);
  }

  /** Ends the tunnel; running streams break. The reason is text for the other side's log. */
  close(code: number, reason: string): void {
    if (this.#ended) return;
    this.outbox.flush();
    this.#options.wire.close(code, reason);
    this.#end({ code, reason });
  }

  /** One message from the wire. */
  receive(message: Buffer): void {
    if (this.#ended) return;
    this.receivedBytes += message.length;
    this.nowMs = performance.now();
    this.#pulse.heard(this.nowMs);
    const cursor = this.#cursor;
    cursor.read(message);
    while (cursor.next()) {
      if (cursor.type === FRAME.data) this.#receiveData(cursor.streamId, cursor.payload());
      else this.#receiveControl(cursor.type, cursor.streamId, cursor.payload());
      if (this.#ended) return;
    }
    if (cursor.fault !== undefined) this.#violation(cursor.fault);
    else if (this.heldBytes > LIMITS.heldBytesMax) this.#resetStalest();
  }

  /** The wire is gone. */
  lost(code: number, reason: string): void {
    this.#end({ code, reason });
  }

  sendReset(streamId: number, reason: ResetReason, detail: string): void {
    this.outbox.put(FRAME.reset, streamId, encodeReset(reason, detail));
  }

  report(error: unknown): void {
    this.#options.faulted(error);
  }

  forget(stream: Stream): void {
    this.#streams.delete(stream.id);
  }

  #add(id: number): Stream {
    const stream = new Stream(id, this);
    this.#lastId = id;
    this.#streams.set(id, stream);
    return stream;
  }

  #receiveData(streamId: number, payload: Buffer): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#receiveLate(streamId, payload.length);
    if (!stream.receive(payload)) {
      this.close(CLOSE.policy, `flow-control: stream ${streamId} sent beyond its credit`);
    }
  }

  /** Data that crossed our end or reset: at most what that stream still had credit for. */
  #receiveLate(streamId: number, bytes: number): void {
    if (streamId > this.#lastId) return this.#stray(FRAME.data, streamId);
    this.lateBytesLeft -= bytes;
    if (this.lateBytesLeft < 0) {
      this.close(CLOSE.policy, `flow-control: stream ${streamId} sends on after its end`);
    }
  }

  #receiveControl(type: number, streamId: number, payload: Buffer): void {
    switch (type) {
      case FRAME.open:
        return this.#receiveOpen(streamId, payload);
      case FRAME.end:
      case FRAME.reset:
      case FRAME.window:
        return this.#receiveForStream(type, streamId, payload);
      case FRAME.ping:
      case FRAME.pong:
      case FRAME.sync:
      case FRAME.drain:
      case FRAME.news:
        return this.#receiveForTunnel(type, payload);
      default:
        return this.#violation('a hello frame after the hello');
    }
  }

  #receiveOpen(streamId: number, payload: Buffer): void {
    const { accept } = this.#options;
    if (accept === undefined) return this.#violation('this side opens the streams');
    if (streamId <= this.#lastId) return this.#violation('stream ids must rise');
    const header = decodeOpen(payload);
    const stream = this.#add(streamId);
    if (header === undefined) return stream.reset('protocol', 'the open frame is malformed');
    if (this.draining) return stream.reset('draining');
    if (this.#streams.size > this.#streamsMax) return stream.reset('too-many-streams');
    try {
      accept(stream, header);
    } catch (error) {
      stream.faulted(error);
    }
  }

  #receiveForStream(type: number, streamId: number, payload: Buffer): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return this.#stray(type, streamId);
    if (type === FRAME.end) {
      if (payload.length === 0) stream.receiveEnd();
      else stream.fail('protocol', 'an end frame with a payload');
    } else if (type === FRAME.reset) {
      const reset = decodeReset(payload);
      if (reset === undefined) stream.fail('protocol', 'a malformed reset');
      else stream.broken(reset.reason, reset.detail);
    } else if (payload.length !== 4) {
      stream.fail('protocol', 'a malformed window');
    } else if (!stream.receiveWindow(payload.readUInt32BE(0))) {
      this.close(CLOSE.policy, `flow-control: impossible credit for stream ${streamId}`);
    }
  }

  #receiveForTunnel(type: number, payload: Buffer): void {
    const violation = this.#tunnelFrames.receive(type, payload, this.nowMs);
    if (violation !== undefined) this.close(violation.code, violation.reason);
  }

  /** False: it is malformed. */
  #receiveSync(payload: Buffer): boolean {
    const leaked = findLeaked(payload, this.#lastId, this.#streams);
    for (const stream of leaked ?? []) {
      stream.broken('internal', 'the other side no longer knows this stream');
    }
    return leaked !== undefined;
  }

  #receiveDrain(ms: number): void {
    this.draining = true;
    for (const stream of [...this.#streams.values()]) stream.receiveStopping();
    this.#options.drained(ms);
  }

  /** A frame for a stream that is closed (it crossed our end or reset) or that never was. */
  #stray(type: number, streamId: number): void {
    if (streamId <= this.#lastId) return;
    this.#strayFrames += 1;
    if (this.#strayFrames > LIMITS.strayFramesMax) {
      this.#violation('too many frames for streams that never were');
    } else if (type !== FRAME.reset) {
      // A reset is never answered by a reset, or two ends could do so for ever.
      this.sendReset(streamId, 'protocol', 'no such stream');
    }
  }

  /** Too much was delivered and not taken: the one who has taken nothing for longest makes room. */
  #resetStalest(): void {
    while (this.heldBytes > LIMITS.heldBytesMax) {
      const stalest = findStalest(this.#streams.values());
      if (stalest === undefined) return;
      stalest.fail('too-slow', 'the tunnel holds too many bytes that nobody takes');
    }
  }

  #violation(fault: string): void {
    this.close(CLOSE.protocol, `protocol: ${fault}`);
  }

  #end(end: SessionEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#pulse.stop();
    this.outbox.close();
    for (const stream of [...this.#streams.values()]) stream.broken('tunnel-lost', end.reason);
    this.#options.ended(end);
  }
}
