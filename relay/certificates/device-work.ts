// Certificates whose key a device has are ordered when the device asks, and never by the relay alone: to
// renew, the device comes with a new key, and one that is gone costs nothing. Until then its work rests,
// and all that the relay does is to say when: the device asks for that about once a day, and is called to
// ask at once when the time has come (device-calls.ts).
import { X509Certificate } from 'node:crypto';
import { readChain } from '../../certs/chain.ts';
import { judgeCsr } from '../../certs/csr.ts';
import { type RenewalWindow, renewAtMs } from '../../certs/renewal.ts';
import type { Job } from '../registry/certificates/job.ts';
import { seedOf } from './certificate-seed.ts';

/** The last time that a date can tell. */
export const WITH_DEVICE_MS = 8.64e15;

/** Whether this is the work of a device that has a certificate for the very key that it asks for. */
export function isWithDevice({
  purpose,
  csr,
  names,
  present,
}: Pick<Job, 'purpose' | 'csr' | 'names'> & {
  readonly present: { readonly chain: string } | undefined;
}): boolean {
  if (purpose !== 'device' || csr === undefined || present === undefined) return false;
  const judged = judgeCsr(Buffer.from(csr, 'base64'), names);
  return judged.ok && keyOf(present.chain).equals(judged.publicKeyDer);
}

/**
 * When the device shall come with a new key: as its authority wants it, whatever the work waits for, and
 * after two thirds of the life at the latest. Before a revocation the window lies in the past.
 */
export function deviceRenewalMs({
  chain,
  window,
  asked = false,
}: {
  readonly chain: string;
  readonly window?: Pick<RenewalWindow, 'startMs' | 'endMs'> | undefined;
  /** A person wants another one, or a new owner needs it. */
  readonly asked?: boolean | undefined;
}): number {
  const { serial, notBeforeMs, notAfterMs } = readChain(chain);
  if (asked) return notBeforeMs;
  const lateMs = notBeforeMs + ((notAfterMs - notBeforeMs) * 2) / 3;
  return Math.min(lateMs, renewAtMs({ notBeforeMs, notAfterMs }, window, seedOf(serial)));
}

function keyOf(chain: string): Buffer {
  return new X509Certificate(chain).publicKey.export({ type: 'spki', format: 'der' });
}
