// Certificates of the local authority, issued when they are first asked for: {subject, *.subject} each.
// They lie in a store, so that a restart shows visitors nothing new. After two thirds of its life one is
// renewed when it is read again; until its last second it goes on being served, whatever stops that.
// Outside the zone there are none: the authority's own name constraints say so.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Logger } from 'pino';
import type { Hostname } from '../dns/name.ts';
import type { Authority } from './authority.ts';
import type { CertificateName, CertificateSource, KeyedCertificate } from './certificate.ts';
import type { Store } from './store.ts';

export interface LocalCertificatesOptions {
  readonly zone: Hostname;
  readonly store: Store;
  readonly authority: Pick<Authority, 'issue' | 'signed'>;
  readonly log: Logger;
  readonly wallClockMs?: () => number;
}

export class LocalCertificates implements CertificateSource {
  readonly #options: LocalCertificatesOptions;
  readonly #wallClockMs: () => number;
  readonly #listeners = new Set<(subject: Hostname) => void>();

  constructor(options: LocalCertificatesOptions) {
    this.#options = options;
    this.#wallClockMs = options.wallClockMs ?? (() => Date.now());
  }

  async load(subject: Hostname): Promise<KeyedCertificate | undefined> {
    const { zone, authority, log } = this.#options;
    if (subject !== zone && !subject.endsWith(`.${zone}`)) return undefined;
    const names: CertificateName[] = [subject, `*.${subject}`];
    const stored = await this.#fromDisk(subject, names);
    if (stored !== undefined && this.#wallClockMs() < renewAtMs(stored.certPem)) return stored;
    try {
      const issued = await authority.issue(names);
      await this.#toDisk(subject, issued);
      return issued;
    } catch (error) {
      if (stored === undefined) throw error;
      log.error(
        { err: error, name: subject },
        'no new certificate could be had; the old one serves',
      );
      return stored;
    }
  }

  onChange(listener: (subject: Hostname) => void): void {
    this.#listeners.add(listener);
  }

  /** Drops the certificate of a name that is nobody's any more. */
  async remove(subject: Hostname): Promise<void> {
    await this.#options.store.remove(entryOf(subject));
    for (const listener of this.#listeners) listener(subject);
  }

  /** What is on the disk, if it is whole, ours, for exactly these names, and not over. */
  async #fromDisk(
    subject: Hostname,
    names: readonly CertificateName[],
  ): Promise<KeyedCertificate | undefined> {
    const { store, authority, log } = this.#options;
    try {
      const text = await store.read(entryOf(subject));
      if (text === undefined) return undefined;
      const certificate = new X509Certificate(text);
      // One from the future was issued here all the same: it is the clock that is not set yet.
      if (this.#wallClockMs() >= certificate.validToDate.getTime()) return undefined;
      if (!authority.signed(certificate)) return undefined;
      const covered = names.map((name) => `DNS:${name}`).join(', ');
      const certPem = text.slice(text.indexOf(CERTIFICATE_HEADER));
      const keyPem = text.slice(0, text.length - certPem.length);
      if (certificate.subjectAltName !== covered) return undefined;
      if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) return undefined;
      return { certPem, keyPem, notAfterMs: certificate.validToDate.getTime() };
    } catch (error) {
      // A parser's error may quote the key, so only its class is told.
      const reason = error instanceof Error ? error.name : 'unknown';
      log.warn(
        { name: subject, reason },
        'a stored certificate cannot be used; a new one is issued',
      );
      return undefined;
    }
  }

  /** A full disk costs a new certificate after the next start, and nothing now. */
  async #toDisk(subject: Hostname, { certPem, keyPem }: KeyedCertificate): Promise<void> {
    try {
      await this.#options.store.write(entryOf(subject), keyPem + certPem);
    } catch (error) {
      this.#options.log.warn({ err: error, name: subject }, 'a certificate could not be stored');
    }
  }
}

const CERTIFICATE_HEADER = '-----BEGIN CERTIFICATE-----';

function entryOf(subject: Hostname): string {
  return `cert-${subject}.pem`;
}

function renewAtMs(certPem: string): number {
  const { validFromDate, validToDate } = new X509Certificate(certPem);
  const [startMs, endMs] = [validFromDate.getTime(), validToDate.getTime()];
  return startMs + ((endMs - startMs) * 2) / 3;
}
