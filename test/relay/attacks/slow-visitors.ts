// Visitors who are slow on purpose, in the three ways of slowhttptest (-H, -B, -X), and one who is not
// and measures what that does to him.
import { setTimeout as pause } from 'node:timers/promises';
import type { AttackedVendor } from './attacked-vendor.ts';
import { RawVisitor } from './raw-visitor.ts';
import { get, ok, request } from './requests.ts';

export type Slowness = 'head' | 'body' | 'read';

/** Far more than all sockets on the way hold; one buffer for all, or the workspace would be slow itself. */
const ANSWER = Buffer.from(ok('x'.repeat(32 * 1_048_576)));

export class SlowVisitors implements Disposable {
  readonly visitors: readonly RawVisitor[];
  /** When each of them was done with, in seconds since it began. */
  readonly goneAfterS: number[] = [];
  readonly #timer: NodeJS.Timeout;
  #startedAtMs = performance.now();

  private constructor(vendor: AttackedVendor, visitors: readonly RawVisitor[], how: Slowness) {
    this.visitors = visitors;
    // Who does not read does not see the end either; his workspace does.
    vendor.workspace.plays.set('/slow-read', {
      whole: (connection) => {
        connection.socket.once('close', () => this.#gone());
        connection.say(ANSWER);
      },
    });
    for (const visitor of visitors) {
      if (how === 'read') visitor.socket.pause();
      else visitor.socket.once('close', () => this.#gone());
      // An end is answered by an end, as honest programs do.
      visitor.socket.once('end', () => visitor.socket.end());
      visitor.say(BEGINNINGS[how]);
    }
    // Something each second, so that no idle time ends them.
    this.#timer = setInterval(() => {
      for (const visitor of visitors) if (visitor.ending === undefined) visitor.say(MORE[how]);
    }, 1_000);
  }

  static async begin(vendor: AttackedVendor, how: Slowness, count: number): Promise<SlowVisitors> {
    const visitors: RawVisitor[] = [];
    const numbers = Array.from({ length: count }).keys();
    const dialling = Array.from({ length: 16 }, async () => {
      for (const _ of numbers) visitors.push(await RawVisitor.dial(vendor));
    });
    await Promise.all(dialling);
    return new SlowVisitors(vendor, visitors, how);
  }

  get left(): number {
    return this.visitors.length - this.goneAfterS.length;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    for (const { socket } of this.visitors) socket.destroy();
  }

  #gone(): void {
    this.goneAfterS.push((performance.now() - this.#startedAtMs) / 1_000);
  }
}

const BEGINNINGS: Readonly<Record<Slowness, string>> = {
  head: get('/').slice(0, -2),
  body: request('POST', '/slow-body', 'Content-Length: 1000000'),
  read: get('/slow-read'),
};

/** Below the 500 bytes per second that a body must have; nothing for who does not read. */
const MORE: Readonly<Record<Slowness, string>> = {
  head: 'X-A: b\r\n',
  body: 'x'.repeat(100),
  read: '',
};

/** Normal requests, one after another, each on a kept connection and each tenth on a new one. */
export class NormalVisitor implements Disposable {
  readonly tookMs: number[] = [];
  #going = true;
  readonly #done: Promise<void>;

  constructor(vendor: AttackedVendor) {
    this.#done = this.#ask(vendor);
    // Told by `stop()`.
    this.#done.catch(() => undefined);
  }

  [Symbol.dispose](): void {
    this.#going = false;
  }

  /** The time below which 95 of 100 requests were answered. */
  async stop(): Promise<number> {
    this.#going = false;
    await this.#done;
    this.tookMs.sort((a, b) => a - b);
    return this.tookMs[Math.floor(this.tookMs.length * 0.95)] ?? Number.POSITIVE_INFINITY;
  }

  async #ask(vendor: AttackedVendor): Promise<void> {
    while (this.#going) {
      using visitor = await RawVisitor.dial(vendor);
      for (let count = 1; count <= 10 && this.#going; count += 1) {
        const startedAtMs = performance.now();
        visitor.say(get('/normal'));
        await visitor.answer(count);
        this.tookMs.push(performance.now() - startedAtMs);
        await pause(50);
      }
    }
  }
}
