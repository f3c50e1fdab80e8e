// Own domains for everybody who has to do with them: added, listed, looked at and removed by their owners
// and devices; and watched, each by one relay at a time, for as long as they are there.
import type { Hostname } from '../../dns/name.ts';
import type { By } from '../registry/actor.ts';
import {
  addDomain,
  type DomainRemoval,
  type DomainRow,
  removeDomain,
  unknownDomain,
  type WantedDomain,
} from '../registry/deeds/own-domain.ts';
import {
  areDomainsDue,
  type DomainHolder,
  domainHolder,
  type HeldDomain,
  listDomains,
  recallDomains,
  relayAddresses,
  takeDueDomains,
} from '../registry/own-domains.ts';
import { RegistryError } from '../registry/registry-error.ts';
import type { LookParts } from './look.ts';
import { Looks } from './looks.ts';
import { parseSteps, reportOf } from './own-domain-report.ts';
import type { DomainReport } from './report.ts';

const DOMAINS_LIMITS = {
  /** Looks at once: each is a dozen questions and a handshake. */
  looksMax: 16,
  /** Of them for the watch, so that a person who asks is not kept waiting. */
  watchedMax: 12,
  /** Of them for persons: whoever has many asks for all of his, and must not keep the watch from others'. */
  askedMax: 8,
  /**
   * Of them at domains of one owner, for each reason (a person, the watch, an order): one that is silent
   * keeps its look for half a minute, and whoever has two thousand of those must not have all looks.
   */
  perHolderMax: 3,
  /** A domain is looked at again no sooner; who asks meanwhile gets what was found, and one more then. */
  againAfterMs: 5_000,
  /** How often the watch asks what is due. */
  pollMs: 5_000,
  /** A relay that dies while it looks keeps others from it for so long. */
  leaseMs: 10 * 60_000,
} as const;

export interface DomainsOptions extends LookParts {
  /** For tests. */
  readonly limits?: Partial<Record<keyof typeof DOMAINS_LIMITS, number>>;
}

/** Whether a certificate for a domain may be ordered. */
export type DomainConsent =
  | { readonly ok: true }
  /** `rests`: not before it is proven again, which is told by `want`. */
  | { readonly ok: false; readonly why: string; readonly rests: boolean };

export class Domains {
  readonly #options: DomainsOptions;
  readonly #limits: Record<keyof typeof DOMAINS_LIMITS, number>;
  readonly #looks: Looks;
  readonly #end = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;

  constructor(options: DomainsOptions) {
    this.#options = options;
    this.#limits = { ...DOMAINS_LIMITS, ...options.limits };
    this.#looks = new Looks(options, this.#limits, this.#end.signal);
  }

  /** For metrics: looks since the start, those that a fault of ours ended, and those under way. */
  get figures(): { readonly looks: number; readonly failed: number; readonly running: number } {
    return this.#looks.figures;
  }

  /** The same again is the same. What has to be entered is in the report. */
  async add(wanted: WantedDomain): Promise<DomainReport> {
    const { domain, name, by } = wanted;
    await this.#options.registry.perform(addDomain(wanted));
    this.wake();
    const [row] = await this.#rows({ by, domain, name });
    if (row === undefined) throw unknownDomain(domain);
    return this.#report(row);
  }

  /** As they were found last, by domain. */
  async list(by: By): Promise<readonly DomainReport[]> {
    const relays = await this.#options.registry.read(relayAddresses());
    const { zone } = this.#options;
    return (await this.#rows({ by })).map((row) => reportOf(row, { zone, relays }));
  }

  /**
   * Looks now. When somebody has just looked, that is told, with when it is looked at again; so it is when
   * so many look that it has to wait for the watch.
   */
  async check(wanted: DomainRemoval): Promise<DomainReport> {
    const rows = await this.#rows(wanted);
    const row = rows.find(({ state }) => state !== 'pending') ?? rows[0];
    if (row === undefined) throw unknownDomain(wanted.domain);
    const { row: looking, againInMs } = this.#looks.at(row, 'asked');
    await looking;
    const [after] = await this.#rows({ ...wanted, name: row.name });
    if (after === undefined) throw unknownDomain(wanted.domain);
    const report = await this.#report(after);
    const { checkedAtMs } = report;
    if (againInMs === undefined || checkedAtMs === undefined) return report;
    const agoMs = Math.max(0, this.#options.now() - checkedAtMs);
    const recent = { secondsAgo: seconds(agoMs), againInSeconds: seconds(againInMs) };
    return { ...report, recent };
  }

  /** It stops working at once. */
  async remove(removal: DomainRemoval): Promise<void> {
    await this.#options.registry.perform(removeDomain(removal));
  }

  /** Looks before a certificate is ordered or renewed: an order that must fail costs all others. */
  async recheck(domain: string): Promise<DomainConsent> {
    const held = await this.#options.registry.read(domainHolder(domain));
    if (held === undefined) return resting(`Nobody has proven the domain ${domain}.`);
    const row = (await this.#looks.at(held, 'order').row) ?? held;
    if (row.state === 'suspended') return resting(`The domain ${domain} is suspended.`);
    const wrong = parseSteps(row.finding).find(
      ({ step, state, served }) => state === 'wrong' && step !== 'live' && served !== true,
    );
    return wrong === undefined ? { ok: true } : { ok: false, why: wrong.found, rests: false };
  }

  /** Begins the watch. */
  start(): void {
    const { registry, now, log } = this.#options;
    this.#round = registry.write(recallDomains(now())).then(
      () => undefined,
      (error: unknown) => log.warn({ err: error }, 'own domains could not be recalled'),
    );
    this.#plan(0);
  }

  /** Ends with what is under way, which is cut short. */
  async stop(): Promise<void> {
    this.#end.abort(new Error('The relay stops.'));
    clearTimeout(this.#timer);
    await this.#round;
    await this.#looks.ended();
  }

  /** Something may be due. */
  wake(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#plan(0);
  }

  #plan(waitMs: number): void {
    if (this.#end.signal.aborted) return;
    this.#timer = setTimeout(() => {
      const round = (this.#round ?? Promise.resolve()).then(() => this.#watch());
      this.#round = round;
      void round.then(() => {
        if (this.#round !== round) return;
        clearTimeout(this.#timer);
        this.#plan(this.#limits.pollMs * (0.5 + Math.random()));
      });
    }, waitMs).unref();
  }

  /** Never rejects. */
  async #watch(): Promise<void> {
    const { registry, now, log } = this.#options;
    const { watchedMax, perHolderMax, leaseMs } = this.#limits;
    const max = watchedMax - this.#looks.figures.running;
    if (max <= 0 || this.#end.signal.aborted) return;
    try {
      const nowMs = now();
      if (!(await registry.read(areDomainsDue(nowMs)))) return;
      const underWay = this.#looks.watched;
      const taking = { nowMs, leaseMs, max, perHolderMax, underWay };
      for (const row of await registry.write(takeDueDomains(taking))) {
        const { row: looking } = this.#looks.at(row, 'due');
        // What is wrong with one of them is told there; who had no turn beside it may have one now.
        void looking.catch(() => undefined).then(() => this.wake());
      }
    } catch (error) {
      // Of its own faults the registry has told.
      if (error instanceof RegistryError) return;
      log.warn({ err: error }, 'own domains could not be watched; it is tried again');
    }
  }

  #rows({
    by,
    domain,
    name,
  }: {
    readonly by: By;
    readonly domain?: Hostname | undefined;
    readonly name?: string | undefined;
  }): Promise<HeldDomain[]> {
    return this.#options.registry.read(listDomains({ of: holderOf(by), domain, name }));
  }

  async #report(row: DomainRow): Promise<DomainReport> {
    const { registry, zone } = this.#options;
    return reportOf(row, { zone, relays: await registry.read(relayAddresses()) });
  }
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1_000);
}

function resting(why: string): DomainConsent {
  return { ok: false, why, rests: true };
}

function holderOf(by: By): DomainHolder {
  if (by.kind === 'operator') return 'anybody';
  return by.kind === 'owner' ? { ownerId: by.ownerId } : { thumbprint: by.thumbprint };
}
