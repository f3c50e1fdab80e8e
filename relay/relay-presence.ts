// A relay among the relays of its vendor: it tells that it is there, and watches the others.
import type { Logger } from 'pino';
import type { Registry as Metrics } from 'prom-client';
import type { RelayPresence as Presence } from './registry/deeds/relay-alive.ts';
import { exposeRelays } from './registry/metrics.ts';
import type { Registry } from './registry/registry.ts';
import { RelayBeat } from './relay-beat.ts';
import { RelayWatch } from './relay-watch.ts';

export class RelayPresence {
  readonly #beat: RelayBeat;
  readonly #watch: RelayWatch;

  constructor(presence: Presence, registry: Registry, log: Logger) {
    this.#beat = new RelayBeat({ registry, presence, log });
    this.#watch = new RelayWatch({ registry, log });
  }

  async start(metrics: Metrics): Promise<void> {
    await this.#beat.start();
    this.#watch.start();
    exposeRelays(() => this.#watch.counts, [metrics]);
  }

  /** Says goodbye; to be called before the relay stops to take visitors. */
  async stop(): Promise<void> {
    await this.#watch.stop();
    await this.#beat.stop();
  }
}
