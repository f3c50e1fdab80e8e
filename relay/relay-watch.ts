// Watches the relays of the vendor: one whose beat stands still is taken out of the zone, one whose beat
// grows again is put back. Every relay and every name server watches, by its own monotonic clock; what
// they write is the same, so it does not matter who is first.
//
// Fencing: a watcher judges only what it has itself seen standing still, look by look. One that could
// not look for a while (its database was away, its process slept) begins to count anew. And when all
// relays seem dead, they stay published: most likely it is the watcher or the database that is cut
// off, and an address that may be wrong is better than none, which resolvers remember.
import type { Logger } from 'pino';
import { setRelayAlive } from './registry/deeds/relay-alive.ts';
import type { Registry } from './registry/registry.ts';
import { RegistryError } from './registry/registry-error.ts';

export const WATCH_LIMITS = {
  /** What a look may add to the time that a dead relay is published. */
  everyMs: 2_000,
  /** Four beats (relay-beat.ts): a commit that waits for its disk is not a death. */
  stillMs: 20_000,
  /** Two looks farther apart than this are not one watch. */
  gapMs: 10_000,
} as const;

export type WatchLimits = Readonly<Record<keyof typeof WATCH_LIMITS, number>>;

export interface RelayWatchOptions {
  readonly registry: Pick<Registry, 'read' | 'perform'>;
  readonly log: Logger;
  readonly limits?: Partial<WatchLimits>;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
}

interface RelayRow {
  readonly id: string;
  readonly beat: number;
  readonly alive: boolean;
}

interface Sight {
  readonly beat: number;
  readonly alive: boolean;
  /** Since when the beat stands still, as far as we have seen. */
  readonly stillSinceMs: number;
}

export class RelayWatch {
  readonly #options: RelayWatchOptions;
  readonly #limits: WatchLimits;
  #sights = new Map<string, Sight>();
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #allStill = false;

  constructor(options: RelayWatchOptions) {
    this.#options = options;
    this.#limits = { ...WATCH_LIMITS, ...options.limits };
  }

  /** At the last look: published relays, and whether all of them seem dead. */
  get counts(): { readonly alive: number; readonly allStill: boolean } {
    const alive = [...this.#sights.values()].filter((sight) => sight.alive).length;
    return { alive, allStill: this.#allStill };
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.look(), this.#limits.everyMs);
    void this.look();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#looking;
  }

  /** Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    try {
      const rows = await this.#options.registry.read((db) =>
        db.selectFrom('relays').select(['id', 'beat', 'alive']).orderBy('id').execute(),
      );
      const relays = rows.map(({ id, beat, alive }) => ({
        id,
        beat: Number(beat),
        alive: alive === 1,
      }));
      const { now = () => performance.now() } = this.#options;
      await this.#judge(relays, now());
    } catch (error) {
      // The registry has told of it; the gap until the next look is what counts here.
      if (!(error instanceof RegistryError)) throw error;
    }
  }

  async #judge(relays: readonly RelayRow[], nowMs: number): Promise<void> {
    const before = this.#sights;
    const gap = nowMs - this.#lookedAtMs > this.#limits.gapMs;
    this.#lookedAtMs = nowMs;
    this.#sights = new Map(
      relays.map(({ id, beat, alive }) => {
        const sight = before.get(id);
        const still = sight?.beat === beat && !gap;
        return [id, { beat, alive, stillSinceMs: still ? sight.stillSinceMs : nowMs }];
      }),
    );
    // Who said goodbye has beaten since our last look perhaps; it counts only what grows from here.
    const back = relays.filter(({ id, beat, alive }) => {
      const sight = before.get(id);
      return !alive && sight?.alive === false && sight.beat !== beat;
    });
    const alive = relays.filter((relay) => relay.alive);
    const dead = alive.filter(({ id }) => {
      const since = this.#sights.get(id)?.stillSinceMs ?? nowMs;
      return nowMs - since >= this.#limits.stillMs;
    });
    this.#allStill = alive.length > 0 && dead.length === alive.length;
    for (const relay of back) await this.#tell(relay, true);
    if (!this.#allStill) for (const relay of dead) await this.#tell(relay, false);
  }

  async #tell({ id, beat }: RelayRow, alive: boolean): Promise<void> {
    const { registry, log } = this.#options;
    const outcome = await registry.perform(setRelayAlive({ id, alive, beat }));
    if (outcome !== 'changed') return;
    if (alive) log.info({ relay: id }, 'a relay is back, and published again');
    else log.warn({ relay: id }, 'a relay seems dead, and is published no more');
  }
}
