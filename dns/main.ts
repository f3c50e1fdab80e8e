// The name server as a program: it answers from its source, hands the zone to secondaries, and tells
// them of changes. Where the zone comes from is the business of whoever starts it.
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { DnsConfig } from './config.ts';
import { exposeNameServer } from './metrics.ts';
import { Notifier } from './notify.ts';
import { NameServer } from './server.ts';
import { ZoneTransfers } from './transfer.ts';
import type { TransferSettings } from './transfer-settings.ts';
import { readTsigKey, type TsigKey, TsigKeys } from './tsig-key.ts';
import type { ZoneSource } from './zone-source.ts';

/** What a program is handed by whoever runs it. */
export interface NameServerContext {
  readonly log: Logger;
  readonly metrics: Registry;
  ready(details: Readonly<Record<string, unknown>>): void;
}

export interface RunningNameServer {
  /** Ends every transfer and frees the ports. */
  stop(): Promise<void>;
}

/** Rejects when a port or a key cannot be had. */
export async function startNameServer(
  config: Pick<DnsConfig, 'listen' | 'apex' | 'transfers' | 'responsesPerSecond'>,
  { log, metrics, ready }: NameServerContext,
  source: ZoneSource,
): Promise<RunningNameServer> {
  const { listen, apex, transfers: settings, responsesPerSecond } = config;
  const keys = new Map(settings.tsigKeys.map((each) => [canonical(each.name), readTsigKey(each)]));
  const transfers = new ZoneTransfers({
    source,
    keys: new TsigKeys(keys.values()),
    secondaries: settings.secondaries,
    limits: settings.transferLimits,
    answer: (question, asker) => server.answer(question, asker),
    log,
  });
  const server = new NameServer({
    listen: listen.map(({ host, port }) => ({ address: host, port })),
    source,
    special: transfers.special,
    responsesPerSecond,
    onFault: (error) => log.error({ err: error }, 'a question could not be answered'),
  });
  const notifier = new Notifier({
    source,
    secondaries: notified(settings, keys),
    notifyFrom: settings.notifyFrom,
    log,
  });
  await server.start();
  notifier.start();
  exposeNameServer({ server, transfers, notifier, source, registers: [metrics] });
  if (apex.nameServers.length < 2) {
    log.warn('the zone has one name server; registries demand two, in different places');
  }
  const { places } = server;
  const { serial, top } = source.zone;
  log.info({ places, zone: apex.zone, serial, labels: top.size }, 'serving');
  const [first] = places;
  ready({ address: first?.address, port: first?.port, places });
  return {
    async stop() {
      await notifier.stop();
      await server.stop();
    },
  };
}

function notified({ secondaries }: TransferSettings, keys: ReadonlyMap<string, TsigKey>) {
  return secondaries.flatMap((setting) => {
    const key = keys.get(canonical(setting.key));
    return key === undefined ? [] : [{ setting, key }];
  });
}

/** The configuration has checked that it is a domain name. */
function canonical(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
