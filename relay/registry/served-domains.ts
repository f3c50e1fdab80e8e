// The own domains that are served, in memory: which hostname is whose. A domain that somebody has proven
// beats the wildcard of the one above it, whoever has that.
import {
  type DeviceName,
  parseDeviceName,
  parseWorkspaceName,
  type WorkspaceName,
} from '../../dns/name.ts';
import { ShardedMap } from '../../dns/sharded-map.ts';
import { ChangedLists } from './changed-lists.ts';
import type { RegistryTables } from './schema.ts';

/** A proven row of `domains`. */
export type ServedDomainRow = Pick<RegistryTables['domains'], 'name' | 'workspace' | 'wildcard'>;

export interface OwnDomainEntry {
  /** As it was proven: `app.example.org`, also of `code.app.example.org` below a wildcard. */
  readonly domain: string;
  /** Whose device it leads to. */
  readonly name: DeviceName;
  /** Absent: the whole device. */
  readonly workspace?: WorkspaceName;
  readonly wildcard: boolean;
}

export class OwnDomains {
  static readonly NONE = new OwnDomains(ShardedMap.of([]), ShardedMap.of([]));

  readonly #rows: ShardedMap<ServedDomainRow>;
  /** The domains of each name. */
  readonly #names: ShardedMap<readonly string[]>;

  private constructor(rows: ShardedMap<ServedDomainRow>, names: ShardedMap<readonly string[]>) {
    this.#rows = rows;
    this.#names = names;
  }

  get size(): number {
    return this.#rows.size;
  }

  /** In lower case and without a last dot. */
  of(hostname: string): OwnDomainEntry | undefined {
    const exact = this.#rows.get(hostname);
    if (exact !== undefined) return entryOf(hostname, exact);
    const above = hostname.slice(hostname.indexOf('.') + 1);
    const row = this.#rows.get(above);
    return row?.wildcard === 1 ? entryOf(above, row) : undefined;
  }

  ofName(name: string): readonly string[] {
    return this.#names.get(name) ?? [];
  }

  with(changes: Iterable<readonly [string, ServedDomainRow | undefined]>): OwnDomains {
    const rows = new Map<string, ServedDomainRow | undefined>();
    const names = new ChangedLists((name: string) => this.ofName(name));
    for (const [domain, row] of changes) {
      const was = rows.has(domain) ? rows.get(domain) : this.#rows.get(domain);
      if (was !== undefined) names.remove(was.name, domain);
      if (row !== undefined) names.add(row.name, domain);
      rows.set(domain, row);
    }
    if (rows.size === 0) return this;
    return new OwnDomains(this.#rows.with(rows), this.#names.with(names.entries()));
  }
}

function entryOf(domain: string, row: ServedDomainRow): OwnDomainEntry | undefined {
  const name = parseDeviceName(row.name);
  // It became reserved since it was given out.
  if (name === undefined) return undefined;
  const wildcard = row.wildcard === 1;
  if (row.workspace === null) return { domain, name, wildcard };
  const workspace = parseWorkspaceName(row.workspace);
  return workspace === undefined ? undefined : { domain, name, workspace, wildcard };
}
