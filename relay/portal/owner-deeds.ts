// What an owner can do, once for the API and the pages: reads what is typed, and does the deed, of which
// those whom it concerns are told by mail (owner-notices.ts).
import { type DeviceName, deviceNameFault, parseDeviceName } from '../../dns/name.ts';
import type { By } from '../registry/actor.ts';
import { also, type Deed } from '../registry/deed.ts';
import { type ApprovalOutcome, approveClaim } from '../registry/deeds/approve-claim.ts';
import { type Claim, denyClaim, findClaim } from '../registry/deeds/claim.ts';
import { type EndedRecovery, vetoRecovery, withdrawRecovery } from '../registry/deeds/recovery.ts';
import { release } from '../registry/deeds/release.ts';
import { type Renamed, rename } from '../registry/deeds/rename.ts';
import {
  acceptTransfer,
  type OfferReceipt,
  offerTransfer,
  withdrawTransfer,
} from '../registry/deeds/transfer.ts';
import type { Registry } from '../registry/registry.ts';
import { type SecretLetter, type Sender, transferOfferedLetter } from './letters.ts';
import type { OwnerNotices } from './owner-notices.ts';
import { ProblemError, problem } from './problem.ts';
import { RequestBudget } from './request-budget.ts';

const DEED_LIMITS = {
  /** Each is a letter to an address that somebody typed; more would make the portal a sender of spam. */
  offersPerHour: 10,
} as const;

const HOUR_MS = 3_600_000;

export interface DeedParts {
  readonly registry: Registry;
  readonly sender: () => Sender;
  readonly notices: OwnerNotices;
  /** Sends a letter that is not to be stored; nothing where there is no mail server. */
  readonly send: (letter: SecretLetter) => void;
}

/** Who types a code, and from where. */
export interface Typist {
  readonly ownerId: string;
  readonly from: string;
}

export class OwnerDeeds {
  readonly #parts: DeedParts;
  readonly #offers = new RequestBudget();

  constructor(parts: DeedParts) {
    this.#parts = parts;
  }

  async lookAtClaim({ ownerId, from }: Typist, code: string): Promise<Claim> {
    const found = await this.#parts.registry.perform(findClaim({ code, ownerId, from }));
    if (found.kind === 'wrong-code') throw WRONG_CODE;
    return found.claim;
  }

  async approve(
    { ownerId, from }: Typist,
    code: string,
    name: string,
  ): Promise<Exclude<ApprovalOutcome, { kind: 'wrong-code' }>> {
    const approval = { code, ownerId, from, name: deviceName(name) };
    const { registry, notices } = this.#parts;
    const deed = also(approveClaim(approval), (done) =>
      done.kind === 'recovering' && done.isNew
        ? [notices.recoveryBegun(ownerId, { ...done, delayMs: registry.policy.recoveryDelayMs })]
        : [],
    );
    const outcome = await registry.perform(deed);
    if (outcome.kind === 'wrong-code') throw WRONG_CODE;
    return outcome;
  }

  async deny({ ownerId, from }: Typist, code: string): Promise<void> {
    const outcome = await this.#parts.registry.perform(denyClaim({ code, ownerId, from }));
    if (outcome.kind === 'wrong-code') throw WRONG_CODE;
  }

  async rename(ownerId: string, name: string, to: string): Promise<Renamed> {
    const former = deviceName(name);
    const { registry, notices } = this.#parts;
    const deed = rename({ name: former, to: deviceName(to), by: owner(ownerId) });
    return registry.perform(also(deed, (renamed) => [notices.renamed(former, renamed)]));
  }

  /** `confirmed`: the name once more, typed by the person. */
  async release(ownerId: string, name: string, confirmed: string): Promise<void> {
    const released = deviceName(name);
    if (confirmed.trim().toLowerCase() !== released) throw NOT_CONFIRMED;
    await this.#parts.registry.perform(release({ name: released, by: owner(ownerId) }));
  }

  async offer(ownerId: string, name: string, toEmail: string): Promise<OfferReceipt> {
    const spent = this.#offers.spend(ownerId, HOUR_MS);
    if (spent.current > DEED_LIMITS.offersPerHour) throw tooManyOffers(spent.ttl);
    const offered = { name: deviceName(name), by: owner(ownerId), toEmail };
    const receipt = await this.#parts.registry.perform(offerTransfer(offered));
    const { send, sender } = this.#parts;
    send(transferOfferedLetter(sender(), toEmail, { ...receipt, name: offered.name }));
    return receipt;
  }

  async withdrawOffer(ownerId: string, name: string): Promise<void> {
    const by = owner(ownerId);
    await this.#parts.registry.perform(withdrawTransfer({ name: deviceName(name), by }));
  }

  /** Resolves with the name that is the owner's now. */
  async accept(ownerId: string, code: string): Promise<string> {
    const { registry, notices } = this.#parts;
    const deed = also(acceptTransfer({ code, ownerId }), (done) =>
      done.kind === 'wrong-code' ? [] : [notices.transferred(done.fromOwnerId, done.name)],
    );
    const outcome = await registry.perform(deed);
    if (outcome.kind === 'wrong-code') throw WRONG_CODE;
    return outcome.name;
  }

  async veto(ownerId: string, id: string): Promise<void> {
    await this.#endRecovery(ownerId, vetoRecovery({ id, by: owner(ownerId) }), 'vetoed');
  }

  async withdrawRecovery(ownerId: string, id: string): Promise<void> {
    await this.#endRecovery(ownerId, withdrawRecovery({ id, by: owner(ownerId) }), 'withdrawn');
  }

  async #endRecovery(
    ownerId: string,
    deed: Deed<EndedRecovery>,
    how: 'vetoed' | 'withdrawn',
  ): Promise<void> {
    const { registry, notices } = this.#parts;
    await registry.perform(
      also(deed, ({ name }) => [notices.recoveryEnded(ownerId, { name, how })]),
    );
  }
}

function tooManyOffers(waitMs: number): ProblemError {
  return new ProblemError({
    kind: 'too-many-offers',
    status: 429,
    detail: `You have offered names ${DEED_LIMITS.offersPerHour} times within an hour.`,
    next: 'Wait for the rest of the hour.',
    retryAfterSeconds: Math.ceil(waitMs / 1_000),
  });
}

function owner(ownerId: string): By {
  return { kind: 'owner', ownerId };
}

/** The name that was typed, or a problem that says what a name may be. */
export function deviceName(text: string): DeviceName {
  const parsed = parseDeviceName(text);
  if (parsed !== undefined) return parsed;
  const fault = deviceNameFault(text) ?? 'is no name';
  throw problem('bad-name', 422, `That name cannot be used: it ${fault}.`, 'Correct it.');
}

/** Wrong, expired, used, locked: which of them is not told. */
const WRONG_CODE = problem(
  'wrong-code',
  404,
  'This code is wrong, was used, or has expired.',
  'Compare it with what the device or the letter shows. After some wrong ones, wait for an hour.',
);

const NOT_CONFIRMED = problem(
  'not-confirmed',
  422,
  'The name was not typed once more, or differently. Nothing has changed.',
  'Type the name that you want to give up.',
);
