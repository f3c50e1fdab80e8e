// SipHash-2-4 (Aumasson and Bernstein), which RFC 9018 wants for DNS cookies and node:crypto does not
// have. 64-bit words are pairs of 32-bit halves, because BigInt would cost more than the answer.

/** Four words of state, the low half of each first. */
type State = Int32Array;

export class SipHash {
  readonly #key: Int32Array;
  readonly #state: State = new Int32Array(8);

  constructor(key: Buffer) {
    if (key.length !== 16) throw new Error('A SipHash key has 16 bytes.');
    this.#key = Int32Array.from([0, 4, 8, 12], (at) => key.readInt32LE(at));
  }

  /** Writes the 8 bytes of the hash of `data` to `out`, little-endian as in the reference. */
  digest(data: Buffer, out: Buffer, at: number): void {
    const state = this.#state;
    this.#begin(state);
    const whole = data.length - (data.length % 8);
    for (let word = 0; word < whole; word += 8) {
      compress(state, data.readInt32LE(word), data.readInt32LE(word + 4));
    }
    let low = 0;
    let high = (data.length & 0xff) << 24;
    for (let rest = whole; rest < data.length; rest += 1) {
      const shift = (rest - whole) * 8;
      if (shift < 32) low |= (data[rest] ?? 0) << shift;
      else high |= (data[rest] ?? 0) << (shift - 32);
    }
    compress(state, low, high);
    state[4] = (state[4] ?? 0) ^ 0xff;
    for (let round = 0; round < 4; round += 1) sipRound(state);
    const word = (half: number): number =>
      (state[half] ?? 0) ^ (state[half + 2] ?? 0) ^ (state[half + 4] ?? 0) ^ (state[half + 6] ?? 0);
    out.writeInt32LE(word(0), at);
    out.writeInt32LE(word(1), at + 4);
  }

  /** "somepseudorandomlygeneratedbytes", as the reference begins. */
  #begin(state: State): void {
    const [low0 = 0, high0 = 0, low1 = 0, high1 = 0] = this.#key;
    state[0] = low0 ^ 0x70736575;
    state[1] = high0 ^ 0x736f6d65;
    state[2] = low1 ^ 0x6e646f6d;
    state[3] = high1 ^ 0x646f7261;
    state[4] = low0 ^ 0x6e657261;
    state[5] = high0 ^ 0x6c796765;
    state[6] = low1 ^ 0x79746573;
    state[7] = high1 ^ 0x74656462;
  }
}

function compress(state: State, low: number, high: number): void {
  state[6] = (state[6] ?? 0) ^ low;
  state[7] = (state[7] ?? 0) ^ high;
  sipRound(state);
  sipRound(state);
  state[0] = (state[0] ?? 0) ^ low;
  state[1] = (state[1] ?? 0) ^ high;
}

function sipRound(state: State): void {
  mix(state, 0, 2, 13);
  swapHalves(state, 0);
  mix(state, 4, 6, 16);
  mix(state, 0, 6, 21);
  mix(state, 4, 2, 17);
  swapHalves(state, 4);
}

/** a += b; b = rotl(b, bits) ^ a. */
function mix(state: State, a: number, b: number, bits: number): void {
  const bLow = state[b] ?? 0;
  const bHigh = state[b + 1] ?? 0;
  const low = ((state[a] ?? 0) >>> 0) + (bLow >>> 0);
  const aLow = low | 0;
  const aHigh = ((state[a + 1] ?? 0) + bHigh + (low > 0xffff_ffff ? 1 : 0)) | 0;
  state[a] = aLow;
  state[a + 1] = aHigh;
  state[b] = ((bLow << bits) | (bHigh >>> (32 - bits))) ^ aLow;
  state[b + 1] = ((bHigh << bits) | (bLow >>> (32 - bits))) ^ aHigh;
}

/** A rotation by 32 bits. */
function swapHalves(state: State, word: number): void {
  const low = state[word] ?? 0;
  state[word] = state[word + 1] ?? 0;
  state[word + 1] = low;
}
