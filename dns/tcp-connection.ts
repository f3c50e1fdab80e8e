// One TCP connection of the name server (RFC 7766): messages behind each other, answers as they are
// ready. It reads only while the other side takes answers, holds at most one message that has not
// wholly come, and has a deadline in every state, which a sweep of its owner looks at.
import type { Socket } from 'node:net';
import type { Asker } from './server.ts';

export interface TcpLimits {
  readonly connections: number;
  readonly connectionsPerAddress: number;
  readonly inFlight: number;
  readonly unsentBytes: number;
  readonly firstByteMs: number;
  readonly messageMs: number;
  readonly idleMs: number;
  readonly stallMs: number;
  readonly sweepMs: number;
}

/** What is done with a whole message: bytes of an answer to write now, 0: none, or none yet. */
export interface TcpWork {
  readonly limits: TcpLimits;
  /** The longest message that is read at all. */
  readonly messageBytesMax: number;
  prepare(message: Buffer, connection: TcpConnection): number;
  write(out: Buffer, at: number): void;
  closed(connection: TcpConnection): void;
}

/** Answers of one turn leave in one write. All connections use it one after the other. */
const TURN_BYTES = 64 * 1024;
const turn = Buffer.allocUnsafeSlow(TURN_BYTES + 2 + 65_535);

export class TcpConnection implements Asker {
  readonly address: string;
  readonly port: number;
  readonly transport = 'tcp';
  readonly #socket: Socket;
  readonly #work: TcpWork;
  #input: Buffer = Buffer.alloc(0);
  #inFlight = 0;
  #ended = false;
  #wasCut = false;
  #deadlineMs: number;
  /** Bytes that had left at the last sweep, while there were more to send. */
  #sentBytes = 0;
  #sentAtMs: number;
  #room: (() => void)[] = [];

  constructor(socket: Socket, address: string, work: TcpWork) {
    this.#socket = socket;
    this.#work = work;
    this.address = address;
    this.port = socket.remotePort ?? 0;
    this.#sentAtMs = performance.now();
    this.#deadlineMs = this.#sentAtMs + work.limits.firstByteMs;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('end', () => {
      this.#ended = true;
      this.#finish();
    });
    socket.on('drain', () => this.#goOn());
    // What went wrong is told by 'close' as well.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#leaveRoom();
      work.closed(this);
    });
  }

  /** We ended it, not the other side. */
  get wasCut(): boolean {
    return this.#wasCut;
  }

  get gone(): boolean {
    return this.#socket.destroyed;
  }

  /** Nothing of it is under way; the sooner the deadline, the longer it has been idle. */
  get idleUntilMs(): number | undefined {
    const idle = this.#inFlight === 0 && this.#input.length === 0;
    return idle && this.#socket.writableLength === 0 ? this.#deadlineMs : undefined;
  }

  /** Resolves when there is room again; rejects when the connection is gone. */
  async send(message: Buffer): Promise<void> {
    if (this.gone) throw new Error(`The connection of ${this.address} is closed.`);
    const length = Buffer.of(message.length >> 8, message.length & 0xff);
    this.#socket.cork();
    this.#socket.write(length);
    this.#socket.write(message);
    this.#socket.uncork();
    if (this.#socket.writableLength <= this.#work.limits.unsentBytes) return;
    await new Promise<void>((resolve) => {
      this.#room.push(resolve);
    });
    if (this.gone) throw new Error(`The connection of ${this.address} is closed.`);
  }

  /** What is answered later counts until it has ended; a failure cuts the connection. */
  track(answering: Promise<void>): void {
    this.#inFlight += 1;
    answering
      .catch(() => this.cut())
      .finally(() => {
        this.#inFlight -= 1;
        this.#rest();
        this.#goOn();
      });
  }

  cut(): void {
    this.#wasCut = true;
    this.#socket.destroy();
  }

  /** Cuts it when its time is over. */
  sweep(nowMs: number): void {
    const unsent = this.#socket.writableLength;
    const sent = this.#socket.bytesWritten - unsent;
    if (unsent === 0 || sent !== this.#sentBytes) {
      this.#sentBytes = sent;
      this.#sentAtMs = nowMs;
    }
    const stalled = nowMs - this.#sentAtMs > this.#work.limits.stallMs;
    const waiting = unsent === 0 && this.#inFlight === 0;
    if (stalled || (waiting && nowMs > this.#deadlineMs)) this.cut();
  }

  #read(chunk: Buffer): void {
    const fresh = this.#input.length === 0;
    this.#input = fresh ? chunk : Buffer.concat([this.#input, chunk]);
    if (fresh) this.#deadlineMs = performance.now() + this.#work.limits.messageMs;
    this.#goOn();
  }

  #goOn(): void {
    if (this.gone) return;
    if (!this.#isBlocked()) this.#leaveRoom();
    this.#answerAll();
    if (this.gone) return;
    if (this.#isBlocked()) this.#socket.pause();
    else this.#socket.resume();
    this.#finish();
  }

  #isBlocked(): boolean {
    const { inFlight, unsentBytes } = this.#work.limits;
    return this.#inFlight >= inFlight || this.#socket.writableLength > unsentBytes;
  }

  /** Takes whole messages off the input until something has to be waited for. */
  #answerAll(): void {
    const input = this.#input;
    let at = 0;
    let filled = 0;
    while (!this.#isBlocked() && at + 2 <= input.length) {
      const length = ((input[at] ?? 0) << 8) | (input[at + 1] ?? 0);
      // Nobody sends such a thing in good faith; it is refused before it has come.
      if (length > this.#work.messageBytesMax || length < 12) {
        this.cut();
        return;
      }
      const end = at + 2 + length;
      if (end > input.length) break;
      const bytes = this.#work.prepare(input.subarray(at + 2, end), this);
      at = end;
      if (bytes === 0) continue;
      turn[filled] = bytes >> 8;
      turn[filled + 1] = bytes;
      this.#work.write(turn, filled + 2);
      filled += 2 + bytes;
      if (filled < TURN_BYTES) continue;
      this.#socket.write(Buffer.from(turn.subarray(0, filled)));
      filled = 0;
    }
    if (filled > 0) this.#socket.write(Buffer.from(turn.subarray(0, filled)));
    if (at === 0) return;
    this.#input = input.subarray(at);
    this.#rest();
  }

  /** A new deadline: for the rest of a message that has begun, or for the next one to begin. */
  #rest(): void {
    const { messageMs, idleMs } = this.#work.limits;
    this.#deadlineMs = performance.now() + (this.#input.length > 0 ? messageMs : idleMs);
  }

  /** Whoever has said all still gets all answers. What is half a message then stays one. */
  #finish(): void {
    if (!this.#ended || this.#inFlight > 0 || this.#isBlocked()) return;
    this.#socket.end();
  }

  #leaveRoom(): void {
    const waiting = this.#room;
    this.#room = [];
    for (const resolve of waiting) resolve();
  }
}
