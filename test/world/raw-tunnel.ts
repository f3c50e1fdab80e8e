// One session, and the test as its other side: it says any bytes, and reads the frames that come back.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { encodeFrame, FRAME, FrameCursor, type FrameType } from '../../relay/protocol/frame.ts';
import { encodeOpen } from '../../relay/protocol/open.ts';
import { decodeReset, type Reset } from '../../relay/protocol/reset-reason.ts';
import { Session, type SessionEnd, type SessionOptions } from '../../relay/protocol/session.ts';
import { HEADER } from './memory-tunnel.ts';
import { Recorder } from './recorder.ts';

export interface HeardFrame {
  readonly type: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

type Changes = Partial<Omit<SessionOptions, 'wire'>>;

export class RawTunnel {
  readonly session: Session;
  readonly frames: HeardFrame[] = [];
  readonly faults: unknown[] = [];
  readonly arrived: Recorder[] = [];
  readonly drained: number[] = [];
  /** What a device was told. */
  readonly news: string[] = [];
  /** Calls of `sent` that the wire owes; none when it answers at once. */
  readonly unsent: (() => void)[] = [];
  holdsSent = false;
  /** How the session closed its wire. */
  closed: SessionEnd | undefined;
  wasCut = false;
  ended: SessionEnd | undefined;

  /** `role` is that of the session; the test plays the other one. */
  constructor(role: 'relay' | 'device', changes: Changes = {}) {
    const accepting: Changes = {
      accept: (stream) => this.arrived.push(new Recorder(stream)),
      news: (payload) => this.news.push(payload.toString('utf8')),
    };
    this.session = new Session({
      wire: {
        send: (message, sent) => this.#hear(message, sent),
        close: (code, reason) => {
          this.closed = { code, reason };
        },
        cut: () => {
          this.wasCut = true;
        },
      },
      drained: (ms) => this.drained.push(ms),
      ended: (end) => {
        this.ended = end;
      },
      faulted: (error) => this.faults.push(error),
      ...(role === 'device' ? accepting : {}),
      ...changes,
    });
  }

  /** One message with the given frames or bytes. */
  say(...frames: readonly Buffer[]): void {
    this.session.receive(Buffer.concat(frames));
  }

  /** Opens a stream towards the device and returns its listener there. */
  open(streamId: number): Recorder {
    this.say(encodeFrame(FRAME.open, streamId, encodeOpen(HEADER)));
    const recorder = this.arrived.at(-1);
    if (recorder === undefined) throw new Error('nothing arrived');
    return recorder;
  }

  /** Frames of this type since the start, after what is waiting has left. */
  async heard(type: FrameType): Promise<HeardFrame[]> {
    await nextTurn();
    await nextTurn();
    return this.frames.filter((frame) => frame.type === type);
  }

  async resets(): Promise<(Reset & { readonly streamId: number })[]> {
    return (await this.heard(FRAME.reset)).map(({ streamId, payload }) => ({
      streamId,
      ...(decodeReset(payload) ?? { reason: 'internal', detail: 'a malformed reset' }),
    }));
  }

  stop(): void {
    this.session.close(1000, 'the test is over');
  }

  #hear(message: Buffer, sent: () => void): void {
    const cursor = new FrameCursor();
    cursor.read(message);
    while (cursor.next()) {
      const { type, streamId } = cursor;
      this.frames.push({ type, streamId, payload: cursor.payload() });
    }
    if (cursor.fault !== undefined) throw new Error(`the session sent ${cursor.fault}`);
    if (this.holdsSent) this.unsent.push(sent);
    else setImmediate(sent);
  }
}

export function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index);
  return bytes;
}
