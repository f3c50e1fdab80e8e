// Two ends of a tunnel's wire in memory. A message waits in a queue, then lies in the link, which has
// room for `capacity` messages (only then `sent` is called), and arrives some turns of the event loop
// later, in order. The seed decides how many arrive in a turn, and in which turns none does.
import type { WireEvents } from '../../relay/protocol/websocket-wire.ts';
import type { Wire } from '../../relay/protocol/wire.ts';
import { SeededRandom } from './random.ts';

export interface MemoryWireOptions {
  readonly seed?: number;
  /** Messages that are under way at once. */
  readonly capacity?: number;
  /** Share of turns in which nothing arrives. */
  readonly lag?: number;
  /** Between two turns, instead of one turn of the event loop: a way that has a length. */
  readonly turnMs?: number;
}

interface Message {
  readonly bytes: Buffer;
  readonly sent: () => void;
}

export function memoryWires(options: MemoryWireOptions = {}): [MemoryWire, MemoryWire] {
  const random = new SeededRandom(options.seed ?? 1);
  const one = new MemoryWire(random, options);
  const other = new MemoryWire(random, options);
  one.joins(other);
  other.joins(one);
  return [one, other];
}

export class MemoryWire implements Wire {
  /** Who hears what arrives at this end. */
  receiver: WireEvents | undefined;
  /** Messages that arrived at the other end. */
  delivered = 0;
  /** How this end was closed, by its own side. */
  closedBy: { readonly code: number; readonly reason: string } | 'cut' | undefined;
  readonly #random: SeededRandom;
  readonly #capacity: number;
  readonly #lag: number;
  readonly #turnMs: number | undefined;
  #other: MemoryWire | undefined;
  #queue: Message[] = [];
  #link: Message[] = [];
  #stalled = false;
  #scheduled = false;

  constructor(random: SeededRandom, { capacity = 8, lag = 0, turnMs }: MemoryWireOptions) {
    this.#random = random;
    this.#capacity = capacity;
    this.#lag = lag;
    this.#turnMs = turnMs;
  }

  joins(other: MemoryWire): void {
    this.#other = other;
  }

  /** Whether nothing is under way that could still arrive. */
  get quiet(): boolean {
    return !this.#scheduled;
  }

  /** While stalled nothing arrives any more at the other end, and the link stays full. */
  stall(stalled: boolean): void {
    this.#stalled = stalled;
    this.#schedule();
  }

  send(bytes: Buffer, sent: () => void): void {
    this.#queue.push({ bytes, sent });
    this.#schedule();
  }

  close(code: number, reason: string): void {
    this.closedBy ??= { code, reason };
    this.#schedule();
  }

  cut(): void {
    this.closedBy ??= 'cut';
    this.#queue = [];
    this.#link = [];
    setImmediate(() => this.#other?.receiver?.lost(1006, ''));
  }

  #schedule(): void {
    if (this.#scheduled || this.#stalled) return;
    this.#scheduled = true;
    if (this.#turnMs === undefined) setImmediate(() => this.#pump());
    else setTimeout(() => this.#pump(), this.#turnMs);
  }

  #pump(): void {
    this.#scheduled = false;
    if (this.closedBy === 'cut' || this.#stalled) return;
    if (!this.#random.chance(this.#lag)) this.#deliver(1 + this.#random.below(this.#capacity));
    while (this.#queue.length > 0 && this.#link.length < this.#capacity) {
      const message = this.#queue.shift();
      if (message === undefined) break;
      this.#link.push(message);
      message.sent();
    }
    if (this.#link.length > 0) this.#schedule();
    else if (this.closedBy !== undefined) {
      const { code, reason } = this.closedBy;
      this.#other?.receiver?.lost(code, reason);
    }
  }

  #deliver(count: number): void {
    for (const { bytes } of this.#link.splice(0, count)) {
      this.delivered += 1;
      this.#other?.receiver?.receive(bytes);
    }
  }
}
