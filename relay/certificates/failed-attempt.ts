// What follows from an attempt that failed: whose fault it was, what becomes of the order and of what was
// spent for it, and when it is tried again. What people read of it has no secrets.
import { EnvelopeError } from '../../certs/envelope-error.ts';
import { OrderError } from '../../certs/order-error.ts';
import { nextAuthority, retryDelayMs } from '../../certs/retry-ladder.ts';
import {
  abandonOrder,
  failWork,
  forgetOrder,
  keepLease,
} from '../registry/certificates/held-work.ts';
import type { Job } from '../registry/certificates/job.ts';
import { giveBackOrder } from '../registry/certificates/spent-order.ts';
import { RegistryError } from '../registry/registry-error.ts';
import type { AttemptParts } from './attempt.ts';
import { spending } from './authority-choice.ts';
import type { CertificateAuthority } from './certificate-authority.ts';

/** How orders end, as metrics count them. */
export type Ending =
  | 'issued'
  | 'rate-limited'
  | 'unavailable'
  | 'refused'
  | 'invalid'
  | 'wrong-chain'
  | 'no-proof'
  | 'not-now'
  | 'fault';

const FAILURE_LIMITS = {
  /** Let's Encrypt takes five failed proofs of a name in an hour. */
  afterDeadOrderMs: 13 * 60_000,
  /** What an authority says of when to come again is believed up to this, unless it is a limit. */
  retryAfterMaxMs: 6 * 3_600_000,
  /** What rests is looked at as often, in case that nobody has said that it is wanted again. */
  restMs: 6 * 3_600_000,
} as const;

/** Somebody else has the job by now: whatever was done for it is theirs. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

/** An order would fail, so none is begun. The message says why. */
export class NotNow extends Error {
  override readonly name = 'NotNow';
  /** Nobody wants it for now. Whoever does again says so, and it does not count as failing meanwhile. */
  readonly rests: boolean;

  constructor(why: string, rests: boolean) {
    super(why);
    this.rests = rests;
  }
}

export interface FailedAttempt {
  readonly job: Job;
  readonly authority: CertificateAuthority;
  readonly parts: AttemptParts;
  readonly signal: AbortSignal;
  readonly begun: 'no' | 'spent' | 'begun';
}

/** Rejects when the registry is away. */
export async function settleFailure(failed: FailedAttempt, error: unknown): Promise<void> {
  const { job, authority, parts, signal } = failed;
  const { registry, log, now } = parts;
  const { subject, purpose } = job;
  if (error instanceof LeaseLost) return;
  if (error instanceof RegistryError) throw error;
  if (signal.aborted && !isTimeout(signal.reason)) {
    // The order lives, and whoever comes next goes on with it at once.
    await registry.write(keepLease(job, now()));
    return;
  }
  const verdict = judge(failed, error);
  parts.ended(authority.name, verdict.ending);
  const { waitMs, message } = verdict;
  const facts = { subject, purpose, ca: authority.name, attempts: job.attempts + 1, why: message };
  const retryInSeconds = Math.round(waitMs / 1_000);
  log.warn({ ...facts, retryInSeconds, at: placeOf(error) }, 'no certificate was issued');
  if (verdict.order === 'dead') {
    // What was signed is not what was asked for. An authority that gives out an open order again may have
    // signed it for a device that is gone, which was asked for in the same moment.
    const forgotten = verdict.used ? abandonOrder(job, now(), true) : forgetOrder(job);
    if (!(await registry.write(forgotten))) return;
  }
  await giveBack(failed, verdict);
  const attempts = verdict.rests ? 0 : job.attempts + verdict.counts;
  await registry.write(
    failWork(job, {
      ...{ message, attempts, nowMs: now(), nextAtMs: now() + waitMs },
      authority: nextAuthority(attempts, parts.authorities.length),
    }),
  );
}

/** The attempt took too long; else the relay stops, or somebody else has the job. */
function isTimeout(reason: unknown): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError';
}

interface Verdict {
  readonly ending: Ending;
  readonly message: string;
  readonly waitMs: number;
  readonly order: 'lives' | 'dead';
  /** Whether a certificate came of the order, as the authority counts. */
  readonly used: boolean;
  /** 1: it was an attempt; 0: only its turn has not come. */
  readonly counts: 0 | 1;
  /** It has no failures any more, for it is not wanted now. */
  readonly rests: boolean;
}

function judge({ job, authority, parts, begun }: FailedAttempt, error: unknown): Verdict {
  const ladderMs = retryDelayMs(job.attempts + 1, parts.random());
  const usual = { waitMs: ladderMs, order: 'lives', used: false, counts: 1, rests: false } as const;
  if (error instanceof NotNow) {
    const { message, rests } = error;
    const waitMs = rests ? FAILURE_LIMITS.restMs : ladderMs;
    return { ...usual, ending: 'not-now', message, rests, waitMs };
  }
  if (!(error instanceof OrderError)) return { ...usual, ending: 'fault', message: faultOf(error) };
  const { code, message, retryAfterMs = 0 } = error;
  const deadMs = Math.max(ladderMs, FAILURE_LIMITS.afterDeadOrderMs);
  const { rest } = authority;
  switch (code) {
    case 'ERR_ORDER_RATE_LIMITED': {
      const waitMs = rest.limited(error.retryAfterMs, job);
      return { ...usual, ending: 'rate-limited', message, waitMs: elsewhere(waitMs), counts: 0 };
    }
    case 'ERR_ORDER_UNAVAILABLE': {
      if (error.undecided) rest.answered();
      // An own domain whose servers keep the authority waiting says nothing of the authority.
      else if (job.purpose !== 'domain' || begun !== 'begun') rest.unavailable(retryAfterMs);
      const waitMs = Math.max(ladderMs, Math.min(retryAfterMs, FAILURE_LIMITS.retryAfterMaxMs));
      return { ...usual, ending: 'unavailable', message, waitMs };
    }
    case 'ERR_ORDER_PROOF':
      return { ...usual, ending: 'no-proof', message };
    case 'ERR_ORDER_INVALID':
      rest.answered();
      return { ...usual, ending: 'invalid', message, order: 'dead', waitMs: deadMs };
    case 'ERR_ORDER_REFUSED':
      rest.answered();
      return { ...usual, ending: 'refused', message, order: 'dead', waitMs: deadMs };
    case 'ERR_ORDER_CHAIN':
      rest.answered();
      return { ...usual, ending: 'wrong-chain', message, order: 'dead', used: true };
  }

  /** When another authority may be asked sooner, the name does not wait for the one that is limited. */
  function elsewhere(waitMs: number): number {
    const others = parts.authorities.filter((each) => each !== authority);
    const sooner = others.map((each) => each.rest.of(job.subject).untilMs - parts.now());
    return Math.max(SOON_MS, Math.min(waitMs, ...sooner));
  }
}

const SOON_MS = 1_000;

/** Authorities count orders that were begun, and certificates; what is neither must not count. */
async function giveBack(
  { job, authority, parts, begun }: FailedAttempt,
  { order, used }: Verdict,
): Promise<void> {
  const nothingCame = begun === 'spent' || (begun === 'begun' && order === 'dead' && !used);
  if (!nothingCame) return;
  const { zone, now, registry } = parts;
  const { ca, purpose, subject, nameSet } = spending(job, authority, {
    ...{ zone, exempt: false, nowMs: now() },
  });
  await registry.write(giveBackOrder({ ca, purpose, subject, nameSet, begun: begun === 'begun' }));
}

/** Where a fault of ours is; its message is left out (see `faultOf`). */
function placeOf(error: unknown): readonly string[] | undefined {
  if (error instanceof OrderError || error instanceof NotNow || !(error instanceof Error))
    return undefined;
  return error.stack?.split('\n').filter((line) => line.startsWith('    at '));
}

/** A fault of ours. Parsers of keys may quote what they read, so no more is told than its kind. */
function faultOf(error: unknown): string {
  // Its messages have no keys, and say which file is not what it was.
  if (error instanceof EnvelopeError) return error.message;
  const kind = error instanceof Error ? error.name : typeof error;
  const code = error instanceof Error && 'code' in error ? ` ${String(error.code)}` : '';
  return `A fault of the relay itself (${kind}${code}). It is tried again; see the log of the relay.`;
}
