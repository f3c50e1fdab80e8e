// The way to the mail server: one attempt to hand over one letter. When and how often is for those to
// decide who keep letters: post.ts, and secret-mail.ts for those that must not be stored.
import { readFile } from 'node:fs/promises';
import type { Transporter } from 'nodemailer';
import type { Logger } from 'pino';
import type { Hostname } from '../../dns/name.ts';
import { isLoopback, type MailConfig, type SmtpConfig } from './config.ts';
import type { Letter, SecretLetter } from './letters.ts';

const MAIL_LIMITS = {
  /** For each step of the conversation with the mail server. */
  connectMs: 10_000,
  silenceMs: 20_000, // a server that greylists or scans takes its time between two answers
  /** For all of them: a server that says a word now and then must not hold a letter for ever. */
  attemptMs: 4 * 60_000,
} as const;

/** Why a letter was not taken, in words for a log: the server's own may repeat the address. */
export class MailFault extends Error {
  override readonly name = 'MailFault';
  /** The server has said of this very letter that it will never take it. */
  readonly final: boolean;

  constructor(why: string, final: boolean) {
    super(why);
    this.final = final;
  }
}

/** `id`: the same for each attempt at the same letter. Rejects with MailFault. */
export type Deliver = (letter: Letter | SecretLetter, id: string) => Promise<void>;

export interface MailParts {
  readonly config: MailConfig | undefined;
  /** The portal's host, which Message-IDs are made below. */
  readonly hostname: Hostname;
  readonly log: Logger;
}

/** Reads the password; rejects when it cannot. Whether the mail server answers is seen when it is used. */
export async function openMail({ config, hostname, log }: MailParts): Promise<Deliver | undefined> {
  if (config?.print === true) return printer(log);
  if (config?.smtp === undefined) return undefined;
  const { smtp } = config;
  const transport = await smtpTransport(smtp);
  return async ({ to, subject, text }, id) => {
    const messageId = `<${id}@${hostname}>`;
    // One address, and never read as a list of them: who signs people in may have said anything.
    const letter = { to: { name: '', address: to }, subject, text, messageId };
    const sending = transport.sendMail({ from: smtp.from, ...letter });
    await inTime(sending).catch((error: unknown) => {
      throw faultOf(error);
    });
  };
}

/** For a vendor of one's own: what would be sent is said. */
function printer(log: Logger): Deliver {
  return async ({ to, subject, text, secret }) => {
    const signInLink = secret?.signInLink;
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

async function inTime(sending: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new MailFault('slow', false)), MAIL_LIMITS.attemptMs);
  try {
    await Promise.race([sending, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function faultOf(error: unknown): MailFault {
  if (error instanceof MailFault) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  const status = statusOf(error);
  return new MailFault(status === 0 ? code : `${code} ${status}`, isFinal(error));
}

/**
 * RFC 5321, section 4.2.1: 5yz, to the recipient or to the text. To anything before them, such as a wrong
 * password, it is about the vendor's settings, which somebody will put right; and so it is where a server
 * says to the recipient that we may not send there at all (RFC 3463, section 3.8).
 */
function isFinal(error: unknown): boolean {
  const { command, response } = { ...NO_ANSWER, ...(error instanceof Error ? error : {}) };
  if ((command !== 'RCPT TO' && command !== 'DATA') || statusOf(error) < 500) return false;
  return !/^\d{3}[ -]5\.7\./.test(String(response));
}

const NO_ANSWER: { readonly command: unknown; readonly response: unknown } = {
  command: undefined,
  response: '',
};

function statusOf(error: unknown): number {
  const status = error instanceof Error && 'responseCode' in error ? error.responseCode : 0;
  return typeof status === 'number' ? status : 0;
}
