// A relay's sign of life in the registry: a number that grows. Whoever watches it (relay-watch.ts) takes
// the relay out of the zone when it stands still. A relay that stops says goodbye, so that nobody has
// to find out.
import type { Logger } from 'pino';
import { parseAddresses } from './registry/addresses.ts';
import { type RelayPresence, registerRelay, setRelayAlive } from './registry/deeds/relay-alive.ts';
import type { Registry } from './registry/registry.ts';
import { RegistryError } from './registry/registry-error.ts';

const BEAT_LIMITS = {
  /** Four of them fit into the time after which a relay is taken for dead (relay-watch.ts). */
  everyMs: 5_000,
} as const;

export interface RelayBeatOptions {
  readonly registry: Registry;
  /** Without addresses the relay is reached in some other way, and the zone does not tell of it. */
  readonly presence: RelayPresence;
  readonly log: Logger;
  readonly everyMs?: number;
}

export class RelayBeat {
  readonly #options: RelayBeatOptions;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;

  constructor(options: RelayBeatOptions) {
    this.#options = options;
  }

  /** Never rejects: without the database the relay serves, and is published as soon as it is back. */
  async start(): Promise<void> {
    const { presence, log, everyMs = BEAT_LIMITS.everyMs } = this.#options;
    if (presence.addresses.length === 0) {
      log.warn('the zone does not tell of this relay: set "addresses" to what visitors reach');
      return;
    }
    await this.#guard('register', () => this.#register());
    this.#timer = setInterval(() => {
      this.#beating ??= this.#guard('beat', () => this.#beat()).finally(() => {
        this.#beating = undefined;
      });
    }, everyMs);
  }

  /** Says goodbye; from then on the zone leads visitors to other relays, if there are any. */
  async stop(): Promise<void> {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#beating;
    const { registry, presence } = this.#options;
    await this.#guard('leave', async () => {
      await registry.perform(setRelayAlive({ id: presence.id, alive: false }));
    });
  }

  #register(): Promise<void> {
    return this.#options.registry.perform(registerRelay(this.#options.presence));
  }

  async #beat(): Promise<void> {
    const { registry, presence, log } = this.#options;
    const { id } = presence;
    const row = await registry.write(async (db) => {
      const before = await db
        .selectFrom('relays')
        .select(['addresses', 'beat'])
        .where('id', '=', id)
        .executeTakeFirst();
      if (before === undefined) return undefined;
      // Near the clock, so that a row's age can be told; growing, whatever the clock does.
      const beat = Math.max(Number(before.beat) + 1, Date.now());
      await db.updateTable('relays').set({ beat }).where('id', '=', id).execute();
      return before;
    });
    const known = row && parseAddresses(row.addresses).join(' ');
    if (known === presence.addresses.join(' ')) return;
    if (known !== undefined) {
      log.error({ id, known }, 'another relay has the same id: give each relay an "id" of its own');
    }
    await this.#register();
  }

  async #guard(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      // The registry has told of it already.
      if (!(error instanceof RegistryError)) throw error;
      this.#options.log.debug({ err: error, what }, 'the relay could not tell that it is there');
    }
  }
}
