// Has authorities revoke the certificates whose key a device has that lost its name: what deeds have asked
// for (revocation-queue.ts) is taken with a lease, few at a time, and tried until the authority has done it
// or the certificate has ended. A relay that dies on the way leaves it to another, which is told that it is
// revoked already. An authority that is left alone just now is not asked either.
import type { Logger } from 'pino';
import { readChain } from '../../certs/chain.ts';
import { OrderError } from '../../certs/order-error.ts';
import { retryDelayMs } from '../../certs/retry-ladder.ts';
import { keepAbandoned } from '../registry/certificates/abandoned-orders.ts';
import { parseSubject } from '../registry/certificates/certificate-names.ts';
import {
  endRevocation,
  isRevocationDue,
  putOffRevocation,
  type Revocation,
  type RevocationOutcome,
  takeRevocations,
} from '../registry/certificates/revocation-queue.ts';
import type { Registry } from '../registry/registry.ts';
import { RegistryError } from '../registry/registry-error.ts';
import { AuthorityRest } from './authority-rest.ts';
import type { CertificateAuthority } from './certificate-authority.ts';

export const REVOCATION_LIMITS = {
  /** How late a revocation begins that another process has asked for; reading it is one look at an index. */
  lookMs: 10_000,
  /** Asked for at the same time: each is one or two requests. */
  concurrency: 4,
  /** Twice what one may take. */
  leaseMs: 10 * 60_000,
  /** For all requests about one: each has a deadline of its own, of half a minute. */
  requestsMs: 5 * 60_000,
  /** Until an authority that is not in the configuration any more is looked for again. */
  unknownAuthorityMs: 86_400_000,
  /** What an authority says of when to come again is believed up to this. */
  retryAfterMaxMs: 6 * 3_600_000,
  /** An order that has not become a certificate by then has nobody who goes on with it. */
  abandonedMs: 3_600_000,
} as const;

export interface RevocationsOptions {
  readonly registry: Pick<Registry, 'read' | 'write'>;
  readonly authorities: readonly CertificateAuthority[];
  /** Of this process. */
  readonly holder: string;
  readonly log: Logger;
  readonly now: () => number;
  /** 0 to below 1. */
  readonly random: () => number;
}

export class Revocations {
  readonly #options: RevocationsOptions;
  /** By the name of the authority. Its own: one that revokes nothing for a while may sign all the same. */
  readonly #rests = new Map<string, AuthorityRest>();
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  /** Somebody has said that there is one while they were being looked for. */
  #again = false;

  constructor(options: RevocationsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => void this.look(), REVOCATION_LIMITS.lookMs);
    void this.look();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await this.#looking;
  }

  /** Has all revoked that are due, or tries to. Never rejects. */
  look(): Promise<void> {
    this.#again = true;
    this.#looking ??= this.#look()
      .catch((error: unknown) => {
        this.#options.log.warn({ err: error }, 'revocations: the registry cannot be asked');
      })
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { registry, holder, now } = this.#options;
    const { leaseMs, concurrency: max } = REVOCATION_LIMITS;
    while (this.#again && !this.#stopping.signal.aborted) {
      this.#again = false;
      const resting = this.#resting();
      if (!(await registry.read(isRevocationDue({ nowMs: now(), resting })))) continue;
      const taking = { holder, nowMs: now(), leaseMs, max, resting };
      const taken = await registry.write(takeRevocations(taking));
      const settled = await Promise.allSettled(taken.map((each) => this.#settle(each)));
      const failed = settled.find((each) => each.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      if (taken.length === max) this.#again = true;
    }
  }

  /** Authorities that are not asked now: for anything, or to revoke. */
  #resting(): readonly string[] {
    const { authorities } = this.#options;
    return authorities.filter((each) => this.#rest(each).room === 0).map(({ name }) => name);
  }

  #rest({ name, rest }: CertificateAuthority): Pick<AuthorityRest, 'room' | 'untilMs'> {
    const own = this.#rests.get(name);
    return own === undefined || rest.room === 0 ? rest : own;
  }

  /** What this authority's answers say of whether the next revocation is worth asking for. */
  #restOf(name: string): AuthorityRest {
    const rest = this.#rests.get(name) ?? new AuthorityRest(this.#options.now);
    this.#rests.set(name, rest);
    return rest;
  }

  async #settle(revocation: Revocation): Promise<void> {
    const { registry, log, now } = this.#options;
    const { subject, ca, reason } = revocation;
    let later: Later;
    try {
      const done = await this.#attempt(revocation);
      if (typeof done === 'string') {
        await registry.write(endRevocation(revocation, done, now()));
        log.info({ subject, ca, reason, outcome: done }, 'a revocation has ended');
        return;
      }
      later = done;
    } catch (error) {
      if (error instanceof RegistryError) throw error;
      if (this.#stopping.signal.aborted) return;
      later = this.#failed(revocation, error);
    }
    const { message, waitMs, counts } = later;
    const attempts = revocation.attempts + counts;
    const retryInSeconds = Math.round(waitMs / 1_000);
    log.warn({ subject, ca, attempts, retryInSeconds, why: message }, 'no certificate was revoked');
    await registry.write(
      putOffRevocation(revocation, { message, attempts, nextAtMs: now() + waitMs }),
    );
  }

  async #attempt(revocation: Revocation): Promise<RevocationOutcome | Later> {
    const { authorities, now } = this.#options;
    const { ca, untilMs } = revocation;
    if (untilMs <= now()) return 'ended';
    const authority = authorities.find(({ name }) => name === ca);
    if (authority === undefined) {
      const message = `relay.yaml names no authority ${ca} any more, so it cannot be asked. Name it again.`;
      return { message, waitMs: REVOCATION_LIMITS.unknownAuthorityMs, counts: 1 };
    }
    const rest = this.#rest(authority);
    if (rest.room === 0) {
      const waitMs = Math.max(REVOCATION_LIMITS.lookMs, rest.untilMs - now());
      return { message: `${ca} is left alone for a while.`, waitMs, counts: 0 };
    }
    return this.#ask(revocation, authority);
  }

  async #ask(
    revocation: Revocation,
    authority: CertificateAuthority,
  ): Promise<RevocationOutcome | Later> {
    const { now } = this.#options;
    const { reason, orderUrl, askedAtMs, attempts } = revocation;
    const { requestsMs, abandonedMs } = REVOCATION_LIMITS;
    const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(requestsMs)]);
    const rests = [authority.rest, this.#restOf(authority.name)];
    for (const rest of rests) rest.begin();
    try {
      const acme = await authority.open();
      let { chain } = revocation;
      if (chain === undefined) {
        const came = await acme.outcome(orderUrl ?? '', signal);
        this.#restOf(authority.name).answered();
        if (came === 'none') return 'nothing';
        if (came === 'open') {
          if (now() > askedAtMs + abandonedMs) return 'nothing';
          const waitMs = retryDelayMs(attempts + 1, this.#options.random());
          return { message: 'Nothing has come of its order yet.', waitMs, counts: 1 };
        }
        chain = came.chainPem;
        if (!isChain(chain)) {
          const waitMs = retryDelayMs(attempts + 1, this.#options.random());
          return { message: `What ${authority.name} gives is no certificate.`, waitMs, counts: 1 };
        }
        const kept = await this.#keep(revocation, chain);
        if (kept === 'lost') return LOST;
        if (kept === 'stored') return 'nothing';
      }
      await acme.revoke(chain, reason, signal);
      this.#restOf(authority.name).answered();
      return 'revoked';
    } finally {
      for (const rest of rests) rest.end();
    }
  }

  /** In the ledger before it is revoked. */
  #keep(revocation: Revocation, chain: string): Promise<'kept' | 'lost' | 'stored'> {
    const { registry, now } = this.#options;
    const { ca, orderUrl = '' } = revocation;
    const { serial, notBeforeMs, notAfterMs } = readChain(chain);
    const subject = parseSubject(revocation.subject);
    return registry.write(
      keepAbandoned(revocation, {
        ...{ ca, orderUrl, serial, chain, notBeforeMs, notAfterMs, nowMs: now() },
        names: [subject, `*.${subject}`],
      }),
    );
  }

  #failed({ attempts, ca, subject }: Revocation, error: unknown): Later {
    const { log, random } = this.#options;
    const ladderMs = retryDelayMs(attempts + 1, random());
    if (!(error instanceof OrderError)) {
      log.error({ err: error }, 'revocations: a fault of the relay itself');
      const message = 'A fault of the relay itself. It is tried again; see the log of the relay.';
      return { message, waitMs: ladderMs, counts: 1 };
    }
    const { message, code, retryAfterMs = 0 } = error;
    const rest = this.#restOf(ca);
    if (code === 'ERR_ORDER_RATE_LIMITED') {
      rest.limited(error.retryAfterMs, { subject, purpose: 'device' });
    } else if (code === 'ERR_ORDER_UNAVAILABLE') rest.unavailable(retryAfterMs);
    else rest.answered();
    const waitMs = Math.max(ladderMs, Math.min(retryAfterMs, REVOCATION_LIMITS.retryAfterMaxMs));
    return { message, waitMs, counts: 1 };
  }
}

function isChain(text: string): boolean {
  try {
    return readChain(text).serial !== '';
  } catch {
    return false;
  }
}

interface Later {
  readonly message: string;
  readonly waitMs: number;
  /** Whether the authority was asked. */
  readonly counts: 0 | 1;
}

/** Nothing of it is written any more. */
const LOST: Later = { message: 'Another relay has it by now.', waitMs: 0, counts: 0 };
