// From samples to a Markdown table: medians over the rounds, and each figure as a ratio to the
// yardstick of the same run.

/** One round's figures of one system; NaN where a part was left out. */
export interface Sample {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Connections with a resumed TLS session, one request on each. */
  readonly resumedPerSecond: number;
  /** Connections with a full TLS handshake, one request on each. */
  readonly handshakesPerSecond: number;
  /** Processor time of the system for one of those. */
  readonly handshakeCpuUs: number;
  readonly downloadMibPerSecond: number;
  readonly uploadMibPerSecond: number;
  /** Processor time for one request on an open connection, by process. */
  readonly requestCpuUs: Readonly<Record<string, number>>;
  readonly errors: number;
}

export interface Result {
  readonly title: string;
  readonly yardstick: boolean;
  readonly samples: readonly Sample[];
  /** Peak memory over the whole run, KiB, by process. */
  readonly peakKib: Readonly<Record<string, number>>;
}

interface Column {
  readonly title: string;
  readonly digits: number;
  /** Whether a larger figure is the better one; said in the table's head. */
  readonly more: boolean;
  of(result: Result): number;
}

const COLUMNS: readonly Column[] = [
  column('requests/s', 0, true, (each) => each.requestsPerSecond),
  column('p50 ms', 2, false, (each) => each.p50Ms),
  column('p99 ms', 2, false, (each) => each.p99Ms),
  column('CPU µs per request', 1, false, (each) => sum(each.requestCpuUs)),
  column('new connections/s, TLS resumed', 0, true, (each) => each.resumedPerSecond),
  column('new connections/s, full TLS', 0, true, (each) => each.handshakesPerSecond),
  column('CPU µs per full TLS connection', 0, false, (each) => each.handshakeCpuUs),
  column('download MiB/s', 0, true, (each) => each.downloadMibPerSecond),
  column('upload MiB/s', 0, true, (each) => each.uploadMibPerSecond),
  {
    title: 'peak memory MiB',
    digits: 0,
    more: false,
    of: (result) => sum(result.peakKib) / 1_024,
  },
];

/** Figures with, in brackets, the ratio to the yardstick. */
export function comparison(results: readonly Result[]): string {
  const yardstick = results.find((result) => result.yardstick);
  const head = COLUMNS.map(({ title, more }) => `${title} ${more ? '↑' : '↓'}`);
  const rows = results.map((result) => [
    result.title + (errorsOf(result) > 0 ? ` (**${errorsOf(result)} errors**)` : ''),
    ...COLUMNS.map((each) => figure(each, result, yardstick)),
  ]);
  return table(['', ...head], rows);
}

/** Where the processor time and the memory go. */
export function processes(results: readonly Result[]): string {
  const rows = results.flatMap((result) =>
    Object.keys(result.peakKib).map((label) => [
      result.title,
      label,
      number(median(result.samples.map((each) => each.requestCpuUs[label] ?? Number.NaN)), 1),
      number((result.peakKib[label] ?? Number.NaN) / 1_024, 0),
    ]),
  );
  return table(['', 'process', 'CPU µs per request', 'peak memory MiB'], rows);
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, index) => (index === 0 ? '---' : '---:'));
  return `${[head, rule, ...rows].map(line).join('\n')}\n`;
}

/** NaN when there is nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export function number(value: number, digits: number): string {
  if (Number.isNaN(value)) return '–';
  return value.toLocaleString('en', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

function column(
  title: string,
  digits: number,
  more: boolean,
  of: (sample: Sample) => number,
): Column {
  return { title, digits, more, of: ({ samples }) => median(samples.map(of)) };
}

function figure(each: Column, result: Result, yardstick: Result | undefined): string {
  const value = each.of(result);
  const text = number(value, each.digits);
  if (yardstick === undefined || result.yardstick || Number.isNaN(value)) return text;
  return `${text} (${number(value / each.of(yardstick), 2)})`;
}

function errorsOf({ samples }: Result): number {
  return samples.reduce((total, each) => total + each.errors, 0);
}

function sum(values: Readonly<Record<string, number>>): number {
  return Object.values(values).reduce((total, each) => total + each, 0);
}
