// The keys that TLS session tickets are sealed with. All relays of a vendor derive the same ones from
// the file of envelope keys that they share, so that a visitor may resume at any of them; whoever has a day's key can
// read the visits of that day which were resumed without a new key exchange, so there is one per UTC day.
//
// Node holds one ticket key per context and knows no previous one. At midnight (UTC) contexts are made
// anew, each when it is next used: tickets of the day before are not understood then, and their visitors
// make a full handshake once, which they do not notice but for a round trip. Relays whose clocks differ
// do not understand each other's tickets for as long as they differ.
import type { Envelope } from '../../certs/envelope.ts';

const DAY_MS = 86_400_000;
/** AES key, HMAC key and the name of both (Node's `ticketKeys`). */
const TICKET_KEY_BYTES = 48;

export class TicketKeys {
  readonly #envelope: Pick<Envelope, 'derive'>;
  readonly #wallClockMs: () => number;
  #present: { readonly day: number; readonly keys: Buffer } | undefined;

  constructor(envelope: Pick<Envelope, 'derive'>, wallClockMs: () => number = Date.now) {
    this.#envelope = envelope;
    this.#wallClockMs = wallClockMs;
  }

  /** The number of the day; contexts of another day are to be made anew. */
  get day(): number {
    return Math.floor(this.#wallClockMs() / DAY_MS);
  }

  /** The keys of today. */
  get keys(): Buffer {
    const { day } = this;
    if (this.#present?.day === day) return this.#present.keys;
    const keys = this.#envelope.derive(`waygate ticket keys ${day}`, TICKET_KEY_BYTES);
    this.#present = { day, keys };
    return keys;
  }
}
