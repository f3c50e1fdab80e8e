// The relay: the vendor's program that visitors and devices connect to, on one port. SNI decides which
// of the two a connection is. Here the parts meet; each is explained in its own file.
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type DeviceName, type Hostname, parseHostname } from '../dns/name.ts';
import { Admission } from './admission.ts';
import { AwaySince } from './away-since.ts';
import { type Certificates, openCertificates } from './certificates/certificates.ts';
import { presenceOf, type RelayConfig, relayFiles } from './config.ts';
import { Domains } from './domains/domains.ts';
import { PublicDns } from './domains/public-dns.ts';
import type { DomainChange } from './domains/report.ts';
import { Journal } from './entrance/journal.ts';
import { exposeJournal } from './entrance/metrics.ts';
import { Lapses } from './lapses.ts';
import { exposeTunnels } from './metrics.ts';
import { News, standingOf } from './news.ts';
import { openPortal, type Portal } from './portal/portal.ts';
import { loadOrCreateKey, parsePublicKey, type SigningKey } from './protocol/key.ts';
import type { ProgramContext, Running } from './protocol/program-context.ts';
import { CLOSE } from './protocol/wire.ts';
import { whileYoungHeapGrows, YoungBuffers } from './protocol/young-buffers.ts';
import { PublicDoors } from './public-doors.ts';
import type { RegistryWork } from './registry/database.ts';
import { openRegistry, type Registry } from './registry/registry.ts';
import { SoftwareLog } from './registry/software-log.ts';
import { registryPlace } from './registry-place.ts';
import { RelayPresence } from './relay-presence.ts';
import { Router } from './route.ts';
import { Tunnels } from './tunnels.ts';

const MAIN_LIMITS = {
  /** A stopping relay still serves what is on its way: handshakes, and requests of idle visitors. */
  lateVisitMs: 300,
  /** For devices to hear that the relay stops, before their connections are cut. */
  lastWordsMs: 50,
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
  const later: Later = { port: config.listen.port };
  const renewalsOf: RenewalsOf = (device) => later.certificates?.acme?.calls.of(device) ?? [];
  const { tunnels, news } = tunnelsOf(registry, { zone, renewalsOf, log });
  const mayOrder = (domain: string) => domains.recheck(domain);
  const certificates = await openCertificates({ config, registry, log, mayOrder });
  later.certificates = certificates;
  certificates.acme?.calls.onCall((thumbprint) => news.tell(thumbprint));
  const domains = domainsOf({
    ...{ config, registry, certificates, log },
    rootPem: await rootOf(config),
    port: () => later.port,
    tell: (change) => later.portal?.notices.domain(change) ?? NOBODY,
  });
  const portal = await openPortal({
    ...{ zone, config: config.portal, accessLog: config.accessLog, registry, log },
    ...{ vendorKey, tunnelHost: tunnelHost(zone), softwarePolicy: config.devices },
    ...{ domains, certificates, ticketKeys: certificates.ticketKeys },
  });
  later.portal = portal;
  const softwareLog = new SoftwareLog((work) => registry.write(work));
  const parts = { config, registry, tunnels, renewalsOf, vendorKey, softwareLog, log };
  const admission = admissionOf({ ...parts, deviceApi: portal.deviceApi });
  const state = { stopping: false };
  const { reach } = routerOf({ config, registry, tunnels, stopping: () => state.stopping });
  const journal = new Journal({ log, accessLog: config.accessLog });
  await certificates.start(context.stopping, (why) => context.notReady(why));
  const doors = await PublicDoors.open({
    ...{ config, registry, certificates, portal, admission, reach, journal, log },
    tunnelHost: tunnelHost(zone),
  });
  later.port = doors.port;
  const portalUrl = portal.listening(doors.port);
  const lapses = new Lapses({ registry, log, notices: (lapsed) => portal.notices.lapsed(lapsed) });
  exposeJournal(journal, context.metrics);
  exposeTunnels({ tunnels, admission, registry, registers: [context.metrics] });
  for (const part of [certificates, doors, portal]) part.expose([context.metrics]);
  const seen = setInterval(() => markSeen(tunnels, registry), MAIN_LIMITS.seenEveryMs);
  const presence = new RelayPresence(presenceOf(config), registry, log);
  await presence.start(context.metrics);
  domains.start();
  const where = { address: config.listen.host, port: doors.port, http: doors.plainHttp?.port };
  log.info({ ...where, zone, ca: certificates.caFile }, 'serving');
  const { text: vendorKeyText } = vendorKey.publicKey;
  context.ready({ ...where, ca: certificates.caFile, portal: portalUrl, vendorKey: vendorKeyText });
  return {
    async stop() {
      clearInterval(seen);
      await Promise.all([presence.stop(), lapses.stop(), domains.stop(), certificates.stop()]);
      doors.stop();
      await delay(MAIN_LIMITS.lateVisitMs);
      state.stopping = true;
      await leave({ doors, portal, tunnels, drainMs: config.drainSeconds * 1_000 });
      admission.close();
      await softwareLog.stop();
      await registry.close();
    },
  };
}

/** What others need before it is there. */
interface Later {
  portal?: Portal;
  certificates?: Certificates;
  port: number;
}

/** Names of a device whose certificate it is to ask about. */
type RenewalsOf = (thumbprint: string) => readonly DeviceName[];

/** Nothing happens to domains before the portal is there. */
const NOBODY = async () => undefined;

function markSeen(tunnels: Tunnels, registry: Registry): void {
  for (const thumbprint of tunnels.connected()) registry.markSeen(thumbprint, Date.now());
}

/** Devices connect elsewhere, running visits finish or are cut, then everything closes. */
async function leave(parts: {
  readonly doors: PublicDoors;
  readonly portal: Portal;
  readonly tunnels: Tunnels;
  readonly drainMs: number;
}): Promise<void> {
  const { doors, portal, tunnels, drainMs } = parts;
  tunnels.drain(drainMs);
  await Promise.all([portal.close(), doors.drain(drainMs)]);
  tunnels.close(CLOSE.done, 'done: the relay stops');
  await delay(MAIN_LIMITS.lastWordsMs);
  doors.close();
}

/** What own domains are expected to chain to, where that is none of the machine's roots. */
async function rootOf({ domains }: RelayConfig): Promise<string | undefined> {
  const { rootFile } = domains;
  if (rootFile === undefined) return undefined;
  return readFile(rootFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      `domains.rootFile: ${rootFile} cannot be read (${error.code}). Put the root there, or leave it out.`,
    );
  });
}

/** Own domains, which are looked at from outside. */
function domainsOf(parts: {
  readonly config: RelayConfig;
  readonly registry: Registry;
  readonly certificates: Certificates;
  readonly rootPem: string | undefined;
  readonly port: () => number;
  readonly tell: (change: DomainChange) => RegistryWork<unknown>;
  readonly log: Logger;
}): Domains {
  const { config, registry, certificates, rootPem, port, tell, log } = parts;
  const { resolvers, publicPort } = config.domains;
  return new Domains({
    ...{ registry, zone: config.zone, tell, log, now: Date.now },
    dns: new PublicDns(resolvers),
    get caaIssuers() {
      return certificates.caaIssuers();
    },
    plainHttp: config.http !== undefined,
    certificateOf: (domain) => certificates.domainCertificate(domain),
    want: (wanted) => certificates.wantDomain(wanted),
    publicPort: () => publicPort ?? port(),
    ca: rootPem,
  });
}

function tunnelsOf(
  registry: Registry,
  { zone, renewalsOf, log }: { zone: Hostname; renewalsOf: RenewalsOf; log: Logger },
): { readonly tunnels: Tunnels; readonly news: News } {
  const tunnels = new Tunnels({
    log,
    nextEpoch: (thumbprint) => registry.nextEpoch(thumbprint),
    admissible: (thumbprint) => registry.snapshot.admissible(thumbprint) !== undefined,
    changed: (thumbprint) => registry.markSeen(thumbprint, Date.now()),
  });
  const news = new News({ zone, tunnels, snapshot: () => registry.snapshot, renewalsOf, log });
  registry.onChange((snapshot, before, names, keys) => {
    tunnels.expel(keys);
    news.changed(snapshot, before, names);
  });
  return { tunnels, news };
}

function admissionOf(parts: {
  readonly config: RelayConfig;
  readonly registry: Registry;
  readonly tunnels: Tunnels;
  readonly renewalsOf: RenewalsOf;
  readonly vendorKey: SigningKey;
  readonly deviceApi: Portal['deviceApi'];
  readonly softwareLog: SoftwareLog;
  readonly log: Logger;
}): Admission {
  const { config, registry, tunnels, renewalsOf, vendorKey, deviceApi, softwareLog, log } = parts;
  const { zone } = config;
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
    standing: (thumbprint) =>
      standingOf(thumbprint, registry.snapshot, { zone, renewals: renewalsOf(thumbprint) }),
    softwarePolicy: config.devices,
    runs: (thumbprint, software) => softwareLog.mark(thumbprint, software),
  });
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
    ownDomainOf: (hostname) => registry.snapshot.ownDomain(hostname),
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
