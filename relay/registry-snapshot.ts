// What the registry knew at one moment, in memory: the data path asks only this, and it never waits.
// A snapshot never changes; a later one takes its place.
import type { Kysely } from 'kysely';
import type { DeviceName } from '../dns/name.ts';
import { parseDeviceName } from '../dns/name.ts';
import type { RegistryTables } from './migrations.ts';

export interface RegisteredDevice {
  readonly thumbprint: string;
  /** The text form of key.ts; parse it where it is used. */
  readonly publicKey: string;
  readonly revoked: boolean;
}

export class RegistrySnapshot {
  readonly mark: RegistryMark;
  readonly #devices: ReadonlyMap<string, RegisteredDevice>;
  readonly #owners: ReadonlyMap<string, RegisteredDevice>;
  readonly #names: ReadonlyMap<string, readonly DeviceName[]>;

  constructor(mark: RegistryMark, devices: readonly RegisteredDevice[], owners: readonly Owner[]) {
    this.mark = mark;
    const byThumbprint = new Map(devices.map((device) => [device.thumbprint, device]));
    const byName = new Map<string, RegisteredDevice>();
    const names = new Map<string, DeviceName[]>();
    for (const { name, thumbprint } of owners) {
      const device = byThumbprint.get(thumbprint);
      if (device === undefined) continue;
      byName.set(name, device);
      const others = names.get(thumbprint);
      if (others === undefined) names.set(thumbprint, [name]);
      else others.push(name);
    }
    this.#devices = byThumbprint;
    this.#owners = byName;
    this.#names = names;
  }

  /** How many names there are. */
  get size(): number {
    return this.#owners.size;
  }

  /** The device whose name this is; it may be revoked. */
  deviceOf(name: DeviceName): RegisteredDevice | undefined {
    return this.#owners.get(name);
  }

  /** The device of this key, if it may connect: enrolled and not revoked. */
  admissible(thumbprint: string): RegisteredDevice | undefined {
    const device = this.#devices.get(thumbprint);
    return device?.revoked === false ? device : undefined;
  }

  namesOf(thumbprint: string): readonly DeviceName[] {
    return this.#names.get(thumbprint) ?? [];
  }

  *names(): Generator<DeviceName> {
    for (const names of this.#names.values()) yield* names;
  }
}

interface Owner {
  readonly name: DeviceName;
  readonly thumbprint: string;
}

/** The greatest loss that needs no explanation: more than so many names, and than this share of all. */
export const SHRINK_LIMITS = { namesMax: 20, shareMax: 0.05 } as const;

/** What changes whenever a snapshot has to be read again; cheap beside the snapshot itself. */
export interface RegistryMark {
  readonly historyId: number;
  readonly names: number;
  readonly devices: number;
}

export async function readMark(db: Kysely<RegistryTables>): Promise<RegistryMark> {
  const count = (table: 'names' | 'devices') =>
    db.selectFrom(table).select(db.fn.countAll().as('rows')).executeTakeFirstOrThrow();
  const history = await db
    .selectFrom('history')
    .select(db.fn.max('id').as('id'))
    .executeTakeFirst();
  return {
    historyId: Number(history?.id ?? 0),
    names: Number((await count('names')).rows),
    devices: Number((await count('devices')).rows),
  };
}

/** All of it. Run it in a transaction that sees one state. */
export async function readSnapshot(db: Kysely<RegistryTables>): Promise<RegistrySnapshot> {
  const mark = await readMark(db);
  const devices = await db
    .selectFrom('devices')
    .select(['thumbprint', 'public_key', 'revoked_at'])
    .execute();
  const names = await db.selectFrom('names').select(['name', 'thumbprint']).execute();
  const owners = names.flatMap(({ name, thumbprint }): Owner[] => {
    const parsed = parseDeviceName(name);
    // A name that was reserved after it was given out goes out of service.
    return parsed === undefined ? [] : [{ name: parsed, thumbprint }];
  });
  const registered = devices.map((row) => ({
    thumbprint: row.thumbprint,
    publicKey: row.public_key,
    revoked: row.revoked_at !== null,
  }));
  return new RegistrySnapshot(mark, registered, owners);
}

/**
 * How many names the new snapshot has lost without a deed in the history that explains it, if those
 * are too many to believe; 0 when the new snapshot may be used.
 */
export async function unexplainedLoss(
  db: Kysely<RegistryTables>,
  before: RegistrySnapshot,
  after: RegistrySnapshot,
): Promise<number> {
  const lost = new Set<string>(before.names());
  for (const name of after.names()) lost.delete(name);
  if (lost.size === 0) return 0;
  const released = await db
    .selectFrom('history')
    .select('name')
    .where('id', '>', before.mark.historyId)
    .where('what', '=', 'released')
    .execute();
  for (const { name } of released) if (name !== null) lost.delete(name);
  if (after.size === 0 && lost.size > 0) return lost.size;
  const { namesMax, shareMax } = SHRINK_LIMITS;
  return lost.size > namesMax && lost.size > before.size * shareMax ? lost.size : 0;
}
