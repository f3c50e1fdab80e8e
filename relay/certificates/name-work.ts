// Keeps what is wanted in step with the names that there are: at the start all of them, then each that a
// deed has changed; an own domain that was removed is not wanted any more. What the registry could not
// note is tried again, and nothing is forgotten.
import type { Logger } from 'pino';
import type { Hostname } from '../../dns/name.ts';
import {
  reconcileDomain,
  reconcileName,
  reconcileNames,
} from '../registry/certificates/reconcile.ts';
import type { Registry } from '../registry/registry.ts';
import { endedDomains } from './ended-subjects.ts';

const NAME_WORK_LIMITS = {
  /** Changed names that wait; beyond it, all names are gone through once. */
  changedMax: 10_000,
  /** After the registry was away. */
  retryMs: 5_000,
} as const;

export interface NameWorkOptions {
  readonly registry: Pick<Registry, 'write' | 'onChange'>;
  readonly zone: Hostname;
  readonly log: Logger;
  readonly now: () => number;
  /** Called when certificates may be wanted that were not before. */
  readonly changed: () => void;
}

export class NameWork {
  readonly #options: NameWorkOptions;
  readonly #names = new Set<string>();
  /** Own domains that are served no more; their number is that of some names. */
  readonly #domains = new Set<string>();
  #all = true;
  #running: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopListening: (() => void) | undefined;
  #stopped = false;

  constructor(options: NameWorkOptions) {
    this.#options = options;
  }

  /** Resolves when all names have been gone through, or that could not be done now. */
  start(): Promise<void> {
    this.#stopListening = this.#options.registry.onChange((...change) => {
      this.#note(change[2]);
      for (const domain of endedDomains(change)) this.#domains.add(domain);
      // What is under way may have looked for the last time just now.
      void (this.#running ?? Promise.resolve()).then(() => this.#go());
    });
    return this.#go();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopListening?.();
    clearTimeout(this.#retry);
    await this.#running;
  }

  #note(names: ReadonlySet<string> | undefined): void {
    if (names === undefined || this.#names.size + names.size > NAME_WORK_LIMITS.changedMax) {
      this.#all = true;
      this.#names.clear();
      return;
    }
    for (const name of names) this.#names.add(name);
  }

  #go(): Promise<void> {
    this.#running ??= this.#work()
      .catch((error: unknown) => {
        this.#options.log.warn({ err: error }, 'certificates: names could not be gone through');
        this.#retry = setTimeout(() => void this.#go(), NAME_WORK_LIMITS.retryMs).unref();
      })
      .finally(() => {
        this.#running = undefined;
      });
    return this.#running;
  }

  async #work(): Promise<void> {
    const { registry, zone, now, changed } = this.#options;
    while (!this.#stopped && (this.#all || this.#names.size + this.#domains.size > 0)) {
      if (this.#all) await this.#goThroughAll();
      await eachOf(this.#domains, (domain) => registry.write(reconcileDomain(zone, domain, now())));
      await eachOf(this.#names, async (name) => {
        // It stays for the next start, which goes through all.
        if (!this.#stopped) await registry.write(reconcileName(zone, name, now()));
      });
      changed();
    }
  }

  /** What changes meanwhile may lie in a part that was gone through already: then all are once more. */
  async #goThroughAll(): Promise<void> {
    const { registry, zone, now } = this.#options;
    this.#all = false;
    try {
      await reconcileNames((work) => registry.write(work), zone, now());
    } catch (error) {
      this.#all = true;
      throw error;
    }
  }
}

/** Takes each out before its work, so that one which is put in again meanwhile has its turn again. */
async function eachOf(
  waiting: Set<string>,
  work: (text: string) => Promise<unknown>,
): Promise<void> {
  for (const text of waiting) {
    waiting.delete(text);
    try {
      await work(text);
    } catch (error) {
      waiting.add(text);
      throw error;
    }
  }
}
