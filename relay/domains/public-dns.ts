// What the world sees of a domain: questions to recursive resolvers, each with a deadline. That there is
// no such record is an answer; that nobody could be asked is none, and is never taken for one.
import { CANCELLED, NODATA, NOTFOUND } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import type { ResolverAddress } from '../domains-config.ts';
import { type HttpsRecord, lookUpHttps } from './https-records.ts';

const LOOKUP_LIMITS = {
  /** For one question, however many resolvers are tried: a person waits for some of them in a row. */
  questionMs: 5_000,
  /** Of one try; the next resolver is asked afterwards. */
  tryMs: 1_500,
  /** A packet may be lost once. */
  tries: 2,
  /** Resolvers themselves follow no more than about so many. */
  chainMax: 12,
} as const;

/** What a question has led to. `none` and `failed` say why as the end of a sentence. */
export type Lookup<Value> =
  | { readonly kind: 'found'; readonly values: readonly Value[] }
  | { readonly kind: 'none'; readonly why: string }
  | { readonly kind: 'failed'; readonly why: string };

export interface CnameChain {
  /** Where each CNAME leads, in lower case; the first is that of the name itself. */
  readonly names: readonly string[];
  readonly end: 'end' | 'loop' | 'failed';
  /** Why the last question failed. */
  readonly why?: string;
}

export interface CaaRecord {
  readonly critical: boolean;
  /** In lower case. */
  readonly tag: string;
  readonly value: string;
}

/** The records that count for a name (RFC 8659, section 3), and where they are. */
export type CaaLookup =
  | { readonly kind: 'found'; readonly at: string; readonly records: readonly CaaRecord[] }
  | { readonly kind: 'none' }
  | { readonly kind: 'failed'; readonly at: string; readonly why: string };

export class PublicDns {
  readonly #resolvers: readonly ResolverAddress[];
  readonly #servers: readonly string[];
  readonly #questionMs: number;

  /** Without resolvers those of the machine are asked. */
  constructor(
    resolvers: readonly ResolverAddress[],
    questionMs: number = LOOKUP_LIMITS.questionMs,
  ) {
    this.#questionMs = questionMs;
    this.#resolvers = resolvers;
    this.#servers = resolvers.map(({ host, port }) =>
      host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
    );
  }

  /** Each value whole, of however many strings it is made. */
  async txt(name: string, signal: AbortSignal): Promise<Lookup<string>> {
    const found = await this.#ask((resolver) => resolver.resolveTxt(name), signal);
    return mapped(found, (strings) => strings.join(''));
  }

  addresses4(name: string, signal: AbortSignal): Promise<Lookup<string>> {
    return this.#ask((resolver) => resolver.resolve4(name), signal);
  }

  addresses6(name: string, signal: AbortSignal): Promise<Lookup<string>> {
    return this.#ask((resolver) => resolver.resolve6(name), signal);
  }

  /** Follows the aliases of a name to their end, or to `stopAt`, which itself is not asked for. */
  async chain(name: string, signal: AbortSignal, stopAt?: string): Promise<CnameChain> {
    const names: string[] = [];
    const seen = new Set([name]);
    for (let at = name; names.length < LOOKUP_LIMITS.chainMax; ) {
      const found = await this.#ask((resolver) => resolver.resolveCname(at), signal);
      if (found.kind === 'failed') return { names, end: 'failed', why: found.why };
      const next = found.kind === 'found' ? found.values[0] : undefined;
      if (next === undefined) return { names, end: 'end' };
      at = next.toLowerCase().replace(/\.$/, '');
      names.push(at);
      if (at === stopAt) return { names, end: 'end' };
      if (seen.has(at)) return { names, end: 'loop' };
      seen.add(at);
    }
    return { names, end: 'loop' };
  }

  /** Asks all levels at once, for most have none, and takes the nearest. */
  async caa(name: string, signal: AbortSignal): Promise<CaaLookup> {
    const labels = name.split('.');
    const levels = labels.map((_, index) => labels.slice(index).join('.'));
    const answers = await Promise.all(
      levels.map((level) => this.#ask((resolver) => resolver.resolveCaa(level), signal)),
    );
    for (const [index, answer] of answers.entries()) {
      const at = levels[index] ?? name;
      if (answer.kind === 'failed') return { kind: 'failed', at, why: answer.why };
      if (answer.kind === 'none') continue;
      return { kind: 'found', at, records: answer.values.map(caaRecord) };
    }
    return { kind: 'none' };
  }

  /** The HTTPS records of a name, which browsers ask for. */
  https(name: string, signal: AbortSignal): Promise<Lookup<HttpsRecord>> {
    const end = AbortSignal.any([signal, AbortSignal.timeout(this.#questionMs)]);
    const resolvers = this.#resolvers.map(({ host, port }) => ({ address: host, port }));
    return lookUpHttps(name, resolvers, end);
  }

  /** A resolver of its own for each question: what is cancelled is this question alone. */
  async #ask<Value>(
    question: (resolver: Resolver) => Promise<readonly Value[]>,
    signal: AbortSignal,
  ): Promise<Lookup<Value>> {
    const { tryMs, tries } = LOOKUP_LIMITS;
    if (signal.aborted) return { kind: 'failed', why: TOO_LATE };
    const resolver = new Resolver({ timeout: tryMs, tries });
    if (this.#servers.length > 0) resolver.setServers(this.#servers);
    const cancel = () => resolver.cancel();
    const late = setTimeout(cancel, this.#questionMs);
    signal.addEventListener('abort', cancel);
    try {
      const values = await question(resolver);
      return values.length > 0 ? { kind: 'found', values } : { kind: 'none', why: NO_RECORD };
    } catch (error) {
      return failureOf(error);
    } finally {
      clearTimeout(late);
      signal.removeEventListener('abort', cancel);
    }
  }
}

const NO_RECORD = 'the name has no such record';
const TOO_LATE = 'there was no answer in time';

function failureOf(error: unknown): Lookup<never> {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === NOTFOUND) return { kind: 'none', why: 'the name does not exist' };
  if (code === NODATA) return { kind: 'none', why: NO_RECORD };
  return { kind: 'failed', why: FAILURES[code] ?? `the question failed (${code || error})` };
}

const FAILURES: Readonly<Record<string, string>> = {
  [CANCELLED]: TOO_LATE,
  ETIMEOUT: TOO_LATE,
  ESERVFAIL:
    'the resolver gets no valid answer (SERVFAIL): the name servers of the domain are silent, contradict ' +
    'themselves, or sign wrongly',
  EREFUSED: 'the resolver refuses to answer (REFUSED)',
  ECONNREFUSED: 'no resolver can be reached',
  EBADRESP: 'the answer was malformed',
  EFORMERR: 'the question was not understood (FORMERR)',
};

function mapped<From, To>(lookup: Lookup<From>, map: (value: From) => To): Lookup<To> {
  return lookup.kind === 'found' ? { kind: 'found', values: lookup.values.map(map) } : lookup;
}

/** Node tells a record as `{ critical, type, [tag]: value }`. */
function caaRecord(record: object): CaaRecord {
  let critical = false;
  let [tag, value] = ['', ''];
  for (const [key, content] of Object.entries(record)) {
    if (key === 'critical') critical = content !== 0;
    else if (key !== 'type') [tag, value] = [key.toLowerCase(), String(content)];
  }
  return { critical, tag, value };
}
