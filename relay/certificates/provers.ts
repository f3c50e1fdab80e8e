// How it is proven to an authority that a name is ours. What lies in the zone is proven by the zone (dns-01).
// An own domain leads to the relay, so the relay answers for it; its wildcard can only be proven by DNS,
// which its owner has delegated to us by a CNAME at `_acme-challenge`.
import type { Logger } from 'pino';
import type { ChallengeType, Proof, Prover } from '../../certs/order.ts';
import { type Hostname, splitHostname } from '../../dns/name.ts';
import type { ChallengePublication } from '../challenge-publication.ts';
import { directChallenges } from '../domains/proving-challenges.ts';
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

/** Makes the prover of an attempt; what failed one time gives way to what else there is the next time. */
export type MakeProver = (job: Pick<Job, 'attempts' | 'names'>) => Prover;

export function provers(parts: ProverParts): MakeProver {
  const { zone, plainHttp } = parts;
  const direct: readonly ChallengeType[] = directChallenges(plainHttp);
  return ({ attempts, names }) => ({
    choose: (hostname) => {
      // A domain with a wildcard is proven as the wildcard is: what is delegated anyway is enough.
      const byDns =
        splitHostname(hostname, zone).kind !== 'outside' || names.includes(`*.${hostname}`);
      if (byDns) return ['dns-01'];
      return attempts % 2 === 0 ? direct : direct.toReversed();
    },
    show: (proof, signal) =>
      proof.type === 'dns-01' ? publish(parts, proof, signal) : answer(parts, proof),
  });
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
