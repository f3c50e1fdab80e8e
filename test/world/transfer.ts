// A stream with a plan: so many bytes each way, in pieces of random size, taken at random moments,
// perhaps reset on the way. It checks each byte when it arrives.
import { expect } from 'vitest';
import { LIMITS } from '../../relay/protocol/limits.ts';
import type { Link } from '../../relay/protocol/link.ts';
import type { ResetReason } from '../../relay/protocol/reset-reason.ts';
import { HEADER, type MemoryTunnel } from './memory-tunnel.ts';
import { SeededRandom } from './random.ts';

export interface Plan {
  readonly upBytes: number;
  readonly downBytes: number;
  readonly pieceBytesMax: number;
  /** Probability that a listener takes some of what it holds in a turn. */
  readonly takeChance: number;
  readonly resetAtTurn: number | undefined;
}

// A prime, so that a piece that is lost or repeated shows.
const PERIOD = 251;
const PATTERN = Buffer.alloc(500_000, Buffer.from(Array.from({ length: PERIOD }, (_, i) => i)));

export class Transfer {
  readonly #plan: Plan;
  readonly #random: SeededRandom;
  readonly #near: Half;
  #far: Half | undefined;

  constructor(tunnel: MemoryTunnel, plan: Plan, seed: number) {
    this.#plan = plan;
    this.#random = new SeededRandom(seed);
    const stream = tunnel.relay.open(HEADER);
    if (stream === undefined) throw new Error('the tunnel admits no stream');
    this.#near = new Half(stream, plan, [plan.upBytes, plan.downBytes], this.#random);
    const { accept } = tunnel;
    tunnel.accept = (accepted) => {
      if (accepted.id !== stream.id) return accept(accepted);
      this.#far = new Half(accepted, plan, [plan.downBytes, plan.upBytes], this.#random);
    };
  }

  get done(): boolean {
    return (
      this.#near.done &&
      (this.#far === undefined ? this.#near.broken !== undefined : this.#far.done)
    );
  }

  /** Grows as long as something happens. */
  get movedBytes(): number {
    return this.#near.movedBytes + (this.#far?.movedBytes ?? 0);
  }

  turn(turn: number): void {
    if (turn === this.#plan.resetAtTurn) this.#near.giveUp();
    this.#near.turn();
    this.#far?.turn();
  }

  /** Both ends agree on how it ended, and a clean end came after every byte. */
  judge(): void {
    this.#near.judge();
    this.#far?.judge();
  }
}

class Half {
  readonly #link: Link;
  readonly #plan: Plan;
  readonly #random: SeededRandom;
  readonly #sendBytes: number;
  readonly #receiveBytes: number;
  #sent = 0;
  #received = 0;
  #heldBytes = 0;
  #takenBytes = 0;
  #room = true;
  #endSent = false;
  #ends = 0;
  #why: ResetReason | 'ours' | undefined;

  constructor(
    link: Link,
    plan: Plan,
    [send, receive]: readonly [number, number],
    random: SeededRandom,
  ) {
    this.#link = link;
    this.#plan = plan;
    this.#random = random;
    this.#sendBytes = send;
    this.#receiveBytes = receive;
    link.events = {
      data: (bytes) => this.data(bytes),
      end: () => this.end(),
      broken: (reason) => {
        this.#why = reason;
      },
      drain: () => this.drain(),
    };
  }

  get broken(): ResetReason | 'ours' | undefined {
    return this.#why;
  }

  get done(): boolean {
    return this.#why !== undefined || (this.#endSent && this.#ends > 0 && this.#heldBytes === 0);
  }

  get movedBytes(): number {
    return this.#sent + this.#received + this.#takenBytes;
  }

  giveUp(): void {
    if (this.done) return;
    this.#link.reset('cancelled');
    this.#why = 'ours';
  }

  turn(): void {
    if (this.#why !== undefined) return;
    while (this.#room && this.#sent < this.#sendBytes) this.#write();
    if (this.#sent === this.#sendBytes && !this.#endSent) {
      this.#endSent = true;
      this.#link.end();
    }
    if (this.#heldBytes > 0 && this.#random.chance(this.#plan.takeChance)) {
      const bytes = this.#random.chance(0.5)
        ? this.#heldBytes
        : this.#random.below(this.#heldBytes);
      this.#heldBytes -= bytes;
      this.#takenBytes += bytes;
      this.#link.taken(bytes);
    }
  }

  data(bytes: Buffer): void {
    const at = this.#received % PERIOD;
    if (!bytes.equals(PATTERN.subarray(at, at + bytes.length))) {
      throw new Error(`other bytes than were sent, at ${this.#received}`);
    }
    expect([this.#why, this.#ends]).toEqual([undefined, 0]);
    this.#received += bytes.length;
    this.#heldBytes += bytes.length;
    expect(this.#heldBytes).toBeLessThanOrEqual(LIMITS.windowBytesMax);
  }

  end(): void {
    this.#ends += 1;
    expect([this.#why, this.#ends, this.#received]).toEqual([undefined, 1, this.#receiveBytes]);
  }

  drain(): void {
    expect(this.#room).toBe(false);
    this.#room = true;
  }

  judge(): void {
    if (this.#why !== undefined) return;
    expect([this.#ends, this.#received]).toEqual([1, this.#receiveBytes]);
  }

  #write(): void {
    const left = this.#sendBytes - this.#sent;
    const bytes = Math.min(left, 1 + this.#random.below(this.#plan.pieceBytesMax));
    const at = this.#sent % PERIOD;
    this.#sent += bytes;
    this.#room = this.#link.write(PATTERN.subarray(at, at + bytes));
  }
}
