// A real SMTP server that keeps what it is given, or refuses it as often as a test says.
import { once } from 'node:events';
import { SMTPServer } from 'smtp-server';
import { until } from './visits.ts';

export interface Received {
  readonly to: string;
  /** With its head. */
  readonly text: string;
}

/** Letters are sent within milliseconds; a busy machine may take seconds. */
const LETTER_WITHIN_MS = 10_000;

export class Postbox implements AsyncDisposable {
  readonly letters: Received[] = [];
  /** Answers to the next letters, also with words of their own: `554 5.7.1 no`; none left: they are taken. */
  readonly refusals: (number | string)[] = [];
  attempts = 0;
  readonly #server: SMTPServer;

  constructor() {
    this.#server = new SMTPServer({
      authOptional: true,
      disabledCommands: ['STARTTLS'],
      onData: (stream, session, done) => {
        const chunks: Buffer[] = [];
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        stream.on('end', () => {
          this.attempts += 1;
          const refusal = this.refusals.shift();
          if (refusal !== undefined) {
            const [, code, words] = /^(\d+) ?(.*)$/.exec(`${refusal}`) ?? [];
            const responseCode = Number(code);
            return done(Object.assign(new Error(words || 'not now'), { responseCode }));
          }
          const to = session.envelope.rcptTo.map(({ address }) => address).join();
          this.letters.push({ to, text: decoded(Buffer.concat(chunks).toString()) });
          done();
        });
      },
    });
  }

  async listen(port: number): Promise<void> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server.server, 'listening');
  }

  /** The newest letter to this address with such a text. */
  async letter(to: string, pattern: RegExp): Promise<string> {
    const found = () =>
      this.letters.findLast((each) => each.to === to && pattern.test(each.text))?.text;
    await until(() => found() !== undefined, LETTER_WITHIN_MS, `a letter to ${to} like ${pattern}`);
    return found() ?? '';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((closed) => this.#server.close(() => closed()));
  }
}

/** Quoted-printable, as nodemailer writes long lines. */
function decoded(message: string): string {
  return message.replaceAll('=\r\n', '').replaceAll('=3D', '=').replaceAll('\r\n', '\n');
}
