// Since when a device is away. What this process saw itself is at hand; what was seen before its start
// is read from the registry on the first question, and told from the next one on.
import type { Registry } from './registry/registry.ts';
import type { Tunnels } from './tunnels.ts';

export class AwaySince {
  readonly #tunnels: Pick<Tunnels, 'awaySinceMs'>;
  readonly #registry: Pick<Registry, 'lastSeenMs'>;
  /** As read; undefined while it is being read, or when nobody knows. One entry per device key. */
  readonly #stored = new Map<string, number | undefined>();

  constructor(tunnels: Pick<Tunnels, 'awaySinceMs'>, registry: Pick<Registry, 'lastSeenMs'>) {
    this.#tunnels = tunnels;
    this.#registry = registry;
  }

  /** Epoch milliseconds, as far as is known now. */
  ms(thumbprint: string): number | undefined {
    const seenHere = this.#tunnels.awaySinceMs(thumbprint);
    if (seenHere !== undefined) return seenHere;
    if (!this.#stored.has(thumbprint)) void this.#load(thumbprint);
    return this.#stored.get(thumbprint);
  }

  async #load(thumbprint: string): Promise<void> {
    this.#stored.set(thumbprint, undefined);
    this.#stored.set(thumbprint, await this.#registry.lastSeenMs(thumbprint));
  }
}
