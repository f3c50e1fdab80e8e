// A certificate for the portal's host that somebody else keeps up to date (certbot, a vendor's own CA):
// two PEM files, looked at again every minute. A pair that cannot be used is told, and the last good
// one goes on serving. The first one must be good, or the relay does not start.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import type { Logger } from 'pino';
import type { Hostname } from '../../dns/name.ts';
import type { CertificateFiles } from './config.ts';

const FILE_LIMITS = {
  /** A new certificate is in use long before the old one ends. */
  lookEveryMs: 60_000,
} as const;

class CertificateFileError extends Error {
  override readonly name = 'CertificateFileError';
  readonly code = 'ERR_PORTAL_CERTIFICATE';
}

export class PortalCertificate {
  readonly #files: CertificateFiles;
  readonly #hostname: Hostname;
  readonly #settings: SecureContextOptions;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #context: SecureContext;
  #mark: string;

  private constructor(
    parts: CertificateParts,
    first: { readonly context: SecureContext; readonly mark: string },
  ) {
    this.#files = parts.files;
    this.#hostname = parts.hostname;
    this.#settings = parts.settings;
    this.#log = parts.log;
    this.#context = first.context;
    this.#mark = first.mark;
    this.#timer = setInterval(() => void this.look(), FILE_LIMITS.lookEveryMs).unref();
  }

  /** Rejects with a sentence for the operator. */
  static async open(parts: CertificateParts): Promise<PortalCertificate> {
    const mark = await markOf(parts.files);
    return new PortalCertificate(parts, { context: await load(parts), mark });
  }

  get context(): SecureContext {
    return this.#context;
  }

  /** Takes the files anew when they are others. Never rejects. */
  async look(): Promise<void> {
    const parts = { files: this.#files, hostname: this.#hostname, settings: this.#settings };
    try {
      const mark = await markOf(this.#files);
      if (mark === this.#mark) return;
      this.#mark = mark;
      this.#context = await load(parts);
      this.#log.info({ host: this.#hostname }, 'portal: a new certificate is in use');
    } catch (error) {
      const why = error instanceof CertificateFileError ? error.message : 'it cannot be read';
      this.#log.error({ host: this.#hostname, why }, 'portal: the new certificate cannot be used');
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

interface CertificateParts {
  readonly files: CertificateFiles;
  readonly hostname: Hostname;
  readonly settings: SecureContextOptions;
  readonly log: Logger;
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

async function load(parts: Omit<CertificateParts, 'log'>): Promise<SecureContext> {
  const { files, hostname, settings } = parts;
  const [cert, key] = await Promise.all([readFile(files.certificate), readFile(files.key)]);
  const fault = pairFault(cert, key, hostname);
  if (fault !== undefined) {
    throw new CertificateFileError(
      `portal.certificateFiles: ${files.certificate} ${fault} Put a certificate for ${hostname} and ` +
        'its key there.',
    );
  }
  return createSecureContext({ ...settings, cert, key });
}

/** The parser's own errors are left out: they may quote the key. */
function pairFault(cert: Buffer, key: Buffer, hostname: Hostname): string | undefined {
  try {
    const certificate = new X509Certificate(cert);
    if (certificate.checkHost(hostname) === undefined) return `is not for ${hostname}.`;
    if (!certificate.checkPrivateKey(createPrivateKey(key))) return 'does not fit to its key.';
    if (Date.now() >= certificate.validToDate.getTime()) return 'has ended.';
    return undefined;
  } catch {
    return 'or its key cannot be read.';
  }
}
