// The device's own certificates: one for each name that it holds, {alice, *.alice}.vendor.dev, for a key
// that is made here and never leaves. The relay has them signed (relay/portal/device-certificates.ts).
// Asked for when there is none, when the device has another name, and when the relay wants it renewed,
// which it is asked for daily and whenever it calls, or two thirds of the life are over, with a new key each
// time. What is there is served until its last second, whatever stops the next one. All times are the
// relay's (clock.ts); no wait is by the wall clock.
import type { Logger } from 'pino';
import type { CertificateSource, KeyedCertificate } from '../certs/certificate.ts';
import { retryDelayMs } from '../certs/retry-ladder.ts';
import { StoreError } from '../certs/store.ts';
import { type DeviceName, type Hostname, parseHostname } from '../dns/name.ts';
import type { Welcome } from '../relay/protocol/welcome.ts';
import type { DeviceApi } from './api.ts';
import { ApiError } from './api-error.ts';
import { CertificateFiles } from './certificate-files.ts';
import { OwnCertificate, type RenewalParts } from './certificate-renewal.ts';
import type { Clock } from './clock.ts';
import { askStanding } from './standing.ts';

const DEVICE_CERTIFICATE_LIMITS = {
  /** The longest wait: the clock may have been told anew, and sleep does not count for it. */
  lookMs: 3_600_000,
  /** How often it is looked whether a former name has ended; half as much to one and a half times. */
  standingMs: 6 * 3_600_000,
} as const;

export interface DeviceCertificatesOptions {
  readonly directory: string;
  readonly api: () => DeviceApi;
  readonly clock: Clock;
  readonly log: Logger;
  /** For tests. */
  readonly random?: () => number;
}

/** How a certificate stands, for metrics. */
export interface CertificateStanding {
  readonly name: DeviceName;
  /** `undefined`: there is none. */
  readonly notAfterMs: number | undefined;
  /** When the last attempt failed; `undefined`: it did not. */
  readonly failedAtMs: number | undefined;
}

/** What the relay says that concerns certificates. */
type Told = Pick<Welcome, 'names' | 'zone'> & Partial<Pick<Welcome, 'renewals'>>;

export class DeviceCertificates implements CertificateSource {
  readonly #options: DeviceCertificatesOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #kept = new Map<DeviceName, OwnCertificate>();
  readonly #listeners = new Set<(subject: Hostname) => void>();
  readonly #stopped = new AbortController();
  #wake = new AbortController();
  #parts: RenewalParts | undefined;
  #told: Pick<Welcome, 'names' | 'zone'> | undefined;
  /** When the relay is asked which names have ended, by the monotonic clock. */
  #standingDueMs = 0;
  #notSoonerMs = 0;
  #failures = 0;
  #complaint = '';
  #running: Promise<void> | undefined;

  constructor(options: DeviceCertificatesOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#random = options.random ?? Math.random;
  }

  /** Resolves when what lies on the disk can be had; from then on certificates are kept fresh. */
  async start(): Promise<void> {
    await this.#round();
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#wake.abort();
    await this.#running;
  }

  /** What the relay says of the names of this device, each time that it does. */
  readonly told = ({ names, zone, renewals = [] }: Told): void => {
    const before = this.#told;
    this.#told = { names, zone };
    if (before?.zone !== zone || before.names.join() !== names.join()) {
      this.#standingDueMs = this.#clock.monotonicMs();
    }
    for (const each of this.#kept.values()) each.relayIsBack();
    for (const name of renewals) this.#kept.get(name)?.called();
    this.#notSoonerMs = 0;
    this.#wake.abort();
  };

  async load(subject: Hostname): Promise<KeyedCertificate | undefined> {
    const found = [...this.#kept.values()].find((each) => each.subject === subject)?.present;
    if (found === undefined) return undefined;
    const { notAfterMs } = found.facts;
    // A device that was not told the time knows no better than its visitors.
    if (this.#clock.isTold && this.#clock.now() >= notAfterMs) return undefined;
    return { certPem: found.chainPem, keyPem: found.keyPem, notAfterMs };
  }

  onChange(listener: (subject: Hostname) => void): void {
    this.#listeners.add(listener);
  }

  /** Of names that are held; before the relay has told them, of those that lie here. */
  standings(): readonly CertificateStanding[] {
    return [...this.#kept.values()]
      .filter(({ name }) => this.#told === undefined || this.#holds(name))
      .map(({ name, present, failedAtMs }) => ({
        ...{ name, failedAtMs },
        notAfterMs: present?.facts.notAfterMs,
      }));
  }

  #holds(name: DeviceName): boolean {
    return this.#told?.names.includes(name) === true;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await this.#clock.wait(this.#waitMs(), this.#wake.signal);
      this.#wake = new AbortController();
      if (!signal.aborted) await this.#round();
    }
  }

  /** Until something is due. */
  #waitMs(): number {
    const nowMs = this.#clock.monotonicMs();
    const waits = [...this.#kept.values()]
      .filter(({ name }) => this.#holds(name))
      .map((each) => each.dueInMs());
    if (this.#told !== undefined) waits.push(this.#standingDueMs - nowMs);
    const dueMs = Math.min(DEVICE_CERTIFICATE_LIMITS.lookMs, ...waits);
    return Math.max(0, dueMs, this.#notSoonerMs - nowMs);
  }

  /** Everything that is due now. Never rejects. */
  async #round(): Promise<void> {
    try {
      const parts = await this.#open();
      await this.#follow(parts);
      for (const each of [...this.#kept.values()]) {
        if (this.#stopped.signal.aborted) return;
        if (!this.#holds(each.name) || each.dueInMs() > 0) continue;
        if (await each.ask(this.#stopped.signal)) this.#changed(each.subject);
      }
      await this.#dropEnded(parts);
      this.#failures = 0;
      this.#complaint = '';
    } catch (error) {
      if (!this.#stopped.signal.aborted) this.#failed(error);
    }
  }

  /** The disk, or the question which names there are: what does not concern one certificate alone. */
  #failed(error: unknown): void {
    const { log } = this.#options;
    // Which names have ended is asked again by its own time; nothing else waits for it.
    if (error instanceof ApiError) return log.debug(`own certificates: ${error.message}`);
    this.#failures += 1;
    this.#notSoonerMs = this.#clock.monotonicMs() + retryDelayMs(this.#failures, this.#random());
    if (!(error instanceof StoreError)) {
      log.error({ err: error }, 'own certificates: failed');
    } else if (error.message !== this.#complaint) {
      this.#complaint = error.message;
      log.warn(`own certificates: ${error.message}`);
    }
  }

  /** What lies on the disk is there from the first round on, whether or not there is a relay. */
  async #open(): Promise<RenewalParts> {
    if (this.#parts !== undefined) return this.#parts;
    const { directory, api, log } = this.#options;
    const files = await CertificateFiles.open(directory, (name) => {
      log.warn(
        { name },
        'own certificate: the stored one is damaged, and another one is asked for',
      );
    });
    const parts = { files, api, log, clock: this.#clock, random: this.#random };
    for (const name of await files.names()) {
      const subject = (await files.pair(name))?.subject;
      if (subject !== undefined) await this.#add(parts, name, subject);
    }
    this.#parts = parts;
    return parts;
  }

  /** Brings what is kept in line with the names that the relay has told. */
  async #follow(parts: RenewalParts): Promise<void> {
    if (this.#told === undefined) return;
    const { names, zone } = this.#told;
    for (const name of names) {
      const subject = parseHostname(`${name}.${zone}`);
      if (subject === undefined || this.#kept.get(name)?.subject === subject) continue;
      await this.#add(parts, name, subject);
    }
  }

  async #add(parts: RenewalParts, name: DeviceName, subject: Hostname): Promise<void> {
    const added = new OwnCertificate(name, subject, parts);
    await added.restore();
    this.#kept.set(name, added);
    if (added.present !== undefined) this.#changed(subject);
  }

  /** A former name keeps its certificate for its grace; a name that has ended loses it. */
  async #dropEnded({ files, api, log }: RenewalParts): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#told === undefined || nowMs < this.#standingDueMs) return;
    const others = (await files.names()).filter((name) => !this.#holds(name));
    this.#standingDueMs =
      others.length === 0
        ? Number.POSITIVE_INFINITY
        : nowMs + DEVICE_CERTIFICATE_LIMITS.standingMs * (0.5 + this.#random());
    if (others.length === 0) return;
    const { enrolled, names } = await askStanding(api());
    // Nothing follows from a relay that does not know this device: it may have lost its memory.
    if (!enrolled) return;
    for (const name of others) {
      if (names.some((each) => each.name === name)) continue;
      await files.remove(name);
      log.info({ name }, 'own certificate: removed, as the name has ended');
      const subject = this.#kept.get(name)?.subject;
      this.#kept.delete(name);
      if (subject !== undefined) this.#changed(subject);
    }
  }

  #changed(subject: Hostname): void {
    for (const listener of this.#listeners) listener(subject);
  }
}
