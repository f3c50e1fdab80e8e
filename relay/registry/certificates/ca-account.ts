// Accounts at certificate authorities, one per directory, shared by all relays of a registry.
import type { RegistryWork } from '../database.ts';

export interface CaAccount {
  /** Sealed. */
  readonly key: string;
  /** `undefined`: the authority has not told it yet. */
  readonly url: string | undefined;
}

export function readAccount(directory: string): RegistryWork<CaAccount | undefined> {
  return async (db) => {
    const row = await db
      .selectFrom('ca_accounts')
      .select(['key', 'url'])
      .where('directory', '=', directory)
      .executeTakeFirst();
    return row && { key: row.key, url: row.url ?? undefined };
  };
}

/**
 * Keeps a key, and what the authority calls its account. Whoever is first decides: what is returned is
 * what everybody uses. With the key that is kept already, its account is added.
 */
export function keepAccount(
  directory: string,
  { key, url, nowMs = Date.now() }: Pick<CaAccount, 'key'> & { url?: string; nowMs?: number },
): RegistryWork<CaAccount> {
  return async (db) => {
    await db
      .insertInto('ca_accounts')
      .values({ directory, key, url: url ?? null, created_at: nowMs })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    if (url !== undefined) {
      await db
        .updateTable('ca_accounts')
        .set({ url })
        .where('directory', '=', directory)
        .where('key', '=', key)
        .where('url', 'is', null)
        .execute();
    }
    const row = await db
      .selectFrom('ca_accounts')
      .select(['key', 'url'])
      .where('directory', '=', directory)
      .executeTakeFirstOrThrow();
    return { key: row.key, url: row.url ?? undefined };
  };
}
