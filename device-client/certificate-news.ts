// When the device asks its relay whether a certificate that it has is to be renewed at another time. It is
// when its authority is about to revoke it: weeks before it would be due. Asked about once a day, and soon
// when the relay calls. Nothing depends on an answer: without one the certificate is renewed when it was to
// be.
import type { DeviceName } from '../dns/name.ts';
import type { DeviceApi } from './api.ts';
import { ApiError } from './api-error.ts';
import type { Clock } from './clock.ts';

const NEWS_LIMITS = {
  /**
   * The longest time between two questions. Authorities that must revoke do so after a day at the
   * soonest, mostly after five; a hundred thousand devices ask once or twice a second.
   */
  everyMs: 24 * 3_600_000,
  /** The same after one that nobody has judged: a relay that is away is mostly back by then. */
  retryMs: 6 * 3_600_000,
  /** The shortest, as a part of the longest: devices that asked together do not for long. */
  shortestPart: 3 / 4,
  /** The longest time from a start to the first, so that a device that runs an hour a day hears of it. */
  firstMs: 3_600_000,
  /** A relay that calls is asked at once, but not all devices in the same moment, */
  calledSpreadMs: 2_000,
  /** and not again sooner than that: it calls for a day, with every connection. */
  calledEveryMs: 3_600_000,
} as const;

export interface NewsParts {
  readonly api: () => DeviceApi;
  readonly clock: Clock;
  readonly random: () => number;
}

export class RenewalNews {
  readonly #parts: NewsParts;
  /** By the relay's clock, which sleep does not stop. */
  #fromMs = 0;
  #waitMs = 0;
  /** When it was last called, by the monotonic clock. */
  #calledMs = Number.NEGATIVE_INFINITY;

  constructor(parts: NewsParts) {
    this.#parts = parts;
  }

  /** Until the next question; not above zero: now. */
  untilMs(): number {
    const goneMs = this.#parts.clock.now() - this.#fromMs;
    // A clock that was set back says nothing.
    return goneMs < 0 ? 0 : this.#waitMs - goneMs;
  }

  /** The certificate was found on the disk. */
  restored(): void {
    this.#wait(NEWS_LIMITS.firstMs * this.#parts.random());
  }

  /** The relay has just said when to renew. */
  told(): void {
    this.#waitAbout(NEWS_LIMITS.everyMs);
  }

  /** The relay has something new to say. */
  called(): void {
    const { clock, random } = this.#parts;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#calledMs < NEWS_LIMITS.calledEveryMs) return;
    this.#calledMs = nowMs;
    const soonMs = NEWS_LIMITS.calledSpreadMs * random();
    if (soonMs < this.untilMs()) this.#wait(soonMs);
  }

  /** When the relay wants it renewed, ISO 8601. Rejects when it does not say so. */
  async ask(name: DeviceName, signal: AbortSignal): Promise<string> {
    try {
      const path = `/v1/device/certificate?name=${name}`;
      const answer = await this.#parts.api().ask('GET', path, undefined, signal);
      this.told();
      const renewAt = answer.text('renewAt');
      if (Number.isNaN(Date.parse(renewAt))) throw new ApiError('answer', `${renewAt} is no time.`);
      return renewAt;
    } catch (error) {
      // An older relay does not know the question, and another day is soon enough for it.
      const passing = error instanceof ApiError && error.passing;
      this.#waitAbout(passing ? NEWS_LIMITS.retryMs : NEWS_LIMITS.everyMs);
      throw error;
    }
  }

  #waitAbout(longestMs: number): void {
    const { shortestPart } = NEWS_LIMITS;
    this.#wait(longestMs * (shortestPart + (1 - shortestPart) * this.#parts.random()));
  }

  #wait(ms: number): void {
    this.#fromMs = this.#parts.clock.now();
    this.#waitMs = ms;
  }
}
