// Certificates of ACME authorities: what is wanted follows the names, issuance gets it, the registry keeps
// it, and the entrance finds it there.
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { CertificateName } from '../../certs/certificate.ts';
import type { Envelope } from '../../certs/envelope.ts';
import type { Store } from '../../certs/store.ts';
import type { Hostname } from '../../dns/name.ts';
import { ChallengePublication } from '../challenge-publication.ts';
import type { RelayConfig } from '../config.ts';
import { formatNames } from '../registry/certificates/certificate-names.ts';
import { certificateFor } from '../registry/certificates/present.ts';
import { hastenForDomain, wantForDomain } from '../registry/deeds/wanted-certificate.ts';
import type { Registry } from '../registry/registry.ts';
import type { AttemptParts } from './attempt.ts';
import { authorityDirectory } from './authority-directories.ts';
import { CertificateAuthority } from './certificate-authority.ts';
import { CertificateCount } from './certificate-count.ts';
import { DeviceCalls } from './device-calls.ts';
import { Issuance } from './issuance.ts';
import { NameWork } from './name-work.ts';
import { provers } from './provers.ts';
import { RenewalWindows } from './renewal-windows.ts';
import { Revocations } from './revocations.ts';
import { StoredCertificates } from './stored-certificates.ts';
import { Upkeep } from './upkeep.ts';

const ZONE_LIMITS = {
  /** For the first certificate of the zone: name servers that come up beside the relay, and an order. */
  waitMs: 10 * 60_000,
  /** Between two looks whether it is there. */
  /** Nobody is served meanwhile, and a reading is cheap. */
  lookMs: 250,
  /** How often people are told that the relay still waits. */
  tellMs: 15_000,
} as const;

/** There is no certificate to serve anything with. The message says why none came. */
class NoZoneCertificate extends Error {
  override readonly name = 'NoZoneCertificate';
  readonly code = 'ERR_NO_ZONE_CERTIFICATE';
}

export interface AcmeParts {
  readonly config: Pick<RelayConfig, 'zone' | 'id' | 'certificates' | 'http'>;
  readonly registry: Registry;
  readonly envelope: Envelope;
  readonly store: Store;
  readonly log: Logger;
  readonly now: () => number;
  readonly mayOrder: AttemptParts['mayOrder'];
}

export interface WantedForOwnDomain {
  readonly domain: Hostname;
  readonly wildcard: boolean;
  /** What kept it from its certificate is gone: what failed is tried again as soon as it may be. */
  readonly again?: boolean | undefined;
}

export class AcmeCertificates {
  readonly source: StoredCertificates;
  readonly issuance: Issuance;
  readonly authorities: readonly CertificateAuthority[];
  readonly count: CertificateCount;
  readonly calls: DeviceCalls;
  readonly #parts: AcmeParts;
  readonly #names: NameWork;
  readonly #windows: RenewalWindows;
  readonly #upkeep: Upkeep;
  readonly #revocations: Revocations;
  #stopListening: (() => void) | undefined;
  #stopped = false;

  private constructor(parts: AcmeParts, authorities: readonly CertificateAuthority[]) {
    const { config, registry, envelope, log, now } = parts;
    const { zone } = config;
    this.#parts = parts;
    this.authorities = authorities;
    this.source = new StoredCertificates(parts);
    const challenges = new ChallengePublication(registry);
    const plainHttp = config.http !== undefined;
    const holder = `${config.id} ${randomBytes(6).toString('hex')}`;
    this.calls = new DeviceCalls({ registry, zone, log, now });
    this.issuance = new Issuance({
      ...{ registry, envelope, authorities, zone, log, now, random: Math.random, holder },
      makeProver: provers({ zone, registry, challenges, plainHttp, log, now }),
      issued: () => void this.source.look(),
      called: () => void this.calls.look(),
      mayOrder: parts.mayOrder,
    });
    const random = Math.random;
    this.#revocations = new Revocations({ registry, authorities, holder, log, now, random });
    const changed = () => this.issuance.wake();
    this.#names = new NameWork({ registry, zone, log, now, changed });
    this.#windows = new RenewalWindows({ registry, authorities, log, now, changed });
    this.count = new CertificateCount({ registry, authorities, zone, now });
    this.#upkeep = new Upkeep({ registry, log, now });
  }

  static async open(parts: AcmeParts): Promise<AcmeCertificates> {
    const { config, registry, envelope, now } = parts;
    const authorities = await Promise.all(
      config.certificates.authorities.map(async (settings) => {
        const { budget } = settings;
        const directory = await authorityDirectory(settings);
        return new CertificateAuthority({ directory, budget, registry, envelope, now });
      }),
    );
    return new AcmeCertificates(parts, authorities);
  }

  /**
   * Resolves when the zone's certificate is there: at a first start after it was ordered, later at once,
   * whatever is away. Until then `waits` is told why it is not there, whenever that changes. Rejects with
   * NoZoneCertificate when it does not come.
   */
  async start(stopping?: AbortSignal, waits?: (why: string) => void): Promise<void> {
    this.source.start();
    const { zone } = this.#parts.config;
    const present = await this.source.load(zone).catch(() => undefined);
    const names = this.#names.start();
    // How it is called in CAA records is wanted before its first order.
    for (const authority of this.authorities) authority.open().catch(() => undefined);
    this.issuance.start();
    this.#windows.start();
    this.#upkeep.start();
    this.#revocations.start();
    // A deed, here or elsewhere, that has taken a name from its device.
    this.#stopListening = this.#parts.registry.onChange(() => void this.#revocations.look());
    this.calls.start();
    if (present !== undefined) return;
    await names;
    await this.#zoneServed(stopping, waits);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopListening?.();
    await Promise.all([this.#names.stop(), this.#windows.stop(), this.#upkeep.stop()]);
    await Promise.all([this.#revocations.stop(), this.calls.stop()]);
    await this.issuance.stop();
    await this.source.stop();
  }

  /**
   * A certificate of an own domain is wanted, as long as that is proven; the same again changes nothing.
   * Whoever has looked at its DNS took seconds for it, in which the domain may have gone elsewhere.
   */
  async want({ domain, wildcard, again = false }: WantedForOwnDomain): Promise<void> {
    const names: CertificateName[] = wildcard ? [domain, `*.${domain}`] : [domain];
    const { registry, now } = this.#parts;
    const work = { purpose: 'domain', subject: domain, thumbprint: '' } as const;
    const before = await registry.read(certificateFor(work));
    const wanted = { domain, wildcard, nowMs: now() };
    if (before === undefined || formatNames(before.names) !== formatNames(names)) {
      if (await registry.perform(wantForDomain({ ...wanted, names }))) this.issuance.wake();
    } else if (again && before.lastError !== undefined) {
      if (await registry.perform(hastenForDomain(wanted))) this.issuance.wake();
    }
  }

  async #zoneServed(
    stopping: AbortSignal | undefined,
    waits: ((why: string) => void) | undefined,
  ): Promise<void> {
    const { config, log } = this.#parts;
    const { zone } = config;
    const startedMs = performance.now();
    let toldMs = startedMs;
    let told: string | undefined;
    while (!this.#stopped && performance.now() - startedMs < ZONE_LIMITS.waitMs) {
      if ((await this.source.load(zone).catch(() => undefined)) !== undefined) return;
      const why = await this.#whyNot();
      if (why !== told) waits?.(`The zone ${zone} has no certificate yet. ${why}`);
      told = why;
      if (performance.now() - toldMs >= ZONE_LIMITS.tellMs) {
        toldMs = performance.now();
        log.warn({ zone, why }, 'the relay waits for the first certificate');
      }
      stopping?.throwIfAborted();
      await delay(ZONE_LIMITS.lookMs);
    }
    throw new NoZoneCertificate(
      `There is no certificate for the zone ${zone}, so neither visitors nor devices can be served. ` +
        `${await this.#whyNot()} Put that right, then start the relay again.`,
    );
  }

  /** Why the zone has no certificate, as a sentence. */
  async #whyNot(): Promise<string> {
    const { registry, config } = this.#parts;
    const work = { purpose: 'relay', subject: config.zone, thumbprint: '' } as const;
    try {
      // One that is there and does not open is not ordered again by itself.
      await this.source.load(config.zone);
      const wanted = await registry.read(certificateFor(work));
      return wanted?.lastError ?? 'Its order is under way.';
    } catch (error) {
      return error instanceof Error ? error.message : 'The registry cannot be read.';
    }
  }
}
