// The wire of a tunnel: one WebSocket. Messages that come before somebody receives them wait, in order.
import type { RawData, WebSocket } from 'ws';
import { LIMITS } from './limits.ts';
import type { Wire } from './wire.ts';
import type { YoungBuffers } from './young-buffers.ts';

/** What arrives on a wire. */
export interface WireEvents {
  receive(message: Buffer): void;
  lost(code: number, reason: string): void;
}

/** RFC 6455, 5.5: a close frame has 125 bytes, two of them are the code. */
const CLOSE_REASON_BYTES_MAX = 123;

export class WebSocketWire implements Wire {
  readonly #socket: WebSocket;
  readonly #youngBuffers: YoungBuffers;
  #events: WireEvents | undefined;
  readonly #early: Buffer[] = [];
  #earlyBytes = 0;
  #lost: { readonly code: number; readonly reason: string } | undefined;
  #closeReason = '';

  constructor(socket: WebSocket, youngBuffers: YoungBuffers) {
    this.#socket = socket;
    this.#youngBuffers = youngBuffers;
    socket.on('message', (data, isBinary) => this.#message(data, isBinary));
    // The text of an error is in the close that follows it.
    socket.on('error', (error: Error) => {
      this.#closeReason = error.message;
    });
    socket.on('close', (code, reason) => {
      const text = reason.toString('utf8') || this.#closeReason;
      this.#lost = { code, reason: text };
      this.#events?.lost(code, text);
    });
  }

  /** Delivers what has come so far, and from now on what comes. */
  deliverTo(events: WireEvents): void {
    this.#events = events;
    while (this.#events === events) {
      const message = this.#early.shift();
      if (message === undefined) break;
      this.#earlyBytes -= message.length;
      events.receive(message);
    }
    if (this.#lost !== undefined && this.#events === events)
      events.lost(this.#lost.code, this.#lost.reason);
  }

  /** What comes from now on waits for the next `deliverTo()`. */
  hold(): void {
    this.#events = undefined;
  }

  send(message: Buffer, sent: () => void): void {
    this.#socket.send(message, sent);
    // The message, and what was read to fill it.
    this.#youngBuffers.made(2 * message.length);
  }

  close(code: number, reason: string): void {
    const text = Buffer.from(reason).subarray(0, CLOSE_REASON_BYTES_MAX).toString('utf8');
    this.#socket.close(code, text.replace(/\ufffd+$/, ''));
    setTimeout(() => this.#socket.terminate(), LIMITS.closeTimeoutMs).unref();
  }

  cut(): void {
    this.#socket.terminate();
  }

  #message(data: RawData, isBinary: boolean): void {
    if (!isBinary || !Buffer.isBuffer(data)) {
      this.close(1003, 'protocol: messages are binary');
      return;
    }
    // What TLS decrypted, and the message that was put together from it.
    this.#youngBuffers.made(2 * data.length);
    if (this.#events !== undefined) this.#events.receive(data);
    else if (this.#earlyBytes + data.length > EARLY_BYTES_MAX) this.cut();
    else {
      this.#earlyBytes += data.length;
      this.#early.push(data);
    }
  }
}

/** Between two steps of the hello only a welcome and what follows it at once can come. */
const EARLY_BYTES_MAX = LIMITS.messageBytesMax;
