// Visitors who come one after the other, several at a time, and note what became of each request. A
// connection that nobody took is no failure of ours; one that was taken and got no whole answer is.
import { once } from 'node:events';
import { Agent, request } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import type { Door } from './visits.ts';

export interface Outcome {
  /** `answered`: a whole response · `refused`: no connection came about · `failed`: anything else. */
  readonly kind: 'answered' | 'refused' | 'failed';
  readonly status: number;
  /** Whether the response said that the connection closes. */
  readonly closes: boolean;
  readonly startedAtMs: number;
  readonly tookMs: number;
  readonly why: string;
}

export interface SteadyOptions {
  /** How many ask at the same time. */
  readonly visitors: number;
  /** Keep the connection between requests, and, as RFC 9112, 9.3.1 has it, ask again when it was stale. */
  readonly keepAlive?: boolean;
}

const REQUEST_WITHIN_MS = 20_000;
/** Who was refused tries again after this. */
const AGAIN_AFTER_MS = 50;

export class SteadyVisitors {
  readonly outcomes: Outcome[] = [];
  readonly #door: Door;
  readonly #url: URL;
  readonly #options: SteadyOptions;
  readonly #loops: Promise<void>[];
  #going = true;

  constructor(door: Door, url: string, options: SteadyOptions) {
    this.#door = door;
    this.#url = new URL(url);
    this.#options = options;
    this.#loops = Array.from({ length: options.visitors }, () => this.#loop());
  }

  /** Lets each finish the request under way. */
  async stop(): Promise<readonly Outcome[]> {
    this.#going = false;
    await Promise.all(this.#loops);
    return this.outcomes;
  }

  /** Outcomes whose request began at or after this moment (`performance.now()`). */
  since(ms: number): readonly Outcome[] {
    return this.outcomes.filter(({ startedAtMs }) => startedAtMs >= ms);
  }

  async #loop(): Promise<void> {
    const { keepAlive = false } = this.#options;
    const agent = new Agent({ keepAlive, maxSockets: 1 });
    while (this.#going) {
      const outcome = await this.#ask(agent);
      if (outcome === undefined) continue;
      this.outcomes.push(outcome);
      if (outcome.kind === 'refused') await pause(AGAIN_AFTER_MS);
    }
    agent.destroy();
  }

  /** Undefined: the kept connection was stale, and nothing was asked. */
  async #ask(agent: Agent): Promise<Outcome | undefined> {
    const startedAtMs = performance.now();
    const { address: host, port, caPem: ca } = this.#door;
    const { hostname: servername, pathname: path } = this.#url;
    const headers = { host: this.#url.host };
    const signal = AbortSignal.timeout(REQUEST_WITHIN_MS);
    const asked = request({ host, port, path, servername, ca, headers, agent, signal });
    let connected = false;
    asked.on('socket', (socket: TLSSocket) => {
      connected = socket.authorized;
      if (connected) return;
      socket.once('secureConnect', () => {
        connected = true;
      });
    });
    const facts = { startedAtMs, status: 0, closes: false, why: '' };
    const tookMs = () => performance.now() - startedAtMs;
    try {
      asked.end();
      const [response] = await once(asked, 'response');
      const closes = response.headers.connection === 'close';
      for await (const _ of response);
      const { statusCode: status } = response;
      return { ...facts, kind: 'answered', status, closes, tookMs: tookMs() };
    } catch (error) {
      if (asked.reusedSocket) return undefined;
      const kind = connected ? 'failed' : 'refused';
      return { ...facts, kind, tookMs: tookMs(), why: String(error) };
    }
  }
}

/** How many outcomes of each kind, a status instead of `answered`. */
export function tally(outcomes: readonly Outcome[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { kind, status } of outcomes) {
    const key = kind === 'answered' ? String(status) : kind;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}
