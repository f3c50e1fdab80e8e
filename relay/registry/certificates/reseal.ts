// Puts every sealed text of the registry under the envelope's present key, after another one was put at
// the head of its file. In short transactions, beside all other work; broken off anywhere it is begun
// again, and does only what is left.
import { setImmediate } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import { type Envelope, EnvelopeError } from '../../../certs/envelope.ts';
import type { RegistryWork, RegistryWrite } from '../database.ts';
import type { RegistryTables } from '../schema.ts';
import { aboutAccount, aboutCertificate } from './sealed-about.ts';

export const RESEAL_LIMITS = {
  /** Texts of one transaction: some hundredths of a second. */
  batch: 200,
} as const;

export interface Resealed {
  readonly resealed: number;
  /** Those that do not open: `certificate alice.vendor.dev`. They are left as they are. */
  readonly lost: readonly string[];
}

export async function resealAll(write: RegistryWrite, envelope: Envelope): Promise<Resealed> {
  let resealed = 0;
  const lost: string[] = [];
  // The key of an order becomes that of a certificate: in this order, it is met in one place or the other.
  for (const store of [orderKeys, certificateKeys, accountKeys]) {
    for (let after: string | undefined = ''; after !== undefined; ) {
      const batch: Batch = await write(resealBatch(store, envelope, after));
      resealed += batch.resealed;
      lost.push(...batch.lost);
      after = batch.last;
      // Nothing of SQLite waits, so others have a turn only when they are given one.
      await setImmediate();
    }
  }
  return { resealed, lost };
}

type Db = Kysely<RegistryTables>;

interface SealedText {
  /** Where it is, as `after` of the next batch. */
  readonly at: string;
  readonly about: string;
  readonly sealed: string;
  /** Exchanges it, unless somebody has changed it or wiped it meanwhile. */
  replace(db: Db, resealed: string): Promise<unknown>;
}

/** The next batch of texts of one kind, in the order of their places. */
type TextStore = (db: Db, after: string) => Promise<readonly SealedText[]>;

interface Batch extends Resealed {
  /** `undefined`: it was the last. */
  readonly last: string | undefined;
}

function resealBatch(store: TextStore, envelope: Envelope, after: string): RegistryWork<Batch> {
  return async (db) => {
    const texts = await store(db, after);
    const lost: string[] = [];
    let resealed = 0;
    for (const { about, sealed, replace } of texts) {
      if (envelope.isCurrent(sealed)) continue;
      const fresh = resealOne(envelope, sealed, about);
      if (fresh === undefined) lost.push(about);
      else {
        await replace(db, fresh);
        resealed += 1;
      }
    }
    return { resealed, lost, last: lastOf(texts) };
  };
}

function resealOne(envelope: Envelope, sealed: string, about: string): string | undefined {
  try {
    return envelope.reseal(sealed, about);
  } catch (error) {
    if (error instanceof EnvelopeError) return undefined;
    throw error;
  }
}

function lastOf(texts: readonly SealedText[]): string | undefined {
  return texts.length < RESEAL_LIMITS.batch ? undefined : texts.at(-1)?.at;
}

const certificateKeys: TextStore = async (db, after) => {
  const rows = await db
    .selectFrom('certificates')
    .select(['id', 'subject', 'key'])
    .where('id', '>', Number(after))
    .where('key', 'is not', null)
    .orderBy('id')
    .limit(RESEAL_LIMITS.batch)
    .execute();
  return rows.map(({ id, subject, key }) => ({
    at: String(id),
    about: aboutCertificate(subject),
    sealed: key ?? '',
    replace: (inside, resealed) =>
      inside
        .updateTable('certificates')
        .set({ key: resealed })
        .where('id', '=', id)
        .where('key', '=', key)
        .execute(),
  }));
};

/** By subject: of one there are two rows at most that have a key, and both are in the same batch. */
const orderKeys: TextStore = async (db, after) => {
  const rows = await db
    .selectFrom('certificate_work')
    .select(['purpose', 'subject', 'thumbprint', 'order_key'])
    .where('order_key', 'is not', null)
    .where('subject', '>', after)
    .orderBy('subject')
    .limit(RESEAL_LIMITS.batch)
    .execute();
  return rows.map(({ order_key: key, ...row }) => ({
    at: row.subject,
    about: aboutCertificate(row.subject),
    sealed: key ?? '',
    replace: (inside, resealed) =>
      inside
        .updateTable('certificate_work')
        .set({ order_key: resealed })
        .where((eb) => eb.and(row))
        .where('order_key', '=', key)
        .execute(),
  }));
};

const accountKeys: TextStore = async (db, after) => {
  const rows = await db
    .selectFrom('ca_accounts')
    .select(['directory', 'key'])
    .where('directory', '>', after)
    .orderBy('directory')
    .limit(RESEAL_LIMITS.batch)
    .execute();
  return rows.map(({ directory, key }) => ({
    at: directory,
    about: aboutAccount(directory),
    sealed: key,
    replace: (inside, resealed) =>
      inside
        .updateTable('ca_accounts')
        .set({ key: resealed })
        .where('directory', '=', directory)
        .where('key', '=', key)
        .execute(),
  }));
};
