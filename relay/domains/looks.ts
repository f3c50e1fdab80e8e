// The looks of a relay at own domains: so many at once, and at one domain no two at the same time or one
// right after the other. Whoever asks meanwhile gets what the last has found, and one more is made for him
// as soon as it may be: what he has just put right, the last one may not have seen.

import type { DomainRow } from '../registry/deeds/own-domain.ts';
import { type HeldDomain, hastenDomain, holderOf } from '../registry/own-domains.ts';
import { type LookParts, look } from './look.ts';

export interface LooksLimits {
  /** At once. */
  readonly looksMax: number;
  /** Of them by persons' word. */
  readonly askedMax: number;
  /** Of them at domains of one holder, for each reason. */
  readonly perHolderMax: number;
  /** A domain is looked at again no sooner. */
  readonly againAfterMs: number;
  /** How often the watch asks what is due. */
  readonly pollMs: number;
}

/** asked: by a person, as one does who has put something right · due: by the watch · order: before one. */
export type LookReason = 'asked' | 'due' | 'order';

export interface LookAt {
  /** The row afterwards; `undefined`: not now, for too many are looked at; or it is gone. */
  readonly row: Promise<DomainRow | undefined>;
  /** It is somebody else's look, or none: when one is made for whoever asks. */
  readonly againInMs?: number;
}

/** Under way, or so recent that it is not repeated. */
interface RecentLook {
  readonly row: Promise<DomainRow | undefined>;
  readonly endsAtMs: number;
  /** Somebody came too late for it. */
  again: boolean;
}

export class Looks {
  readonly #parts: LookParts;
  readonly #limits: LooksLimits;
  readonly #end: AbortSignal;
  /** By target. */
  readonly #recent = new Map<string, RecentLook>();
  /** Under way, by why and by holder. */
  readonly #underWay: Readonly<Record<LookReason, Map<string, number>>> = {
    asked: new Map(),
    due: new Map(),
    order: new Map(),
  };
  #looked = 0;
  #failed = 0;

  constructor(parts: LookParts, limits: LooksLimits, end: AbortSignal) {
    this.#parts = parts;
    this.#limits = limits;
    this.#end = end;
  }

  get figures(): { readonly looks: number; readonly failed: number; readonly running: number } {
    return { looks: this.#looked, failed: this.#failed, running: this.#running };
  }

  /** Those of the watch that are under way, by holder. */
  get watched(): ReadonlyMap<string, number> {
    return this.#underWay.due;
  }

  get #running(): number {
    return sum(this.#underWay.asked) + sum(this.#underWay.due) + sum(this.#underWay.order);
  }

  at(row: HeldDomain, why: LookReason): LookAt {
    const { againAfterMs } = this.#limits;
    const recent = this.#recent.get(row.target);
    if (recent !== undefined) return this.#join(recent, why);
    const sinceMs = this.#parts.now() - (row.checked_at ?? 0);
    // Another relay may have looked.
    if (why !== 'due' && sinceMs >= 0 && sinceMs < againAfterMs) {
      return this.#join(this.#remember(row, Promise.resolve(row), againAfterMs - sinceMs), why);
    }
    return this.#begin(row, why);
  }

  /** Resolves when none is under way. */
  async ended(): Promise<void> {
    await Promise.allSettled([...this.#recent.values()].map(({ row }) => row));
  }

  #begin(row: HeldDomain, why: LookReason): LookAt {
    const { againAfterMs, pollMs } = this.#limits;
    if (this.#hasRoom(row, why)) {
      return { row: this.#remember(row, this.#look(row, why), againAfterMs).row };
    }
    if (why !== 'asked') return { row: Promise.resolve(undefined) };
    const left = this.#parts.registry.write(hastenDomain(row));
    return { row: left.then(() => undefined), againInMs: pollMs };
  }

  #hasRoom(row: HeldDomain, why: LookReason): boolean {
    const { looksMax, askedMax, perHolderMax } = this.#limits;
    if (this.#running >= looksMax) return false;
    // What the watch has taken was chosen so.
    if (why === 'due') return true;
    if (why === 'asked' && sum(this.#underWay.asked) >= askedMax) return false;
    return (this.#underWay[why].get(holderOf(row)) ?? 0) < perHolderMax;
  }

  #join(recent: RecentLook, why: LookReason): LookAt {
    if (why !== 'asked') return { row: recent.row };
    recent.again = true;
    return { row: recent.row, againInMs: Math.max(0, recent.endsAtMs - performance.now()) };
  }

  #remember(row: HeldDomain, looking: Promise<DomainRow | undefined>, restMs: number): RecentLook {
    const endsAtMs = performance.now() + restMs;
    const recent: RecentLook = { row: looking, endsAtMs, again: false };
    this.#recent.set(row.target, recent);
    const forget = (after: DomainRow | undefined) => {
      this.#recent.delete(row.target);
      if (!recent.again || after === undefined || this.#end.aborted) return;
      // What is wrong with it is told there.
      const held = { ...after, owner_id: row.owner_id };
      this.#begin(held, 'asked').row.catch(() => undefined);
    };
    const rest = (after: DomainRow | undefined) => {
      const leftMs = endsAtMs - performance.now();
      if (leftMs > 0) setTimeout(forget, leftMs, after).unref();
      else forget(after);
    };
    looking.then(rest, () => rest(row));
    return recent;
  }

  async #look(row: HeldDomain, why: LookReason): Promise<DomainRow | undefined> {
    const { domain, name } = row;
    const [underWay, holder] = [this.#underWay[why], holderOf(row)];
    underWay.set(holder, (underWay.get(holder) ?? 0) + 1);
    this.#looked += 1;
    try {
      return await look(row, this.#parts, { end: this.#end, asked: why === 'asked' });
    } catch (error) {
      if (!this.#end.aborted) {
        this.#failed += 1;
        this.#parts.log.warn({ err: error, domain, name }, 'an own domain could not be looked at');
      }
      throw error;
    } finally {
      const left = (underWay.get(holder) ?? 1) - 1;
      if (left > 0) underWay.set(holder, left);
      else underWay.delete(holder);
    }
  }
}

function sum(counts: ReadonlyMap<string, number>): number {
  return counts.values().reduce((all, each) => all + each, 0);
}
