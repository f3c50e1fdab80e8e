// What the sealed texts of the registry are about (certs/envelope.ts). Whoever seals and whoever opens
// says the same; a text that is put into another row is refused.

/** The private key of a certificate, from the order on. */
export function aboutCertificate(subject: string): string {
  return `certificate ${subject}`;
}

/** The key of an account at a certificate authority. */
export function aboutAccount(directory: string): string {
  return `account ${directory}`;
}
