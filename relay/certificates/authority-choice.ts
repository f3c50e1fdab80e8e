// Which authorities the next attempt may go to, and what an order counts as in their budgets.
import { readChain } from '../../certs/chain.ts';
import { nextAuthority } from '../../certs/retry-ladder.ts';
import type { Hostname } from '../../dns/name.ts';
import { registeredDomain } from '../registered-domain.ts';
import type { OrderSpending } from '../registry/certificates/budget.ts';
import type { Job } from '../registry/certificates/job.ts';
import { URGENCY } from '../registry/certificates/work.ts';
import type { CertificateAuthority } from './certificate-authority.ts';
import { deviceRenewalMs } from './device-work.ts';

/** An order at an authority that is limited waits so long for it; else another authority begins anew. */
const ORDER_PATIENCE_MS = 3_600_000;
/** Let's Encrypt's; it is the one limit that nobody can have raised. */
const PER_EXACT_SET = 5;

export type Choice =
  /** In the order in which they are tried, until a budget allows it. */
  | { readonly ready: readonly CertificateAuthority[] }
  | { readonly waitUntilMs: number; readonly why: string };

/**
 * First the one whose turn it is by the failures so far. An order that is under way stays where it is,
 * unless its authority is away or has had its turn. One that has limited just this name is passed over.
 */
export function chooseAuthority(
  job: Pick<Job, 'attempts' | 'order' | 'subject'>,
  authorities: readonly CertificateAuthority[],
  nowMs: number,
): Choice {
  const first = nextAuthority(job.attempts, authorities.length);
  const inTurn = [...authorities.slice(first), ...authorities.slice(0, first)];
  const [begun] = inTurn;
  if (begun !== undefined && begun.name === job.order?.ca) {
    const { why, untilMs } = begun.rest.of(job.subject);
    const soon = untilMs < nowMs + ORDER_PATIENCE_MS;
    if (why === 'limited' && soon) return waiting(job, [begun], nowMs);
  }
  const ready = inTurn.filter(({ rest }) => rest.of(job.subject).room > 0);
  return ready.length > 0 ? { ready } : waiting(job, authorities, nowMs);
}

/** What a doubtful authority is left alone with while one attempt is there. */
const PROBE_MS = 30_000;

function waiting(
  { subject }: Pick<Job, 'subject'>,
  authorities: readonly CertificateAuthority[],
  nowMs: number,
): Choice {
  const rests = authorities.map(({ rest }) => rest.of(subject));
  const soonestMs = Math.min(...rests.map(({ untilMs }) => untilMs));
  const names = authorities.map(({ name }) => name).join(', ');
  const why = rests.some((rest) => rest.why === 'limited')
    ? `As many certificates were ordered as ${names} allows; it has said when to come again.`
    : `${names} cannot be reached. One order tries again now and then, and this one waits for that.`;
  return { waitUntilMs: Math.max(soonestMs, nowMs + PROBE_MS), why };
}

/** What is spent with an order of this job at this authority. */
export function spending(
  job: Job,
  authority: Pick<CertificateAuthority, 'name' | 'budget'>,
  { zone, exempt, nowMs }: { zone: Hostname; exempt: boolean; nowMs: number },
): OrderSpending {
  const { purpose, subject, names } = job;
  const { ordersPer3Hours, certificatesPerWeek } = authority.budget;
  return {
    ...{ ca: authority.name, purpose, subject, exempt, nowMs },
    fresh: isFresh(job, nowMs),
    domain: countedDomain(subject, zone),
    nameSet: [...names].sort().join(','),
    budget: { ordersPer3Hours, certificatesPerWeek, perExactSetPerWeek: PER_EXACT_SET },
  };
}

/** It keeps nothing that is in use: the name is new, or its device comes with another key before it is time. */
function isFresh({ purpose, urgency, present }: Job, nowMs: number): boolean {
  // The zone's serves all others; and what the operator asks for is his.
  if (urgency <= URGENCY.asked) return false;
  if (present === undefined) return true;
  return purpose === 'device' && nowMs < deviceRenewalMs(present);
}

/** The certificate that the next one replaces, as this authority calls it, and whether it is time. */
export function replacing(
  { present }: Pick<Job, 'present'>,
  ca: string,
  nowMs: number,
): { readonly replaces?: string; readonly inWindow: boolean } {
  if (present === undefined || present.ca !== ca) return { inWindow: false };
  const { certId } = readChain(present.chain);
  if (certId === undefined) return { inWindow: false };
  const { window } = present;
  return { replaces: certId, inWindow: window !== undefined && nowMs >= window.startMs };
}

/** The registered domain that limits count by: the zone for what is in it, or beside it in its own. */
function countedDomain(subject: string, zone: Hostname): string {
  if (subject === zone || subject.endsWith(`.${zone}`)) return zone;
  const registered = registeredDomain(subject);
  return registered === registeredDomain(zone) ? zone : registered;
}
