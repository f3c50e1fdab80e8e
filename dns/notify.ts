// Secondaries told of changes (NOTIFY, RFC 1996), and compared with us now and then. One ToldSecondary
// for each does the work; one that is down, silent or wrong holds up no other.
import type { Logger } from 'pino';
import {
  NOTIFY_LIMITS,
  type NotifyLimits,
  type SecondaryState,
  ToldSecondary,
} from './told-secondary.ts';
import type { SecondarySetting } from './transfer-settings.ts';
import { type WallClock, wallClock } from './tsig.ts';
import type { TsigKey } from './tsig-key.ts';
import type { ZoneSource } from './zone-source.ts';

export interface NotifyParts {
  readonly source: ZoneSource;
  /** With the key of each. */
  readonly secondaries: readonly { readonly setting: SecondarySetting; readonly key: TsigKey }[];
  /** Own addresses to send from, at most one of each family. */
  readonly notifyFrom: readonly string[];
  readonly log: Logger;
  readonly now?: WallClock;
  readonly limits?: Partial<NotifyLimits>;
}

export class Notifier {
  readonly #source: ZoneSource;
  readonly #told: readonly ToldSecondary[];
  #unsubscribe: (() => void) | undefined;

  constructor(parts: NotifyParts) {
    const { source, secondaries, notifyFrom, log, now = wallClock } = parts;
    const limits = { ...NOTIFY_LIMITS, ...parts.limits };
    this.#source = source;
    this.#told = secondaries.map(
      ({ setting, key }) =>
        new ToldSecondary({ source, setting, key, notifyFrom, log, now, limits }),
    );
  }

  /** Tells all of them at once: nobody knows what changed while this server was away. */
  start(): void {
    this.#unsubscribe = this.#source.onChange(() => {
      for (const each of this.#told) each.changed();
    });
    for (const each of this.#told) each.start();
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.();
    await Promise.all(this.#told.map((each) => each.stop()));
  }

  states(): readonly SecondaryState[] {
    return this.#told.map((each) => each.state());
  }
}
