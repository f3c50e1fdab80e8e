// A look at an own domain from outside, step by step: what is there, what should be, and what to do. The
// DNS decides whether it is served (`checkDomain`); its certificate and a visit only tell how far it is
// (`checkService`).
import type { Hostname } from '../../dns/name.ts';
import { printable } from '../entrance/printable.ts';
import { isRegisteredDomain } from '../registered-domain.ts';
import type { RelayAddresses } from '../registry/own-domains.ts';
import { makeTargetLabel } from '../registry/secret.ts';
import type { BrowserFault } from './browsers.ts';
import { type CaaIssuer, judgeCaa, type NarrowedIssuer } from './caa.ts';
import { visit } from './live.ts';
import { provingChallenges } from './proving-challenges.ts';
import type { CnameChain, Lookup, PublicDns } from './public-dns.ts';
import { challengeOwner, proofOwner, type RecordedDomain, targetHost } from './records.ts';
import type { DomainStep } from './report.ts';
import { lookAtRouting, type Routing } from './routing.ts';
import { both, type Verdict } from './verdict.ts';

const CHECK_LIMITS = {
  /** Of a TXT value in a sentence; ours has 22. */
  valueCharsMax: 80,
  /** The rest is counted. */
  valuesMax: 4,
  /** Authorities write a sentence or two. */
  problemCharsMax: 400,
} as const;

/** How the certificate of a domain is; relay/certificates/ tells. */
export interface CertificateState {
  /** Of the present one; absent: there is none. */
  readonly notAfterMs?: number | undefined;
  /** Why the last order failed. */
  readonly problem?: string | undefined;
  readonly nextTryAtMs?: number | undefined;
}

/** What a look needs. */
export interface DomainWorld {
  readonly zone: Hostname;
  readonly dns: PublicDns;
  readonly relays: RelayAddresses;
  /** Our authorities, as CAA records know them. */
  readonly caaIssuers: readonly CaaIssuer[];
  /** The relays answer challenges by plain HTTP, too. */
  readonly plainHttp: boolean;
  readonly certificateOf: (domain: string) => Promise<CertificateState>;
  /** The HTTPS port that the world dials. */
  readonly publicPort: number;
  /** PEM of the root that certificates chain to, where the system does not trust it. */
  readonly ca?: string | undefined;
  readonly now: () => number;
  /** Ends the look. */
  readonly signal: AbortSignal;
}

/** What the DNS says of a domain. */
export interface DomainFinding {
  /** When it was asked, in milliseconds since 1970. */
  readonly atMs: number;
  readonly proof: Verdict;
  readonly routing: Verdict;
  readonly caa: Verdict;
  /** All TXT values at its proof's place; of others who want the domain too. */
  readonly seen: ReadonlySet<string>;
  /** Addresses of ours that visitors get. */
  readonly addresses: readonly string[];
  readonly steps: readonly [proof: DomainStep, routing: DomainStep, caa: DomainStep];
  readonly narrowed: readonly NarrowedIssuer[];
}

export async function checkDomain(row: RecordedDomain, world: DomainWorld): Promise<DomainFinding> {
  const { dns, signal, zone, relays, caaIssuers: issuers, publicPort: port } = world;
  const atMs = world.now();
  const target = targetHost(row.target, zone);
  const question = { name: row.domain, target, zone, relays, port };
  const [txt, routing, below, caa] = await Promise.all([
    dns.txt(proofOwner(row.domain), signal),
    lookAtRouting(dns, question, signal),
    row.wildcard === 1 ? lookBelow(row.domain, target, world) : [],
    dns.caa(row.domain, signal),
  ]);
  const proof = judgeProof(row, txt);
  const way = judgeWay([routing, ...below], expectedWay(row, target, relays));
  const wildcard = row.wildcard === 1;
  const methods = provingChallenges({ wildcard, plainHttp: world.plainHttp });
  const sign = judgeCaa(caa, { domain: row.domain, wildcard, issuers, methods });
  return {
    atMs,
    proof: proof.verdict,
    routing: way.verdict,
    caa: sign.verdict,
    seen: new Set(txt.kind === 'found' ? txt.values : []),
    addresses: routing.ours,
    steps: [proof.step, way.step, sign.step],
    narrowed: sign.narrowed,
  };
}

/** Whether the resolvers see what we publish ourselves: only then their word against a domain counts. */
export async function resolversSeeUs(row: RecordedDomain, world: DomainWorld): Promise<boolean> {
  const owner = proofOwner(targetHost(row.target, world.zone));
  const found = await world.dns.txt(owner, world.signal);
  return found.kind === 'found' && found.values.includes(row.proof);
}

/** The steps after the DNS; `served`: the domain is proven. */
export async function checkService(
  { domain }: RecordedDomain,
  finding: DomainFinding,
  world: DomainWorld & { readonly served: boolean },
): Promise<DomainStep[]> {
  const certificate = await certificateStep(domain, finding, world);
  const live: DomainStep = {
    step: 'live',
    state: 'waiting',
    found: 'This waits for the certificate.',
    expected: `https://${domain} answers with a certificate that browsers accept.`,
  };
  if (certificate.state !== 'ok') return [certificate, live];
  const { publicPort: port, ca, signal } = world;
  const { addresses } = finding;
  const outcome = await visit({ hostname: domain, addresses, port, ca }, signal);
  if (outcome.live) return [certificate, { ...live, state: 'ok', found: outcome.found }];
  const next = 'This is tried again by itself. If it stays, tell the operator of the service.';
  return [certificate, { ...live, state: 'waiting', found: outcome.found, next }];
}

interface Judged {
  readonly verdict: Verdict;
  readonly step: DomainStep;
}

function judgeProof({ domain, proof }: RecordedDomain, txt: Lookup<string>): Judged {
  const owner = proofOwner(domain);
  const expected = `TXT "${proof}" at ${owner}`;
  if (txt.kind === 'failed') {
    const found = `${owner} could not be looked up: ${txt.why}.`;
    const next = 'This is tried again by itself.';
    return { verdict: 'unknown', step: { step: 'proof', state: 'waiting', found, expected, next } };
  }
  if (txt.kind === 'found' && txt.values.includes(proof)) {
    const found = `The TXT record is at ${owner}.`;
    return { verdict: 'right', step: { step: 'proof', state: 'ok', found, expected } };
  }
  const found =
    txt.kind === 'none'
      ? `There is no TXT record at ${owner}: ${txt.why}.`
      : `${owner} has other TXT records: ${valuesText(txt.values)}.`;
  const next =
    'Enter the TXT record at your DNS provider. It may take some minutes until the world sees it.';
  return { verdict: 'wrong', step: { step: 'proof', state: 'wrong', found, expected, next } };
}

function valuesText(values: readonly string[]): string {
  const { valueCharsMax, valuesMax } = CHECK_LIMITS;
  const some = values.slice(0, valuesMax).map((value) => `"${printable(value, valueCharsMax)}"`);
  const more = values.length - some.length;
  return `${some.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** What a wildcard needs besides: a name below it that nobody has, and the place of its challenges. */
async function lookBelow(
  domain: string,
  target: string,
  { dns, zone, relays, signal, publicPort: port }: DomainWorld,
): Promise<Omit<Routing, 'ours'>[]> {
  const name = `${makeTargetLabel()}.${domain}`;
  const [owner, challenge] = [challengeOwner(domain), challengeOwner(target)];
  const [anything, challenges] = await Promise.all([
    lookAtRouting(dns, { name, target, zone, relays, port }, signal),
    // Nothing is at the target now, and a resolver that were asked would remember that: an authority
    // that asks the same one would not see what is published there a moment later.
    dns.chain(owner, signal, challenge),
  ]);
  return [anything, judgeChallenges(owner, challenge, challenges)];
}

function judgeChallenges(
  owner: string,
  target: string,
  { names, end, why }: CnameChain,
): Omit<Routing, 'ours'> {
  if (names.includes(target)) {
    return { verdict: 'right', found: `${owner} is a CNAME to ${target}.` };
  }
  if (end === 'failed') {
    const found = `${owner} could not be looked up: ${why}.`;
    return { verdict: 'unknown', found, next: 'This is tried again by itself.' };
  }
  const [first] = names;
  const found =
    first === undefined
      ? `${owner} is no CNAME.`
      : `${owner} is a CNAME to ${printable(first, CHECK_LIMITS.valueCharsMax)}.`;
  return { verdict: 'wrong', found, next: `Make ${owner} a CNAME to ${target}.` };
}

function judgeWay(looks: readonly Omit<Routing, 'ours'>[], expected: string): Judged {
  const verdict = looks.map((look) => look.verdict).reduce(both);
  // What is not right comes first; where all is, everything is told.
  const worst = looks.filter((look) => look.verdict === verdict);
  const found = worst.map((look) => look.found).join(' ');
  const next = worst.find((look) => look.next !== undefined)?.next;
  const state = verdict === 'right' ? 'ok' : verdict === 'wrong' ? 'wrong' : 'waiting';
  const step = { step: 'routing', state, found, expected } as const;
  const faults = looks.flatMap(({ browsers = [] }) => browsers);
  const astray = faults.find((fault) => fault.next !== undefined) ?? faults[0];
  if (verdict === 'right' && astray !== undefined) return { verdict, step: partly(step, astray) };
  return { verdict, step: next === undefined ? step : { ...step, next } };
}

/** Who does not ask for HTTPS records gets here: that is no reason to serve nobody. */
function partly(step: Omit<DomainStep, 'state'>, { found, next }: BrowserFault): DomainStep {
  const told = { ...step, found: `${step.found} ${found}` };
  if (next === undefined) return { ...told, state: 'ok' };
  return {
    ...{ ...told, state: 'wrong', served: true },
    expected: `${step.expected}; and no HTTPS record that leads elsewhere`,
    next,
  };
}

function expectedWay(
  { domain, wildcard }: RecordedDomain,
  target: string,
  { present }: RelayAddresses,
): string {
  const addresses = [...present].toSorted().join(', ');
  const top = isRegisteredDomain(domain);
  const alias = `${domain} is ${top ? 'an ALIAS' : 'a CNAME'} to ${target}`;
  const direct = `${domain} has no other addresses than ${addresses}`;
  const ways = addresses === '' ? [alias] : top ? [direct, alias] : [alias, direct];
  const way = ways.join(', or ');
  if (wildcard !== 1) return way;
  return `${way}; *.${domain} too; ${challengeOwner(domain)} is a CNAME to ${challengeOwner(target)}`;
}

async function certificateStep(
  domain: string,
  finding: DomainFinding,
  { served, certificateOf, now }: DomainWorld & { readonly served: boolean },
): Promise<DomainStep> {
  const expected = `A certificate for ${domain}, which is ordered by itself.`;
  const waits = (found: string, next?: string): DomainStep => ({
    ...{ step: 'certificate', state: 'waiting', found, expected },
    ...(next === undefined ? {} : { next }),
  });
  if (!served) return waits('This waits for the proof and the routing.');
  const { notAfterMs, problem, nextTryAtMs } = await certificateOf(domain);
  if (notAfterMs !== undefined && notAfterMs > now()) {
    const found = `There is one, valid until ${new Date(notAfterMs).toISOString().slice(0, 10)}.`;
    return { step: 'certificate', state: 'ok', found, expected };
  }
  if (finding.caa !== 'right') return waits('This waits for the CAA records.');
  if (problem === undefined) return waits('It is being ordered.');
  const again = nextTryAtMs === undefined ? '' : ` at ${new Date(nextTryAtMs).toISOString()}`;
  const found = `The last order failed: ${printable(problem, CHECK_LIMITS.problemCharsMax)}`;
  return waits(found, `It is tried again by itself${again}.`);
}
