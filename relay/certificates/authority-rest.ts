// Whether an authority may be asked now. One that is away is left alone for a while that grows, and then
// a single attempt tells whether it is back: thousands of names that wait cost it, and us, no thousands of
// attempts. One that says when to come again is believed. Times are those of the clock that is handed in.
import type { WorkKey } from '../registry/certificates/work.ts';

export const REST_LIMITS = {
  /** In a row; fewer are ordinary in a network. */
  failuresMax: 5,
  /** The first rest; each that follows without an answer is twice as long. */
  awayMs: 60_000,
  /** So a name waits no longer than this once the authority is back. */
  awayMaxMs: 30 * 60_000,
  /** When it says that too much was asked, and not for how long. */
  limitedMs: 3_600_000,
  /** What it says is believed, up to the longest window of any limit in use. */
  limitedMaxMs: 7 * 86_400_000,
  /** But of one name, which may have met a limit of its own, the others do not believe it for longer. */
  limitedAllMaxMs: 3 * 3_600_000,
  /** Names that have met a limit of their own and are remembered; the oldest give way. */
  limitedNamesMax: 10_000,
} as const;

export class AuthorityRest {
  readonly #now: () => number;
  #untilMs = 0;
  #why: 'away' | 'limited' = 'away';
  #failures = 0;
  #rests = 0;
  #underWay = 0;
  /** Names that have met a limit here, and until when. */
  readonly #limited = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Until when it is left alone; in the past when it is not. */
  get untilMs(): number {
    return this.#untilMs;
  }

  get why(): 'away' | 'limited' | undefined {
    return this.#now() < this.#untilMs ? this.#why : undefined;
  }

  /** Failures have made it suspect, so that one attempt at a time goes there. */
  get doubtful(): boolean {
    return this.#failures >= REST_LIMITS.failuresMax;
  }

  /** How many more attempts may go there now. */
  get room(): number {
    if (this.#now() < this.#untilMs) return 0;
    return this.doubtful ? Math.max(0, 1 - this.#underWay) : Infinity;
  }

  /** The same for one name, which may have met a limit that is not for all. */
  of(subject: string): Pick<AuthorityRest, 'untilMs' | 'why' | 'room'> {
    const untilMs = this.#limited.get(subject) ?? 0;
    if (untilMs <= this.#now()) return this;
    return { untilMs: Math.max(untilMs, this.#untilMs), why: 'limited', room: 0 };
  }

  /** Every attempt begins and ends here. */
  begin(): void {
    this.#underWay += 1;
  }

  end(): void {
    this.#underWay -= 1;
  }

  /** It did its work, or refused to: it is there. */
  answered(): void {
    this.#failures = 0;
    this.#rests = 0;
  }

  unavailable(retryAfterMs = 0): void {
    // Those that were under way when the rest began say nothing new.
    if (this.#now() < this.#untilMs) return;
    this.#failures += 1;
    if (!this.doubtful) return;
    const { awayMs, awayMaxMs } = REST_LIMITS;
    const restMs = Math.min(awayMaxMs, awayMs * 2 ** Math.min(this.#rests, 16));
    this.#rests += 1;
    this.#rest(Math.max(restMs, Math.min(retryAfterMs, awayMaxMs)), 'away');
  }

  /**
   * Too much was asked. A limit that an own domain meets may be of that domain alone, and its owner can
   * bring that about at will, for as many domains as he has: it never stops the others, and one that is
   * of the account is met by the next name of the zone. Returns how long the name that met it waits here.
   */
  limited(
    retryAfterMs: number | undefined,
    { subject, purpose }: Pick<WorkKey, 'subject' | 'purpose'>,
  ): number {
    const { limitedMs, limitedMaxMs, limitedAllMaxMs, limitedNamesMax } = REST_LIMITS;
    const waitMs = Math.min(limitedMaxMs, retryAfterMs ?? limitedMs);
    this.#limited.delete(subject);
    this.#limited.set(subject, this.#now() + waitMs);
    const [oldest] = this.#limited.keys();
    if (this.#limited.size > limitedNamesMax && oldest !== undefined) this.#limited.delete(oldest);
    if (purpose !== 'domain') this.#rest(Math.min(waitMs, limitedAllMaxMs), 'limited');
    return waitMs;
  }

  #rest(ms: number, why: 'away' | 'limited'): void {
    const untilMs = this.#now() + ms;
    if (untilMs <= this.#untilMs) return;
    this.#untilMs = untilMs;
    this.#why = why;
  }
}
