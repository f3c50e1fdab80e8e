// DNS clients without manners: raw packets by UDP, raw bytes by TCP.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface DnsPlace {
  readonly address: string;
  readonly port: number;
}

/** How long an answer may take on a busy machine. */
const ANSWER_WITHIN_MS = 10_000;

/** Of many questions: how many are under way, when they are sent again, how long all may take. */
const ASKED_AT_ONCE = 100;
const RESEND_MS = 1_000;
const ANSWERS_WITHIN_MS = 60_000;

/** Sends one packet and waits for one. */
export async function askUdp({ address, port }: DnsPlace, bytes: Buffer): Promise<Buffer> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  try {
    socket.send(bytes, port, address);
    const [answer]: Buffer[] = await once(socket, 'message', {
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    return answer ?? Buffer.alloc(0);
  } finally {
    socket.close();
  }
}

/** Each question has its index as ID. What is lost on the way is sent again. */
export async function askAllByUdp(
  { address, port }: DnsPlace,
  questions: readonly Buffer[],
): Promise<readonly Buffer[]> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  const answers = new Map<number, Buffer>();
  const late = AbortSignal.timeout(ANSWERS_WITHIN_MS);
  let wake = (): void => undefined;
  socket.on('message', (answer) => {
    answers.set(answer.readUInt16BE(0), answer);
    if (answers.size % ASKED_AT_ONCE === 0 || answers.size === questions.length) wake();
  });
  try {
    while (answers.size < questions.length) {
      late.throwIfAborted();
      const missing = [...questions.entries()].filter(([id]) => !answers.has(id));
      for (const [, question] of missing.slice(0, ASKED_AT_ONCE - (answers.size % ASKED_AT_ONCE))) {
        socket.send(question, port, address);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, RESEND_MS);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  } finally {
    socket.close();
  }
  return questions.map((_, id) => answers.get(id) ?? Buffer.alloc(0));
}

/** A connection that keeps what it is told, and reads only when it is told to. */
export class DnsConnection implements Disposable {
  readonly socket: Socket;
  /** Settles when the other side has ended the connection, however that was. */
  readonly closed: Promise<void>;
  #bytes: Buffer = Buffer.alloc(0);
  #heard = Promise.withResolvers<void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      for (const event of ['end', 'close']) socket.once(event, () => resolve());
    });
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#heard.resolve();
    });
    void this.closed.then(() => this.#heard.resolve());
  }

  static async open({ address, port }: DnsPlace): Promise<DnsConnection> {
    const socket = connect({ host: address, port, noDelay: true, allowHalfOpen: true });
    const connection = new DnsConnection(socket);
    await Promise.race([once(socket, 'connect'), connection.closed]);
    return connection;
  }

  /** The next message; undefined: the connection ended first. */
  async message(): Promise<Buffer | undefined> {
    for (;;) {
      const end =
        this.#bytes.length < 2 ? Number.POSITIVE_INFINITY : 2 + this.#bytes.readUInt16BE(0);
      if (this.#bytes.length >= end) {
        const message = this.#bytes.subarray(2, end);
        this.#bytes = this.#bytes.subarray(end);
        return message;
      }
      if (this.socket.destroyed || this.socket.readableEnded) return undefined;
      this.#heard = Promise.withResolvers<void>();
      await this.#heard.promise;
    }
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
