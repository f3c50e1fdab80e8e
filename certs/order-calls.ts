// What an order needs of the authority, one call each; every one of them rejects with an OrderError.
import type { AcmeAuthorization, AcmeChallenge, AcmeOrder } from './acme-answer.ts';
import type { OrderLimits, Told } from './order-wait.ts';

export interface OrderCalls {
  /** How the authority is called. */
  readonly name: string;
  readonly limits: OrderLimits;
  /** `replaces` is the ARI identifier of a certificate. */
  create(names: readonly string[], replaces: string | undefined): Promise<AcmeOrder>;
  order(url: string): Promise<Told<AcmeOrder>>;
  authorization(url: string): Promise<Told<AcmeAuthorization>>;
  /** What proves that a token was given to our account (RFC 8555, section 8.1). */
  keyAuthorization(token: string): Promise<string>;
  /** Tells the authority that it may look. */
  answer(challenge: AcmeChallenge): Promise<void>;
  deactivate(authorization: AcmeAuthorization): Promise<void>;
  finalize(order: AcmeOrder, csr: Buffer): Promise<AcmeOrder>;
  /** The chains that the authority offers for a valid order, its own choice first. */
  chains(order: AcmeOrder): Promise<readonly string[]>;
}
