// A listener that does anything a program may do at any time, also inside its callbacks, and insists
// on what a link promises: nothing after a break, one end, one break, `drain` only after a full write.
import type { LinkEvents } from '../../relay/protocol/link.ts';
import type { Stream } from '../../relay/protocol/stream.ts';
import type { SeededRandom } from './random.ts';

/** Thrown on purpose, by a callback. */
export class PlantedFault extends Error {
  override readonly name = 'PlantedFault';
}

const BYTES = Buffer.alloc(400_000, 'listener');

export class FuzzListener implements LinkEvents {
  /** Nothing more may be heard. */
  dead = false;
  heldBytes = 0;
  readonly #stream: Stream;
  readonly #random: SeededRandom;
  #ended = false;
  #full = false;

  constructor(stream: Stream, random: SeededRandom) {
    this.#stream = stream;
    this.#random = random;
    stream.events = this;
  }

  /** What the stream says that we hold: it forgets what was delivered before a clean end. */
  get countedBytes(): number {
    const bytes = this.#stream.heldBytes;
    if (bytes !== 0 && bytes !== this.heldBytes) throw new Error(`${bytes} of ${this.heldBytes}`);
    return bytes;
  }

  /** Something that a program might do now. */
  act(): void {
    if (this.dead) return;
    const random = this.#random;
    const kind = random.next();
    if (kind < 0.6) this.#take();
    else if (kind < 0.9) this.#write();
    else if (kind < 0.97) this.#stream.end();
    else {
      this.dead = true;
      this.heldBytes = 0;
      this.#stream.reset('cancelled', 'fuzz');
    }
  }

  data(bytes: Buffer): void {
    this.#hear(this.#ended ? 'data after the end' : undefined);
    this.heldBytes += bytes.length;
    this.#react();
  }

  end(): void {
    this.#hear(this.#ended ? 'a second end' : undefined);
    this.#ended = true;
    this.#react();
  }

  broken(): void {
    this.#hear(undefined);
    this.dead = true;
    this.heldBytes = 0;
    if (this.#random.chance(0.01)) throw new PlantedFault();
  }

  drain(): void {
    this.#hear(this.#full ? undefined : 'room again, and it was never full');
    this.#full = false;
    this.#react();
  }

  #hear(fault: string | undefined): void {
    if (this.dead) throw new Error('told something after the end of the stream');
    if (fault !== undefined) throw new Error(fault);
  }

  #react(): void {
    if (this.#random.chance(0.3)) this.act();
    if (this.#random.chance(0.002)) throw new PlantedFault();
  }

  #take(): void {
    const bytes = this.#random.chance(0.5)
      ? this.heldBytes
      : this.#random.below(this.heldBytes + 1);
    this.heldBytes -= bytes;
    this.#stream.taken(bytes);
  }

  #write(): void {
    const random = this.#random;
    const limit = random.chance(0.1) ? BYTES.length : 2_000;
    const bytes = BYTES.subarray(0, random.below(limit));
    if (!this.#stream.write(random.chance(0.2) ? bytes.toString('latin1') : bytes))
      this.#full = true;
  }
}
