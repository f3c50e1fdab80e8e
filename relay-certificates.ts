// What the vendor asks of the certificates that authorities sign for him: which there are, when the next
// ones come and what went wrong; a new one now.
import { print, printJson, printJsonList } from './printing.ts';
import { mapped, pages, time } from './registry-pages.ts';
import { WITH_DEVICE_MS } from './relay/certificates/device-work.ts';
import {
  type ListedCertificate,
  listCertificates as readCertificates,
} from './relay/registry/certificates/certificate-listing.ts';
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

/** There is nothing to order. */
export const LOCAL =
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
