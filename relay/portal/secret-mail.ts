// Letters with a link that signs in, or a code that gives a name away. They are stored nowhere, as the
// registry keeps such secrets only as hashes: they wait in memory, are tried again for a quarter of an
// hour, and a restart loses them. Whoever waits for one is there, and asks again. All others are kept
// (post.ts).
import type { Logger } from 'pino';
import { makeId } from '../registry/secret.ts';
import type { SecretLetter } from './letters.ts';
import { type Deliver, MailFault } from './mail.ts';

const SECRET_MAIL_LIMITS = {
  /** Letters that wait, 2 KB each; a mail server that is down for an hour makes no more of them. */
  waitingMax: 1_000,
  /** At the same time; mail servers dislike more from one client. */
  sendingMax: 4,
  /** For letters on their way when the relay stops. */
  closeMs: 2_000,
} as const;

/** Before the second attempt, the third, ...; grey lists let a server in after some minutes. */
const RETRY_AFTER_MS: readonly number[] = [2_000, 15_000, 60_000, 300_000, 600_000];

interface Waiting {
  readonly letter: SecretLetter;
  readonly id: string;
  readonly attempt: number;
}

export class SecretMail {
  readonly #deliver: Deliver;
  readonly #log: Logger;
  readonly #retryAfterMs: readonly number[];
  readonly #due: Waiting[] = [];
  readonly #later = new Set<NodeJS.Timeout>();
  readonly #sending = new Set<Promise<void>>();
  #closed = false;

  constructor(deliver: Deliver, log: Logger, retryAfterMs: readonly number[] = RETRY_AFTER_MS) {
    this.#deliver = deliver;
    this.#log = log;
    this.#retryAfterMs = retryAfterMs;
  }

  /** Never waits: whoever asks is done at once, whether or not there is such an address. */
  send(letter: SecretLetter): void {
    if (this.#closed) return;
    if (this.#due.length + this.#later.size >= SECRET_MAIL_LIMITS.waitingMax) {
      const waiting = SECRET_MAIL_LIMITS.waitingMax;
      this.#log.error({ waiting }, 'mail: too much waits; one is dropped');
      return;
    }
    this.#due.push({ letter, id: makeId(), attempt: 0 });
    this.#work();
  }

  /** Lets what is being sent end, and forgets the rest. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#later) clearTimeout(timer);
    this.#later.clear();
    this.#due.length = 0;
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, SECRET_MAIL_LIMITS.closeMs);
    await Promise.race([Promise.all(this.#sending), late.promise]);
    clearTimeout(timer);
  }

  #work(): void {
    while (this.#sending.size < SECRET_MAIL_LIMITS.sendingMax) {
      const next = this.#due.shift();
      if (next === undefined) return;
      const sending = this.#attempt(next).finally(() => {
        this.#sending.delete(sending);
        this.#work();
      });
      this.#sending.add(sending);
    }
  }

  async #attempt({ letter, id, attempt }: Waiting): Promise<void> {
    try {
      await this.#deliver(letter, id);
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown';
      const final = error instanceof MailFault && error.final;
      const waitMs = final ? undefined : this.#retryAfterMs[attempt];
      if (waitMs === undefined || this.#closed) {
        this.#log.error({ why, subject: letter.subject }, 'mail: a letter was not delivered');
        return;
      }
      this.#log.warn({ why, attempt }, 'mail: not delivered yet; it is tried again');
      const timer = setTimeout(() => {
        this.#later.delete(timer);
        this.#due.push({ letter, id, attempt: attempt + 1 });
        this.#work();
      }, waitMs);
      timer.unref();
      this.#later.add(timer);
    }
  }
}
