// `waygate dns`: the registry as source of a name server. What dns.yaml says of the zone goes into the
// registry; the zone comes out of it, live. Beside serving it watches the relays, and takes challenges
// away whose time is over.
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { DnsConfig, RegistryPlace } from './dns/config.ts';
import { startNameServer } from './dns/main.ts';
import type { ProgramContext, Running } from './relay/protocol/program-context.ts';
import type { DatabasePlace } from './relay/registry/database.ts';
import { expireChallenges } from './relay/registry/deeds/challenge.ts';
import { configureApex } from './relay/registry/deeds/zone-apex.ts';
import { exposeRelays, exposeZoneSource } from './relay/registry/metrics.ts';
import { FOLLOW_SERIAL } from './relay/registry/reader.ts';
import { openRegistry, type Registry } from './relay/registry/registry.ts';
import { RegistryError } from './relay/registry/registry-error.ts';
import { openZoneFeed } from './relay/registry/zone-feed.ts';
import { registryPlace } from './relay/registry-place.ts';
import { RelayWatch } from './relay/relay-watch.ts';

const DNS_LIMITS = {
  /** Above the time that a transfer in its last message takes; the rest is cut anyway. */
  stopTimeoutMs: 10_000,
  /** How long a challenge may outlive its time. */
  expireEveryMs: 30_000,
  /** Another process may be busy with the database when we start, for a migration say. */
  configureTries: 5,
  configureEveryMs: 1_000,
} as const;

export const DNS_STOP_TIMEOUT_MS: number = DNS_LIMITS.stopTimeoutMs;

export async function startDns(config: DnsConfig, context: ProgramContext): Promise<Running> {
  const { log, metrics } = context;
  await using open = new AsyncDisposableStack();
  const database = await databaseOf(config.registry);
  warnOfNone(database, log);
  const registry = await openRegistry({ database, log, follow: FOLLOW_SERIAL });
  open.defer(() => registry.close());
  await configure(registry, config, log);
  const feed = await openZoneFeed(registry, log);
  open.defer(() => feed.close());
  const watch = new RelayWatch({ registry, log });
  watch.start();
  open.defer(() => watch.stop());
  const expiry = setInterval(() => void expire(registry), DNS_LIMITS.expireEveryMs);
  open.defer(() => clearInterval(expiry));
  exposeRelays(() => watch.counts, [metrics]);
  exposeZoneSource(feed, [metrics]);
  const server = await startNameServer(config, context, feed);
  open.defer(() => server.stop());
  const all = open.move();
  return { stop: () => all.disposeAsync() };
}

/**
 * Publishes what the configuration says. When the database can only be read, the zone is served as it
 * was published last: an old name server's address is better than none.
 */
async function configure(registry: Registry, { apex }: DnsConfig, log: Logger): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await registry.perform(configureApex(apex));
      return;
    } catch (error) {
      const away = error instanceof RegistryError && error.code.startsWith('ERR_REGISTRY_');
      if (!away) throw error;
      if (tries === DNS_LIMITS.configureTries) {
        log.error({ err: error }, 'dns.yaml could not be published; the zone is served as it was');
        return;
      }
      await pause(DNS_LIMITS.configureEveryMs);
    }
  }
}

async function expire(registry: Registry): Promise<void> {
  try {
    while ((await registry.perform(expireChallenges())) > 0);
  } catch (error) {
    // The registry has told of it, and the next turn is soon.
    if (!(error instanceof RegistryError)) throw error;
  }
}

/** Before the relay's first start that is as it must be; else a path is wrong, and no name is known. */
function warnOfNone(database: DatabasePlace, log: Logger): void {
  if (database.kind !== 'sqlite' || existsSync(database.file)) return;
  log.warn(
    `There was no registry at ${database.file}: an empty one was made, so the zone has no names. If the ` +
      'relay has names, correct "state" in dns.yaml to what relay.yaml says.',
  );
}

/** The same as of a relay with these settings. */
function databaseOf(place: RegistryPlace): Promise<DatabasePlace> {
  return place.kind === 'state'
    ? registryPlace({ state: place.directory, registry: {} })
    : registryPlace({ state: '', registry: { postgresUrlFile: place.urlFile } });
}
