// What time ends, done about every minute: orders, grace, quarantine, due recoveries (deeds/lapse.ts),
// and the portal's old secrets. Several relays at once do each thing once, for the registry's deeds run
// one after the other. While the registry cannot be written, it is tried again the next minute.
import type { Logger } from 'pino';
import type { RegistryWork } from './registry/database.ts';
import { also } from './registry/deed.ts';
import { type Lapsed, lapse } from './registry/deeds/lapse.ts';
import { sweepLetters } from './registry/deeds/letter-end.ts';
import type { NamePolicy } from './registry/policy.ts';
import { sweepTokens } from './registry/portal-token.ts';
import type { Registry } from './registry/registry.ts';

const LAPSE_TIMER_LIMITS = {
  /** Half as much to one and a half times: relays that were started together do not stay together. */
  everyMs: 60_000,
  /** More often where the policy has shorter times than usual: as a part of the shortest of them. */
  everyShare: 0.1,
  /** Runs without a pause while there is more; the rest waits for the next minute. */
  runsMax: 50,
} as const;

export interface LapseOptions {
  readonly registry: Registry;
  readonly log: Logger;
  /** Tells those whom it concerns, in the same transaction. */
  readonly notices: (lapsed: readonly Lapsed[]) => readonly RegistryWork<unknown>[];
  /** For tests. */
  readonly everyMs?: number;
}

export class Lapses {
  readonly #options: LapseOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: LapseOptions) {
    this.#options = options;
    this.#plan();
  }

  /** Ends with what is being done. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #plan(): void {
    if (this.#stopped) return;
    const everyMs = this.#options.everyMs ?? pauseFor(this.#options.registry.policy);
    this.#timer = setTimeout(
      () => {
        this.#running = this.#run().finally(() => {
          this.#running = undefined;
          this.#plan();
        });
      },
      everyMs * (0.5 + Math.random()),
    ).unref();
  }

  async #run(): Promise<void> {
    const { registry, log, notices } = this.#options;
    try {
      for (let run = 0; run < LAPSE_TIMER_LIMITS.runsMax && !this.#stopped; run += 1) {
        const lapsed = await registry.perform(also(lapse(), notices));
        for (const { kind, name } of lapsed) log.info({ kind, name }, 'a name: time has passed');
        const swept = await registry.write(sweepTokens(Date.now()));
        const letters = await registry.perform(sweepLetters());
        if (letters > 0)
          log.error({ letters }, 'mail: nobody has sent them for a week; they are lost');
        if (lapsed.length === 0 && swept === 0) return;
      }
    } catch (error) {
      log.warn({ err: error }, 'what time has ended could not be done; it is tried again');
    }
  }
}

function pauseFor({ recoveryDelayMs, renameGraceMs, quarantineMs }: NamePolicy): number {
  const { everyMs, everyShare } = LAPSE_TIMER_LIMITS;
  return Math.min(everyMs, everyShare * Math.min(recoveryDelayMs, renameGraceMs, quarantineMs));
}
