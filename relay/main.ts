// The relay: the vendor's program that visitors and devices connect to, on one port. SNI decides which
// of the two a connection is. Here the parts meet; each is explained in its own file.
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { caFile, openAuthority } from '../certs/authority.ts';
import { Chooser } from '../certs/chooser.ts';
import { openStore } from '../certs/store.ts';
import { type DeviceName, type Hostname, parseDeviceName, parseHostname } from '../dns/name.ts';
import { Admission } from './admission.ts';
import { AwaySince } from './away-since.ts';
import { presenceOf, type RelayConfig, relayFiles } from './config.ts';
import { Entrance } from './entrance/entrance.ts';
import { Journal } from './entrance/journal.ts';
import { exposeJournal } from './entrance/metrics.ts';
import type { Reach } from './entrance/reach.ts';
import { tlsSettings } from './entrance/tls-settings.ts';
import { Lapses } from './lapses.ts';
import { exposeTunnels } from './metrics.ts';
import { News, standingOf } from './news.ts';
import { openPortal, type Portal } from './portal/portal.ts';
import { loadOrCreateKey, parsePublicKey, type SigningKey } from './protocol/key.ts';
import type { ProgramContext, Running } from './protocol/program-context.ts';
import { CLOSE } from './protocol/wire.ts';
import { whileYoungHeapGrows, YoungBuffers } from './protocol/young-buffers.ts';
import { openRegistry, type Registry } from './registry/registry.ts';
import type { RegistrySnapshot } from './registry/snapshot.ts';
import { SoftwareLog } from './registry/software-log.ts';
import { registryPlace } from './registry-place.ts';
import { RelayPresence } from './relay-presence.ts';
import { Router } from './route.ts';
import { Tunnels } from './tunnels.ts';

const MAIN_LIMITS = {
  /** A stopping relay still serves what is on its way: handshakes, and requests of idle visitors. */
  lateVisitMs: 300,
  /** How often a stopping relay looks whether the last visit is over. */
  stopPollMs: 50,
  /** How often the registry is told which devices are there: what a crash forgets of a connected one. */
  seenEveryMs: 30_000,
} as const;

export async function startRelay(config: RelayConfig, context: ProgramContext): Promise<Running> {
  const { log } = context;
  const { zone } = config;
  const files = relayFiles(config);
  const vendorKey = await loadOrCreateKey(files.vendorKey, 'vendor');
  const database = await registryPlace(config);
  const registry = await whileYoungHeapGrows(() =>
    openRegistry({ database, log, policy: config.names }),
  );
  const tunnels = tunnelsOf(registry, { zone, log });
  const ticketKeys = randomBytes(48);
  const { chooser, ca } = await certificatesOf(config, registry, { ticketKeys, log });
  const portal = await openPortal({
    ...{ zone, config: config.portal, accessLog: config.accessLog, registry, log },
    ...{ vendorKey, tunnelHost: tunnelHost(zone), ticketKeys, softwarePolicy: config.devices },
  });
  const { deviceApi } = portal;
  const softwareLog = new SoftwareLog((work) => registry.write(work));
  const parts = { config, registry, tunnels, vendorKey, deviceApi, log };
  const admission = admissionOf({ ...parts, softwareLog });
  const state = { stopping: false };
  const router = routerOf({ config, registry, tunnels, stopping: () => state.stopping });
  const journal = new Journal({ log, accessLog: config.accessLog });
  const { reach } = router;
  const entrance = await entranceOf(config, { chooser, portal, admission, reach, journal });
  const port = await entrance.listen();
  const portalUrl = portal.listening(port);
  const lapses = new Lapses({ registry, log, tell: (lapsed) => portal.deeds.tellLapsed(lapsed) });
  exposeJournal(journal, context.metrics);
  exposeTunnels({ tunnels, admission, registry, registers: [context.metrics] });
  const seen = setInterval(() => {
    for (const thumbprint of tunnels.connected()) registry.markSeen(thumbprint, Date.now());
  }, MAIN_LIMITS.seenEveryMs);
  const presence = new RelayPresence(presenceOf(config), registry, log);
  await presence.start(context.metrics);
  log.info({ address: config.listen.host, port, zone, ca }, 'serving');
  const vendorKeyText = vendorKey.publicKey.text;
  context.ready({
    address: config.listen.host,
    port,
    ca,
    vendorKey: vendorKeyText,
    portal: portalUrl,
  });
  return {
    async stop() {
      clearInterval(seen);
      await Promise.all([presence.stop(), lapses.stop()]);
      entrance.stop();
      await delay(MAIN_LIMITS.lateVisitMs);
      state.stopping = true;
      await Promise.all([portal.close(), drain(tunnels, entrance, config.drainSeconds * 1_000)]);
      admission.close();
      await softwareLog.stop();
      await registry.close();
    },
  };
}

/** The door for visitors, and for what the vendor himself has on the same port. */
async function entranceOf(
  config: RelayConfig,
  parts: {
    readonly chooser: Chooser;
    readonly portal: Portal;
    readonly admission: Admission;
    readonly reach: Reach;
    readonly journal: Journal;
  },
): Promise<Entrance> {
  const { zone, listen, limits } = config;
  const { chooser, portal, admission, reach, journal } = parts;
  const fallback = await chooser.choose(zone);
  if (fallback === undefined) throw new Error(`There is no certificate for the zone ${zone}.`);
  return new Entrance({
    host: listen.host,
    port: listen.port,
    via: 'relay',
    choose: (hostname) => portal.choose(hostname) ?? chooser.choose(hostname),
    fallback,
    reach,
    journal,
    services: [
      { hostname: tunnelHost(zone), take: (socket) => admission.take(socket) },
      { hostname: portal.hostname, take: (socket) => portal.take(socket) },
    ],
    connectionsPerAddress: limits.connectionsPerAddress,
    requestsPerSecondPerAddress: limits.requestsPerSecondPerAddress,
  });
}

/** Devices connect elsewhere, running visits finish or are cut, then everything closes. */
async function drain(tunnels: Tunnels, entrance: Entrance, drainMs: number): Promise<void> {
  tunnels.drain(drainMs);
  entrance.stopIdleVisits();
  const deadline = performance.now() + drainMs;
  while (entrance.visitCount > 0 && performance.now() < deadline) {
    await delay(MAIN_LIMITS.stopPollMs);
  }
  entrance.stopVisits();
  tunnels.close(CLOSE.done, 'done: the relay stops');
  await delay(MAIN_LIMITS.stopPollMs);
  entrance.close();
}

function tunnelsOf(registry: Registry, { zone, log }: { zone: Hostname; log: Logger }): Tunnels {
  const tunnels = new Tunnels({
    log,
    nextEpoch: (thumbprint) => registry.nextEpoch(thumbprint),
    changed: (thumbprint) => registry.markSeen(thumbprint, Date.now()),
  });
  const news = new News({ zone, tunnels, snapshot: () => registry.snapshot, log });
  registry.onChange((snapshot, before, names) => {
    for (const thumbprint of tunnels.connected()) {
      if (snapshot.admissible(thumbprint) === undefined) tunnels.expel(thumbprint);
    }
    news.changed(snapshot, before, names);
  });
  return tunnels;
}

function admissionOf(parts: {
  readonly config: RelayConfig;
  readonly registry: Registry;
  readonly tunnels: Tunnels;
  readonly vendorKey: SigningKey;
  readonly deviceApi: Portal['deviceApi'];
  readonly softwareLog: SoftwareLog;
  readonly log: Logger;
}): Admission {
  const { config, registry, tunnels, vendorKey, deviceApi, softwareLog, log } = parts;
  return new Admission({
    hostname: tunnelHost(config.zone),
    vendorKey,
    tunnels,
    log,
    deviceApi,
    streamsPerTunnel: config.limits.streamsPerTunnel,
    youngBuffers: new YoungBuffers(),
    findKey: async (thumbprint) => {
      // It may have been enrolled by another process a moment ago.
      if (registry.snapshot.admissible(thumbprint) === undefined) await registry.poll();
      const device = registry.snapshot.admissible(thumbprint);
      return device === undefined ? undefined : parsePublicKey(device.publicKey, 'device');
    },
    standing: (thumbprint) => standingOf(thumbprint, registry.snapshot, config.zone),
    softwarePolicy: config.devices,
    runs: (thumbprint, software) => softwareLog.mark(thumbprint, software),
  });
}

async function certificatesOf(
  config: RelayConfig,
  registry: Registry,
  { ticketKeys, log }: { readonly ticketKeys: Buffer; readonly log: Logger },
) {
  const { zone } = config;
  const store = await openStore(relayFiles(config).certificates);
  const authority = await openAuthority(store, zone);
  const chooser = new Chooser({
    zone,
    store,
    authority,
    known: (name) => isServed(registry.snapshot, name),
    settings: (certificateName) => tlsSettings(certificateName, ticketKeys),
    log,
  });
  registry.onChange((snapshot, before, names) => {
    for (const text of names ?? before.names()) {
      const name = parseDeviceName(text);
      if (name === undefined || !isServed(before, name) || isServed(snapshot, name)) continue;
      chooser.forget(name).catch((error: unknown) => {
        log.error({ err: error, name }, 'the certificate of a released name is still on the disk');
      });
    }
  });
  return { chooser, ca: caFile(store, zone) };
}

/** Held, or former and answered with a redirect. */
function isServed(snapshot: RegistrySnapshot, name: DeviceName): boolean {
  return snapshot.deviceOf(name) !== undefined || snapshot.successorOf(name) !== undefined;
}

function routerOf(parts: {
  readonly config: RelayConfig;
  readonly registry: Registry;
  readonly tunnels: Tunnels;
  readonly stopping: () => boolean;
}): Router {
  const { config, registry, tunnels, stopping } = parts;
  const away = new AwaySince(tunnels, registry);
  const router = new Router({
    zone: config.zone,
    holderOf: (name) => registry.snapshot.deviceOf(name)?.thumbprint,
    successorOf: (name) => registry.snapshot.successorOf(name),
    pick: (thumbprint) => tunnels.pick(thumbprint),
    awaySinceMs: (thumbprint) => away.ms(thumbprint),
    stopping,
    streamsPerVisitor: config.limits.streamsPerVisitor,
  });
  registry.onChange((_snapshot, _before, names) => router.review(names));
  return router;
}

function tunnelHost(zone: Hostname): Hostname {
  const hostname = parseHostname(`tunnel.${zone}`);
  if (hostname === undefined) throw new Error(`The zone ${zone} is too long for a name below it.`);
  return hostname;
}
