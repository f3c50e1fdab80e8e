// Who signs in: owners, and the identities that prove them. Each function is the queries of one
// transaction (`registry.write`, `registry.read`); several may run at once, so of two that make the same
// identity the table's key decides.
import type { Kysely } from 'kysely';
import type { RegistryWork } from './database.ts';
import { RegistryError } from './registry-error.ts';
import type { RegistryTables } from './schema.ts';
import { makeId } from './secret.ts';

/** The issuer of identities that are a mail address, proven by a link that was sent there. */
export const MAIL_ISSUER = 'mailto';

export interface Owner {
  readonly id: string;
  /** Where he is told of what happens to his names. Only `identities` say which address is his. */
  readonly email: string | undefined;
  readonly createdAtMs: number;
}

export interface SignIn {
  /** `mailto`, or the issuer of an OIDC provider. */
  readonly issuer: string;
  readonly subject: string;
  readonly email?: string;
  /** The provider says that it has checked the address; with `mailto` the link has. */
  readonly emailVerified?: boolean;
  /** The vendor believes it: the address then is an identity of the owner as well. */
  readonly trustedForMail?: boolean;
  readonly nowMs: number;
}

type Db = Kysely<RegistryTables>;

/**
 * The owner of an identity, made at its first sign-in. An OIDC identity that is new becomes one of an
 * owner who has its mail address only when the vendor trusts the provider with addresses.
 */
export function signIn(input: SignIn): RegistryWork<Owner> {
  return async (db) => {
    const { issuer, nowMs } = input;
    const isMail = issuer === MAIL_ISSUER;
    const subject = isMail ? mailSubject(input.subject) : input.subject;
    const email = isMail ? subject : believedMail(input);
    const proven = isMail || input.trustedForMail === true ? email : undefined;
    const ownerId =
      (await identityOwner(db, issuer, subject)) ??
      (proven === undefined ? undefined : await identityOwner(db, MAIL_ISSUER, proven)) ??
      (await makeOwner(db, nowMs));
    const winner = await addIdentity(db, { issuer, subject, owner_id: ownerId, added_at: nowMs });
    if (winner !== ownerId) await dropOwner(db, ownerId);
    if (proven !== undefined && !isMail) await addFirstMail(db, winner, { proven, nowMs });
    if (email !== undefined) await setMail(db, winner, email);
    return found(await ownerById(winner)(db), winner);
  };
}

export function ownerById(id: string): RegistryWork<Owner | undefined> {
  return async (db) => {
    const row = await db.selectFrom('owners').selectAll().where('id', '=', id).executeTakeFirst();
    if (row === undefined) return undefined;
    return { id: row.id, email: row.email ?? undefined, createdAtMs: row.created_at };
  };
}

/** How an address is stored and compared. Mailboxes that differ in case only are one in practice. */
export function mailSubject(address: string): string {
  return address.trim().toLowerCase();
}

function believedMail({ email, emailVerified }: SignIn): string | undefined {
  return email !== undefined && emailVerified === true ? mailSubject(email) : undefined;
}

async function identityOwner(db: Db, issuer: string, subject: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('identities')
    .select('owner_id')
    .where('issuer', '=', issuer)
    .where('subject', '=', subject)
    .executeTakeFirst();
  return row?.owner_id;
}

async function makeOwner(db: Db, nowMs: number): Promise<string> {
  const id = makeId();
  await db.insertInto('owners').values({ id, email: null, created_at: nowMs }).execute();
  return id;
}

/** The owner of the identity afterwards: another one, if he was first. */
async function addIdentity(db: Db, row: RegistryTables['identities']): Promise<string> {
  const { issuer, subject } = row;
  await db
    .insertInto('identities')
    .values(row)
    .onConflict((conflict) => conflict.columns(['issuer', 'subject']).doNothing())
    .execute();
  return found(await identityOwner(db, issuer, subject), subject);
}

/** An owner who was made for nothing. */
async function dropOwner(db: Db, id: string): Promise<void> {
  await db
    .deleteFrom('owners')
    .where('id', '=', id)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('identities').select('subject').where('owner_id', '=', id))),
    )
    .execute();
}

/** Later addresses are not added: the mailbox of an older one may be somebody else's by now. */
async function addFirstMail(
  db: Db,
  owner_id: string,
  { proven, nowMs }: { readonly proven: string; readonly nowMs: number },
): Promise<void> {
  const known = await db
    .selectFrom('identities')
    .select('subject')
    .where('owner_id', '=', owner_id)
    .where('issuer', '=', MAIL_ISSUER)
    .executeTakeFirst();
  if (known !== undefined) return;
  await addIdentity(db, { issuer: MAIL_ISSUER, subject: proven, owner_id, added_at: nowMs });
}

async function setMail(db: Db, id: string, email: string): Promise<void> {
  await db.updateTable('owners').set({ email }).where('id', '=', id).execute();
}

/** A row that this transaction has just seen. */
function found<Value>(value: Value | undefined, id: string): Value {
  if (value !== undefined) return value;
  throw new RegistryError('ERR_OWNER_UNKNOWN', `There is no owner ${id} any more. Sign in again.`);
}
