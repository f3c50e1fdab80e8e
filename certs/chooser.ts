// Which certificate serves a hostname. Who may be served at all, and by which certificates, is told by
// `subjects`, a lookup in memory; the certificates come from a CertificateSource. Here they are kept as
// contexts, a bounded number of them, and the best candidate that is valid wins:
//   - A certificate that its source calls changed is read again before the next handshake; connections
//     keep the context that they began with.
//   - One that is over is served only when no other candidate is left: it is the visitor's clock that
//     judges it, and ours may be wrong.
//   - A source that is away, or slow, changes nothing for what is in memory.
import { createHash } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Logger } from 'pino';
import type { Hostname } from '../dns/name.ts';
import type { CertificateSource, KeyedCertificate } from './certificate.ts';

export const CHOOSER_LIMITS = {
  /** A context costs 42 KB that V8 cannot see: 210 MB. */
  contextsMax: 5_000,
  /** Certificates that are being read; beyond it a visitor gets the next candidate, or is refused. */
  inFlightMax: 1_000,
  /**
   * Freed contexts are reused only after a collection, which V8 sees no reason for. So memory is
   * bounded by `contextsMax` and these together: 250 MB.
   */
  freedPerCollection: 1_000,
  /** After a failure, before the source is asked for the same certificate again. */
  retryAfterMs: 10_000,
  /** For so long a certificate that is not there is not looked for, unless the source tells of it. */
  missingForMs: 30_000,
  /** Subjects that rest after a failure or because they have none: 4 MB. The oldest makes room. */
  restingMax: 20_000,
  /** No visitor waits longer for a source; most have given up by then. */
  loadMs: 5_000,
  /** A change that was not told of is found, and a source asked to renew, after this at the latest. */
  recheckMs: 3_600_000,
  /** The order of use is exact to this: to note each use costs as much as the rest of a choice. */
  usedWithinMs: 1_000,
} as const;

export type ChooserLimits = Readonly<Record<keyof typeof CHOOSER_LIMITS, number>>;

export interface ChooserOptions {
  /** The certificates that may serve a hostname, best first; none: refuse it. Must be a lookup. */
  readonly subjects: (hostname: Hostname) => readonly Hostname[];
  readonly source: CertificateSource;
  /** Everything of a context but certificate and key: versions, ciphers, groups, ticket keys. */
  readonly settings: (subject: Hostname) => SecureContextOptions;
  /** What changes when `settings` does; contexts of before are then made anew, each when it is used. */
  readonly edition?: () => number;
  readonly log: Logger;
  readonly limits?: Partial<ChooserLimits>;
  /** The wall clock, as certificates have wall-clock dates. */
  readonly wallClockMs?: () => number;
}

interface Held {
  readonly context: SecureContext;
  readonly notAfterMs: number;
  /** Of certificate and key, to tell whether what was read again is something else. */
  readonly digest: string;
  readonly edition: number;
  /** By the monotonic clock. */
  readonly recheckAtMs: number;
  /** When its place in the order of use was last noted, by the monotonic clock. */
  usedAtMs: number;
  /** The source says that there is another one. */
  changed: boolean;
}

/** A certificate that is being read. */
interface Flight {
  /** Settled in time, whatever the source does. Never rejects. */
  readonly landed: Promise<void>;
  /** Nobody waits for it any more. */
  late: boolean;
  /** There was a change meanwhile: what is being read may be old. */
  changed: boolean;
}

export class Chooser {
  readonly #options: ChooserOptions;
  readonly #limits: ChooserLimits;
  readonly #wallClockMs: () => number;
  readonly #edition: () => number;
  /** By subject; the least recently used comes first. */
  readonly #held = new Map<Hostname, Held>();
  readonly #flights = new Map<Hostname, Flight>();
  /** Until when the source is not asked, by the monotonic clock; the oldest comes first. */
  readonly #resting = new Map<Hostname, number>();
  #freed = 0;

  constructor(options: ChooserOptions) {
    this.#options = options;
    this.#limits = { ...CHOOSER_LIMITS, ...options.limits };
    this.#wallClockMs = options.wallClockMs ?? (() => Date.now());
    this.#edition = options.edition ?? (() => 0);
    options.source.onChange((subject) => this.#changed(subject));
  }

  /** Contexts in memory. */
  get size(): number {
    return this.#held.size;
  }

  /**
   * The context for a canonical hostname: at once when it is in memory, otherwise as a promise that
   * never rejects. `undefined`: refuse the handshake (`unrecognized_name`).
   */
  choose(hostname: Hostname): SecureContext | undefined | Promise<SecureContext | undefined> {
    const subjects = this.#options.subjects(hostname);
    for (const [at, subject] of subjects.entries()) {
      const flight = this.#look(subject);
      if (flight !== undefined) return this.#search(subjects, at, flight);
      const context = this.#serve(subject);
      if (context !== undefined) return context;
    }
    return this.#expired(subjects);
  }

  /** Drops a certificate from memory whose name is nobody's any more. */
  forget(subject: Hostname): void {
    this.#changed(subject);
    this.#drop(subject);
  }

  async #search(
    subjects: readonly Hostname[],
    from: number,
    flight: Flight,
  ): Promise<SecureContext | undefined> {
    await flight.landed;
    for (const [at, subject] of subjects.entries()) {
      // What was judged before, and what has just been read, is not read again for this visitor.
      if (at > from) await this.#look(subject)?.landed;
      const context = this.#serve(subject);
      if (context !== undefined) return context;
    }
    return this.#expired(subjects);
  }

  /** The flight that a visitor has to wait for; `undefined`: what is in memory counts, also nothing. */
  #look(subject: Hostname): Flight | undefined {
    const held = this.#held.get(subject);
    const usable = held !== undefined && !held.changed && this.#wallClockMs() < held.notAfterMs;
    if (!usable) return this.#ask(subject);
    if (held.edition !== this.#edition() || performance.now() >= held.recheckAtMs) {
      this.#ask(subject);
    }
    return undefined;
  }

  #serve(subject: Hostname): SecureContext | undefined {
    const held = this.#held.get(subject);
    if (held === undefined || this.#wallClockMs() >= held.notAfterMs) return undefined;
    const nowMs = performance.now();
    if (nowMs - held.usedAtMs < this.#limits.usedWithinMs) return held.context;
    held.usedAtMs = nowMs;
    this.#held.delete(subject);
    this.#held.set(subject, held);
    return held.context;
  }

  #expired(subjects: readonly Hostname[]): SecureContext | undefined {
    const last = subjects.find((subject) => this.#held.has(subject));
    return last && this.#held.get(last)?.context;
  }

  /** One flight at a time for each certificate; everybody who asks meanwhile shares it. */
  #ask(subject: Hostname): Flight | undefined {
    const running = this.#flights.get(subject);
    if (running !== undefined) return running.late ? undefined : running;
    if (this.#flights.size >= this.#limits.inFlightMax || this.#rests(subject)) return undefined;
    const { promise: landed, resolve: land } = Promise.withResolvers<void>();
    const flight: Flight = { landed, late: false, changed: false };
    const timer = setTimeout(() => {
      flight.late = true;
      land();
      this.#options.log.warn({ subject }, 'a certificate is long in coming; visitors do not wait');
    }, this.#limits.loadMs);
    void this.#load(subject, flight).finally(() => {
      clearTimeout(timer);
      this.#flights.delete(subject);
      land();
    });
    this.#flights.set(subject, flight);
    return flight;
  }

  async #load(subject: Hostname, flight: Flight): Promise<void> {
    try {
      const found = await this.#options.source.load(subject);
      if (found !== undefined) return this.#hold(subject, found, flight);
      this.#drop(subject);
      // Told of while it was looked for: the next visitor looks again.
      if (!flight.changed) this.#rest(subject, this.#limits.missingForMs);
    } catch (error) {
      this.#rest(subject, this.#limits.retryAfterMs);
      this.#options.log.error({ err: error, subject }, 'a certificate could not be had');
    }
  }

  #hold(subject: Hostname, { certPem, keyPem, notAfterMs }: KeyedCertificate, flight: Flight) {
    const digest = createHash('sha256').update(keyPem).update(certPem).digest('base64');
    const edition = this.#edition();
    const before = this.#held.get(subject);
    const same = before?.digest === digest && before.edition === edition;
    const context = same
      ? before.context
      : createSecureContext({
          ...this.#options.settings(subject),
          cert: certPem,
          key: keyPem,
        });
    if (!same) this.#drop(subject);
    this.#resting.delete(subject);
    const usedAtMs = performance.now();
    const recheckAtMs = usedAtMs + this.#limits.recheckMs;
    const { changed } = flight;
    this.#held.delete(subject);
    this.#held.set(subject, {
      context,
      notAfterMs,
      digest,
      edition,
      recheckAtMs,
      usedAtMs,
      changed,
    });
    // One that is over and was read again is over still: it is not asked for with each handshake.
    if (this.#wallClockMs() >= notAfterMs) this.#rest(subject, this.#limits.retryAfterMs);
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= this.#limits.contextsMax) break;
      this.#drop(oldest);
    }
  }

  #drop(subject: Hostname): void {
    if (!this.#held.delete(subject)) return;
    this.#freed += 1;
    if (this.#freed % this.#limits.freedPerCollection === 0) collectGarbage();
  }

  #changed(subject: Hostname): void {
    this.#resting.delete(subject);
    const [held, flight] = [this.#held.get(subject), this.#flights.get(subject)];
    if (held !== undefined) held.changed = true;
    if (flight !== undefined) flight.changed = true;
  }

  #rest(subject: Hostname, forMs: number): void {
    this.#resting.delete(subject);
    this.#resting.set(subject, performance.now() + forMs);
    for (const oldest of this.#resting.keys()) {
      if (this.#resting.size <= this.#limits.restingMax) break;
      this.#resting.delete(oldest);
    }
  }

  #rests(subject: Hostname): boolean {
    return performance.now() < (this.#resting.get(subject) ?? 0);
  }
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect();
}
