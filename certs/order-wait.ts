// Waiting for an authority to make up its mind: it is asked again and again, ever more rarely, not before
// the time that it has named, and not for ever.
import { setTimeout as pause } from 'node:timers/promises';
import { OrderError } from './order-error.ts';

export const ORDER_LIMITS = {
  /** One question; a new order takes a busy authority ten seconds. */
  requestMs: 30_000,
  /** Until what we show is seen everywhere; secondaries of a zone may take a minute. */
  showMs: 180_000,
  /** Taking a proof away is not waited for longer; it goes on by itself. */
  hideMs: 10_000,
  /** An authorization, or an order, that is not decided by then is taken up again another time. */
  decisionMs: 120_000,
  /** Some decide within milliseconds, most within seconds. */
  firstPauseMs: 100,
  /** As often as authorities themselves recommend. */
  longestPauseMs: 5_000,
  /** Of the questions, as many may fail: what is proven meanwhile would have to be shown again. */
  failuresMax: 3,
  /** A Retry-After beyond it is for whoever plans attempts, and not sat out within one. */
  retryAfterMs: 15_000,
} as const;

/** The same for whoever cannot wait as long, such as a test. */
export type OrderLimits = Readonly<Record<keyof typeof ORDER_LIMITS, number>>;

/** Something that an authority has told, and when it wants to be asked again. */
export interface Told<T> {
  readonly value: T;
  readonly retryAfterMs: number | undefined;
}

export interface Patience {
  readonly limits: OrderLimits;
  readonly signal: AbortSignal;
  /** What is waited for, as the end of a sentence that begins with the authority. */
  readonly undecided: string;
}

/** Asks until it is decided, after a first pause. */
export async function waitUntil<T>(
  ask: () => Promise<Told<T>>,
  decided: (value: T) => boolean,
  { limits, signal, undecided }: Patience,
): Promise<T> {
  const startedMs = performance.now();
  let pauseMs = limits.firstPauseMs;
  let retryAfterMs = 0;
  for (let failures = 0; ; ) {
    const nextMs = Math.max(pauseMs, retryAfterMs);
    const late = performance.now() - startedMs + nextMs > limits.decisionMs;
    if (late || retryAfterMs > limits.retryAfterMs) {
      throw new OrderError('ERR_ORDER_UNAVAILABLE', `${undecided}. It is asked again later.`, {
        retryAfterMs: nextMs,
      });
    }
    await pause(nextMs, undefined, { signal }).catch(() => {
      throw new OrderError('ERR_ORDER_UNAVAILABLE', 'The order was stopped.');
    });
    const told = await ask().catch((error: unknown) => {
      failures += 1;
      if (!isPassing(error) || signal.aborted || failures > limits.failuresMax) throw error;
      return error;
    });
    if ('value' in told && decided(told.value)) return told.value;
    retryAfterMs = told.retryAfterMs ?? 0;
    pauseMs = Math.min(pauseMs * 2, limits.longestPauseMs);
  }
}

function isPassing(error: unknown): error is OrderError {
  return error instanceof OrderError && error.code === 'ERR_ORDER_UNAVAILABLE';
}
