// Response rate limiting: a forged sender must gain nothing from us. Answers are counted per network
// (/24 and /56, for an attack names a whole network) and per kind of answer. Of what is too much, every
// second answer is sent empty with TC: an honest asker comes again by TCP, a forged one gets no more
// bytes than were sent in his name. The table has a fixed size; the least used entry makes room.

export const RATE_LIMITS = {
  /** NSD's default: a resolver asks for the same thing once per TTL, so that this is far beyond it. */
  responsesPerSecond: 200,
  /** Every second: NSD's default, and BIND's. */
  slip: 2,
  /** 1 MiB in all; about 16,000 networks under attack at the same time. */
  entries: 65_536,
  /** Where an entry can be: enough that one network's kinds rarely push each other out. */
  ways: 4,
} as const;

export type RateVerdict = 'send' | 'slip' | 'drop';

export class ResponseRateLimit {
  readonly #perSecond: number;
  readonly #now: () => number;
  readonly #keys = new Uint32Array(RATE_LIMITS.entries);
  readonly #tokens = new Float32Array(RATE_LIMITS.entries);
  readonly #seenMs = new Float64Array(RATE_LIMITS.entries);
  readonly #slips = new Uint8Array(RATE_LIMITS.entries);

  /** 0 responses per second: no limit. */
  constructor(perSecond: number, now: () => number = () => performance.now()) {
    this.#perSecond = perSecond;
    this.#now = now;
  }

  /** `kind`: any number that is equal for answers that an attacker could use in each other's place. */
  judge(address: string, kind: number): RateVerdict {
    if (this.#perSecond === 0) return 'send';
    const now = this.#now();
    const hash = networkHash(address, kind);
    const at = this.#find(hash, now);
    const elapsedS = (now - (this.#seenMs[at] ?? 0)) / 1000;
    const tokens = Math.min(this.#perSecond, (this.#tokens[at] ?? 0) + elapsedS * this.#perSecond);
    this.#seenMs[at] = now;
    if (tokens >= 1) {
      this.#tokens[at] = tokens - 1;
      return 'send';
    }
    this.#tokens[at] = tokens;
    const slips = ((this.#slips[at] ?? 0) + 1) % RATE_LIMITS.slip;
    this.#slips[at] = slips;
    return slips === 0 ? 'slip' : 'drop';
  }

  #find(hash: number, now: number): number {
    const first = (hash >>> 0) & (RATE_LIMITS.entries - 1) & ~(RATE_LIMITS.ways - 1);
    let oldest = first;
    for (let at = first; at < first + RATE_LIMITS.ways; at += 1) {
      if (this.#keys[at] === hash) return at;
      if ((this.#seenMs[at] ?? 0) < (this.#seenMs[oldest] ?? 0)) oldest = at;
    }
    this.#keys[oldest] = hash;
    this.#tokens[oldest] = this.#perSecond;
    this.#seenMs[oldest] = now;
    this.#slips[oldest] = 0;
    return oldest;
  }
}

const COLON = 0x3a;
const FNV_PRIME = 0x01000193;

/** Of the first 24 bits of an IPv4 address, or the first 56 of an IPv6 one, and the kind. */
export function networkHash(address: string, kind: number): number {
  const seed = Math.imul(0x811c9dc5 ^ kind, FNV_PRIME);
  const mapped = address.startsWith('::ffff:') && address.includes('.');
  const hash =
    mapped || !address.includes(':')
      ? hashText(seed, address, mapped ? '::ffff:'.length : 0)
      : hashGroups(seed, address);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** All but the last number of an IPv4 address. */
function hashText(seed: number, address: string, start: number): number {
  let hash = seed;
  for (let at = start, end = address.lastIndexOf('.'); at < end; at += 1) {
    hash = Math.imul(hash ^ address.charCodeAt(at), FNV_PRIME);
  }
  return hash;
}

/** Three groups and the upper half of the fourth. What `::` stands for is taken to reach that far. */
function hashGroups(seed: number, address: string): number {
  let hash = seed;
  let group = 0;
  let index = 0;
  let zeros = address.startsWith('::');
  for (let at = 0; index < 4; at += 1) {
    const code = zeros || at >= address.length ? COLON : address.charCodeAt(at);
    if (code !== COLON) {
      group = group * 16 + digit(code);
      continue;
    }
    hash = Math.imul(hash ^ (index === 3 ? group >> 8 : group), FNV_PRIME);
    group = 0;
    index += 1;
    zeros ||= address.charCodeAt(at + 1) === COLON;
  }
  return hash;
}

function digit(code: number): number {
  return code <= 0x39 ? code - 0x30 : (code | 0x20) - 0x57;
}
