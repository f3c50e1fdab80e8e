// Which certificate serves a hostname. Two kinds of certificate cover the whole zone:
//   {zone, *.zone}          the zone itself and every single label below it: `alice.zone`, `my.zone`
//   {alice, *.alice}.zone   everything below a device that the registry knows: `code.alice.zone`
// A hostname outside the zone, too deep in it, or below an unknown device gets none, and nothing is
// ever issued for it. For the others the order is: memory, disk, issue. A certificate is renewed in
// the background after two thirds of its life, by its own dates, when somebody asks for it; until its
// last second it goes on being served, whatever stops the renewal.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Logger } from 'pino';
import { type DeviceName, type Hostname, parseHostname, splitHostname } from '../dns/name.ts';
import type { Authority, CertificateName, IssuedCertificate } from './authority.ts';
import type { Store } from './store.ts';

export const CHOOSER_LIMITS = {
  /** A context costs 40 KB that V8 cannot see: 200 MB. */
  contextsMax: 5_000,
  /** Contexts in the making; beyond it a visitor is refused at once instead of waiting in line. */
  inFlightMax: 1_000,
  /** Freed contexts are reused only after a collection, which V8 sees no reason for. */
  evictionsPerCollection: 1_000,
  /** After a failure, before the next attempt for the same certificate. */
  retryAfterMs: 10_000,
} as const;

export interface ChooserOptions {
  readonly zone: Hostname;
  readonly store: Store;
  readonly authority: Pick<Authority, 'issue' | 'signed'>;
  /** Does the registry know this device? Called for every choice, so it must be a lookup. */
  readonly known: (name: DeviceName) => boolean;
  /** Everything of a context but certificate and key: versions, ciphers, groups. */
  readonly settings: (certificateName: string) => SecureContextOptions;
  readonly log: Logger;
  readonly contextsMax?: number;
  /** The wall clock, as certificates have wall-clock dates. */
  readonly wallClockMs?: () => number;
}

interface Held {
  readonly context: SecureContext;
  readonly renewAtMs: number;
  readonly notAfterMs: number;
}

export class Chooser {
  readonly #options: ChooserOptions;
  readonly #wallClockMs: () => number;
  readonly #contextsMax: number;
  /** By the shorter name of the certificate; the least recently used comes first. */
  readonly #held = new Map<Hostname, Held>();
  readonly #inFlight = new Map<Hostname, Promise<SecureContext | undefined>>();
  /** Until when no new attempt is made, by the monotonic clock. */
  readonly #failedUntilMs = new Map<Hostname, number>();
  #evictions = 0;

  constructor(options: ChooserOptions) {
    this.#options = options;
    this.#wallClockMs = options.wallClockMs ?? (() => Date.now());
    this.#contextsMax = options.contextsMax ?? CHOOSER_LIMITS.contextsMax;
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
    const owner = this.#owner(hostname);
    if (owner === undefined) return undefined;
    const held = this.#held.get(owner);
    if (held === undefined) return this.#obtain(owner);
    const nowMs = this.#wallClockMs();
    if (nowMs >= held.notAfterMs) return this.#obtain(owner);
    this.#held.delete(owner);
    this.#held.set(owner, held);
    if (nowMs >= held.renewAtMs) void this.#obtain(owner);
    return held.context;
  }

  /** Drops the certificate of a device whose name was released, from memory and from the disk. */
  async forget(name: DeviceName): Promise<void> {
    const owner = this.#below(name);
    if (owner === undefined) return;
    this.#held.delete(owner);
    await this.#inFlight.get(owner);
    this.#held.delete(owner);
    await this.#options.store.remove(entryOf(owner));
  }

  /** The hostname whose certificate, with its wildcard, covers this one. */
  #owner(hostname: Hostname): Hostname | undefined {
    const { zone, known } = this.#options;
    const place = splitHostname(hostname, zone);
    switch (place.kind) {
      case 'zone':
      case 'service':
      case 'device':
        return zone;
      case 'workspace':
      case 'lan':
        return known(place.name) ? this.#below(place.name) : undefined;
      case 'deeper':
      case 'outside':
        return undefined;
    }
  }

  #below(name: DeviceName): Hostname | undefined {
    return parseHostname(`${name}.${this.#options.zone}`);
  }

  /** One attempt at a time for each certificate; everybody who asks meanwhile shares it. */
  #obtain(owner: Hostname): Promise<SecureContext | undefined> | undefined {
    const running = this.#inFlight.get(owner);
    if (running !== undefined) return running;
    if (this.#inFlight.size >= CHOOSER_LIMITS.inFlightMax) return undefined;
    const waitUntilMs = this.#failedUntilMs.get(owner);
    if (waitUntilMs !== undefined && performance.now() < waitUntilMs) return undefined;
    const attempt = this.#load(owner)
      .catch((error: unknown) => this.#failed(owner, error))
      .finally(() => this.#inFlight.delete(owner));
    this.#inFlight.set(owner, attempt);
    return attempt;
  }

  async #load(owner: Hostname): Promise<SecureContext | undefined> {
    const names: CertificateName[] = [owner, `*.${owner}`];
    const stored = await this.#fromDisk(owner, names);
    if (stored !== undefined && this.#wallClockMs() < renewAtMs(stored.certPem)) {
      return this.#hold(owner, stored);
    }
    try {
      const issued = await this.#options.authority.issue(names);
      await this.#toDisk(owner, issued);
      return this.#hold(owner, issued);
    } catch (error) {
      if (stored === undefined) throw error;
      const context = this.#hold(owner, stored);
      this.#failed(owner, error);
      return context;
    }
  }

  #hold(owner: Hostname, { certPem, keyPem, notAfterMs }: IssuedCertificate): SecureContext {
    const settings = this.#options.settings(owner);
    const context = createSecureContext({ ...settings, cert: certPem, key: keyPem });
    this.#failedUntilMs.delete(owner);
    this.#held.delete(owner);
    this.#held.set(owner, { context, renewAtMs: renewAtMs(certPem), notAfterMs });
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= this.#contextsMax) break;
      this.#held.delete(oldest);
      this.#evictions += 1;
      if (this.#evictions % CHOOSER_LIMITS.evictionsPerCollection === 0) collectGarbage();
    }
    return context;
  }

  #failed(owner: Hostname, error: unknown): undefined {
    if (this.#failedUntilMs.size >= CHOOSER_LIMITS.inFlightMax) this.#failedUntilMs.clear();
    this.#failedUntilMs.set(owner, performance.now() + CHOOSER_LIMITS.retryAfterMs);
    this.#options.log.error({ err: error, name: owner }, 'no new certificate could be had');
  }

  /** What is on the disk, if it is whole, ours, for exactly these names, and not over. */
  async #fromDisk(
    owner: Hostname,
    names: readonly CertificateName[],
  ): Promise<IssuedCertificate | undefined> {
    const { store, authority, log } = this.#options;
    try {
      const text = await store.read(entryOf(owner));
      if (text === undefined) return undefined;
      const certificate = new X509Certificate(text);
      // One from the future was issued here all the same: it is the clock that is not set yet.
      if (this.#wallClockMs() >= certificate.validToDate.getTime()) return undefined;
      if (!authority.signed(certificate)) return undefined;
      const covered = names.map((name) => `DNS:${name}`).join(', ');
      const certPem = text.slice(text.indexOf(CERTIFICATE_HEADER));
      const keyPem = text.slice(0, text.length - certPem.length);
      if (certificate.subjectAltName !== covered) return undefined;
      if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) return undefined;
      return { certPem, keyPem, notAfterMs: certificate.validToDate.getTime() };
    } catch (error) {
      // A parser's error may quote the key, so only its class is told.
      const reason = error instanceof Error ? error.name : 'unknown';
      log.warn({ name: owner, reason }, 'a stored certificate cannot be used; a new one is issued');
      return undefined;
    }
  }

  /** A full disk costs a new certificate after the next start, and nothing now. */
  async #toDisk(owner: Hostname, { certPem, keyPem }: IssuedCertificate): Promise<void> {
    try {
      await this.#options.store.write(entryOf(owner), keyPem + certPem);
    } catch (error) {
      this.#options.log.warn({ err: error, name: owner }, 'a certificate could not be stored');
    }
  }
}

const CERTIFICATE_HEADER = '-----BEGIN CERTIFICATE-----';

function entryOf(owner: Hostname): string {
  return `cert-${owner}.pem`;
}

function renewAtMs(certPem: string): number {
  const { validFromDate, validToDate } = new X509Certificate(certPem);
  const [startMs, endMs] = [validFromDate.getTime(), validToDate.getTime()];
  return startMs + ((endMs - startMs) * 2) / 3;
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect();
}
