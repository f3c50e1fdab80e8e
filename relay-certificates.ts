// What the vendor asks of the certificates that authorities sign for him: which there are, when the next
// ones come and what went wrong; a new one now; another key for the envelope that seals private keys.
import { chown, stat } from 'node:fs/promises';
import { Envelope } from './certs/envelope.ts';
import { print, printJson, printJsonList } from './printing.ts';
import { mapped, pages, time } from './registry-pages.ts';
import { WITH_DEVICE_MS } from './relay/certificates/device-work.ts';
import { relayFiles } from './relay/config.ts';
import {
  type ListedCertificate,
  listCertificates as readCertificates,
} from './relay/registry/certificates/certificate-listing.ts';
import { resealAll } from './relay/registry/certificates/reseal.ts';
import { askNow } from './relay/registry/certificates/work.ts';
import { withRegistry } from './relay-registry.ts';
import { UsageError } from './usage-error.ts';

export interface CertificateFlags {
  /** The shortest name of a certificate; all certificates without it. */
  readonly subject?: string | undefined;
  readonly limit?: number | undefined;
  readonly json: boolean;
}

export function listCertificates(configFile: string, flags: CertificateFlags): Promise<void> {
  const { subject } = flags;
  return withRegistry(configFile, async ({ registry, config }) => {
    const page = (last: ListedCertificate | undefined, limit: number) =>
      readCertificates({
        limit,
        ...(subject === undefined ? {} : { subject }),
        ...(last === undefined ? {} : { after: last }),
      });
    const rows = pages(registry, page, flags.limit);
    if (flags.json) return printJsonList(mapped(rows, certificateJson));
    let lines = 0;
    for await (const row of rows) {
      await print(certificateLine(row));
      lines += 1;
    }
    if (lines > 0) return;
    process.stderr.write(config.certificates.authorities.length === 0 ? LOCAL : NONE);
  });
}

/** A running relay begins within seconds. */
export async function renewCertificate(
  configFile: string,
  subject: string,
  json: boolean,
): Promise<void> {
  const asked = await withRegistry(configFile, ({ registry }) =>
    registry.write(askNow({ subject })),
  );
  if (asked === 0) {
    throw new UsageError(
      `No certificate is wanted for ${subject}. See the names: waygate relay certs --config FILE`,
    );
  }
  if (json) await printJson({ subject, outcome: 'asked', certificates: asked });
  else await print(`${subject}: ordered next; see: waygate relay certs ${subject}`);
}

/** A relay that runs follows by itself. Broken off, it is run again and does what is left. */
export async function rotateEnvelopeKey(configFile: string, json: boolean): Promise<void> {
  const { file, resealed, lost } = await withRegistry(configFile, async ({ registry, config }) => {
    const { authorities, envelopeKeyFile } = config.certificates;
    if (authorities.length === 0)
      throw new UsageError(`There are no keys to seal. ${LOCAL.trim()}`);
    const file = envelopeKeyFile ?? relayFiles(config).envelopeKey;
    const { uid, gid } = await stat(file).catch(() => NOBODY);
    const envelope = await Envelope.addKey(file);
    // Root may have run this for a relay that is somebody else.
    if (process.getuid?.() === 0) await chown(file, uid, gid);
    return { file, ...(await resealAll((work) => registry.write(work), envelope)) };
  });
  for (const about of lost) process.stderr.write(`${about}: cannot be opened by any key\n`);
  if (json) await printJson({ resealed, lost });
  else await print(`${resealed} keys are sealed under the new one`);
  process.stderr.write(
    `Copy ${file} to the other relays of this registry now: they serve what they have, and open nothing ` +
      'new without it. Back it up; older lines are needed as long as there are backups.\n',
  );
  if (lost.length === 0) return;
  process.stderr.write('Those certificates are ordered anew by: waygate relay renew-cert NAME\n');
  process.exitCode = 1;
}

/** Of a file that is not there, which is told of in a moment. */
const NOBODY = { uid: 0, gid: 0 } as const;
const LOCAL =
  'This relay has no certificate authority but its own, which signs when somebody asks. To have ' +
  'certificates that browsers know, name one in relay.yaml: certificates: { authorities: [...] }\n';
const NONE = 'There is no such certificate.\n';

function certificateJson(row: ListedCertificate) {
  return {
    ...{ subject: row.subject, purpose: row.purpose, names: row.names, state: row.state },
    device: row.thumbprint === '' ? null : row.thumbprint,
    ...{ ca: row.ca ?? null, serial: row.serial ?? null },
    ...{ notAfter: time(row.notAfterMs), next: nextOf(row), attempts: row.attempts },
    ...{ lastError: row.lastError ?? null, lastErrorAt: time(row.lastErrorAtMs) },
  };
}

function certificateLine(row: ListedCertificate): string {
  const { subject, purpose, state, notAfterMs, lastError } = row;
  const ends = notAfterMs === undefined ? 'not there yet' : `until ${time(notAfterMs)}`;
  const words = [subject.padEnd(40), purpose.padEnd(6), state.padEnd(7), ends.padEnd(30)];
  const error = lastError === undefined || state === 'issued' ? '' : `\n    ${lastError}`;
  return `${words.join('  ')}  next ${nextOf(row) ?? 'when its device asks'}${error}`;
}

/** Null: not before its device comes with a new key. */
function nextOf({ dueAtMs }: ListedCertificate): string | null {
  return dueAtMs === WITH_DEVICE_MS ? null : time(dueAtMs);
}
