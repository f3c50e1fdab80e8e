// What the vendor asks of the certificates that authorities sign for him: which there are, when the next
// ones come and what went wrong, which are revoked; a new one now.
import { readConfig } from './config-file.ts';
import type { Hostname } from './dns/name.ts';
import { domainOf, nameOf } from './name-argument.ts';
import { print, printJson, printJsonList } from './printing.ts';
import { mapped, pages, time } from './registry-pages.ts';
import { WITH_DEVICE_MS } from './relay/certificates/device-work.ts';
import { relaySchema } from './relay/config.ts';
import { printable } from './relay/entrance/printable.ts';
import {
  type ListedCertificate,
  listCertificates as readCertificates,
} from './relay/registry/certificates/certificate-listing.ts';
import {
  type ListedRevocation,
  listRevocations,
} from './relay/registry/certificates/revocation-listing.ts';
import { askNow } from './relay/registry/certificates/work.ts';
import { withRegistry } from './relay-registry.ts';
import { UsageError } from './usage-error.ts';

export interface CertificateFlags {
  /** As it was typed: a name, or the shortest hostname of a certificate; all certificates without it. */
  readonly name?: string | undefined;
  readonly limit?: number | undefined;
  readonly json: boolean;
}

export function listCertificates(configFile: string, flags: CertificateFlags): Promise<void> {
  const subject = flags.name === undefined ? undefined : subjectOf(configFile, flags.name);
  return withRegistry(configFile, async ({ registry, config }) => {
    const page = (last: ListedCertificate | undefined, limit: number) =>
      readCertificates({
        limit,
        ...(subject === undefined ? {} : { subject }),
        ...(last === undefined ? {} : { after: last }),
      });
    const nowMs = Date.now();
    const revocations = (last: ListedRevocation | undefined, limit: number) =>
      listRevocations({
        ...{ limit, nowMs },
        ...(subject === undefined ? {} : { subject }),
        ...(last === undefined ? {} : { after: last.id }),
      });
    const rows = atMost(
      bothOf(
        mapped(pages(registry, page, flags.limit), shownCertificate),
        mapped(pages(registry, revocations, flags.limit), shownRevocation),
      ),
      flags.limit,
    );
    if (flags.json) return printJsonList(mapped(rows, ({ json }) => json));
    let lines = 0;
    for await (const { line } of rows) {
      await print(line);
      lines += 1;
    }
    if (lines > 0) return;
    process.stderr.write(config.certificates.authorities.length === 0 ? LOCAL : NONE);
  });
}

/** A running relay begins within seconds; a device that is connected to one hears of it as soon. */
export async function renewCertificate(
  configFile: string,
  name: string,
  json: boolean,
): Promise<void> {
  const subject = subjectOf(configFile, name);
  const asked = await withRegistry(configFile, ({ registry, config }) => {
    if (config.certificates.authorities.length === 0) throw new UsageError(LOCAL.trim());
    return registry.write(askNow({ subject }));
  });
  if (asked.length === 0) {
    throw new UsageError(
      `No certificate is wanted for ${subject}. See the names: waygate relay certs --config ${configFile}`,
    );
  }
  if (json) return printJson({ subject, outcome: 'asked', certificates: asked.length });
  const device = asked.includes('device') ? ', for a device when it comes with a new key' : '';
  const look = `waygate relay certs ${subject} --config ${configFile}`;
  return print(`${subject}: ordered next${device}; see: ${look}`);
}

/** `alice` is meant as the vendor calls her; whatever has a dot, as the world does. */
function subjectOf(configFile: string, name: string): Hostname {
  const { zone } = readConfig(configFile, relaySchema);
  return domainOf('NAME', name.includes('.') ? name : `${nameOf('NAME', name)}.${zone}`);
}

/** There is nothing to order. */
export const LOCAL =
  'This relay has no certificate authority but its own, which signs when somebody asks. To have ' +
  'certificates that browsers know, name one in relay.yaml: certificates: { authorities: [...] }. The ' +
  'local one revokes nothing: what it has signed for a lost device is good for up to 90 days.\n';
const NONE = 'There is no such certificate.\n';

interface Shown {
  readonly json: object;
  readonly line: string;
}

function shownCertificate(row: ListedCertificate): Shown {
  return { json: certificateJson(row), line: certificateLine(row) };
}

function shownRevocation(row: ListedRevocation): Shown {
  return { json: revocationJson(row), line: revocationLine(row) };
}

/** What is wanted, and then what is given up. */
async function* bothOf<Row>(one: AsyncIterable<Row>, other: AsyncIterable<Row>) {
  yield* one;
  yield* other;
}

async function* atMost<Row>(rows: AsyncIterable<Row>, max: number | undefined) {
  let left = max ?? Number.POSITIVE_INFINITY;
  for await (const row of rows) {
    yield row;
    left -= 1;
    if (left <= 0) return;
  }
}

function certificateJson(row: ListedCertificate) {
  return {
    ...{ subject: row.subject, purpose: row.purpose, names: row.names, state: row.state },
    device: row.thumbprint === '' ? null : row.thumbprint,
    ...{ ca: row.ca ?? null, serial: row.serial ?? null },
    ...{ notAfter: time(row.notAfterMs), next: nextOf(row), attempts: row.attempts },
    ...{ lastError: row.lastError ?? null, lastErrorAt: time(row.lastErrorAtMs) },
  };
}

const SUBJECT_CHARS = 253;

function certificateLine(row: ListedCertificate): string {
  const { subject, purpose, state, notAfterMs, lastError } = row;
  const ends = notAfterMs === undefined ? 'not there yet' : `until ${time(notAfterMs)}`;
  // What somebody has spoilt may be anything.
  const shown = printable(subject, SUBJECT_CHARS).padEnd(40);
  const words = [shown, purpose.padEnd(6), state.padEnd(7), ends.padEnd(30)];
  const error = lastError === undefined || state === 'issued' ? '' : `\n    ${lastError}`;
  return `${words.join('  ')}  next ${nextOf(row) ?? 'when its device asks'}${error}`;
}

function revocationJson(row: ListedRevocation) {
  const waits = row.state === 'revoking';
  return {
    ...{ subject: row.subject, purpose: 'device', state: row.state, device: row.thumbprint },
    ...{ ca: row.ca, serial: row.serial ?? null, notAfter: time(row.notAfterMs) },
    ...{ reason: REASONS[row.reason] ?? String(row.reason), askedAt: time(row.askedAtMs) },
    ...{ next: waits ? time(row.dueAtMs) : null, endedAt: time(row.endedAtMs) },
    ...{ attempts: row.attempts, lastError: row.lastError ?? null },
  };
}

function revocationLine(row: ListedRevocation): string {
  const { subject, state, reason, notAfterMs, lastError } = row;
  const ends = notAfterMs === undefined ? 'not known yet' : `until ${time(notAfterMs)}`;
  const words = [subject.padEnd(40), 'device', state.padEnd(7), ends.padEnd(30)];
  const when = state === 'revoking' ? `next ${time(row.dueAtMs)}` : `since ${time(row.endedAtMs)}`;
  const error = lastError === undefined ? '' : `\n    ${lastError}`;
  return `${words.join('  ')}  ${when}, ${REASONS[reason] ?? reason}${error}`;
}

/** As RFC 5280, section 5.3.1, calls them. */
const REASONS: Readonly<Record<number, string>> = {
  1: 'keyCompromise',
  4: 'superseded',
  5: 'cessationOfOperation',
};

/** Null: not before its device comes with a new key. */
function nextOf({ dueAtMs }: ListedCertificate): string | null {
  return dueAtMs === WITH_DEVICE_MS ? null : time(dueAtMs);
}
