// What an owner can do, once for the API and the pages: reads what is typed, does the deed, and tells by
// mail whom it concerns. What time has done (lapses.ts) is told by the same letters.
import { type DeviceName, deviceNameFault, parseDeviceName } from '../../dns/name.ts';
import type { DomainChange } from '../domains/report.ts';
import type { By } from '../registry/actor.ts';
import { type ApprovalOutcome, approveClaim } from '../registry/deeds/approve-claim.ts';
import { type Claim, denyClaim, findClaim } from '../registry/deeds/claim.ts';
import type { Lapsed } from '../registry/deeds/lapse.ts';
import { vetoRecovery, withdrawRecovery } from '../registry/deeds/recovery.ts';
import { release } from '../registry/deeds/release.ts';
import { type Renamed, rename } from '../registry/deeds/rename.ts';
import {
  acceptTransfer,
  type OfferReceipt,
  offerTransfer,
  withdrawTransfer,
} from '../registry/deeds/transfer.ts';
import { type ListedRecovery, listNames, listRecoveries } from '../registry/listings.ts';
import type { Registry } from '../registry/registry.ts';
import { ownerById } from '../registry/sign-in.ts';
import {
  domainLetter,
  type Letter,
  recoveryBegunLetter,
  recoveryEndedLetter,
  renamedLetter,
  type Sender,
  transferOfferedLetter,
  transferredLetter,
} from './letters.ts';
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
  /** Puts a letter into the post; nothing where there is none. */
  readonly send: (letter: Letter) => void;
}

/** Who types a code, and from where. */
export interface Typist {
  readonly ownerId: string;
  readonly from: string;
}

type Write = (sender: Sender, to: string) => Letter;

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
    const outcome = await this.#parts.registry.perform(approveClaim(approval));
    if (outcome.kind === 'wrong-code') throw WRONG_CODE;
    if (outcome.kind === 'recovering') {
      await this.#tell(ownerId, (sender, to) => recoveryBegunLetter(sender, to, outcome));
    }
    return outcome;
  }

  async deny({ ownerId, from }: Typist, code: string): Promise<void> {
    const outcome = await this.#parts.registry.perform(denyClaim({ code, ownerId, from }));
    if (outcome.kind === 'wrong-code') throw WRONG_CODE;
  }

  async rename(ownerId: string, name: string, to: string): Promise<Renamed> {
    const former = deviceName(name);
    const deed = rename({ name: former, to: deviceName(to), by: owner(ownerId) });
    const renamed = await this.#parts.registry.perform(deed);
    await this.#tell(ownerId, (sender, address) =>
      renamedLetter(sender, address, { ...renamed, former }),
    );
    return renamed;
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
    const { registry } = this.#parts;
    const outcome = await registry.perform(acceptTransfer({ code, ownerId }));
    if (outcome.kind === 'wrong-code') throw WRONG_CODE;
    const { name, fromOwnerId } = outcome;
    await this.#tell(fromOwnerId, (sender, to) => transferredLetter(sender, to, name));
    return name;
  }

  async veto(ownerId: string, id: string): Promise<void> {
    await this.#endRecovery(ownerId, id, 'vetoed');
  }

  async withdrawRecovery(ownerId: string, id: string): Promise<void> {
    await this.#endRecovery(ownerId, id, 'withdrawn');
  }

  /** Tells the owner of a name what its device has done. */
  async tellRenamed(former: string, renamed: Renamed): Promise<void> {
    await this.#tellHolder(renamed.name, (sender, to) =>
      renamedLetter(sender, to, { ...renamed, former }),
    );
  }

  async tellVetoed(name: string): Promise<void> {
    await this.#tellHolder(name, (sender, to) =>
      recoveryEndedLetter(sender, to, { name, how: 'vetoed' }),
    );
  }

  /** Tells the owner of a name what has become of its domain. */
  async tellDomain(change: DomainChange): Promise<void> {
    await this.#tellHolder(change.name, (sender, to) => domainLetter(sender, to, change));
  }

  /** Tells owners what time has done. */
  async tellLapsed(lapsed: readonly Lapsed[]): Promise<void> {
    for (const each of lapsed) {
      if (each.kind !== 'recovered' && each.kind !== 'recovery-withdrawn') continue;
      const how = each.kind === 'recovered' ? 'done' : 'withdrawn';
      await this.#tell(each.ownerId, (sender, to) =>
        recoveryEndedLetter(sender, to, { name: each.name, how }),
      );
    }
  }

  async #endRecovery(ownerId: string, id: string, how: 'vetoed' | 'withdrawn'): Promise<void> {
    const { registry } = this.#parts;
    const waiting = await registry.read(listRecoveries({ ownerId }));
    const recovery = waiting.find((each: ListedRecovery) => each.id === id);
    const deed = { id, by: owner(ownerId) };
    await registry.perform(how === 'vetoed' ? vetoRecovery(deed) : withdrawRecovery(deed));
    if (recovery === undefined) return;
    const { name } = recovery;
    await this.#tell(ownerId, (sender, to) => recoveryEndedLetter(sender, to, { name, how }));
  }

  async #tellHolder(name: string, write: Write): Promise<void> {
    const listed = this.#parts.registry.read(listNames({ name, limit: 1 }));
    const [row] = await listed.catch(() => []);
    if (row?.ownerId !== undefined) await this.#tell(row.ownerId, write);
  }

  /** The deed is done; whether the owner can be told changes nothing of that. */
  async #tell(ownerId: string, write: Write): Promise<void> {
    const { registry, sender, send } = this.#parts;
    const found = await registry.read(ownerById(ownerId)).catch(() => undefined);
    if (found?.email !== undefined) send(write(sender(), found.email));
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
