// The doors that the world comes to: HTTPS for visitors, devices and owners, and plain HTTP for
// certificate authorities and for visitors who have not heard of HTTPS.
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Registry as MetricsRegistry } from 'prom-client';
import type { Hostname } from '../dns/name.ts';
import type { Admission } from './admission.ts';
import type { Certificates } from './certificates/certificates.ts';
import { subjectsOf } from './certificates/subjects.ts';
import type { RelayConfig } from './config.ts';
import { Entrance } from './entrance/entrance.ts';
import type { Journal } from './entrance/journal.ts';
import type { Reach } from './entrance/reach.ts';
import { exposePlainHttp } from './metrics.ts';
import { listenPlainHttp, type PlainHttp } from './plain-http.ts';
import type { Portal } from './portal/portal.ts';
import type { Registry } from './registry/registry.ts';

const DOOR_LIMITS = {
  /** How often a stopping relay looks whether the last visit is over. */
  stopPollMs: 50,
} as const;

export interface DoorParts {
  readonly config: RelayConfig;
  readonly registry: Registry;
  readonly certificates: Certificates;
  readonly portal: Portal;
  readonly admission: Admission;
  readonly reach: Reach;
  readonly journal: Journal;
  readonly tunnelHost: Hostname;
  readonly log: Logger;
}

export class PublicDoors {
  /** Where HTTPS is answered. */
  readonly port: number;
  /** `undefined`: relay.yaml wants none. */
  readonly plainHttp: PlainHttp | undefined;
  readonly #entrance: Entrance;

  private constructor(port: number, entrance: Entrance, plainHttp: PlainHttp | undefined) {
    this.port = port;
    this.#entrance = entrance;
    this.plainHttp = plainHttp;
  }

  /** Rejects with ListenError. */
  static async open(parts: DoorParts): Promise<PublicDoors> {
    const entrance = await entranceOf(parts);
    const port = await entrance.listen();
    try {
      return new PublicDoors(port, entrance, await plainHttpOf(parts, port));
    } catch (error) {
      entrance.close();
      throw error;
    }
  }

  /** Makes the figures of plain HTTP part of these registries; the journal has those of HTTPS. */
  expose(registers: MetricsRegistry[]): void {
    if (this.plainHttp !== undefined) exposePlainHttp(this.plainHttp, registers);
  }

  /** Takes nobody new; visits go on. */
  stop(): void {
    this.#entrance.stop();
  }

  /** Lets running visits finish, for so long. */
  async drain(drainMs: number): Promise<void> {
    this.#entrance.stopIdleVisits();
    const deadline = performance.now() + drainMs;
    while (this.#entrance.visitCount > 0 && performance.now() < deadline) {
      await delay(DOOR_LIMITS.stopPollMs);
    }
    this.#entrance.stopVisits();
    await this.plainHttp?.close();
  }

  /** Ends everything at once. */
  close(): void {
    this.#entrance.close();
  }
}

async function entranceOf(parts: DoorParts): Promise<Entrance> {
  const { config, registry, certificates, portal, admission, reach, journal, tunnelHost } = parts;
  const { zone, listen, limits } = config;
  const { chooser, answers } = certificates;
  if ((await chooser.choose(zone)) === undefined)
    throw new Error(`There is no certificate for the zone ${zone}.`);
  return new Entrance({
    host: listen.host,
    port: listen.port,
    via: 'relay',
    choose: (hostname) => portal.choose(hostname) ?? chooser.choose(hostname),
    alpnChallenge: (hostname) =>
      registry.snapshot.ownDomain(hostname) && answers.alpnContext(hostname),
    fallback: () => chooser.choose(zone),
    reach,
    journal,
    services: [
      { hostname: tunnelHost, take: (socket) => admission.take(socket) },
      { hostname: portal.hostname, take: (socket) => portal.take(socket) },
    ],
    connectionsPerAddress: limits.connectionsPerAddress,
    requestsPerSecondPerAddress: limits.requestsPerSecondPerAddress,
  });
}

async function plainHttpOf(parts: DoorParts, port: number): Promise<PlainHttp | undefined> {
  const { config, registry, certificates, portal, log } = parts;
  const { zone, http, domains } = config;
  if (http === undefined) return undefined;
  return listenPlainHttp({
    ...http,
    knows: (hostname) =>
      hostname === portal.hostname || subjectsOf(hostname, zone, registry.snapshot).length > 0,
    keyAuthorization: async (hostname, token) =>
      registry.snapshot.ownDomain(hostname) &&
      (await certificates.answers.keyAuthorization(hostname, token)),
    httpsPort: domains.publicPort ?? port,
    log,
  });
}
