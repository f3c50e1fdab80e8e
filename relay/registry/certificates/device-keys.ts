// Which key a certificate may be for, when the relay does not have it: each key belongs to one device and
// one name, for ever, so that no two devices ever answer with the same one, whoever copied it or however
// little chance there was when it was made. A key that a newer one has followed is not asked for again.
import type { Kysely } from 'kysely';
import type { DeviceName } from '../../../dns/name.ts';
import type { RegistryWork } from '../database.ts';
import type { RegistryTables } from '../schema.ts';

export const DEVICE_KEY_LIMITS = {
  /** New keys of one device for one name in any day: each may become an order at the authority. */
  keysPerDay: 5,
} as const;

const DAY_MS = 86_400_000;

/** Every key that was ever shown; rows are only added. */
export type DeviceKeyTables = {
  certificate_keys: {
    /** SHA-256 of the public key, base64url. */
    key_id: string;
    /** The device; empty: the relay itself has the key, or the device had it before its owner changed. */
    thumbprint: string;
    name: string;
    /** The first request that it has signed, base64 of DER. */
    csr: string;
    shown_at: number;
  };
};

/** What a device has shown. Its signature is good, and it asks for exactly the names of `name`. */
export interface ShownKey {
  readonly name: DeviceName;
  readonly thumbprint: string;
  /** SHA-256 of the public key, as certs/csr.ts tells it. */
  readonly keyId: string;
  readonly csr: Buffer;
  readonly nowMs: number;
}

export type KeyOutcome =
  /** With the first request that this key has signed: the same again is no new order. */
  | { readonly kind: 'admitted'; readonly csr: Buffer }
  | { readonly kind: 'not-held' | 'barred' | 'of-another' | 'followed' }
  | { readonly kind: 'too-many'; readonly untilMs: number };

/** Judges a key, and remembers it when it is a new one. */
export function showDeviceKey(shown: ShownKey): RegistryWork<KeyOutcome> {
  return async (transaction) => {
    const db = withDeviceKeys(transaction);
    const { name, thumbprint, keyId, nowMs } = shown;
    const holder = await db
      .selectFrom('names')
      .innerJoin('devices', 'devices.thumbprint', 'names.thumbprint')
      .select('devices.revoked_at')
      .where('names.name', '=', name)
      .where('names.state', '=', 'held')
      .where('names.thumbprint', '=', thumbprint)
      .executeTakeFirst();
    if (holder === undefined) return { kind: 'not-held' };
    if (holder.revoked_at !== null) return { kind: 'barred' };
    const keys = await db
      .selectFrom('certificate_keys')
      .select(['key_id', 'shown_at'])
      .where('thumbprint', '=', thumbprint)
      .where('name', '=', name)
      .orderBy('shown_at', 'desc')
      .orderBy('key_id')
      .limit(DEVICE_KEY_LIMITS.keysPerDay)
      .execute();
    const known = await findKey(db, keyId);
    if (known !== undefined) return judgeKnown(known, shown, keys[0]?.key_id);
    // The oldest of the last few: when it is a day old, there is room for one more.
    const fifth = keys[DEVICE_KEY_LIMITS.keysPerDay - 1];
    const untilMs = (fifth?.shown_at ?? 0) + DAY_MS;
    if (fifth !== undefined && untilMs > nowMs) return { kind: 'too-many', untilMs };
    return keepKey(db, { ...shown, nowMs: Math.max(nowMs, (keys[0]?.shown_at ?? 0) + 1) });
  };
}

type Db = Kysely<RegistryTables & DeviceKeyTables>;

/** The same transaction, which knows the table as well. */
export function withDeviceKeys(transaction: Kysely<RegistryTables>): Db {
  return transaction.withTables<DeviceKeyTables>();
}

interface KnownKey {
  readonly thumbprint: string;
  readonly name: string;
  readonly csr: string;
}

function findKey(db: Db, keyId: string): Promise<KnownKey | undefined> {
  return db
    .selectFrom('certificate_keys')
    .select(['thumbprint', 'name', 'csr'])
    .where('key_id', '=', keyId)
    .executeTakeFirst();
}

function judgeKnown(
  known: KnownKey,
  { name, thumbprint, keyId }: ShownKey,
  newest: string | undefined,
): KeyOutcome {
  if (known.thumbprint !== thumbprint || known.name !== name) return { kind: 'of-another' };
  if (newest !== keyId) return { kind: 'followed' };
  return { kind: 'admitted', csr: Buffer.from(known.csr, 'base64') };
}

async function keepKey(
  db: Db,
  { name, thumbprint, keyId, csr, nowMs }: ShownKey,
): Promise<KeyOutcome> {
  const row = { key_id: keyId, thumbprint, name, csr: csr.toString('base64'), shown_at: nowMs };
  const kept = await db
    .insertInto('certificate_keys')
    .values(row)
    .onConflict((conflict) => conflict.column('key_id').doNothing())
    .returning('key_id')
    .executeTakeFirst();
  // Somebody else has shown it in this moment.
  return kept === undefined ? { kind: 'of-another' } : { kind: 'admitted', csr };
}

/** Notes a key that the relay itself has, so that no device gets a certificate for it. */
export function keepOwnKey(keyId: string, nowMs: number): RegistryWork<void> {
  return async (transaction) => {
    await withDeviceKeys(transaction)
      .insertInto('certificate_keys')
      .values({ key_id: keyId, thumbprint: '', name: '', csr: '', shown_at: nowMs })
      .onConflict((conflict) => conflict.column('key_id').doNothing())
      .execute();
  };
}
