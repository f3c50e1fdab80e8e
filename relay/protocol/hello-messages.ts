// The hello as messages: each is one frame, and each has its deadline. After it the wire belongs to
// a session.
import { encodeFrame, FRAME, FrameCursor, type FrameType } from './frame.ts';
import { readRefusal } from './hello-failure.ts';
import { LIMITS } from './limits.ts';
import type { WebSocketWire } from './websocket-wire.ts';
import { CLOSE } from './wire.ts';

/** The hello did not come to its end. The message is for a person, and for the other side's log. */
export class HelloError extends Error {
  readonly code: string;
  /** What the other side is told: the code, and perhaps words after it. */
  readonly reason: string;

  constructor(code: string, message: string, reason: string = code) {
    super(message);
    this.name = 'HelloError';
    this.code = code;
    this.reason = reason;
  }
}

export type HelloFrameType = typeof FRAME.challenge | typeof FRAME.proof | typeof FRAME.welcome;

export function sendHello(wire: WebSocketWire, type: HelloFrameType, payload: Buffer): void {
  wire.send(encodeFrame(type, 0, payload), () => undefined);
}

/** The payload of the next message, which must be one frame of this type. Rejects with HelloError. */
export function receiveHello(wire: WebSocketWire, type: FrameType): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const fail = (code: string, message: string): void => {
      clearTimeout(timer);
      wire.deliverTo(NOBODY);
      reject(new HelloError(code, message));
    };
    const timer = setTimeout(
      () => fail('ERR_HELLO_TIMEOUT', 'The other side did not answer within 10 seconds.'),
      LIMITS.helloTimeoutMs,
    );
    wire.deliverTo({
      lost: (code, reason) => {
        const refusal = code === CLOSE.refused ? readRefusal(reason) : undefined;
        if (refusal !== undefined) fail(refusal.code, refusal.message);
        else fail('ERR_HELLO_CLOSED', reason || `The connection was closed (${code}).`);
      },
      receive: (message) => {
        const payload = onlyFrame(message, type);
        if (payload === undefined) {
          return fail('ERR_HELLO_MALFORMED', 'The other side sent no proper hello.');
        }
        clearTimeout(timer);
        wire.hold();
        resolve(payload);
      },
    });
  });
}

const NOBODY = { lost: (): void => undefined, receive: (): void => undefined };

function onlyFrame(message: Buffer, type: FrameType): Buffer | undefined {
  const bytesMax = type === FRAME.welcome ? LIMITS.messageBytesMax : LIMITS.helloBytesMax;
  if (message.length > bytesMax) return undefined;
  const cursor = new FrameCursor();
  cursor.read(message);
  if (!cursor.next() || cursor.type !== type || cursor.end !== message.length) return undefined;
  return cursor.payload();
}
