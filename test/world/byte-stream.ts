// One end of a connection, byte by byte: what a test reads off it, and how it ended. TCP or TLS.
import type { Socket } from 'node:net';
import { within } from './program-process.ts';

/** Longer than anything that works takes on a busy machine. */
const WAIT_MS = 15_000;

/** `end`: in order. Anything else is the code of an error, `closed` when there was none. */
export type Ending = string;

interface Want {
  /** Takes from the bytes when they are enough. */
  take(bytes: Buffer): { readonly value: Buffer; readonly rest: Buffer } | undefined;
  readonly done: PromiseWithResolvers<Buffer>;
}

export class ByteStream implements Disposable {
  readonly socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);
  #want: Want | undefined;
  #ending: Ending | undefined;
  readonly #ended = Promise.withResolvers<Ending>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => {
      this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes]);
      this.#serve();
    });
    socket.on('end', () => this.#over('end'));
    socket.on('error', (error: NodeJS.ErrnoException) => this.#over(error.code ?? error.message));
    socket.on('close', () => this.#over('closed'));
  }

  /** What has arrived and was not asked for yet. */
  get unread(): Buffer {
    return this.#bytes;
  }

  /** Undefined while the other side may still send. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** Settles when nothing more can come. Reading first is not needed. */
  ended(): Promise<Ending> {
    return within(this.#ended.promise, WAIT_MS, 'the end of a connection');
  }

  /** Latin1 text is written as such. */
  write(bytes: string | Buffer): void {
    if (typeof bytes === 'string') this.socket.write(bytes, 'latin1');
    else this.socket.write(bytes);
  }

  end(bytes: string | Buffer = ''): void {
    this.write(bytes);
    this.socket.end();
  }

  /** Without a goodbye. */
  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  /** As latin1, with the delimiter. */
  async until(delimiter: string): Promise<string> {
    const value = await this.#ask(`${JSON.stringify(delimiter)} in a stream`, (bytes) => {
      const at = bytes.indexOf(delimiter, 0, 'latin1');
      if (at === -1) return undefined;
      const stop = at + delimiter.length;
      return { value: bytes.subarray(0, stop), rest: bytes.subarray(stop) };
    });
    return value.toString('latin1');
  }

  exactly(count: number): Promise<Buffer> {
    return this.#ask(`${count} bytes of a stream`, (bytes) =>
      bytes.length < count
        ? undefined
        : { value: bytes.subarray(0, count), rest: bytes.subarray(count) },
    );
  }

  /** All that still comes, to the end. */
  async rest(): Promise<Buffer> {
    await this.ended();
    const bytes = this.#bytes;
    this.#bytes = Buffer.alloc(0);
    return bytes;
  }

  async #ask(what: string, take: Want['take']): Promise<Buffer> {
    const done = Promise.withResolvers<Buffer>();
    this.#want = { take, done };
    this.#serve();
    return await within(done.promise, WAIT_MS, what);
  }

  #serve(): void {
    const want = this.#want;
    const taken = want?.take(this.#bytes);
    if (want !== undefined && taken !== undefined) {
      this.#want = undefined;
      this.#bytes = taken.rest;
      want.done.resolve(taken.value);
    } else if (want !== undefined && this.#ending !== undefined) {
      this.#want = undefined;
      const text = this.#bytes.subarray(0, 500).toString('latin1');
      want.done.reject(new Error(`the stream is over (${this.#ending}) after: ${text}`));
    }
  }

  #over(ending: Ending): void {
    this.#ending ??= ending;
    this.#ended.resolve(this.#ending);
    this.#serve();
  }
}
