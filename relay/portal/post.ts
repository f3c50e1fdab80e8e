// Sends the letters that are kept in the registry (relay/registry/letters.ts), whichever relay does it:
// each is taken by one of them at a time, and is there until the mail server has taken it. So a letter
// survives a relay that dies and a mail server that is away; one that was handed over a moment before the
// relay died is sent again, with the same Message-ID. What cannot be sent for days is given up, and told.
import type { Logger } from 'pino';
import { endLetter } from '../registry/deeds/letter-end.ts';
import { areLettersDue, deferLetter, type TakenLetter, takeLetters } from '../registry/letters.ts';
import type { Registry } from '../registry/registry.ts';
import { RegistryError } from '../registry/registry-error.ts';
import { type Deliver, MailFault } from './mail.ts';

export const POST_LIMITS = {
  /** At the same time; mail servers dislike more from one client. */
  sendingMax: 4,
  /** How late a letter is found that nobody has told of. */
  pollMs: 5_000,
  /** How long the transaction may take that a letter is told of in; the next look finds it otherwise. */
  soonMs: 50,
  /** Longer than an attempt (mail.ts). A relay that dies delays what it was sending by so much. */
  leaseMs: 5 * 60_000,
  /** A mail server may be away over a weekend; later nobody can act on a letter. */
  keptMs: 3 * 86_400_000,
  /** For letters on their way when the relay stops. */
  closeMs: 2_000,
} as const;

/** Before the second attempt, the third, ...; the last one again and again. */
const RETRY_AFTER_MS: readonly number[] = [15_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000];
const LAST_RETRY_MS = 3_600_000;

export interface PostOptions {
  readonly registry: Pick<Registry, 'read' | 'write' | 'perform'>;
  readonly deliver: Deliver;
  /** The wall clock: what is stored has wall-clock times. */
  readonly clockMs: () => number;
  readonly log: Logger;
  readonly limits?: Partial<Record<keyof typeof POST_LIMITS, number>>;
}

export type PostOutcome = 'sent' | 'deferred' | 'given-up';

export class Post {
  /** Of attempts since the start, for metrics. */
  readonly outcomes = new Map<PostOutcome, number>();
  readonly #options: PostOptions;
  readonly #limits: Readonly<Record<keyof typeof POST_LIMITS, number>>;
  readonly #sending = new Set<Promise<void>>();
  #poll: NodeJS.Timeout | undefined;
  #next: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #again = false;
  #closed = false;

  constructor(options: PostOptions) {
    this.#options = options;
    this.#limits = { ...POST_LIMITS, ...options.limits };
  }

  /** Also sends what an earlier process has left. */
  start(): void {
    this.#poll = setInterval(() => this.look(), this.#limits.pollMs).unref();
    this.look();
  }

  /** A letter is about to be kept, in a transaction that has not ended yet. */
  soon(): void {
    if (this.#closed) return;
    this.#next ??= setTimeout(() => {
      this.#next = undefined;
      this.look();
    }, this.#limits.soonMs).unref();
  }

  /** There may be letters. */
  look(): void {
    if (this.#closed) return;
    this.#again = true;
    this.#looking ??= this.#take().finally(() => {
      this.#looking = undefined;
      // Somebody came between the last look and its end.
      if (this.#again) this.look();
    });
  }

  /** Resolves when all letters that were due were tried. */
  async settled(): Promise<void> {
    this.look();
    await this.#idle();
  }

  /** Lets what is being sent end. The rest stays for whoever comes next. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#poll);
    clearTimeout(this.#next);
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, this.#limits.closeMs);
    await Promise.race([this.#idle(), late.promise]);
    clearTimeout(timer);
  }

  /** Also with letters that are only being taken. */
  async #idle(): Promise<void> {
    while (this.#looking !== undefined || this.#sending.size > 0) {
      await this.#looking;
      await Promise.all(this.#sending);
    }
  }

  async #take(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      const max = this.#limits.sendingMax - this.#sending.size;
      // The end of an attempt looks again.
      if (max <= 0) return;
      const letters = await this.#taken(max);
      for (const letter of letters) this.#run(letter);
      if (letters.length === max) this.#again = true;
    }
  }

  async #taken(max: number): Promise<readonly TakenLetter[]> {
    const { registry, clockMs, log } = this.#options;
    const nowMs = clockMs();
    try {
      if (!(await registry.read(areLettersDue(nowMs)))) return [];
      const { leaseMs } = this.#limits;
      return await registry.write(takeLetters({ nowMs, leaseMs, max }));
    } catch (error) {
      // Of its own faults the registry has told.
      if (!(error instanceof RegistryError))
        log.warn({ err: error }, 'mail: letters cannot be read');
      return [];
    }
  }

  #run(letter: TakenLetter): void {
    const sending = this.#send(letter).finally(() => {
      this.#sending.delete(sending);
      this.look();
    });
    this.#sending.add(sending);
  }

  async #send(letter: TakenLetter): Promise<void> {
    const { registry, log } = this.#options;
    const fault = await this.#attempt(letter);
    const retryAtMs = fault === undefined ? undefined : this.#retryAtMs(letter, fault);
    const over = retryAtMs === undefined;
    this.#count(fault === undefined ? 'sent' : over ? 'given-up' : 'deferred');
    if (fault !== undefined) this.#tell(letter, fault, over);
    try {
      if (!over) await registry.write(deferLetter(letter, retryAtMs));
      else await registry.perform(endLetter(letter, fault === undefined ? 'sent' : 'given-up'));
    } catch (error) {
      // When the lease ends, somebody tries it again: rather twice than not at all.
      log.warn({ err: error, letter: letter.id }, 'mail: what became of a letter was not noted');
    }
  }

  async #attempt(letter: TakenLetter): Promise<MailFault | undefined> {
    const { deliver } = this.#options;
    try {
      await deliver(letter, letter.id);
      return undefined;
    } catch (error) {
      return error instanceof MailFault ? error : new MailFault(String(error), false);
    }
  }

  /** `undefined`: not any more. */
  #retryAtMs({ attempts, keptAtMs }: TakenLetter, { final }: MailFault): number | undefined {
    if (final) return undefined;
    const nowMs = this.#options.clockMs();
    const atMs = nowMs + (RETRY_AFTER_MS[attempts] ?? LAST_RETRY_MS);
    return atMs - keptAtMs > this.#limits.keptMs ? undefined : atMs;
  }

  /** Without the address: logs go further than letters. */
  #tell({ id, subject, attempts }: TakenLetter, { message: why }: MailFault, over: boolean): void {
    const { log } = this.#options;
    const about = { why, letter: id, attempt: attempts + 1 };
    if (over) log.error({ ...about, subject }, 'mail: a letter was not delivered, and is given up');
    else log.warn(about, 'mail: not delivered yet; it is tried again');
  }

  #count(outcome: PostOutcome): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }
}
