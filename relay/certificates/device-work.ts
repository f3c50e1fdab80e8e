// Certificates whose key a device has are ordered when the device asks, and never by the relay alone: to
// renew, the device comes with a new key, and one that is gone costs nothing. Until then its work rests.
import { X509Certificate } from 'node:crypto';
import { judgeCsr } from '../../certs/csr.ts';
import type { Job } from '../registry/certificates/job.ts';

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

function keyOf(chain: string): Buffer {
  return new X509Certificate(chain).publicKey.export({ type: 'spki', format: 'der' });
}
