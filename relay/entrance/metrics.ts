// The figures of a journal for Prometheus. They are read from its plain numbers when somebody asks
// for them, so that counting costs a request nothing but an addition.
import { Counter, Histogram, type Registry } from 'prom-client';
import { gaugesOf } from '../protocol/metrics.ts';
import { DURATION_BUCKETS_MS, type Journal } from './journal.ts';

/** Makes the figures of this journal part of the registry's. Once per registry. */
export function exposeJournal(journal: Journal, registry: Registry): void {
  const gauge = gaugesOf([registry], PREFIX);
  const counter = (name: string, help: string, read: () => number): void => {
    const collect = function (this: Counter): void {
      this.reset();
      this.inc(read());
    };
    new Counter({ name: PREFIX + name, help, registers: [registry], collect });
  };
  const counters = (name: string, label: string, help: string, read: () => Counts): void => {
    const collect = function (this: Counter): void {
      this.reset();
      for (const [value, count] of read()) this.inc({ [label]: String(value) }, count);
    };
    const labelNames = [label];
    new Counter({ name: PREFIX + name, help, labelNames, registers: [registry], collect });
  };

  gauge('connections', 'Open visitor connections', () => journal.connectionsOpen);
  gauge('open_requests', 'Requests under way', () => journal.requestsOpen);
  counter('request_bytes_total', 'Body bytes from visitors', () => journal.requestBytes);
  counter('response_bytes_total', 'Body bytes to visitors', () => journal.responseBytes);
  counters('handshakes_total', 'result', 'TLS handshakes by how they ended', () =>
    Object.entries(journal.handshakes),
  );
  counters('refusals_total', 'reason', 'Connections refused before any request', () =>
    Object.entries(journal.refusals),
  );
  counters('requests_total', 'status', 'Requests by class of status', () =>
    [...journal.requestsByClass].map((count, hundreds) => [className(hundreds), count]),
  );
  counters('refused_requests_total', 'status', 'Requests not passed on', () => [
    ...journal.refusedRequests,
  ]);
  counters('problems_total', 'kind', 'Requests without a whole response', () => [
    ...journal.problems,
  ]);
  new JournalHistogram(journal, registry);
}

const PREFIX = 'waygate_entrance_';

/** Label value and count. */
type Counts = readonly (readonly [string | number, number])[];

function className(hundreds: number): string {
  return hundreds === 0 ? 'none' : `${hundreds}xx`;
}

const DURATION = {
  name: `${PREFIX}request_duration_seconds`,
  help: 'From head to end of response',
};

/** What prom-client reads a histogram by. */
interface HistogramValue {
  readonly metricName: string;
  readonly labels: { readonly le?: number | '+Inf' };
  /** Must be there, even without any. */
  readonly sharedLabels: object;
  readonly value: number;
}

/** A histogram whose observations were made elsewhere. */
class JournalHistogram extends Histogram {
  readonly #journal: Journal;

  constructor(journal: Journal, registry: Registry) {
    super({ ...DURATION, registers: [registry] });
    this.#journal = journal;
  }

  /** The one place from which prom-client takes the values, for text and for objects. */
  getForPromString(): object {
    const { durations, durationMsSum } = this.#journal;
    const { name } = DURATION;
    const values: HistogramValue[] = [];
    const sharedLabels = {};
    let below = 0;
    for (const [bucket, count] of durations.entries()) {
      below += count;
      const bound = DURATION_BUCKETS_MS[bucket];
      const le = bound === undefined ? '+Inf' : bound / 1_000;
      values.push({ metricName: `${name}_bucket`, labels: { le }, sharedLabels, value: below });
    }
    values.push({
      metricName: `${name}_sum`,
      labels: {},
      sharedLabels,
      value: durationMsSum / 1_000,
    });
    values.push({ metricName: `${name}_count`, labels: {}, sharedLabels, value: below });
    return { ...DURATION, type: 'histogram', aggregator: 'sum', values };
  }
}
