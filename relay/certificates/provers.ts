// How it is proven to an authority that a name is ours. What lies in the zone is proven by the zone (dns-01).
// An own domain leads to the relay, so the relay answers for it; its wildcard can only be proven by DNS,
// which its owner has delegated to us by a CNAME at `_acme-challenge`.
import type { Logger } from 'pino';
import type { Proof, Prover } from '../../certs/order.ts';
import { type Hostname, parseHostname, splitHostname } from '../../dns/name.ts';
import type { ChallengePublication } from '../challenge-publication.ts';
import { parseNarrowed } from '../domains/own-domain-report.ts';
import { type DirectChallenge, directChallenges } from '../domains/proving-challenges.ts';
import { hideAnswer, showAnswer } from '../registry/certificates/answers.ts';
import type { Job } from '../registry/certificates/job.ts';
import { withdrawChallenge } from '../registry/deeds/challenge.ts';
import { domainHolder } from '../registry/own-domains.ts';
import type { Registry } from '../registry/registry.ts';

const PROOF_LIMITS = {
  /** Name servers follow within seconds; beyond it one of them is broken. */
  publishedMs: 90_000,
  /** An answer whose relay has died ends by itself: far beyond any order. */
  answerLifeMs: 3_600_000,
} as const;

export interface ProverParts {
  readonly zone: Hostname;
  readonly registry: Pick<Registry, 'read' | 'write' | 'perform'>;
  readonly challenges: Pick<ChallengePublication, 'publish'>;
  /** Whether the relay listens for plain HTTP. */
  readonly plainHttp: boolean;
  readonly log: Logger;
  readonly now: () => number;
}

/**
 * Makes the prover of an attempt at an authority that CAA records know by these names, none if it has not
 * told; what failed one time gives way to what else there is the next time.
 */
export type MakeProver = (
  job: Pick<Job, 'attempts' | 'names'>,
  identities: readonly string[],
) => Prover | Promise<Prover>;

export function provers(parts: ProverParts): MakeProver {
  const { zone, plainHttp } = parts;
  const known = directChallenges(plainHttp);
  return async ({ attempts, names }, identities) => {
    // A domain with a wildcard is proven as the wildcard is: what is delegated anyway is enough.
    const byDns = (hostname: Hostname) =>
      splitHostname(hostname, zone).kind !== 'outside' || names.includes(`*.${hostname}`);
    const [own] = names.flatMap((name) => parseHostname(name) ?? []).filter((name) => !byDns(name));
    const direct = own === undefined ? known : await admitted(parts, own, { known, identities });
    const inTurn = attempts % 2 === 0 ? direct : direct.toReversed();
    return {
      choose: (hostname) => (byDns(hostname) ? ['dns-01'] : inTurn),
      show: (proof, signal) =>
        proof.type === 'dns-01' ? publish(parts, proof, signal) : answer(parts, proof),
    };
  };
}

/**
 * Those that the CAA records of the domain leave the authority, as they were seen at the last look: by any
 * other it would fail, and count that.
 */
async function admitted(
  { registry }: ProverParts,
  domain: Hostname,
  {
    known,
    identities,
  }: { readonly known: readonly DirectChallenge[]; readonly identities: readonly string[] },
): Promise<readonly DirectChallenge[]> {
  const row = await registry.read(domainHolder(domain));
  const narrowed = parseNarrowed(row?.finding ?? null).filter(
    ({ issuer }) => identities.length === 0 || identities.includes(issuer),
  );
  const left = known.filter((type) => narrowed.some(({ methods }) => methods.includes(type)));
  return left.length === 0 ? known : left;
}

type TakeAway = () => Promise<void>;

async function publish(parts: ProverParts, proof: Proof, signal: AbortSignal): Promise<TakeAway> {
  const owner = await challengeOwner(parts, proof.hostname);
  const { publishedMs: deadlineMs } = PROOF_LIMITS;
  const shown = await parts.challenges.publish({
    owner,
    value: proof.dnsValue,
    deadlineMs,
    signal,
  });
  return () =>
    quietly(parts, proof, () => parts.registry.perform(withdrawChallenge({ token: shown.token })));
}

/** Where the value stands, relative to the zone. */
async function challengeOwner(
  { zone, registry }: ProverParts,
  hostname: Hostname,
): Promise<string> {
  if (hostname === zone) return CHALLENGE;
  if (hostname.endsWith(`.${zone}`)) return `${CHALLENGE}.${hostname.slice(0, -zone.length - 1)}`;
  const row = await registry.read(domainHolder(hostname));
  if (row === undefined) throw new ProofError(hostname);
  return `${CHALLENGE}.${row.target}.to`;
}

const CHALLENGE = '_acme-challenge';

class ProofError extends Error {
  override readonly name = 'ProofError';
  readonly code = 'ERR_PROOF_NO_DOMAIN';

  constructor(hostname: Hostname) {
    super(`${hostname} is no proven own domain any more, so nothing is proven for it.`);
  }
}

async function answer(parts: ProverParts, proof: Proof): Promise<TakeAway> {
  const { hostname, type, token, keyAuthorization } = proof;
  if (type === 'dns-01') throw new TypeError('A DNS proof is no answer of the relay.');
  const expiresAtMs = parts.now() + PROOF_LIMITS.answerLifeMs;
  const shown = { hostname, kind: type, token };
  await parts.registry.write(showAnswer({ ...shown, keyAuthorization, expiresAtMs }));
  return () => quietly(parts, proof, () => parts.registry.write(hideAnswer(shown)));
}

/** What stays ends by itself. */
async function quietly(
  { log }: ProverParts,
  { hostname, type }: Proof,
  work: () => Promise<unknown>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    log.warn({ err: error, name: hostname, type }, 'a proof was not taken away; it ends by itself');
  }
}
