// Signing in by mail: a link that works once. Whoever asks for one is answered before anything is looked
// up, and the rest happens behind his back: so neither the answer nor its time tells whether there is
// such an owner, or how often he has asked. The link opens a page; only its button uses the link up, for
// programs that scan mail follow links, too.
import type { Logger } from 'pino';
import { countTokens, peekToken } from '../registry/account.ts';
import { issueToken, redeemToken } from '../registry/portal-token.ts';
import type { Registry } from '../registry/registry.ts';
import { MAIL_ISSUER, mailSubject, type Owner, signIn } from '../registry/sign-in.ts';
import { type SecretLetter, type Sender, signInLetter } from './letters.ts';
import { RequestBudget } from './request-budget.ts';
import { returnPath } from './return-path.ts';

const LINK_LIMITS = {
  /** Mail takes a minute, a person ten. */
  ttlMs: 15 * 60_000,
  /** Links of one address that work at the same time: for the impatient. */
  openMax: 3,
  /** Letters to one address within an hour, whoever asks for them. */
  lettersPerHour: 8,
  /** Wishes that wait for the database; 200 bytes each. */
  waitingMax: 1_000,
} as const;

const HOUR_MS = 3_600_000;

interface Wish {
  readonly email: string;
  /** Where the person wants to go then. */
  readonly to: string;
}

export interface MailSignInParts {
  readonly registry: Registry;
  readonly sender: () => Sender;
  /** The letter waits in memory, for a link in a database could be used by whoever reads that. */
  readonly send: (letter: SecretLetter) => void;
  readonly clockMs: () => number;
  readonly log: Logger;
}

export class MailSignIn {
  readonly #parts: MailSignInParts;
  readonly #letters = new RequestBudget();
  readonly #waiting: Wish[] = [];
  #working: Promise<void> | undefined;

  constructor(parts: MailSignInParts) {
    this.#parts = parts;
  }

  /** Has a link sent, if that may be. Tells nothing, and takes no time. */
  ask(email: string, to: string): void {
    if (this.#waiting.length >= LINK_LIMITS.waitingMax) return;
    this.#waiting.push({ email: mailSubject(email), to });
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  /** Whom the link signs in; it can still be used afterwards. `undefined`: it cannot be used. */
  addressOf(token: string): Promise<string | undefined> {
    const { registry, clockMs } = this.#parts;
    return registry.read(peekToken('mail-link', token, clockMs()));
  }

  /** Uses the link up. `undefined`: it was used, or has expired. */
  async redeem(token: string): Promise<Owner | undefined> {
    const { registry, clockMs } = this.#parts;
    const nowMs = clockMs();
    const subject = await registry.write(redeemToken({ kind: 'mail-link', token, nowMs }));
    if (subject === undefined) return undefined;
    const identity = { issuer: MAIL_ISSUER, subject, emailVerified: true, nowMs };
    return registry.write(signIn(identity));
  }

  /** Ends with what is being done. */
  async close(): Promise<void> {
    this.#waiting.length = 0;
    await this.#working;
  }

  async #work(): Promise<void> {
    for (;;) {
      const wish = this.#waiting.shift();
      if (wish === undefined) return;
      try {
        await this.#fulfil(wish);
      } catch (error) {
        this.#parts.log.error({ err: error }, 'portal: a sign-in link could not be made');
      }
    }
  }

  async #fulfil({ email, to }: Wish): Promise<void> {
    const { registry, sender, send, clockMs } = this.#parts;
    if (this.#letters.spend(email, HOUR_MS).current > LINK_LIMITS.lettersPerHour) return;
    const nowMs = clockMs();
    const token = await registry.write(async (db) => {
      const open = await countTokens('mail-link', email, nowMs)(db);
      if (open >= LINK_LIMITS.openMax) return undefined;
      const { ttlMs } = LINK_LIMITS;
      return issueToken({ kind: 'mail-link', subject: email, ttlMs, nowMs })(db);
    });
    if (token === undefined) return;
    const link = new URL('/sign-in/link', sender().origin);
    link.searchParams.set('token', token);
    if (returnPath(to) !== '/') link.searchParams.set('to', returnPath(to));
    send(signInLetter(sender(), email, link.href));
  }
}
