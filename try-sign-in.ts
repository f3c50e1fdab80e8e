// The sign-in links of `waygate try`: its relay has no mail server and writes them into its log, from
// where they are brought before the person who asked for one.
import { open } from 'node:fs/promises';
import { logBytes } from './try-log.ts';

const SIGN_IN_LIMITS = {
  /** A person has just clicked. */
  lookEveryMs: 200,
  /** Of the log in one look; the rest is looked at the next time. */
  readBytesMax: 1_048_576,
  /** A line without an end that is longer is none of the relay's. */
  lineBytesMax: 65_536,
} as const;

/** Tells each link that appears in the log from now on; ends with its disposal. */
export class SignInWatch implements Disposable {
  readonly #logFile: string;
  readonly #tell: (link: string) => void;
  readonly #timer: NodeJS.Timeout;
  #seenBytes: number;
  #begun = '';
  #looking = false;

  constructor(logFile: string, tell: (link: string) => void) {
    this.#logFile = logFile;
    this.#tell = tell;
    this.#seenBytes = logBytes(logFile);
    this.#timer = setInterval(() => void this.#look(), SIGN_IN_LIMITS.lookEveryMs).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const bytes = logBytes(this.#logFile);
    // It was put aside, and begins anew.
    if (bytes < this.#seenBytes) this.#seenBytes = 0;
    if (this.#looking || bytes === this.#seenBytes) return;
    this.#looking = true;
    try {
      const length = Math.min(bytes - this.#seenBytes, SIGN_IN_LIMITS.readBytesMax);
      const handle = await open(this.#logFile, 'r');
      const { buffer, bytesRead } = await handle
        .read(Buffer.alloc(length), 0, length, this.#seenBytes)
        .finally(() => handle.close());
      this.#seenBytes += bytesRead;
      this.#hear(buffer.toString('utf8', 0, bytesRead));
    } catch {
      // The log may be put aside at this moment; the next look finds the new one.
      return;
    } finally {
      this.#looking = false;
    }
  }

  #hear(text: string): void {
    const lines = (this.#begun + text).split('\n');
    this.#begun = (lines.pop() ?? '').slice(-SIGN_IN_LIMITS.lineBytesMax);
    for (const line of lines) {
      const link = line.includes('"signInLink"') ? linkOf(line) : undefined;
      if (link !== undefined) this.#tell(link);
    }
  }
}

function linkOf(line: string): string | undefined {
  try {
    const entry: unknown = JSON.parse(line);
    if (typeof entry !== 'object' || entry === null || !('signInLink' in entry)) return undefined;
    const { signInLink } = entry;
    const isLink = typeof signInLink === 'string' && /^https:\/\/[\x21-\x7e]+$/.test(signInLink);
    return isLink ? signInLink : undefined;
  } catch {
    return undefined;
  }
}
