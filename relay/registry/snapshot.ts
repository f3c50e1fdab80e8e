// What the registry knew at one moment, in memory: the data path asks only this, and it never waits.
// A snapshot never changes; a later one takes its place.
import { type DeviceName, parseDeviceName } from '../../dns/name.ts';
import { ShardedMap } from '../../dns/sharded-map.ts';

export interface RegisteredDevice {
  readonly thumbprint: string;
  /** The text form of key.ts; parse it where it is used. */
  readonly publicKey: string;
  readonly revoked: boolean;
}

/** What tells two states of the file apart; cheap to read beside the state itself. */
export interface RegistryMark {
  /** The last deed. */
  readonly historyId: number;
  readonly names: number;
  readonly devices: number;
}

/** Rows that are new or different, and names that have no owner any more. */
export interface RegistryChange {
  readonly devices: readonly RegisteredDevice[];
  readonly owners: readonly { readonly name: string; readonly thumbprint: string | undefined }[];
}

export class RegistrySnapshot {
  readonly mark: RegistryMark;
  readonly #devices: ShardedMap<RegisteredDevice>;
  readonly #owners: ShardedMap<string>;
  readonly #names: ShardedMap<readonly DeviceName[]>;

  private constructor(
    mark: RegistryMark,
    devices: ShardedMap<RegisteredDevice>,
    owners: ShardedMap<string>,
    names: ShardedMap<readonly DeviceName[]>,
  ) {
    this.mark = mark;
    this.#devices = devices;
    this.#owners = owners;
    this.#names = names;
  }

  static of(mark: RegistryMark, content: RegistryChange): RegistrySnapshot {
    const nothing = { historyId: 0, names: 0, devices: 0 };
    const of = ShardedMap.of;
    return new RegistrySnapshot(nothing, of([]), of([]), of([])).with(mark, content);
  }

  /** How many names there are. */
  get size(): number {
    return this.#owners.size;
  }

  /** The device whose name this is; it may be revoked. */
  deviceOf(name: DeviceName): RegisteredDevice | undefined {
    const thumbprint = this.#owners.get(name);
    return thumbprint === undefined ? undefined : this.#devices.get(thumbprint);
  }

  /** The device of this key, if it may connect: enrolled and not revoked. */
  admissible(thumbprint: string): RegisteredDevice | undefined {
    const device = this.#devices.get(thumbprint);
    return device?.revoked === false ? device : undefined;
  }

  /** The names of a key, in the order in which it got them. */
  namesOf(thumbprint: string): readonly DeviceName[] {
    return this.#names.get(thumbprint) ?? [];
  }

  /** All names, in no order. */
  *names(): Generator<DeviceName> {
    for (const thumbprint of this.#names.keys()) yield* this.namesOf(thumbprint);
  }

  /** The snapshot after a change; this one stays as it is. */
  with(mark: RegistryMark, change: RegistryChange): RegistrySnapshot {
    const owners = new Map<string, string | undefined>();
    const names = new Map<string, DeviceName[]>();
    const namesOf = (thumbprint: string): DeviceName[] => {
      const changed = names.get(thumbprint) ?? [...this.namesOf(thumbprint)];
      names.set(thumbprint, changed);
      return changed;
    };
    for (const { name: text, thumbprint } of change.owners) {
      const name = parseDeviceName(text);
      // A name that was reserved after it was given out goes out of service.
      if (name === undefined) continue;
      const before = this.#owners.get(name);
      if (before === thumbprint) continue;
      if (before !== undefined) namesOf(before).splice(namesOf(before).indexOf(name), 1);
      if (thumbprint !== undefined) namesOf(thumbprint).push(name);
      owners.set(name, thumbprint);
    }
    return new RegistrySnapshot(
      mark,
      this.#devices.with(change.devices.map((device) => [device.thumbprint, device])),
      this.#owners.with(owners),
      this.#names.with([...names].map(([key, list]) => [key, list.length > 0 ? list : undefined])),
    );
  }

  /** What the counts will be after this change, if the change is all that happened. */
  countWith(change: RegistryChange): Pick<RegistryMark, 'names' | 'devices'> {
    let { names, devices } = this.mark;
    for (const { name, thumbprint } of change.owners) {
      names += Number(thumbprint !== undefined) - Number(this.#owners.has(name));
    }
    for (const { thumbprint } of change.devices) devices += Number(!this.#devices.has(thumbprint));
    return { names, devices };
  }
}
