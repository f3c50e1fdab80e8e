// A snapshot that is still being read. Devices go straight to their place, so that a million of them are
// not held twice.
import { type DeviceName, parseDeviceName } from '../../dns/name.ts';
import { ShardedMap } from '../../dns/sharded-map.ts';
import type { ServedDomainRow } from './served-domains.ts';
import {
  briefly,
  type DeviceEntry,
  type NameRow,
  type RegisteredDevice,
  RegistrySnapshot,
} from './snapshot.ts';

export class SnapshotDraft {
  readonly #devices = ShardedMap.draft<DeviceEntry>();
  readonly #holders = ShardedMap.draft<DeviceEntry>();
  /** What is put on it at the end: a few of all names. */
  readonly #uncommon: NameRow[] = [];
  readonly #domains: [string, ServedDomainRow][] = [];

  /** A device with all names that it holds. */
  add({ thumbprint, publicKey, revoked }: RegisteredDevice, held: readonly string[]): void {
    const names: DeviceName[] = [];
    for (const text of held) {
      const name = parseDeviceName(text);
      if (name !== undefined) names.push(name);
      // It became reserved since it was given out.
      else this.addUncommon({ name: text, state: 'held', thumbprint, successor: null });
    }
    const entry = { thumbprint, publicKey, revoked, names: briefly(names) };
    this.#devices.set(thumbprint, entry);
    for (const name of names) this.#holders.set(name, entry);
  }

  addUncommon(row: NameRow): void {
    this.#uncommon.push(row);
  }

  addDomain(row: ServedDomainRow & { readonly domain: string }): void {
    this.#domains.push([row.domain, row]);
  }

  done(historyId: number): RegistrySnapshot {
    const common = { devices: this.#devices.done(), holders: this.#holders.done() };
    const uncommon = { devices: [], names: this.#uncommon, domains: this.#domains };
    return RegistrySnapshot.of(historyId, common).with(historyId, uncommon);
  }
}
