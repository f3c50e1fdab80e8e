// Every sealed text of the registry (certs/envelope.ts), wherever it lies: the keys of orders, those of
// certificates, and those of accounts. Gone through in short transactions, beside all other work.
import { setImmediate } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import type { RegistryWork, RegistryWrite } from '../database.ts';
import type { RegistryTables } from '../schema.ts';
import { aboutAccount, aboutCertificate } from './sealed-about.ts';
import { NO_LEASE, NO_ORDER, URGENCY } from './work.ts';

export const SEALED_TEXT_LIMITS = {
  /** Texts of one transaction: some hundredths of a second. */
  batch: 200,
} as const;

type Db = Kysely<RegistryTables>;

export interface SealedText {
  /** Where it is, as `after` of the next batch. */
  readonly at: string;
  readonly about: string;
  readonly sealed: string;
  /** Exchanges it, unless somebody has changed it or wiped it meanwhile. */
  replace(db: Db, resealed: string): Promise<unknown>;
  /** Drops it, and what is worth nothing without it; what it was for is due. False: it has changed. */
  forget(db: Db, nowMs: number): Promise<boolean>;
}

/** The next batch of texts of one kind, in the order of their places. */
export type TextStore = (db: Db, after: string) => Promise<readonly SealedText[]>;

/** What `work` makes of each text of a kind; the work of a batch is one transaction, and may run again. */
export async function ofEachText<Value>(
  write: RegistryWrite,
  store: TextStore,
  work: (db: Db, text: SealedText) => Promise<Value | undefined>,
): Promise<readonly Value[]> {
  const all: Value[] = [];
  for (let after: string | undefined = ''; after !== undefined; ) {
    const batch: Batch<Value> = await write(batchAfter(after, store, work));
    all.push(...batch.values);
    after = batch.last;
    // Nothing of SQLite waits, so others have a turn only when they are given one.
    await setImmediate();
  }
  return all;
}

interface Batch<Value> {
  readonly values: readonly Value[];
  /** `undefined`: it was the last. */
  readonly last: string | undefined;
}

function batchAfter<Value>(
  after: string,
  store: TextStore,
  work: (db: Db, text: SealedText) => Promise<Value | undefined>,
): RegistryWork<Batch<Value>> {
  return async (db) => {
    const texts = await store(db, after);
    const values: Value[] = [];
    for (const text of texts) {
      const value = await work(db, text);
      if (value !== undefined) values.push(value);
    }
    const last = texts.length < SEALED_TEXT_LIMITS.batch ? undefined : texts.at(-1)?.at;
    return { values, last };
  };
}

/** Of those that were issued and not replaced. */
export const certificateKeys: TextStore = async (db, after) => {
  const rows = await db
    .selectFrom('certificates')
    .select(['id', 'purpose', 'subject', 'thumbprint', 'key'])
    .where('id', '>', Number(after))
    .where('key', 'is not', null)
    .orderBy('id')
    .limit(SEALED_TEXT_LIMITS.batch)
    .execute();
  return rows.map(({ id, key, ...work }) => ({
    at: String(id),
    about: aboutCertificate(work.subject),
    sealed: key ?? '',
    replace: (inside, resealed) =>
      inside
        .updateTable('certificates')
        .set({ key: resealed })
        .where('id', '=', id)
        .where('key', '=', key)
        .execute(),
    async forget(inside, nowMs) {
      const wiped = await inside
        .updateTable('certificates')
        .set((eb) => ({
          ...{ key: null, window_due_at: null },
          replaced_at: eb.fn.coalesce('replaced_at', eb.val(nowMs)),
        }))
        .where('id', '=', id)
        .where('key', '=', key)
        .returning('id')
        .executeTakeFirst();
      if (wiped === undefined) return false;
      await orderAnew(inside, { ...work, certificate_id: id }, nowMs);
      return true;
    },
  }));
};

/** An order that is under way for it already goes on. */
async function orderAnew(
  db: Db,
  row: Pick<
    RegistryTables['certificate_work'],
    'purpose' | 'subject' | 'thumbprint' | 'certificate_id'
  >,
  nowMs: number,
): Promise<void> {
  await db
    .updateTable('certificate_work')
    .set((eb) => ({
      urgency: eb
        .case()
        .when('urgency', '<', URGENCY.absent)
        .then(eb.ref('urgency'))
        .else(URGENCY.absent)
        .end(),
      // It is told to nobody as what the next one replaces: that would be another account's.
      ...{ certificate_id: null, due_at: nowMs },
      ...{ attempts: 0, last_error: null, last_error_at: null },
    }))
    .where((eb) => eb.and(row))
    .execute();
}

/** By subject: of one there are two rows at most that have a key, and both are in the same batch. */
export const orderKeys: TextStore = async (db, after) => {
  const rows = await db
    .selectFrom('certificate_work')
    .select(['purpose', 'subject', 'thumbprint', 'order_key'])
    .where('order_key', 'is not', null)
    .where('subject', '>', after)
    .orderBy('subject')
    .limit(SEALED_TEXT_LIMITS.batch)
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
    async forget(inside, nowMs) {
      const dropped = await inside
        .updateTable('certificate_work')
        .set((eb) => ({ ...withoutOrder(nowMs), fence: eb('fence', '+', 1) }))
        .where((eb) => eb.and(row))
        .where('order_key', '=', key)
        .returning('fence')
        .executeTakeFirst();
      return dropped !== undefined;
    },
  }));
};

/** As a row is whose order was dropped. Whoever works on it has lost it; another is begun now. */
export function withoutOrder(nowMs: number) {
  return {
    ...{ ...NO_ORDER, ...NO_LEASE, due_at: nowMs },
    ...{ attempts: 0, last_error: null, last_error_at: null },
  };
}

export const accountKeys: TextStore = async (db, after) => {
  const rows = await db
    .selectFrom('ca_accounts')
    .select(['directory', 'key'])
    .where('directory', '>', after)
    .orderBy('directory')
    .limit(SEALED_TEXT_LIMITS.batch)
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
    async forget(inside) {
      const dropped = await inside
        .deleteFrom('ca_accounts')
        .where('directory', '=', directory)
        .where('key', '=', key)
        .returning('directory')
        .executeTakeFirst();
      return dropped !== undefined;
    },
  }));
};
