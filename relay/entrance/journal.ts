// What the entrance tells the world: one log line per request, and figures for Prometheus.
// On the hot path figures are plain numbers; `metrics.ts` reads them when somebody asks.
import type { Logger } from 'pino';
import type { Problem } from './pages.ts';
import { printable } from './printable.ts';

/** How a TLS handshake ended. */
export const HANDSHAKE_RESULTS = [
  'complete',
  'resumed',
  /** With a certificate authority, which has seen a proof; it carries no request. */
  'challenge',
  /** By us, before or instead of it; see the refusals. */
  'refused',
  /** TLS could not agree, or the visitor broke its rules. */
  'failed',
  'timeout',
  /** The visitor went away. */
  'gone',
] as const;
export type HandshakeResult = (typeof HANDSHAKE_RESULTS)[number];

/** Why a connection was refused before it could carry a request. */
export const REFUSAL_REASONS = [
  'too-many-connections',
  'too-many-per-address',
  'plain-http',
  'bad-hello',
  'bad-name',
  'unknown-name',
  'no-protocol',
  'internal',
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** One request, at its end. A plain view: the one who carried it out may pass itself. */
export interface RequestRecord {
  readonly visitorAddress: string;
  readonly hostname: string;
  /** Empty when its head could not be read; the target too. */
  readonly method: string;
  /** As received. What follows `?` is not logged: it carries tokens. */
  readonly target: string;
  readonly protocol: 'http/1.1' | 'h2';
  /** 0: the visitor left before there was any. */
  readonly status: number;
  /** Of the bodies, and of the pipe after a 101. */
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** By `performance.now()`. */
  readonly startedAtMs: number;
  /** What we answered ourselves, or why the response is not whole. */
  readonly problem: Problem['kind'] | undefined;
}

/** Upper bounds of the duration histogram; the last bucket, without bound, is beyond them. */
export const DURATION_BUCKETS_MS: readonly number[] = [
  1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
];

export interface JournalOptions {
  readonly log: Logger;
  /** Whether each request gets a log line. It costs about 2 microseconds. */
  readonly accessLog: boolean;
}

export class Journal {
  connectionsOpen = 0;
  /** Raised and lowered by who carries requests out. */
  requestsOpen = 0;
  requestBytes = 0;
  responseBytes = 0;
  durationMsSum = 0;
  /** By hundreds of the status; index 0 counts those without. */
  readonly requestsByClass = new Float64Array(6);
  readonly durations = new Float64Array(DURATION_BUCKETS_MS.length + 1);
  readonly handshakes = zeros(HANDSHAKE_RESULTS);
  readonly refusals = zeros(REFUSAL_REASONS);
  readonly problems = new Map<Problem['kind'], number>();
  /** Requests that were not passed on, by the status that says why. */
  readonly refusedRequests = new Map<number, number>();
  readonly #log: Logger;
  readonly #accessLog: boolean;

  constructor(options: JournalOptions) {
    this.#log = options.log;
    this.#accessLog = options.accessLog;
  }

  request(record: RequestRecord): void {
    const ms = performance.now() - record.startedAtMs;
    const { status, problem } = record;
    this.requestsByClass[(status / 100) | 0] = (this.requestsByClass[(status / 100) | 0] ?? 0) + 1;
    this.requestBytes += record.requestBytes;
    this.responseBytes += record.responseBytes;
    this.durationMsSum += ms;
    const bucket = bucketOf(ms);
    this.durations[bucket] = (this.durations[bucket] ?? 0) + 1;
    if (problem !== undefined) this.problems.set(problem, (this.problems.get(problem) ?? 0) + 1);
    if (this.#accessLog) this.#log.info(accessLine(record, ms), 'request');
  }

  /** A request that was not passed on. */
  refused(status: number): void {
    this.refusedRequests.set(status, (this.refusedRequests.get(status) ?? 0) + 1);
  }

  /** A connection that will carry no request. Only counted by default: anybody can cause these. */
  refusedConnection(reason: RefusalReason, address: string, detail: string): void {
    this.refusals[reason] += 1;
    if (!this.#log.isLevelEnabled('debug')) return;
    this.#log.debug({ visitor: address, reason, detail: printable(detail, 300) }, 'refused');
  }

  /** A fault of ours, or of the machine. */
  fault(error: unknown, what: string): void {
    this.#log.error({ err: error }, what);
  }
}

/** The target is bounded by what a head may have, yet a log line need not be 8 KiB long. */
const PATH_CHARS_MAX = 2_048;

function accessLine(record: RequestRecord, ms: number): object {
  const { target, problem } = record;
  const query = target.indexOf('?');
  const path = query === -1 ? target : target.slice(0, query);
  return {
    visitor: record.visitorAddress,
    // Not `hostname`: pino calls the machine so.
    host: record.hostname,
    method: record.method,
    path: printable(path, PATH_CHARS_MAX),
    status: record.status,
    requestBytes: record.requestBytes,
    responseBytes: record.responseBytes,
    ms: Math.round(ms * 10) / 10,
    protocol: record.protocol,
    problem,
  };
}

/** From below: most requests are fast. */
function bucketOf(ms: number): number {
  let bucket = 0;
  while (ms > (DURATION_BUCKETS_MS[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1;
  return bucket;
}

function zeros<Key extends string>(keys: readonly Key[]): Record<Key, number> {
  const counts: Partial<Record<Key, number>> = {};
  for (const key of keys) counts[key] = 0;
  return counts as Record<Key, number>;
}
