// Gets every certificate that is wanted, whichever relay does it: work that is due is taken out of the
// registry with a lease, so many at a time, the most urgent first; each is one attempt (attempt.ts). A
// relay that dies leaves its leases to end, and another goes on with its orders. It may be told that
// there is work, and looks by itself every few seconds.

import { keepLease } from '../registry/certificates/held-work.ts';
import type { Job } from '../registry/certificates/job.ts';
import { takeWork, type UnreadableWork } from '../registry/certificates/job.ts';
import { type AttemptParts, attempt } from './attempt.ts';
import type { Ending } from './failed-attempt.ts';

export const ISSUANCE_LIMITS = {
  /** Orders under way: each waits most of its time for the authority and for name servers. */
  concurrency: 20,
  /** How late work is found that nobody has told of. */
  pollMs: 5_000,
  /** A relay that dies delays its orders by so much. */
  leaseMs: 60_000,
  leaseRenewMs: 20_000,
  /** Beyond what the longest order takes, with all its waits. */
  attemptMs: 20 * 60_000,
  /** For orders under way when the relay stops; they are taken up again after that. */
  stopMs: 5_000,
} as const;

export interface IssuanceOptions extends Omit<AttemptParts, 'ended'> {
  /** Of this process: two of them must not take each other's leases for their own. */
  readonly holder: string;
  /** Called after a certificate was stored. */
  readonly issued?: (() => void) | undefined;
  readonly limits?: Partial<Record<keyof typeof ISSUANCE_LIMITS, number>>;
}

export class Issuance {
  /** How orders ended since the start: by `AUTHORITY ENDING`. */
  readonly endings = new Map<string, number>();
  readonly #options: IssuanceOptions;
  readonly #limits: Readonly<Record<keyof typeof ISSUANCE_LIMITS, number>>;
  readonly #running = new Set<Promise<void>>();
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #taking: Promise<void> | undefined;
  /** Somebody has said that there is work while it was being looked for. */
  #again = false;

  constructor(options: IssuanceOptions) {
    this.#options = options;
    this.#limits = { ...ISSUANCE_LIMITS, ...options.limits };
  }

  /** Attempts under way. */
  get running(): number {
    return this.#running.size;
  }

  start(): void {
    this.#timer = setInterval(() => this.wake(), this.#limits.pollMs);
    this.wake();
  }

  /** There may be work. */
  wake(): void {
    if (this.#stopping.signal.aborted) return;
    this.#again = true;
    this.#taking ??= this.#take().finally(() => {
      this.#taking = undefined;
    });
  }

  /** Resolves when all work that was due is settled, one way or another. */
  async settled(): Promise<void> {
    this.wake();
    while (this.#taking !== undefined || this.#running.size > 0) {
      await this.#taking;
      await Promise.all(this.#running);
    }
  }

  /** Orders that are under way are left as they are, for whoever comes next. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(() => late.resolve(), this.#limits.stopMs);
    await Promise.race([Promise.all([this.#taking, ...this.#running]), late.promise]);
    clearTimeout(timer);
    for (const authority of this.#options.authorities) authority.close();
  }

  async #take(): Promise<void> {
    while (this.#again && !this.#stopping.signal.aborted) {
      this.#again = false;
      const max = this.#room();
      if (max === 0) return;
      const jobs = await this.#taken(max);
      for (const job of jobs) this.#run(job);
      // Fewer than asked for: there are no more. The end of an attempt looks again.
      if (jobs.length === max) this.#again = true;
    }
  }

  /** While no authority may be asked, work stays where it is, which costs nothing. */
  #room(): number {
    const free = this.#limits.concurrency - this.#running.size;
    const askable = this.#options.authorities.reduce((sum, { rest }) => sum + rest.room, 0);
    return Math.max(0, Math.min(free, askable));
  }

  async #taken(max: number): Promise<readonly Job[]> {
    const { registry, holder, now, log } = this.#options;
    const { leaseMs } = this.#limits;
    // The taking is repeated when others are in its way, and tells of the row again then.
    const spoilt = new Map<string, UnreadableWork>();
    const unreadable = (row: UnreadableWork) => void spoilt.set(row.subject, row);
    const taking = { holder, nowMs: now(), leaseMs, max, unreadable };
    try {
      const jobs = await registry.write(takeWork(taking));
      for (const { subject, purpose, error } of spoilt.values()) {
        log.error({ err: error, subject, purpose }, 'certificates: a row cannot be read');
      }
      return jobs;
    } catch (error) {
      log.warn({ err: error }, 'certificates: the registry cannot be asked for work');
      return [];
    }
  }

  #run(job: Job): void {
    const running = this.#attempt(job).finally(() => {
      this.#running.delete(running);
      this.wake();
    });
    this.#running.add(running);
  }

  async #attempt(job: Job): Promise<void> {
    const lost = new AbortController();
    const ends = [this.#stopping.signal, lost.signal, AbortSignal.timeout(this.#limits.attemptMs)];
    const renewal = setInterval(() => void this.#keep(job, lost), this.#limits.leaseRenewMs);
    try {
      const ended = (authority: string, ending: Ending) => this.#count(authority, ending);
      await attempt(job, { ...this.#options, ended }, AbortSignal.any(ends));
    } finally {
      clearInterval(renewal);
    }
  }

  async #keep(job: Job, lost: AbortController): Promise<void> {
    const { registry, now } = this.#options;
    try {
      const kept = await registry.write(keepLease(job, now() + this.#limits.leaseMs));
      if (!kept) lost.abort();
    } catch {
      // The registry has told of its fault. Whoever takes the job after the lease finds the order.
    }
  }

  #count(authority: string, ending: Ending): void {
    const key = `${authority} ${ending}`;
    this.endings.set(key, (this.endings.get(key) ?? 0) + 1);
    if (ending === 'issued') this.#options.issued?.();
  }
}
