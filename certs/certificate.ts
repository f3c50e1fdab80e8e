// What a certificate is to the rest of the program, whoever has signed it.
import type { Hostname } from '../dns/name.ts';

/** A DNS name in a certificate: a hostname, or `*.` and one. */
export type CertificateName = Hostname | `*.${Hostname}`;

/** A certificate with its key, as the entrance serves it. */
export interface KeyedCertificate {
  /** The certificate and what is needed up to the root, without the root; the leaf comes first. */
  readonly certPem: string;
  readonly keyPem: string;
  readonly notAfterMs: number;
}

/** Where the chooser finds certificates. A subject is the shortest name of a certificate. */
export interface CertificateSource {
  /** `undefined`: there is none, or none yet. Rejects when that cannot be told now. */
  load(subject: Hostname): Promise<KeyedCertificate | undefined>;
  /** Calls back when the certificate of a subject is another one, or is gone. */
  onChange(listener: (subject: Hostname) => void): void;
}
