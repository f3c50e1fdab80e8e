// The deeds: each one transaction that changes who owns which name, or who may connect, and says so in
// the history. The queries decide on rows that they have read in the same transaction.
import type { Kysely } from 'kysely';
import type { DeviceName } from '../../dns/name.ts';
import type { PublicKey } from '../protocol/key.ts';
import type { Deed, RegistryTables } from './migrations.ts';
import { RegistryError } from './registry-error.ts';

export interface Enrolment {
  readonly name: DeviceName;
  readonly deviceKey: PublicKey;
  /** Who did it, for the history: `cli:root`, `owner:17`. */
  readonly actor: string;
  /** The thumbprint of the key that loses the name by this, when a device got a new key. */
  readonly replacing?: string;
}

export type EnrolOutcome = 'enrolled' | 'replaced' | 'unchanged';

type Transaction = Kysely<RegistryTables>;

export async function enrolIn(
  db: Transaction,
  { name, deviceKey, actor, replacing }: Enrolment,
  { nowMs, quarantineMs }: { readonly nowMs: number; readonly quarantineMs: number },
): Promise<EnrolOutcome> {
  const { thumbprint } = deviceKey;
  await assertNotRevoked(db, thumbprint);
  const holder = await db
    .selectFrom('names')
    .select('thumbprint')
    .where('name', '=', name)
    .executeTakeFirst();
  if (holder?.thumbprint === thumbprint) return 'unchanged';
  if (holder !== undefined && holder.thumbprint !== replacing) throw taken(name, holder.thumbprint);
  if (holder === undefined)
    await assertNotQuarantined(db, { name, thumbprint }, nowMs - quarantineMs);
  await db
    .insertInto('devices')
    .values({ thumbprint, public_key: deviceKey.text, epoch: 0, enrolled_at: nowMs })
    .onConflict((conflict) => conflict.column('thumbprint').doNothing())
    .execute();
  const what = holder === undefined ? 'enrolled' : 'replaced';
  if (holder === undefined) {
    await db.insertInto('names').values({ name, thumbprint, claimed_at: nowMs }).execute();
  } else {
    const row = { thumbprint, claimed_at: nowMs };
    await db.updateTable('names').set(row).where('name', '=', name).execute();
  }
  const detail = holder?.thumbprint ?? null;
  await record(db, what, { at: nowMs, actor, name, thumbprint, detail });
  return what;
}

export async function releaseIn(
  db: Transaction,
  { name, actor }: { readonly name: DeviceName; readonly actor: string },
  nowMs: number,
): Promise<void> {
  const holder = await db
    .selectFrom('names')
    .select('thumbprint')
    .where('name', '=', name)
    .executeTakeFirst();
  if (holder === undefined) {
    const message = `No device has the name ${name}. See the list of names for the right one.`;
    throw new RegistryError('ERR_NAME_UNKNOWN', message);
  }
  await db.deleteFrom('names').where('name', '=', name).execute();
  const { thumbprint } = holder;
  await record(db, 'released', { at: nowMs, actor, name, thumbprint, detail: null });
}

export async function revokeIn(
  db: Transaction,
  { thumbprint, actor }: { readonly thumbprint: string; readonly actor: string },
  nowMs: number,
): Promise<void> {
  const device = await db
    .selectFrom('devices')
    .select('revoked_at')
    .where('thumbprint', '=', thumbprint)
    .executeTakeFirst();
  if (device === undefined) throw unknownDevice(thumbprint);
  if (device.revoked_at !== null) return;
  await db
    .updateTable('devices')
    .set({ revoked_at: nowMs })
    .where('thumbprint', '=', thumbprint)
    .execute();
  await record(db, 'revoked', { at: nowMs, actor, name: null, thumbprint, detail: null });
}

export function unknownDevice(thumbprint: string): RegistryError {
  return new RegistryError(
    'ERR_DEVICE_UNKNOWN',
    `No device has the key ${thumbprint}. Enroll it first, by the public key that it shows.`,
  );
}

async function assertNotRevoked(db: Transaction, thumbprint: string): Promise<void> {
  const device = await db
    .selectFrom('devices')
    .select('revoked_at')
    .where('thumbprint', '=', thumbprint)
    .executeTakeFirst();
  if (device === undefined || device.revoked_at === null) return;
  throw new RegistryError(
    'ERR_DEVICE_REVOKED',
    `The device key ${thumbprint} was revoked, and stays so. Make a new key on the device.`,
  );
}

/** A certificate for the name may still be in the hands of the one who had it before. */
async function assertNotQuarantined(
  db: Transaction,
  { name, thumbprint }: { readonly name: DeviceName; readonly thumbprint: string },
  sinceMs: number,
): Promise<void> {
  const last = await db
    .selectFrom('history')
    .select(['at', 'thumbprint'])
    .where('name', '=', name)
    .where('what', '=', 'released')
    .orderBy('id', 'desc')
    .executeTakeFirst();
  if (last === undefined || last.thumbprint === thumbprint || Number(last.at) <= sinceMs) return;
  const released = new Date(Number(last.at)).toISOString().slice(0, 10);
  throw new RegistryError(
    'ERR_NAME_QUARANTINED',
    `The name ${name} was released by another device key on ${released}, which may still hold a ` +
      'certificate for it. Choose another name, or wait.',
  );
}

function taken(name: DeviceName, thumbprint: string): RegistryError {
  return new RegistryError(
    'ERR_NAME_TAKEN',
    `The name ${name} belongs to the device key ${thumbprint}. Choose another name; or, if that ` +
      'device got a new key, say that this one replaces it.',
  );
}

async function record(
  db: Transaction,
  what: Deed,
  row: Omit<RegistryTables['history'], 'id' | 'what'>,
): Promise<void> {
  await db
    .insertInto('history')
    .values({ what, ...row })
    .execute();
}
