// Why there is no connection to a relay, for a person: what happened, why perhaps, what to do.

/** What came instead of a relay's answer. */
export interface ConnectFault {
  readonly code: string;
  readonly message: string;
  /** The status of an HTTP response that was no upgrade. */
  readonly status?: number;
}

/** `where` names the relay, with its port and the address that it is to be reached at. */
export function connectSentence(where: string, fault: ConnectFault): string {
  const { status } = fault;
  if (status !== undefined) return statusSentence(where, status);
  return `${connectReason(where, fault)} The device tries again.`;
}

/** The same without what the device does about it. */
export function connectReason(where: string, { code, message }: ConnectFault): string {
  const known = SENTENCES[code];
  if (known !== undefined) return known(where);
  if (CLOCK_FAULTS.test(code)) {
    return (
      `By the clock of this device the certificate of ${where} is not valid (${code}). Set the ` +
      'clock; if it is right, the vendor has to renew the certificate.'
    );
  }
  if (CERTIFICATE_FAULTS.test(code)) {
    return (
      `The certificate that ${where} shows cannot be trusted (${code}). Somebody in between may ` +
      'answer in place of the relay, such as the login page of a network; or "ca" in device.yaml ' +
      'is missing or not that of this vendor.'
    );
  }
  const reason = message.trim().replace(/\.$/, '');
  return `No connection to the relay at ${where}: ${reason}.`;
}

/** Waiting does not turn another web server into a relay; one that is overloaded may be in front of it. */
export function isOtherServer(status: number): boolean {
  return status < 500 && status !== 429;
}

type Sentence = (where: string) => string;

const SENTENCES: Readonly<Record<string, Sentence>> = {
  ECONNREFUSED: (where) =>
    `Nothing listens at ${where}. The relay is being restarted, or the address is wrong.`,
  ENOTFOUND: (where) =>
    `No address is known for ${where}. Check the name in device.yaml, and the name servers here.`,
  EAI_AGAIN: (where) =>
    `The name servers here do not answer for ${where}. This device may have no Internet.`,
  ENETUNREACH: (where) => `No network leads to ${where}. This device may have no Internet.`,
  EHOSTUNREACH: (where) => `${where} cannot be reached. This device may have no Internet.`,
  ETIMEDOUT: (where) => `${where} does not answer. It is down, or a firewall is in between.`,
  ECONNRESET: (where) => `${where} closed the connection before it was established.`,
  EPROTO: (where) => `What answers at ${where} speaks no TLS. Check the port in device.yaml.`,
};

/** Whether a certificate was refused for the time that this device believes it is. */
export function isClockFault(error: unknown): boolean {
  return error instanceof Error && 'code' in error && CLOCK_FAULTS.test(String(error.code));
}

/** Verdicts that are about the time. */
const CLOCK_FAULTS = /^CERT_(NOT_YET_VALID|HAS_EXPIRED)$/;

/** OpenSSL's verdicts on a certificate, and Node's on its names. */
const CERTIFICATE_FAULTS = /CERT|SIGNATURE|ALTNAME|CHAIN/;

function statusSentence(where: string, status: number): string {
  return isOtherServer(status)
    ? `The server at ${where} is no relay: it answered with status ${status}. Check the url in ` +
        'device.yaml.'
    : `The relay at ${where} cannot be used now (status ${status}). The device tries again.`;
}
