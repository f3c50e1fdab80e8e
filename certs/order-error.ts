// Why a certificate could not be ordered, as the one who decides what comes next needs it. The message is
// a sentence for a person and holds what the authority said, printable and bounded.

export type OrderErrorCode =
  /** Too much was asked of it; the order lives. */
  | 'ERR_ORDER_RATE_LIMITED'
  /** It is away, busy, or does not speak ACME; the order lives. */
  | 'ERR_ORDER_UNAVAILABLE'
  /** It will not do this, today or tomorrow, unless somebody changes something. */
  | 'ERR_ORDER_REFUSED'
  /** This order is dead: begin another one. */
  | 'ERR_ORDER_INVALID'
  /** What came does not fit the key or the names; the order is used up. */
  | 'ERR_ORDER_CHAIN'
  /** The proof could not be shown by us; the order lives. */
  | 'ERR_ORDER_PROOF';

export interface OrderErrorFacts {
  /** The authority's own type of it: `urn:ietf:params:acme:error:caa`. */
  readonly problem?: string | undefined;
  /** Before that time has passed, it need not be asked again. */
  readonly retryAfterMs?: number | undefined;
  /** Of the names of the order, the one it is about. */
  readonly hostname?: string | undefined;
  /** Of the answer in HTTP; absent when there was none. */
  readonly status?: number | undefined;
  /** It is there and answers, and has not made up its mind. */
  readonly undecided?: boolean;
  readonly cause?: unknown;
}

export class OrderError extends Error {
  override readonly name = 'OrderError';
  readonly code: OrderErrorCode;
  readonly problem: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly hostname: string | undefined;
  readonly status: number | undefined;
  readonly undecided: boolean;

  constructor(code: OrderErrorCode, message: string, facts: OrderErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.problem = facts.problem;
    this.retryAfterMs = facts.retryAfterMs;
    this.hostname = facts.hostname;
    this.status = facts.status;
    this.undecided = facts.undecided ?? false;
  }

  /** The certificate that this one should replace has been replaced before (RFC 9773, section 5). */
  get alreadyReplaced(): boolean {
    return this.problem === 'urn:ietf:params:acme:error:alreadyReplaced';
  }
}
