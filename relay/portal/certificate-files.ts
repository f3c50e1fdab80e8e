// A certificate for the portal's host that somebody else keeps up to date (certbot, a vendor's own CA):
// two PEM files, looked at again every minute. A pair that cannot be used is told once, and the last good
// one goes on serving; it is tried again, sooner at first, for it may have been half copied, or the relay
// short of file descriptors for a moment. The first one must be good, or the relay does not start. What it
// is served with besides has an edition, as at the chooser (certs/chooser.ts): ticket keys are those of a day.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { Logger } from 'pino';
import type { Hostname } from '../../dns/name.ts';
import type { CertificateFiles } from './config.ts';

const FILE_LIMITS = {
  /** A new certificate is in use long before the old one ends. */
  lookEveryMs: 60_000,
  /** After a pair that cannot be used, and twice as long after each further time: a copy takes a moment. */
  retryFirstMs: 1_000,
  /** Reading two small files costs nothing, also for weeks. */
  retryMaxMs: 60_000,
} as const;

class CertificateFileError extends Error {
  override readonly name = 'CertificateFileError';
  readonly code = 'ERR_PORTAL_CERTIFICATE';
}

/** The keys of session tickets, and the day that they are of (relay/certificates/ticket-keys.ts). */
export interface TicketKeySource {
  readonly keys: Buffer;
  readonly day: number;
}

interface Pair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export class PortalCertificate {
  readonly #parts: CertificateParts;
  readonly #timer: NodeJS.Timeout;
  #pair: Pair;
  /** Of the files that `#pair` was read from. */
  #mark: string;
  /** What cannot be used at present: it was told, and is tried again. */
  #fault: { readonly why: string; readonly retryMs: number } | undefined;
  #retry: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #closed = false;
  #served: { readonly context: SecureContext; readonly edition: number };

  private constructor(parts: CertificateParts, pair: Pair, mark: string) {
    this.#parts = parts;
    this.#pair = pair;
    this.#mark = mark;
    this.#served = this.#serve(pair);
    this.#timer = setInterval(() => void this.look(), FILE_LIMITS.lookEveryMs).unref();
  }

  /** Rejects with a sentence for the operator. */
  static async open(parts: CertificateParts): Promise<PortalCertificate> {
    const mark = await markOf(parts.files);
    return new PortalCertificate(parts, await load(parts), mark);
  }

  /** To be taken anew for each connection. */
  get context(): SecureContext {
    if (this.#served.edition !== this.#parts.edition()) this.#served = this.#serve(this.#pair);
    return this.#served.context;
  }

  /** Takes the files anew when they are others. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    clearTimeout(this.#retry);
  }

  async #look(): Promise<void> {
    const { files, hostname: host, log } = this.#parts;
    try {
      const mark = await markOf(files);
      if (mark !== this.#mark) {
        const pair = await load(this.#parts);
        this.#served = this.#serve(pair);
        this.#pair = pair;
        // Of files that were exchanged while they were read, the next look takes the rest.
        this.#mark = mark;
        log.info({ host }, 'portal: a new certificate is in use');
      }
      this.#fault = undefined;
    } catch (error) {
      this.#failed(whyOf(error));
    }
  }

  /** The same is told once, however often it is tried. */
  #failed(why: string): void {
    const { hostname: host, log } = this.#parts;
    const { retryFirstMs, retryMaxMs } = FILE_LIMITS;
    const before = this.#fault;
    if (before?.why !== why) log.error({ host, why }, 'portal: the new certificate cannot be used');
    const retryMs = before === undefined ? retryFirstMs : Math.min(2 * before.retryMs, retryMaxMs);
    this.#fault = { why, retryMs };
    clearTimeout(this.#retry);
    if (this.#closed) return;
    this.#retry = setTimeout(() => void this.look(), retryMs).unref();
  }

  #serve(pair: Pair): { readonly context: SecureContext; readonly edition: number } {
    const { settings, edition } = this.#parts;
    const context = createSecureContext({ ...settings(), ...pair });
    return { context, edition: edition() };
  }
}

interface CertificateParts {
  readonly files: CertificateFiles;
  readonly hostname: Hostname;
  /** Everything of a context but certificate and key. */
  readonly settings: () => SecureContextOptions;
  /** What changes when `settings` does. */
  readonly edition: () => number;
  readonly log: Logger;
}

/** Of the system's errors the code, which says what is to be done: EMFILE, EACCES. */
function whyOf(error: unknown): string {
  if (error instanceof CertificateFileError) return error.message;
  const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
  return `it cannot be read${code}`;
}

/** Changes when one of the files does; two writes within the clock's step have different sizes or inodes. */
async function markOf({ certificate, key }: CertificateFiles): Promise<string> {
  const marks = await Promise.all(
    [certificate, key].map(async (file) => {
      const { ino, size, mtimeMs } = await stat(file);
      return `${ino} ${size} ${mtimeMs}`;
    }),
  );
  return marks.join(' ');
}

async function load({ files, hostname, settings }: CertificateParts): Promise<Pair> {
  const [cert, key] = await Promise.all([readFile(files.certificate), readFile(files.key)]);
  const fault = pairFault({ cert, key }, hostname, settings());
  if (fault !== undefined) {
    throw new CertificateFileError(
      `portal.certificateFiles: ${files.certificate} ${fault} Put a certificate for ${hostname} and ` +
        'its key there.',
    );
  }
  return { cert, key };
}

/** The parser's own errors are left out: they may quote the key. */
function pairFault(
  { cert, key }: Pair,
  hostname: Hostname,
  settings: SecureContextOptions,
): string | undefined {
  try {
    const certificate = new X509Certificate(cert);
    if (certificate.checkHost(hostname) === undefined) return `is not for ${hostname}.`;
    if (!certificate.checkPrivateKey(createPrivateKey(key))) return 'does not fit to its key.';
    if (Date.now() >= certificate.validToDate.getTime()) return 'has ended.';
    // What is behind the first certificate is read here alone.
    createSecureContext({ ...settings, cert, key });
    return undefined;
  } catch {
    return 'or its key cannot be read.';
  }
}
