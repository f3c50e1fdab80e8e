// One look at an own domain and what follows from it: proven when its DNS proves it and leads here, warned
// of when it does not any more, suspended after some days of that, and back by itself. What could not be
// asked changes nothing.
import type { Logger } from 'pino';
import type { Hostname } from '../../dns/name.ts';
import type { RegistryWork } from '../registry/database.ts';
import { also } from '../registry/deed.ts';
import { proveDomain, suspendDomain } from '../registry/deeds/domain-proof.ts';
import type { DomainRow } from '../registry/deeds/own-domain.ts';
import { failsSince, noteFinding, relayAddresses } from '../registry/own-domains.ts';
import type { Registry } from '../registry/registry.ts';
import {
  checkDomain,
  checkService,
  type DomainFinding,
  type DomainWorld,
  resolversSeeUs,
} from './checks.ts';
import { formatSteps, parseSteps } from './own-domain-report.ts';
import { proofOwner } from './records.ts';
import type { DomainChange, DomainStep } from './report.ts';
import { DAY, nextLookMs } from './schedule.ts';
import { both } from './verdict.ts';

const LOOK_LIMITS = {
  /** For all questions of a look and its visit: a chain of aliases at slow name servers. */
  lookMs: 30_000,
  /** How long a domain may fail before it is served no more: over a weekend. */
  suspendAfterMs: 3 * DAY,
} as const;

/** What every look needs; a look adds what is true of its moment. */
export interface LookParts extends Omit<DomainWorld, 'relays' | 'publicPort' | 'signal'> {
  readonly registry: Registry;
  /** Has a certificate for the domain ordered, if that is not so already, or has failed. */
  readonly want: (domain: WantedDomainCertificate) => Promise<unknown>;
  /** Tells the owner of a name: part of the transaction that is the reason. */
  readonly tell: (change: DomainChange) => RegistryWork<unknown>;
  readonly publicPort: () => number;
  readonly log: Logger;
}

export interface WantedDomainCertificate {
  readonly domain: Hostname;
  /** What is one label below it as well. */
  readonly wildcard: boolean;
  /** All is right now, by a person's word or after it was not: an order that failed is made again. */
  readonly again: boolean;
}

export interface Looking {
  readonly end: AbortSignal;
  /** A person has asked for it, as one does who has put something right. */
  readonly asked: boolean;
}

/** What the look has made of the row. */
interface Standing {
  readonly served: boolean;
  /** It is served since this look. */
  readonly newly?: boolean;
  readonly failingSinceMs: number | null;
  /** Of the DNS. */
  readonly steps: readonly DomainStep[];
  /** For the owner, with the note of the look; of deeds he is told with them. */
  readonly news: readonly DomainChange[];
}

/** Resolves with the row as it is afterwards; `undefined`: it is gone. */
export async function look(
  row: DomainRow,
  parts: LookParts,
  { end, asked }: Looking,
): Promise<DomainRow | undefined> {
  const { registry, now, publicPort } = parts;
  const signal = AbortSignal.any([end, AbortSignal.timeout(LOOK_LIMITS.lookMs)]);
  const relays = await registry.read(relayAddresses());
  const world: DomainWorld = { ...parts, relays, signal, publicPort: publicPort() };
  const finding = await checkDomain(row, world);
  // Whoever stops has cut the questions off: they say nothing of the domain.
  end.throwIfAborted();
  const standing = await standingOf(row, finding, world, parts);
  const { served, failingSinceMs } = standing;
  if (served && finding.caa === 'right') {
    const right = both(finding.proof, finding.routing) === 'right';
    const again = right && (asked || standing.newly === true || wasWrong(row));
    await parts.want({ domain: row.domain as Hostname, wildcard: row.wildcard === 1, again });
  }
  const service = await checkService(row, finding, { ...world, served });
  const steps = [...standing.steps, ...service];
  const settled = steps.every(({ state }) => state === 'ok');
  const times = {
    added_at: row.added_at,
    proven_at: served ? (row.proven_at ?? finding.atMs) : row.proven_at,
    failing_since: failingSinceMs,
  };
  const note = noteFinding({
    target: row.target,
    finding: formatSteps(steps, finding.narrowed),
    checkedAtMs: now(),
    checkDueAtMs: nextLookMs({ ...times, settled }, now(), Math.random()),
    failingSinceMs,
  });
  return registry.write(async (db) => {
    // Another relay, too, may have looked in this moment, and told.
    const tells = standing.news.length > 0 && (await failsSince(row)(db));
    if (tells) for (const change of standing.news) await parts.tell(change)(db);
    return note(db);
  });
}

async function standingOf(
  row: DomainRow,
  finding: DomainFinding,
  world: DomainWorld,
  parts: LookParts,
): Promise<Standing> {
  const verdict = both(finding.proof, finding.routing);
  if (verdict === 'right') return rightful(row, finding, parts);
  const wrong = verdict === 'wrong' && row.state === 'proven' && (await resolversSeeUs(row, world));
  if (wrong) return failing(row, finding, parts);
  const { steps } = finding;
  const served = row.state === 'proven';
  return { served, failingSinceMs: row.failing_since, steps, news: [] };
}

async function rightful(
  row: DomainRow,
  { seen, steps, atMs }: DomainFinding,
  { registry, tell, log }: LookParts,
): Promise<Standing> {
  const { domain, name, target, state } = row;
  const back: DomainChange[] =
    row.failing_since === null ? [] : [{ kind: 'back', domain, name, steps: [] }];
  if (state === 'proven') return { served: true, failingSinceMs: null, steps, news: back };
  const proof = proveDomain({ target, seen, lookedAtMs: atMs });
  const outcome = await registry.perform(
    also(proof, (done) => {
      if (done.kind !== 'proven') return [];
      const lost = done.displaced;
      const told = done.changed ? back.map(tell) : [];
      if (lost !== undefined) told.push(tell({ kind: 'lost', domain, name: lost.name, steps: [] }));
      return told;
    }),
  );
  const unserved = { served: false, failingSinceMs: row.failing_since, news: [] };
  if (outcome.kind === 'void') return { ...unserved, steps };
  if (outcome.kind === 'held-by-another') {
    return { ...unserved, steps: [heldStep(row), ...steps.slice(1)] };
  }
  log.info({ domain, name, displaced: outcome.displaced?.name }, 'an own domain is proven');
  return { served: true, newly: true, failingSinceMs: null, steps, news: [] };
}

async function failing(
  row: DomainRow,
  { atMs, steps }: DomainFinding,
  { registry, tell, log }: LookParts,
): Promise<Standing> {
  const { domain, name, target } = row;
  const since = row.failing_since ?? atMs;
  const faults = steps.filter(({ state }) => state === 'wrong');
  const standing = { served: true, failingSinceMs: since, steps };
  const untilMs = since + LOOK_LIMITS.suspendAfterMs;
  if (row.failing_since === null) {
    log.warn({ domain, name, faults }, 'an own domain fails its checks');
    return { ...standing, news: [{ kind: 'failing', domain, name, steps: faults, untilMs }] };
  }
  if (atMs < untilMs) return { ...standing, news: [] };
  const suspension = suspendDomain({ target, why: 'it failed its checks' });
  const suspended = tell({ kind: 'suspended', domain, name, steps: faults });
  const outcome = await registry.perform(
    also(suspension, (done) => (done === 'suspended' ? [suspended] : [])),
  );
  if (outcome === 'spared') {
    log.error(
      { domain, name },
      'so many own domains fail at once that none is suspended: look into the resolvers of relay.yaml, ' +
        'and into the addresses of the relays',
    );
    return { ...standing, news: [] };
  }
  if (outcome === 'void') return { ...standing, served: false, news: [] };
  log.warn({ domain, name, faults }, 'an own domain is suspended');
  return { ...standing, served: false, news: [] };
}

/** What the look before found in the DNS. */
function wasWrong({ finding }: DomainRow): boolean {
  const [proof, routing, caa] = parseSteps(finding);
  return [proof, routing, caa].some((step) => step?.state === 'wrong');
}

function heldStep({ domain, proof }: DomainRow): DomainStep {
  const owner = proofOwner(domain);
  return {
    step: 'proof',
    state: 'wrong',
    found: `Your TXT record is at ${owner}, and so is that of another account, which has the domain.`,
    expected: `TXT "${proof}" at ${owner}, and no proof of another account`,
    next: `Remove the other TXT value at ${owner}, or have the domain removed in that account.`,
  };
}
