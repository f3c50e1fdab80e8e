// What the vendor decides about names: how long each state lasts, and which words are his alone.
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export interface NamePolicy {
  /** How long a renamed device's old name stays its owner's and answers with a redirect. */
  readonly renameGraceMs: number;
  /** How long a released name is nobody's, at least. */
  readonly quarantineMs: number;
  /** How long the old device and the owner can veto that a name goes to a new key. */
  readonly recoveryDelayMs: number;
  /** How long the short code that a device shows can be confirmed. */
  readonly claimTtlMs: number;
  /** How long the code of an order can be redeemed. */
  readonly orderTtlMs: number;
  /** How long an offered name can be accepted. */
  readonly transferTtlMs: number;
  /** Words of the vendor that no name of another may look like. */
  readonly brands: readonly string[];
}

export const NAME_POLICY: NamePolicy = {
  /** Bookmarks that are used at least monthly learn the new name by themselves. */
  renameGraceMs: 30 * DAY_MS,
  /**
   * As long as a certificate can live, so nobody can imitate the next owner: those of the relay are not
   * served any more, but a device keeps its own key. Where one of its certificates ends later than
   * this, the quarantine lasts as long (deeds/device-certificates.ts).
   */
  quarantineMs: 90 * DAY_MS,
  /** Whoever looks at his mail or his device once a day can still object. */
  recoveryDelayMs: DAY_MS,
  /** A person stands before the device; a code of 40 bits must not live longer than that. */
  claimTtlMs: HOUR_MS / 4,
  /** Devices lie in a shop's store for months before somebody starts them. */
  orderTtlMs: 365 * DAY_MS,
  /** Mail is read within a week, or not at all. */
  transferTtlMs: 7 * DAY_MS,
  brands: [],
};
