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
  /**
   * ZeroSSL names a day with what it decides within seconds: so often what is undecided is asked again all
   * the same, that far apart.
   */
  earlyMax: 4,
  /** What is undecided still is believed to be so for no longer; it is one question to see. */
  undecidedMaxMs: 3_600_000,
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
  let said: Said = { retryAfterMs: 0, answered: true };
  for (let failures = 0, early = 0; ; ) {
    const { answered, retryAfterMs } = said;
    const long = retryAfterMs > limits.retryAfterMs;
    if (long) early = answered ? early + 1 : Number.POSITIVE_INFINITY;
    const nextMs = Math.max(pauseMs, long ? limits.retryAfterMs : retryAfterMs);
    const late = performance.now() - startedMs + nextMs > limits.decisionMs;
    if (late || early > limits.earlyMax) {
      const laterMs = Math.max(pauseMs, retryAfterMs);
      throw new OrderError('ERR_ORDER_UNAVAILABLE', `${undecided}. It is asked again later.`, {
        retryAfterMs: answered ? Math.min(laterMs, limits.undecidedMaxMs) : laterMs,
        undecided: answered,
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
    said = { retryAfterMs: told.retryAfterMs ?? 0, answered: 'value' in told };
    pauseMs = Math.min(pauseMs * 2, limits.longestPauseMs);
  }
}

interface Said {
  readonly retryAfterMs: number;
  /** It was asked and told how things are; else it could not be asked, or would not tell. */
  readonly answered: boolean;
}

function isPassing(error: unknown): error is OrderError {
  return error instanceof OrderError && error.code === 'ERR_ORDER_UNAVAILABLE';
}
