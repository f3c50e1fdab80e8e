// Where @fastify/rate-limit counts: who has asked how often in the present window. By the monotonic
// clock, so that a clock that is set bars nobody; bounded, and who is pushed out begins anew.

export interface Spent {
  /** Requests in this window, this one included. */
  readonly current: number;
  /** Milliseconds until the window ends. */
  readonly ttl: number;
}

const BUDGET_LIMITS = {
  /** Askers of one route that are remembered: 10 MB for all routes together. */
  askersMax: 5_000,
} as const;

interface Window {
  count: number;
  readonly endsAtMs: number;
}

export class RequestBudget {
  /** The asker whose window began first comes first. */
  readonly #windows = new Map<string, Window>();

  /** Called by the plugin; `key` is who asks. */
  incr(key: string, done: (error: Error | null, spent: Spent) => void, windowMs: number): void {
    done(null, this.spend(key, windowMs));
  }

  /** Counts one more. */
  spend(key: string, windowMs: number): Spent {
    const nowMs = performance.now();
    let window = this.#windows.get(key);
    if (window === undefined || nowMs >= window.endsAtMs) {
      this.#windows.delete(key);
      window = { count: 0, endsAtMs: nowMs + windowMs };
      this.#windows.set(key, window);
      const oldest = this.#windows.keys().next();
      if (this.#windows.size > BUDGET_LIMITS.askersMax && oldest.done !== true) {
        this.#windows.delete(oldest.value);
      }
    }
    window.count += 1;
    return { current: window.count, ttl: Math.max(0, window.endsAtMs - nowMs) };
  }

  /** Called by the plugin: each route counts for itself. */
  child(): RequestBudget {
    return new RequestBudget();
  }
}
