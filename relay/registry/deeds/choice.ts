// Whether somebody may choose a name: the vendor's words, names that look like somebody else's, and
// how many one may have.
import { type DeviceName, RESERVED_NAMES } from '../../../dns/name.ts';
import type { DeedScope } from '../deed.ts';
import { RegistryError } from '../registry-error.ts';
import { looksLike, skeletonOf } from '../skeleton.ts';
import { isOwn, type Taker } from './tenure.ts';

export const CHOICE_LIMITS = {
  /**
   * Names of one owner, quarantined ones included, or else releasing would make room for hoarding. A
   * household or a small firm has a few dozen devices; fleets are ordered by the operator, who has none.
   */
  namesMax: 100,
  /** `lan` and `ftp` mean something to programs, which read exactly; `ian` is a person. */
  reservedLookCharsMin: 4,
} as const;

export interface Choice {
  readonly name: DeviceName;
  readonly taker: Taker;
  /** The operator has looked at it himself. */
  readonly allowLookalike?: boolean | undefined;
}

/** Refuses names that readers would take for the vendor's, or for those of somebody else. */
export async function assertChoosable(
  { db, nowMs, policy }: DeedScope,
  { name, taker, allowLookalike = false }: Choice,
): Promise<void> {
  if (allowLookalike) return;
  const brand = policy.brands.find((word) => looksLike(name, word));
  if (brand !== undefined) {
    const message = `The name ${name} has a word of the vendor's (${brand}). Choose another name.`;
    throw new RegistryError('ERR_NAME_RESERVED', message);
  }
  const skeleton = skeletonOf(name);
  const reserved = RESERVED_LOOKS.get(skeleton);
  if (reserved !== undefined) throw lookalike(name, `the reserved name ${reserved}`);
  const others = await db
    .selectFrom('names')
    .select(['name', 'thumbprint', 'owner_id', 'until'])
    .where('skeleton', '=', skeleton)
    .where('name', '!=', name)
    .where('state', '!=', 'quarantined')
    .execute();
  const other = others.find((row) => (row.until ?? Infinity) > nowMs && !isOwn(row, taker));
  if (other !== undefined) throw lookalike(name, 'a name that somebody else has');
}

/** Refuses one more name to an owner who has as many as are allowed. */
export async function assertRoom({ db }: DeedScope, ownerId: string): Promise<void> {
  const { names } = await db
    .selectFrom('names')
    .select(db.fn.countAll().as('names'))
    .where('owner_id', '=', ownerId)
    .executeTakeFirstOrThrow();
  if (Number(names) < CHOICE_LIMITS.namesMax) return;
  throw new RegistryError(
    'ERR_TOO_MANY_NAMES',
    `You have ${CHOICE_LIMITS.namesMax} names, with those that you released lately. Release some ` +
      'and wait for the end of their quarantine, or ask the operator for an order.',
  );
}

const RESERVED_LOOKS: ReadonlyMap<string, string> = new Map(
  [...RESERVED_NAMES]
    .filter((word) => word.length >= CHOICE_LIMITS.reservedLookCharsMin)
    .map((word) => [skeletonOf(word), word]),
);

function lookalike(name: DeviceName, what: string): RegistryError {
  return new RegistryError(
    'ERR_NAME_LOOKALIKE',
    `The name ${name} looks too much like ${what}. Choose one that nobody can mistake for it.`,
  );
}
