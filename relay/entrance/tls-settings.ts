// What every certificate of the entrance is served with, whoever makes its SecureContext.
import { createHash } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';

/**
 * TLS 1.2 and 1.3, forward secrecy and authenticated encryption only, AES-128 first: it is the
 * fastest of them, and nothing that we carry asks for more. ECDSA suites come first; those for RSA
 * are for own domains with certificates from elsewhere. Key exchange groups stay OpenSSL's own,
 * with X25519MLKEM768 first.
 *
 * `certificateName` identifies the certificate (its first name). OpenSSL resumes a session for any
 * server name that is served with the same session id context, so each certificate has its own: a
 * ticket of one device is worth nothing at another. All processes of a vendor share `ticketKeys`
 * (48 random bytes, to be replaced daily), so that a visitor may resume at any of them.
 */
export function tlsSettings(certificateName: string, ticketKeys?: Buffer): SecureContextOptions {
  const sessionIdContext = createHash('sha256').update(certificateName).digest('hex').slice(0, 32);
  return {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    sessionIdContext,
    ...(ticketKeys === undefined ? {} : { ticketKeys }),
  };
}

const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');
