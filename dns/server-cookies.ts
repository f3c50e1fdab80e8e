// DNS cookies (RFC 7873) in the form that all servers share (RFC 9018): version 1, a time, and
// SipHash-2-4 over the client's cookie, the time and the client's address. A right one proves that its
// bearer receives what is sent to his address. None is ever demanded: a wrong one only proves nothing.
import { randomBytes } from 'node:crypto';
import { writeSender } from './ip-text.ts';
import { SipHash } from './sip-hash.ts';

export const COOKIE_LIMITS = {
  /** Secrets live one day as the present one and one as the last; what leaks is of use no longer. */
  secretMs: 24 * 60 * 60 * 1000,
  /** RFC 9018, section 4.3: older cookies prove nothing. */
  ageMaxS: 3600,
  /** RFC 9018, section 4.3: clocks of servers behind one address differ. */
  aheadMaxS: 300,
  /** RFC 9018, section 4.3: a cookie that is younger is given back as it is. */
  renewAgeS: 1800,
} as const;

export const SERVER_COOKIE_BYTES = 16;
export const CLIENT_COOKIE_BYTES = 8;

export interface CookieTime {
  /** Seconds since 1970, which the cookies tell each other. */
  readonly wallS: () => number;
  /** For the age of secrets. */
  readonly steadyMs: () => number;
}

const REAL_TIME: CookieTime = {
  wallS: () => Math.floor(Date.now() / 1000),
  steadyMs: () => performance.now(),
};

export class ServerCookies {
  readonly #time: CookieTime;
  #present = new SipHash(randomBytes(16));
  #last: SipHash | undefined;
  #rotatedMs: number;
  readonly #address = Buffer.alloc(16);
  readonly #inputV4 = Buffer.alloc(20);
  readonly #inputV6 = Buffer.alloc(32);
  readonly #hash = Buffer.alloc(8);
  /** The server's part for the client asked about last. */
  readonly cookie: Buffer = Buffer.alloc(SERVER_COOKIE_BYTES);

  constructor(time: CookieTime = REAL_TIME) {
    this.#time = time;
    this.#rotatedMs = time.steadyMs();
  }

  /**
   * Judges the cookie option that lies in a message, and sets `cookie` to what the client is to use
   * from now on: true: the client has shown that the address is its own.
   */
  judge(message: Buffer, at: number, bytes: number, address: string): boolean {
    this.#rotate();
    const now = this.#time.wallS() >>> 0;
    const valid = bytes === CLIENT_COOKIE_BYTES + SERVER_COOKIE_BYTES;
    if (valid && this.#isValid(message, at, address, now)) {
      const issued = message.readUInt32BE(at + CLIENT_COOKIE_BYTES + 4);
      if (((now - issued) | 0) < COOKIE_LIMITS.renewAgeS) {
        message.copy(this.cookie, 0, at + CLIENT_COOKIE_BYTES, at + bytes);
      } else this.#issue(message, at, address, now);
      return true;
    }
    this.#issue(message, at, address, now);
    return false;
  }

  #isValid(message: Buffer, at: number, address: string, now: number): boolean {
    const server = at + CLIENT_COOKIE_BYTES;
    if (message[server] !== 1) return false;
    // Serial arithmetic, so that 2106 is a year like any other.
    const age = (now - message.readUInt32BE(server + 4)) | 0;
    if (age > COOKIE_LIMITS.ageMaxS || age < -COOKIE_LIMITS.aheadMaxS) return false;
    const input = this.#input(message, at, address);
    message.copy(input, 8, server, server + 8);
    if (this.#matches(this.#present, input, message, server + 8)) return true;
    return this.#last !== undefined && this.#matches(this.#last, input, message, server + 8);
  }

  #matches(secret: SipHash, input: Buffer, message: Buffer, at: number): boolean {
    secret.digest(input, this.#hash, 0);
    let difference = 0;
    for (let byte = 0; byte < 8; byte += 1) {
      difference |= (this.#hash[byte] ?? 0) ^ (message[at + byte] ?? 0);
    }
    return difference === 0;
  }

  #issue(message: Buffer, at: number, address: string, now: number): void {
    this.cookie.fill(0, 0, 8);
    this.cookie[0] = 1;
    this.cookie.writeUInt32BE(now, 4);
    const input = this.#input(message, at, address);
    this.cookie.copy(input, 8, 0, 8);
    this.#present.digest(input, this.cookie, 8);
  }

  /** Client cookie and address in place, of which only the eight bytes between are still to be set. */
  #input(message: Buffer, at: number, address: string): Buffer {
    const addressBytes = writeSender(address, this.#address);
    const input = addressBytes === 4 ? this.#inputV4 : this.#inputV6;
    for (let byte = 0; byte < CLIENT_COOKIE_BYTES; byte += 1) input[byte] = message[at + byte] ?? 0;
    for (let byte = 0; byte < addressBytes; byte += 1) input[16 + byte] = this.#address[byte] ?? 0;
    return input;
  }

  #rotate(): void {
    const now = this.#time.steadyMs();
    if (now - this.#rotatedMs < COOKIE_LIMITS.secretMs) return;
    // After a long silence the present secret is as old as a last one that must not be believed.
    const stale = now - this.#rotatedMs >= 2 * COOKIE_LIMITS.secretMs;
    this.#last = stale ? undefined : this.#present;
    this.#present = new SipHash(randomBytes(16));
    this.#rotatedMs = now;
  }
}
