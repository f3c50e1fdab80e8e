// The name server's numbers for Prometheus, read when somebody asks.
import { Gauge, type Registry } from 'prom-client';
import type { Notifier } from './notify.ts';
import type { NameServer } from './server.ts';
import type { ZoneTransfers } from './transfer.ts';
import type { ZoneSource } from './zone-source.ts';

export interface NameServerParts {
  readonly server: Pick<NameServer, 'counters'>;
  readonly transfers: Pick<ZoneTransfers, 'counts' | 'running'>;
  readonly notifier: Pick<Notifier, 'states'>;
  readonly source: Pick<ZoneSource, 'zone'>;
  readonly registers: Registry[];
}

/** By number: the names that people search dashboards for. Codes beyond 15 count together. */
const RCODE_NAMES = ['noerror', 'formerr', 'servfail', 'nxdomain', 'notimp', 'refused'];

type Rows = Iterable<readonly [labels: Readonly<Record<string, string>>, value: number]>;

export function exposeNameServer(parts: NameServerParts): void {
  const { server, registers } = parts;
  const { counters } = server;
  const table = (name: string, help: string, labelNames: readonly string[], rows: () => Rows) => {
    new Gauge({
      name: `waygate_dns_${name}`,
      help,
      labelNames: [...labelNames],
      registers,
      collect() {
        this.reset();
        for (const [labels, value] of rows()) this.set({ ...labels }, value);
      },
    });
  };
  table('queries', 'Messages that arrived, since the start.', ['transport'], () => [
    [{ transport: 'udp' }, counters.udp.received],
    [{ transport: 'tcp' }, counters.tcp.received],
  ]);
  table('truncated', 'Answers that did not fit.', ['transport'], () => [
    [{ transport: 'udp' }, counters.udp.truncated],
    [{ transport: 'tcp' }, counters.tcp.truncated],
  ]);
  table('answers', 'Answers by RCODE, since the start.', ['rcode'], () =>
    counters.rcodes.flatMap((count, code) => {
      const rcode = RCODE_NAMES[code] ?? (code < 16 ? String(code) : 'extended');
      return count > 0 || code === 0 ? [[{ rcode }, count] as const] : [];
    }),
  );
  table('dropped', 'Messages without an answer, by reason.', ['reason'], () =>
    Object.entries(counters.dropped).map(([reason, count]) => [{ reason }, count]),
  );
  table('cache', 'Answers that were found ready, and that were not.', ['outcome'], () => [
    [{ outcome: 'hit' }, counters.cacheHits],
    [{ outcome: 'miss' }, counters.cacheMisses],
  ]);
  table('slipped', 'Rate-limited answers that were sent empty.', [], () => [
    [{}, counters.slipped],
  ]);
  table('failed', 'Answers that a fault of the program prevented.', [], () => [
    [{}, counters.failed],
  ]);
  table('connections', 'TCP connections: open ones, and by outcome.', ['state'], () =>
    Object.entries(counters.connections).map(([state, count]) => [{ state }, count]),
  );
  exposeZone(parts, table);
}

function exposeZone(
  { transfers, notifier, source }: NameServerParts,
  table: (name: string, help: string, labels: readonly string[], rows: () => Rows) => void,
): void {
  table('serial', 'Of the zone that is served.', [], () => [[{}, source.zone.serial]]);
  table('labels', 'First labels below the zone.', [], () => [[{}, source.zone.top.size]]);
  table('transfers', 'Transfers by outcome, since the start.', ['outcome'], () =>
    Object.entries(transfers.counts).map(([outcome, count]) => [{ outcome }, count]),
  );
  table('transfers_running', 'Transfers under way.', [], () => [[{}, transfers.running]]);
  const secondaries = (read: (state: ReturnType<Notifier['states']>[number]) => number) => () =>
    notifier.states().map((state) => [{ secondary: state.name }, read(state)] as const);
  const labels = ['secondary'];
  table(
    'secondary_acknowledged_serial',
    'The last serial whose NOTIFY was answered.',
    labels,
    secondaries(({ acknowledgedSerial }) => acknowledgedSerial ?? 0),
  );
  table(
    'secondary_served_serial',
    'The serial that it was last seen to serve; 0: not known.',
    labels,
    secondaries(({ servedSerial }) => servedSerial ?? 0),
  );
  table(
    'secondary_behind_seconds',
    'For how long it has served an older zone.',
    labels,
    secondaries(({ behindMs }) => behindMs / 1_000),
  );
  table(
    'secondary_failures',
    'NOTIFY messages in a row without an answer.',
    labels,
    secondaries(({ failures }) => failures),
  );
}
