// Certificates that are wanted, taken and issued, without an authority.
import type { CertificateName } from '../../../../certs/certificate.ts';
import { type Hostname, parseHostname } from '../../../../dns/name.ts';
import {
  finishWork,
  type IssuedCertificate,
} from '../../../../relay/registry/certificates/finish.ts';
import { type Job, takeWork } from '../../../../relay/registry/certificates/job.ts';
import { type Wanted, want } from '../../../../relay/registry/certificates/work.ts';
import type { Registry } from '../../../../relay/registry/registry.ts';
import type { MakeWorld } from '../engines.ts';
import type { AnyWorld } from '../fixture.ts';

/**
 * Worlds without a certificate or a name. A database of PostgreSQL, whose making costs most, is used by
 * one test after the other.
 */
export function emptyWorlds(makeWorld: MakeWorld, engine: string): MakeWorld {
  let kept: AnyWorld | undefined;
  return async () => {
    if (engine === 'SQLite') return makeWorld();
    if (kept === undefined) {
      kept = await makeWorld();
      return kept;
    }
    await kept.query(
      `truncate certificate_work, certificates, certificate_orders, ca_accounts, challenge_answers,
        domains, names, devices, history restart identity cascade`,
    );
    return kept;
  };
}

export const DAY_MS = 86_400_000;
export const NOW_MS = Date.UTC(2030, 0, 1);
export const LEASE_MS = 60_000;
export const ZONE = hostname('vendor.dev');

export function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (parsed === undefined) throw new Error(`not a hostname: ${text}`);
  return parsed;
}

export function namesOf(subject: string): readonly CertificateName[] {
  return [hostname(subject), `*.${hostname(subject)}`];
}

/** Of a device name, unless it is told otherwise. */
export function wanting(registry: Registry, subject: string, rest: Partial<Wanted> = {}) {
  const names = namesOf(subject);
  return registry.write(want({ purpose: 'relay', subject, names, nowMs: NOW_MS, ...rest }));
}

export function take(
  registry: Registry,
  rest: Partial<Parameters<typeof takeWork>[0]> = {},
): Promise<readonly Job[]> {
  const usual = { holder: 'relay-1', nowMs: NOW_MS, leaseMs: LEASE_MS, max: 10 };
  return registry.write(takeWork({ ...usual, ...rest }));
}

/** The only one that is due. */
export async function takeOne(
  registry: Registry,
  rest: Partial<Parameters<typeof takeWork>[0]> = {},
): Promise<Job> {
  const [job, ...others] = await take(registry, rest);
  if (job === undefined || others.length > 0) throw new Error('There is not one that is due.');
  return job;
}

/** For 90 days, with a renewal after 60. */
export function issued(
  { names, subject }: Job,
  orderUrl: string,
  rest: Partial<IssuedCertificate> = {},
): IssuedCertificate {
  return {
    ...{ ca: 'test-ca', orderUrl, serial: orderUrl, names, key: `sealed ${orderUrl}` },
    chain: `chain of ${subject} by ${orderUrl}`,
    ...{ notBeforeMs: NOW_MS, notAfterMs: NOW_MS + 90 * DAY_MS },
    ...{ renewAtMs: NOW_MS + 60 * DAY_MS, nowMs: NOW_MS },
    ...rest,
  };
}

/** Wants it, takes it and stores its first certificate. */
export async function issueFor(
  registry: Registry,
  subject: string,
  rest: Partial<IssuedCertificate> = {},
  wanted: Partial<Wanted> = {},
): Promise<Job> {
  await wanting(registry, subject, wanted);
  const job = await takeOne(registry);
  const url = `https://ca.test/order/${subject}`;
  if (!(await registry.write(finishWork(job, issued(job, url, rest))))) {
    throw new Error(`The certificate of ${subject} was not stored.`);
  }
  return job;
}

/** All rows of the ledger. */
export function ledger(registry: Registry) {
  return registry.read((db) => db.selectFrom('certificates').selectAll().orderBy('id').execute());
}

/** All rows of what is wanted. */
export function workRows(registry: Registry) {
  return registry.read((db) =>
    db.selectFrom('certificate_work').selectAll().orderBy('subject').execute(),
  );
}
