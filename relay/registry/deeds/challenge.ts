// TXT values at `_acme-challenge`, by which a certificate authority sees that a name is ours to prove.
// Orders overlap (a name and its wildcard, two authorities, a renewal beside a first order), so each
// value has a token of its own, is taken away by that alone, and ends by itself.
import { parseDeviceName, parseHostname, parseWorkspaceName } from '../../../dns/name.ts';
import type { Deed, DeedScope } from '../deed.ts';
import { RegistryError } from '../registry-error.ts';
import { hashToken, makeToken } from '../secret.ts';
import { isPublished } from '../zone-labels.ts';
import { readZone } from '../zone-publication.ts';
import { labelOf, ZONE_CHALLENGE } from '../zone-records.ts';

export const CHALLENGE_LIMITS = {
  /** At one owner: two orders of two authorities, each with two values, and some to spare. */
  valuesMax: 10,
  /** Of all: what a vendor with a million devices renews within an hour, several times over. */
  rowsMax: 20_000,
  /** A SHA-256 in base64url has 43; other methods are not much longer. */
  valueCharsMax: 128,
  /** An order takes seconds; a value that ends before it is looked at costs a failed order. */
  ttlMinMs: 60_000,
  /** No authority takes longer to look. */
  ttlMaxMs: 86_400_000,
  /** Expired values of one transaction, so that it stays short. */
  expiredMax: 500,
} as const;

export interface Challenge {
  /** Relative to the zone: `_acme-challenge.alice`, `_acme-challenge.code.alice`, `_acme-challenge`. */
  readonly owner: string;
  readonly value: string;
  readonly ttlMs: number;
}

export function publishChallenge({
  owner: given,
  value,
  ttlMs,
}: Challenge): Deed<{ readonly token: string }> {
  return async (scope) => {
    const { db, nowMs, touch } = scope;
    // Judged before any change of case: U+212A is a `k` afterwards.
    if (!/^[\w.-]+$/.test(given)) throw notAnOwner();
    const owner = given.toLowerCase();
    const label = await judge(scope, owner);
    judgeValue(value, ttlMs);
    const { text: token, hash } = makeToken();
    await assertRoom(scope, owner);
    await db
      .insertInto('challenges')
      .values({
        token_hash: hash,
        owner,
        label,
        value,
        set_at: nowMs,
        expires_at: nowMs + ttlMs,
      })
      .execute();
    touch(label);
    return { token };
  };
}

export function withdrawChallenge({
  token,
}: {
  readonly token: string;
}): Deed<'withdrawn' | 'unknown'> {
  return async ({ db, touch }) => {
    const row = await db
      .deleteFrom('challenges')
      .where('token_hash', '=', hashToken(token))
      .returning('label')
      .executeTakeFirst();
    if (row === undefined) return 'unknown';
    touch(row.label);
    return 'withdrawn';
  };
}

/** Takes away what has expired; returns how many. The same again until it is fewer than a batch. */
export function expireChallenges(): Deed<number> {
  return async ({ db, nowMs, touch }) => {
    const rows = await db
      .selectFrom('challenges')
      .select(['token_hash', 'label'])
      .where('expires_at', '<=', nowMs)
      .limit(CHALLENGE_LIMITS.expiredMax)
      .execute();
    if (rows.length === 0) return 0;
    const hashes = rows.map((row) => row.token_hash);
    await db.deleteFrom('challenges').where('token_hash', 'in', hashes).execute();
    for (const { label } of rows) touch(label);
    return rows.length;
  };
}

/** The label whose text it becomes part of; throws unless the owner is below something published. */
async function judge({ db }: DeedScope, owner: string): Promise<string> {
  const zone = await readZone(db);
  if (zone === undefined) throw refused('No name server has published the zone yet. Start one.');
  if (owner === ZONE_CHALLENGE) return ZONE_CHALLENGE;
  const prefix = `${ZONE_CHALLENGE}.`;
  const subject = owner.startsWith(prefix) ? owner.slice(prefix.length) : '';
  const label = labelOf(subject);
  const fits =
    isSubject(subject, label) && parseHostname(`${subject}.${zone.settings.zone}`) !== undefined;
  if (!fits || !(await isPublished(db, zone.settings, label))) throw notAnOwner();
  return label;
}

function notAnOwner(): RegistryError {
  return refused(
    'The owner of a challenge is _acme-challenge in front of a name that is held, of one of its ' +
      'workspaces, or of a host of the vendor. Check the name.',
  );
}

/** Deeper names cannot have a certificate of ours: nothing is ever there. */
function isSubject(subject: string, label: string): boolean {
  if (subject === '' || subject === label) return subject !== '';
  const below = subject.slice(0, -label.length - 1);
  if (parseDeviceName(label) === undefined) return false;
  return below === 'lan' || parseWorkspaceName(below) !== undefined || isPortForm(below);
}

/** `8080--code` */
function isPortForm(label: string): boolean {
  const [port = '', workspace = '', ...rest] = label.split('--');
  const isPort = /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535;
  return isPort && rest.length === 0 && parseWorkspaceName(workspace) !== undefined;
}

function judgeValue(value: string, ttlMs: number): void {
  const { valueCharsMax, ttlMinMs, ttlMaxMs } = CHALLENGE_LIMITS;
  if (!/^[A-Za-z0-9_-]+$/.test(value) || value.length > valueCharsMax) {
    throw refused(`A value has 1 to ${valueCharsMax} characters of base64url. Check the value.`);
  }
  if (!(ttlMs >= ttlMinMs && ttlMs <= ttlMaxMs)) {
    throw refused(`A value lives for ${ttlMinMs} to ${ttlMaxMs} ms. Choose a time between.`);
  }
}

async function assertRoom({ db }: DeedScope, owner: string): Promise<void> {
  const { valuesMax, rowsMax } = CHALLENGE_LIMITS;
  const count = db.selectFrom('challenges').select(db.fn.countAll().as('rows'));
  const { rows } = await count
    .where('label', '=', labelOf(owner))
    .where('owner', '=', owner)
    .executeTakeFirstOrThrow();
  if (Number(rows) >= valuesMax) {
    throw refused(
      `${owner} has ${valuesMax} values already. Withdraw one, or wait until they end.`,
    );
  }
  const all = await count.executeTakeFirstOrThrow();
  if (Number(all.rows) < rowsMax) return;
  throw new RegistryError(
    'ERR_REGISTRY_BUSY',
    `There are ${rowsMax} challenges already. Try again when some have ended.`,
  );
}

function refused(message: string): RegistryError {
  return new RegistryError('ERR_CHALLENGE_REFUSED', message);
}
