// Asks authorities, again and again, when they want their certificates renewed (RFC 9773). A window that
// lies in the past tells of a certificate that is about to be revoked, and it is renewed at once.
import type { Logger } from 'pino';
import { readChain } from '../../certs/chain.ts';
import { type RenewalWindow, renewAtMs, windowCheckMs } from '../../certs/renewal.ts';
import {
  askWindowLater,
  type DueWindow,
  keepWindow,
  windowsDue,
} from '../registry/certificates/windows.ts';
import type { Registry } from '../registry/registry.ts';
import type { CertificateAuthority } from './certificate-authority.ts';
import { seedOf } from './certificate-seed.ts';

const WINDOW_LIMITS = {
  /** How often it is looked which are due. */
  lookMs: 60_000,
  /** Of one look: several a second, twice a day for a hundred thousand. */
  perLook: 200,
  /** Questions under way. */
  concurrency: 5,
  /** After a question without an answer. */
  retryMs: 3_600_000,
} as const;

export interface RenewalWindowsOptions {
  readonly registry: Pick<Registry, 'read' | 'write'>;
  readonly authorities: readonly CertificateAuthority[];
  readonly log: Logger;
  readonly now: () => number;
  /** Called when a certificate may be due sooner than it was. */
  readonly changed: () => void;
}

export class RenewalWindows {
  readonly #options: RenewalWindowsOptions;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;

  constructor(options: RenewalWindowsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => void this.look(), WINDOW_LIMITS.lookMs);
    void this.look();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#looking;
  }

  /** Asks for those that are due. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch((error: unknown) => {
        this.#options.log.warn({ err: error }, 'renewal windows: the registry cannot be asked');
      })
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { registry, now, changed } = this.#options;
    const due = [
      ...(await registry.read(windowsDue({ nowMs: now(), max: WINDOW_LIMITS.perLook }))),
    ];
    const worker = async () => {
      for (let next = due.shift(); next !== undefined && !this.#stopped; next = due.shift()) {
        await this.#ask(next);
      }
    };
    await Promise.all(Array.from({ length: WINDOW_LIMITS.concurrency }, worker));
    changed();
  }

  async #ask(certificate: DueWindow): Promise<void> {
    const { registry, authorities, log, now } = this.#options;
    const { id, subject, ca, chain } = certificate;
    const seed = seedOf(readChain(chain).serial);
    const authority = authorities.find(({ name }) => name === ca);
    let window: RenewalWindow | undefined;
    let waitMs: number | null = null;
    if (authority !== undefined) {
      try {
        if (authority.rest.room === 0) throw new Error(`${ca} is left alone for a while.`);
        window = await (await authority.open()).window(chain);
        waitMs = windowCheckMs(window, seed);
      } catch (error) {
        log.warn({ err: error, subject, ca }, 'an authority does not say when to renew');
        // Also of one that is left alone just now, so that others get their turn.
        const againMs = Math.round(now() + WINDOW_LIMITS.retryMs * (1 + seed));
        await registry.write(askWindowLater(id, againMs));
        return;
      }
    }
    if (window?.explanationUrl !== undefined) {
      const { explanationUrl } = window;
      log.warn({ subject, ca, explanationUrl }, 'an authority explains why it wants a renewal');
    }
    const dueAtMs = waitMs === null ? null : now() + waitMs;
    const renewal = renewAtMs(certificate, window, seed);
    await registry.write(keepWindow(id, window, dueAtMs, renewal));
  }
}
