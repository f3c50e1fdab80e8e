// Sends mail in the background: whoever wants a letter sent is done at once, whether or not there is
// such an address, and whatever the mail server does. A letter that cannot be delivered now is tried
// again for a quarter of an hour; what waits is in memory only, and a restart loses it.
import { readFile } from 'node:fs/promises';
import type { Transporter } from 'nodemailer';
import type { Logger } from 'pino';
import { isLoopback, type MailConfig, type SmtpConfig } from './config.ts';
import type { Letter } from './letters.ts';

const MAIL_LIMITS = {
  /** Letters that wait, 2 KB each; a mail server that is down for an hour makes no more of them. */
  waitingMax: 1_000,
  /** At the same time; mail servers dislike more from one client. */
  sendingMax: 4,
  /** For each step of the conversation with the mail server. */
  connectMs: 10_000,
  silenceMs: 20_000, // a server that greylists or scans takes its time between two answers
  /** For letters on their way when the relay stops. */
  closeMs: 2_000,
} as const;

/** Before the second attempt, the third, ...; grey lists let a server in after some minutes. */
const RETRY_AFTER_MS: readonly number[] = [2_000, 15_000, 60_000, 300_000, 600_000];

type Deliver = (letter: Letter) => Promise<void>;

export interface Mail {
  /** Never rejects and never waits. */
  send(letter: Letter): void;
  /** Lets what is being sent end, and forgets the rest. */
  close(): Promise<void>;
}

/** Reads the password; rejects when it cannot. Whether the mail server answers is seen when it is used. */
export async function openMail(
  config: MailConfig | undefined,
  log: Logger,
  retryAfterMs: readonly number[] = RETRY_AFTER_MS,
): Promise<Mail | undefined> {
  if (config?.print === true) return new MailQueue(printer(log), log, retryAfterMs);
  if (config?.smtp === undefined) return undefined;
  const { smtp } = config;
  const transport = await smtpTransport(smtp);
  const deliver: Deliver = async ({ to, subject, text }) => {
    await transport.sendMail({ from: smtp.from, to, subject, text });
  };
  return new MailQueue(deliver, log, retryAfterMs);
}

/** For a vendor of one's own: what would be sent is said. */
function printer(log: Logger): Deliver {
  return async ({ to, subject, text, signInLink }) => {
    if (signInLink !== undefined) log.info({ signInLink, to }, `sign in as ${to}: ${signInLink}`);
    else log.info({ letter: { to, subject, text } }, `a letter to ${to}: ${subject}`);
  };
}

async function smtpTransport(smtp: SmtpConfig): Promise<Transporter> {
  const { host, port, secure, user, passwordFile } = smtp;
  const password =
    passwordFile === undefined ? undefined : (await readFile(passwordFile, 'utf8')).trim();
  // Half of what loading the portal takes, for who sends mail alone.
  const { createTransport } = await import('nodemailer');
  return createTransport({
    host,
    port,
    secure,
    requireTLS: !secure && !isLoopback(host),
    ...(user === undefined || password === undefined ? {} : { auth: { user, pass: password } }),
    connectionTimeout: MAIL_LIMITS.connectMs,
    greetingTimeout: MAIL_LIMITS.connectMs,
    dnsTimeout: MAIL_LIMITS.connectMs,
    socketTimeout: MAIL_LIMITS.silenceMs,
    disableFileAccess: true,
    disableUrlAccess: true,
    // On one machine the certificate, if any, is of the machine's own making.
    ...(isLoopback(host) ? { tls: { rejectUnauthorized: false } } : {}),
  });
}

interface Waiting {
  readonly letter: Letter;
  readonly attempt: number;
}

class MailQueue implements Mail {
  readonly #deliver: Deliver;
  readonly #log: Logger;
  readonly #retryAfterMs: readonly number[];
  readonly #due: Waiting[] = [];
  readonly #later = new Set<NodeJS.Timeout>();
  readonly #sending = new Set<Promise<void>>();
  #closed = false;

  constructor(deliver: Deliver, log: Logger, retryAfterMs: readonly number[]) {
    this.#deliver = deliver;
    this.#log = log;
    this.#retryAfterMs = retryAfterMs;
  }

  send(letter: Letter): void {
    if (this.#closed) return;
    if (this.#due.length + this.#later.size >= MAIL_LIMITS.waitingMax) {
      this.#log.error({ waiting: MAIL_LIMITS.waitingMax }, 'mail: too much waits; one is dropped');
      return;
    }
    this.#due.push({ letter, attempt: 0 });
    this.#work();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#later) clearTimeout(timer);
    this.#later.clear();
    this.#due.length = 0;
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, MAIL_LIMITS.closeMs);
    await Promise.race([Promise.all(this.#sending), late.promise]);
    clearTimeout(timer);
  }

  #work(): void {
    while (this.#sending.size < MAIL_LIMITS.sendingMax) {
      const next = this.#due.shift();
      if (next === undefined) return;
      const sending = this.#attempt(next).finally(() => {
        this.#sending.delete(sending);
        this.#work();
      });
      this.#sending.add(sending);
    }
  }

  async #attempt({ letter, attempt }: Waiting): Promise<void> {
    try {
      await this.#deliver(letter);
    } catch (error) {
      const waitMs = isFinal(error) ? undefined : this.#retryAfterMs[attempt];
      const why = faultWords(error);
      if (waitMs === undefined || this.#closed) {
        this.#log.error({ why, subject: letter.subject }, 'mail: a letter was not delivered');
        return;
      }
      this.#log.warn({ why, attempt }, 'mail: not delivered yet; it is tried again');
      const timer = setTimeout(() => {
        this.#later.delete(timer);
        this.#due.push({ letter, attempt: attempt + 1 });
        this.#work();
      }, waitMs);
      timer.unref();
      this.#later.add(timer);
    }
  }
}

/** The mail server has said that it will never take this letter (RFC 5321, section 4.2.1: 5yz). */
function isFinal(error: unknown): boolean {
  return statusOf(error) >= 500;
}

/** What a log may hold: the server's own text may repeat the address. */
function faultWords(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  const status = statusOf(error);
  return status === 0 ? code : `${code} ${status}`;
}

function statusOf(error: unknown): number {
  const status = error instanceof Error && 'responseCode' in error ? error.responseCode : 0;
  return typeof status === 'number' ? status : 0;
}
