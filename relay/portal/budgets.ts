// How much one may ask, by address and by session: enough for any person, too little to guess with.
// Answers 429 with Retry-After.
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ProblemError } from './problem.ts';
import { RequestBudget } from './request-budget.ts';
import { askerOf } from './server.ts';

export const BUDGETS = {
  /** All that one address asks of a server: an office behind one address is many people. */
  address: { max: 600, timeWindow: 60_000 },
  /** What one session asks: a person clicks once a second at most. */
  session: { max: 240, timeWindow: 60_000 },
  /** Attempts of one address to sign in, of each kind. */
  signIn: { max: 10, timeWindow: 60_000 },
  /** Codes that one session tries; the registry counts the wrong ones besides. */
  codes: { max: 20, timeWindow: 60_000 },
} as const;

export type Spend = (request: FastifyRequest) => Promise<void>;

/** To be awaited once for each server, before its budgets are made. */
export async function keepBudgets(server: FastifyInstance): Promise<void> {
  await server.register(rateLimit, { global: false, store: RequestBudget });
}

/** A budget; `asker` is by the client's address when it is not given. Throws when it is spent. */
export function budget(
  server: FastifyInstance,
  size: { readonly max: number; readonly timeWindow: number },
  asker: (request: FastifyRequest) => string = askerOf,
): Spend {
  const spend = server.createRateLimit({ ...size, keyGenerator: asker });
  return async (request) => {
    const spent = await spend(request);
    if (spent.isAllowed || !spent.isExceeded) return;
    throw new ProblemError({
      kind: 'too-many-requests',
      status: 429,
      detail: 'Too many requests have come from here in a short time.',
      next: `Try again in ${spent.ttlInSeconds} s.`,
      retryAfterSeconds: spent.ttlInSeconds,
    });
  };
}
