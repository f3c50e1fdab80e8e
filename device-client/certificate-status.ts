// What the disk tells of the certificates for keys of this device, for whoever asks beside the device's
// own process. Nothing is made or changed by looking.
import { access, constants } from 'node:fs/promises';
import { printable } from '../relay/entrance/printable.ts';
import { isoTime } from '../relay/protocol/iso-time.ts';
import { CertificateFiles } from './certificate-files.ts';
import { dueAtMs, RENEWAL_LIMITS } from './certificate-renewal.ts';

/** Times in ISO 8601, by the relay's clock. */
export interface CertificateEntry {
  readonly name: string;
  /** `undefined`: there is none yet. */
  readonly ends?: string;
  readonly renewAt?: string;
  /** Why the last attempt failed, and when; `undefined`: it did not. */
  readonly problem?: string;
  readonly problemAt?: string;
}

/** By name. Of a directory that this user cannot read, nothing. */
export async function readCertificates(directory: string): Promise<readonly CertificateEntry[]> {
  if (!(await isReadable(directory))) return [];
  const files = await CertificateFiles.open(directory, () => undefined);
  const entries: CertificateEntry[] = [];
  for (const name of await files.names()) {
    const [pair, note] = [await files.pair(name), await files.note(name)];
    const { problem, problemAt } = note;
    entries.push({
      name,
      ...(pair === undefined
        ? {}
        : { ends: isoTime(pair.facts.notAfterMs), renewAt: isoTime(dueAtMs(pair, note.renewAt)) }),
      ...(problem === undefined ? {} : { problem: shown(problem) }),
      ...(problemAt === undefined ? {} : { problemAt: shown(problemAt) }),
    });
  }
  return entries;
}

async function isReadable(directory: string): Promise<boolean> {
  try {
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** It is shown on a terminal. */
function shown(text: string): string {
  return printable(text, RENEWAL_LIMITS.sentenceCharsMax);
}
