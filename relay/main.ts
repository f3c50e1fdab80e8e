// The relay: the vendor's program that visitors and devices connect to, on one port. SNI decides which
// of the two a connection is. Here the parts meet; each is explained in its own file.
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { caFile, openAuthority } from '../certs/authority.ts';
import { Chooser } from '../certs/chooser.ts';
import { openStore } from '../certs/store.ts';
import { type Hostname, parseHostname } from '../dns/name.ts';
import { Admission } from './admission.ts';
import { AwaySince } from './away-since.ts';
import { type RelayConfig, relayFiles } from './config.ts';
import { Entrance } from './entrance/entrance.ts';
import { Journal } from './entrance/journal.ts';
import { exposeJournal } from './entrance/metrics.ts';
import { tlsSettings } from './entrance/tls-settings.ts';
import { exposeTunnels } from './metrics.ts';
import { loadOrCreateKey, parsePublicKey, type SigningKey } from './protocol/key.ts';
import type { ProgramContext, Running } from './protocol/program-context.ts';
import { CLOSE } from './protocol/wire.ts';
import { YoungBuffers } from './protocol/young-buffers.ts';
import { openRegistry, type Registry } from './registry/registry.ts';
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
  const registry = await openRegistry({ file: files.registry, log });
  const tunnels = tunnelsOf(registry, log);
  const admission = admissionOf({ config, registry, tunnels, vendorKey, log });
  const { chooser, ca } = await certificatesOf(config, registry, log);
  const fallback = await chooser.choose(zone);
  if (fallback === undefined) throw new Error(`There is no certificate for the zone ${zone}.`);
  const state = { stopping: false };
  const router = routerOf({ config, registry, tunnels, stopping: () => state.stopping });
  const journal = new Journal({ log, accessLog: config.accessLog });
  const entrance = new Entrance({
    host: config.listen.host,
    port: config.listen.port,
    via: 'relay',
    choose: (hostname) => chooser.choose(hostname),
    fallback,
    reach: router.reach,
    journal,
    service: { hostname: tunnelHost(zone), take: (socket) => admission.take(socket) },
    connectionsPerAddress: config.limits.connectionsPerAddress,
    requestsPerSecondPerAddress: config.limits.requestsPerSecondPerAddress,
  });
  const port = await entrance.listen();
  exposeJournal(journal, context.metrics);
  exposeTunnels({ tunnels, admission, registry, registers: [context.metrics] });
  const seen = setInterval(() => {
    for (const thumbprint of tunnels.connected()) registry.markSeen(thumbprint, Date.now());
  }, MAIN_LIMITS.seenEveryMs);
  log.info({ address: config.listen.host, port, zone, ca }, 'serving');
  const vendorKeyText = vendorKey.publicKey.text;
  context.ready({ address: config.listen.host, port, ca, vendorKey: vendorKeyText });
  return {
    async stop() {
      clearInterval(seen);
      entrance.stop();
      await delay(MAIN_LIMITS.lateVisitMs);
      state.stopping = true;
      await drain(tunnels, entrance, config.drainSeconds * 1_000);
      await registry.close();
    },
  };
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

function tunnelsOf(registry: Registry, log: Logger): Tunnels {
  const tunnels = new Tunnels({
    log,
    nextEpoch: (thumbprint) => registry.nextEpoch(thumbprint),
    changed: (thumbprint) => registry.markSeen(thumbprint, Date.now()),
  });
  registry.onChange((snapshot) => {
    for (const thumbprint of tunnels.connected()) {
      if (snapshot.admissible(thumbprint) === undefined) tunnels.expel(thumbprint);
    }
  });
  return tunnels;
}

function admissionOf(parts: {
  readonly config: RelayConfig;
  readonly registry: Registry;
  readonly tunnels: Tunnels;
  readonly vendorKey: SigningKey;
  readonly log: Logger;
}): Admission {
  const { config, registry, tunnels, vendorKey, log } = parts;
  return new Admission({
    zone: config.zone,
    hostname: tunnelHost(config.zone),
    vendorKey,
    tunnels,
    log,
    streamsPerTunnel: config.limits.streamsPerTunnel,
    youngBuffers: new YoungBuffers(),
    findKey: async (thumbprint) => {
      // It may have been enrolled by another process a moment ago.
      if (registry.snapshot.admissible(thumbprint) === undefined) await registry.poll();
      const device = registry.snapshot.admissible(thumbprint);
      return device === undefined ? undefined : parsePublicKey(device.publicKey, 'device');
    },
    namesOf: (thumbprint) => registry.snapshot.namesOf(thumbprint),
  });
}

async function certificatesOf(config: RelayConfig, registry: Registry, log: Logger) {
  const { zone } = config;
  const store = await openStore(relayFiles(config).certificates);
  const authority = await openAuthority(store, zone);
  const ticketKeys = randomBytes(48);
  const chooser = new Chooser({
    zone,
    store,
    authority,
    known: (name) => registry.snapshot.deviceOf(name) !== undefined,
    settings: (certificateName) => tlsSettings(certificateName, ticketKeys),
    log,
  });
  registry.onChange((snapshot, before) => {
    if (snapshot.size > before.size) return; // names were only added
    for (const name of before.names()) {
      if (snapshot.deviceOf(name) !== undefined) continue;
      chooser.forget(name).catch((error: unknown) => {
        log.error({ err: error, name }, 'the certificate of a released name is still on the disk');
      });
    }
  });
  return { chooser, ca: caFile(store, zone) };
}

function routerOf(parts: {
  readonly config: RelayConfig;
  readonly registry: Registry;
  readonly tunnels: Tunnels;
  readonly stopping: () => boolean;
}): Router {
  const { config, registry, tunnels, stopping } = parts;
  const away = new AwaySince(tunnels, registry);
  return new Router({
    zone: config.zone,
    holderOf: (name) => registry.snapshot.deviceOf(name)?.thumbprint,
    pick: (thumbprint) => tunnels.pick(thumbprint),
    awaySinceMs: (thumbprint) => away.ms(thumbprint),
    stopping,
    streamsPerVisitor: config.limits.streamsPerVisitor,
  });
}

function tunnelHost(zone: Hostname): Hostname {
  const hostname = parseHostname(`tunnel.${zone}`);
  if (hostname === undefined) throw new Error(`The zone ${zone} is too long for a name below it.`);
  return hostname;
}
