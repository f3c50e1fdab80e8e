// When a certificate is renewed. Pure: the same certificate, window and seed give the same time, so that a
// restart changes nothing, and certificates of one hour spread over a day.

/** When an authority wants a certificate to be renewed (RFC 9773). */
export interface RenewalWindow {
  readonly startMs: number;
  readonly endMs: number;
  /** When to ask again. */
  readonly retryAfterMs: number;
  /** Why it is another one than usual, for people. */
  readonly explanationUrl?: string;
}

const DAY_MS = 86_400_000;

export const RENEWAL_LIMITS = {
  /** Without a window: when so much of the life is over. Authorities choose the same. */
  usualPart: 2 / 3,
  /** Of certificates that live less than ten days, for what can go wrong takes as long as ever. */
  shortPart: 1 / 2,
  shortLifeMs: 10 * DAY_MS,
  /** To both sides of it, as a part of the life, by the seed. */
  spreadPart: 0.01,
  /** No window keeps us waiting longer than until so much of the life is over. */
  latestPart: 0.9,
  /**
   * Nor makes us renew what is younger: an authority whose windows are all over would make us order
   * for ever. With the hour that certificates are backdated it is one hour.
   */
  youngestMs: 2 * 3_600_000,
  youngestPart: 0.1,
  /** A window is not asked for without end, whatever the authority says, */
  checkMsMin: 60_000,
  /** but twice a day at least (RFC 9773, section 4.3.2), */
  checkMsMax: 12 * 3_600_000,
  /** and as often as Let's Encrypt says, where nothing is said. */
  checkMsUsual: 6 * 3_600_000,
} as const;

export interface Lifetime {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** In epoch milliseconds; it may be over already. The seed, 0 to below 1, belongs to the certificate. */
export function renewAtMs(
  { notBeforeMs, notAfterMs }: Lifetime,
  window: Pick<RenewalWindow, 'startMs' | 'endMs'> | undefined,
  seed: number,
): number {
  const lifeMs = Math.max(notAfterMs - notBeforeMs, 0);
  const { usualPart, shortPart, shortLifeMs, spreadPart, latestPart } = RENEWAL_LIMITS;
  if (window === undefined) {
    const part = lifeMs < shortLifeMs ? shortPart : usualPart;
    return Math.round(notBeforeMs + lifeMs * (part + spreadPart * (2 * seed - 1)));
  }
  const { youngestMs, youngestPart } = RENEWAL_LIMITS;
  const chosenMs = window.startMs + seed * (window.endMs - window.startMs);
  const earliestMs = notBeforeMs + Math.min(youngestMs, lifeMs * youngestPart);
  const latestMs = notBeforeMs + lifeMs * latestPart;
  return Math.round(Math.max(Math.min(chosenMs, latestMs), earliestMs));
}

/** How long until the authority is asked for the window again. */
export function windowCheckMs(window: RenewalWindow | undefined, seed: number): number {
  const { checkMsMin, checkMsMax, checkMsUsual } = RENEWAL_LIMITS;
  const wantedMs = window === undefined ? checkMsUsual : window.retryAfterMs;
  const boundedMs = Math.min(Math.max(wantedMs, checkMsMin), checkMsMax);
  // Not before the time that the authority has named, and not all at the same moment.
  return Math.min(Math.round(boundedMs * (1 + seed / 10)), checkMsMax);
}

/** End after start, and the start within the life of the certificate or before it. */
export function isSaneWindow(
  window: { readonly startMs: number; readonly endMs: number },
  { notAfterMs }: Lifetime,
): boolean {
  return window.endMs > window.startMs && window.startMs < notAfterMs;
}
