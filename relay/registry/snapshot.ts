// What the registry knew at one moment, in memory: the data path asks only this, and it never waits.
// A snapshot never changes; a later one takes its place.
import { type DeviceName, parseDeviceName } from '../../dns/name.ts';
import { ShardedMap } from '../../dns/sharded-map.ts';
import { ChangedLists } from './changed-lists.ts';
import type { RecoveryTimes } from './recovery-due.ts';
import type { NameState } from './schema.ts';
import { type OwnDomainEntry, OwnDomains, type ServedDomainRow } from './served-domains.ts';

/** Renamed once a day for a grace period of a month; a longer chain is a circle. */
const SUCCESSORS_MAX = 32;

export interface RegisteredDevice {
  readonly thumbprint: string;
  /** The text form of key.ts; parse it where it is used. */
  readonly publicKey: string;
  readonly revoked: boolean;
}

/** A name that will go to another key, unless somebody objects. */
export interface WaitingRecovery extends RecoveryTimes {
  readonly id: string;
  readonly name: DeviceName;
  /** Who would lose the name. */
  readonly oldThumbprint: string;
}

/** A row of `names`, and what waits for it. */
export interface NameRow {
  readonly name: string;
  /** `undefined`: nobody's, there is no row. */
  readonly state: NameState | undefined;
  readonly thumbprint: string | null;
  readonly successor: string | null;
  readonly recovery?: Omit<WaitingRecovery, 'name'>;
}

/** Rows that are new or different. */
export interface RegistryChange {
  readonly devices: Iterable<RegisteredDevice>;
  readonly names: Iterable<NameRow>;
  /** Own domains, and by which name each is served now; `undefined`: by none. */
  readonly domains?: Iterable<readonly [domain: string, row: ServedDomainRow | undefined]>;
}

/** A device and the names that it holds. Nearly all hold one, and a million arrays are not nothing. */
export interface DeviceEntry extends RegisteredDevice {
  readonly names: readonly DeviceName[] | DeviceName | undefined;
}

export interface CommonContent {
  readonly devices: ShardedMap<DeviceEntry>;
  /** The device of each name that is held. */
  readonly holders: ShardedMap<DeviceEntry>;
}

interface Content extends CommonContent {
  /** Held names that were reserved after they were given out: they are out of service. */
  readonly barred: ShardedMap<true>;
  /** What took the place of each former name. */
  readonly successors: ShardedMap<string>;
  readonly recoveries: ShardedMap<WaitingRecovery>;
  /** The same by the key that would lose the name. */
  readonly threats: ShardedMap<readonly WaitingRecovery[]>;
  readonly domains: OwnDomains;
}

export class RegistrySnapshot {
  /** The last row of the history that it has seen. */
  readonly historyId: number;
  readonly #content: Content;

  private constructor(historyId: number, content: Content) {
    this.historyId = historyId;
    this.#content = content;
  }

  /** What nearly every device has makes the first snapshot; the rest is put on it `with` a change. */
  static of(historyId: number, common: CommonContent): RegistrySnapshot {
    return new RegistrySnapshot(historyId, {
      ...common,
      barred: ShardedMap.of([]),
      successors: ShardedMap.of([]),
      recoveries: ShardedMap.of([]),
      threats: ShardedMap.of([]),
      domains: OwnDomains.NONE,
    });
  }

  /** How many names are in service. */
  get size(): number {
    return this.#content.holders.size;
  }

  /** How many rows of the database it is made of: held names, and devices. */
  get heldRows(): number {
    return this.size + this.#content.barred.size;
  }

  get deviceRows(): number {
    return this.#content.devices.size;
  }

  get domainRows(): number {
    return this.#content.domains.size;
  }

  /** The own domain that a hostname belongs to, if somebody has proven it. */
  ownDomain(hostname: string): OwnDomainEntry | undefined {
    return this.#content.domains.of(hostname);
  }

  /** The own domains that a name is served by, in no order. */
  domainsOf(name: DeviceName): readonly string[] {
    return this.#content.domains.ofName(name);
  }

  /** The device whose name this is; it may be revoked. */
  deviceOf(name: DeviceName): RegisteredDevice | undefined {
    return this.#content.holders.get(name);
  }

  /** For a former name: the name that a visitor is to be sent to, at the end of all renames. */
  successorOf(name: DeviceName): DeviceName | undefined {
    let present = this.#content.successors.get(name);
    for (let step = 0; present !== undefined && step < SUCCESSORS_MAX; step += 1) {
      if (this.#content.holders.has(present)) return parseDeviceName(present);
      present = this.#content.successors.get(present);
    }
    return undefined;
  }

  /** The device of this key, if it may connect: enrolled and not revoked. */
  admissible(thumbprint: string): RegisteredDevice | undefined {
    const device = this.#content.devices.get(thumbprint);
    return device?.revoked === false ? device : undefined;
  }

  /** The names that a key holds, in alphabetical order. */
  namesOf(thumbprint: string): readonly DeviceName[] {
    return namesIn(this.#content.devices.get(thumbprint));
  }

  /** Names that this key will lose when their time comes. */
  recoveriesAgainst(thumbprint: string): readonly WaitingRecovery[] {
    return this.#content.threats.get(thumbprint) ?? [];
  }

  /** All names in service, in no order. */
  *names(): Generator<DeviceName> {
    for (const thumbprint of this.#content.devices.keys()) yield* this.namesOf(thumbprint);
  }

  /** The snapshot after a change; this one stays as it is. */
  with(historyId: number, { devices, names, domains = [] }: RegistryChange): RegistrySnapshot {
    const before = this.#content;
    const holdings = new Holdings(before, devices);
    const barred = new Map<string, true | undefined>();
    const successors = new Map<string, string | undefined>();
    const recoveries = new Map<string, WaitingRecovery | undefined>();
    const threats = new ChangedLists((thumbprint) => this.recoveriesAgainst(thumbprint));
    for (const row of names) {
      const name = parseDeviceName(row.name);
      if (name === undefined) {
        barred.set(row.name, row.state === 'held' ? true : undefined);
        continue;
      }
      const successor = row.state === 'former' ? (row.successor ?? undefined) : undefined;
      if (before.successors.get(name) !== successor) successors.set(name, successor);
      holdings.give(name, row.state === 'held' ? (row.thumbprint ?? undefined) : undefined);
      const waited = before.recoveries.get(name);
      if (waited !== undefined) threats.remove(waited.oldThumbprint, waited);
      const waiting = row.recovery && { name, ...row.recovery };
      if (waiting !== undefined) threats.add(waiting.oldThumbprint, waiting);
      if (waited !== waiting) recoveries.set(name, waiting);
    }
    return new RegistrySnapshot(historyId, {
      ...holdings.done(),
      barred: before.barred.with(barred),
      successors: before.successors.with(successors),
      recoveries: before.recoveries.with(recoveries),
      threats: before.threats.with(threats.entries()),
      domains: before.domains.with(domains),
    });
  }
}

/** Devices and who holds what, while some of it changes. */
class Holdings {
  readonly #before: CommonContent;
  readonly #devices = new Map<string, RegisteredDevice>();
  readonly #names: ChangedLists<DeviceName>;
  readonly #holders = new Map<DeviceName, string | undefined>();

  constructor(before: CommonContent, devices: Iterable<RegisteredDevice>) {
    this.#before = before;
    this.#names = new ChangedLists((thumbprint) => namesIn(before.devices.get(thumbprint)));
    for (const device of devices) this.#devices.set(device.thumbprint, device);
  }

  /** `undefined`: nobody holds the name any more. */
  give(name: DeviceName, thumbprint: string | undefined): void {
    const was = this.#before.holders.get(name)?.thumbprint;
    if (was === thumbprint) return;
    if (was !== undefined) this.#names.remove(was, name);
    if (thumbprint !== undefined) this.#names.add(thumbprint, name);
    this.#holders.set(name, thumbprint);
  }

  done(): CommonContent {
    const names = new Map(this.#names.entries());
    const entries = new Map<string, DeviceEntry>();
    const holders = new Map<string, DeviceEntry | undefined>();
    for (const [name, thumbprint] of this.#holders) {
      if (thumbprint === undefined) holders.set(name, undefined);
    }
    for (const thumbprint of new Set([...this.#devices.keys(), ...names.keys()])) {
      const present = this.#before.devices.get(thumbprint);
      const device = this.#devices.get(thumbprint) ?? present;
      if (device === undefined) continue;
      const held = names.has(thumbprint) ? names.get(thumbprint) : namesIn(present);
      const { publicKey, revoked } = device;
      const entry = { thumbprint, publicKey, revoked, names: briefly(held ?? []) };
      entries.set(thumbprint, entry);
      for (const name of namesIn(entry)) holders.set(name, entry);
    }
    return {
      devices: this.#before.devices.with(entries),
      holders: this.#before.holders.with(holders),
    };
  }
}

function namesIn(entry: DeviceEntry | undefined): readonly DeviceName[] {
  const names = entry?.names;
  return names === undefined ? [] : typeof names === 'string' ? [names] : names;
}

/** One name by itself, several in alphabetical order. */
export function briefly(names: readonly DeviceName[]): DeviceEntry['names'] {
  return names.length > 1 ? names.toSorted() : names[0];
}
