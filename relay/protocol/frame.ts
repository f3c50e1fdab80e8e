// One frame: eight bytes of header, then its payload. All integers are big-endian.
//
//   0       1       2       3       4       5       6       7
//   +-------+-------+---------------+-------------------------------+
//   | type  | flags | payload bytes |           stream id           |
//   +-------+-------+---------------+-------------------------------+
//
// flags are 0 in this version; any other value is refused. The stream id is 0 for frames that
// concern the whole tunnel. A WebSocket message is binary and holds one or more whole frames.
import { LIMITS } from './limits.ts';

export const HEADER_BYTES = 8;

export const FRAME = {
  /** relay → device, first: JWS (see hello.ts). */
  challenge: 1,
  /** device → relay, the answer: JWS. */
  proof: 2,
  /** relay → device, the tunnel is up: JSON. */
  welcome: 3,
  /** Opens a stream: JSON, see open.ts. */
  open: 4,
  /** Bytes of a stream, within its credit. */
  data: 5,
  /** No more bytes from this side. Empty. */
  end: 6,
  /** The stream is dead in both directions: u16 code, then a detail text in UTF-8. */
  reset: 7,
  /** More credit for a stream: u32 bytes. */
  window: 8,
  /** Eight bytes of the sender's choice. */
  ping: 9,
  /** The same eight bytes back. */
  pong: 10,
  /** This side takes no new streams: u32 milliseconds until it closes. */
  drain: 11,
  /** u32 highest stream id seen, then u32 for each live stream, rising. */
  sync: 12,
  /** relay → device, what the welcome said has changed: JSON. Since version 2. */
  news: 13,
} as const;

export type FrameType = (typeof FRAME)[keyof typeof FRAME];

const TYPE_MAX = 13;
const NOTHING = Buffer.alloc(0);

/** Whether the type belongs to a stream (its id is not 0) or to the tunnel (it is). */
function ofStream(type: number): boolean {
  return type >= FRAME.open && type <= FRAME.window;
}

/** One frame alone in its message, as the hello uses it. */
export function encodeFrame(type: FrameType, streamId: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  writeHeader(bytes, 0, type, { streamId, payloadBytes: payload.length });
  payload.copy(bytes, HEADER_BYTES);
  return bytes;
}

/** Writes a header at `offset`; the caller has checked the bounds. */
export function writeHeader(
  bytes: Buffer,
  offset: number,
  type: number,
  { streamId, payloadBytes }: { readonly streamId: number; readonly payloadBytes: number },
): void {
  bytes[offset] = type;
  bytes[offset + 1] = 0;
  bytes.writeUInt16BE(payloadBytes, offset + 2);
  bytes.writeUInt32BE(streamId, offset + 4);
}

/**
 * Walks the frames of one message without allocating. `next()` is true while there is a frame;
 * `fault` says why it stopped early. The fields describe the current frame.
 */
export class FrameCursor {
  type = 0;
  streamId = 0;
  start = 0;
  end = 0;
  fault: string | undefined = undefined;
  #message: Buffer = NOTHING;

  read(message: Buffer): void {
    this.#message = message;
    this.end = 0;
    this.fault = message.length === 0 ? 'a message without a frame' : undefined;
    if (message.length > LIMITS.messageBytesMax) this.fault = 'a message over 66,560 bytes';
  }

  next(): boolean {
    const message = this.#message;
    const at = this.end;
    if (this.fault !== undefined || at === message.length) return this.#release();
    if (message.length - at < HEADER_BYTES) return this.#stop('a frame header cut short');
    const type = message[at] ?? 0;
    const payloadBytes = message.readUInt16BE(at + 2);
    const streamId = message.readUInt32BE(at + 4);
    if (type === 0 || type > TYPE_MAX) return this.#stop(`unknown frame type ${type}`);
    if (message[at + 1] !== 0) return this.#stop(`unknown flags ${message[at + 1]}`);
    if (payloadBytes > message.length - at - HEADER_BYTES) {
      return this.#stop('a frame longer than its message');
    }
    if (streamId > LIMITS.streamIdMax) return this.#stop('a stream id over 31 bits');
    if (ofStream(type) !== (streamId !== 0)) {
      return this.#stop(`frame type ${type} with stream id ${streamId}`);
    }
    this.type = type;
    this.streamId = streamId;
    this.start = at + HEADER_BYTES;
    this.end = this.start + payloadBytes;
    return true;
  }

  /** The current frame's payload, a view on the message. */
  payload(): Buffer {
    return this.#message.subarray(this.start, this.end);
  }

  #stop(fault: string): false {
    this.fault = fault;
    return this.#release();
  }

  /** An idle tunnel keeps no message, and with it a whole read of the socket, alive. */
  #release(): false {
    this.#message = NOTHING;
    this.end = 0;
    return false;
  }
}
