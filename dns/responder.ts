// From a message to its answer. Read `prepare` first: it tells the outcomes in order. An answer is made
// in two steps, so that its bytes are written once, to where they are sent from: `prepare` says how
// many they are, `write` puts them there. Between the two no other message may be prepared.
import { answerQuestion } from './answer.ts';
import { AnswerCache, labelKey } from './answer-cache.ts';
import { AnswerTemplates } from './answer-template.ts';
import { AnswerWriter, type Body, CODEC_LIMITS } from './codec.ts';
import type { NameServerCounters } from './counters.ts';
import { wireLabels } from './domain-name.ts';
import { RCODE } from './error-answer.ts';
import { gate, type Verdict } from './gate.ts';
import { layoutOf, type RecordPlace } from './message-layout.ts';
import { Query } from './query.ts';
import { ResponseRateLimit } from './rate-limit.ts';
import { findSet, TYPE } from './record.ts';
import { Reply } from './reply.ts';
import { CLIENT_COOKIE_BYTES, ServerCookies } from './server-cookies.ts';
import type { Zone } from './zone.ts';
import type { ZoneSource } from './zone-source.ts';
import { EDGE_LABEL } from './zone-text.ts';

export interface ResponderOptions {
  readonly source: ZoneSource;
  readonly counters: NameServerCounters;
  /** Per network and kind of answer; 0: no limit. */
  readonly responsesPerSecond: number;
  readonly cacheBytes?: number | undefined;
}

const NOTIFY = 4;
const UPDATE = 5;

export type Transport = 'udp' | 'tcp';

/** Kinds of answers for the rate limit; an answer with data is of the kind of its label, from 16 up. */
const KIND = { nodata: 1, nxdomain: 2, refused: 3, error: 4, label: 16 } as const;

export class Responder {
  readonly #source: ZoneSource;
  readonly #counters: NameServerCounters;
  readonly #query = new Query();
  readonly #reply = new Reply(this.#query);
  readonly #writer = new AnswerWriter();
  readonly #templates = new AnswerTemplates(this.#writer);
  readonly #cache: AnswerCache;
  readonly #cookies = new ServerCookies();
  readonly #limit: ResponseRateLimit;
  readonly #forgetSource: () => void;
  #shared: ReadonlySet<string>;
  #answers = 0;
  /** Of the answer prepared last. */
  #kind = 0;

  constructor({ source, counters, responsesPerSecond, cacheBytes }: ResponderOptions) {
    this.#source = source;
    this.#counters = counters;
    this.#cache = new AnswerCache(cacheBytes);
    this.#limit = new ResponseRateLimit(responsesPerSecond);
    this.#shared = sharedLabels(source.zone);
    this.#forgetSource = source.onChange((zone, labels) => this.#forget(zone, labels));
  }

  /** No longer listens to the source. */
  stop(): void {
    this.#forgetSource();
  }

  /**
   * The bytes of the answer; 0: none is sent. `verdict` is the gate's; 'special' is answered here
   * when nobody else does.
   */
  prepare(message: Buffer, verdict: Verdict, address: string, transport: Transport): number {
    if (verdict === 'drop') {
      this.#counters.dropped.noQuestion += 1;
      return 0;
    }
    this.#reply.message = message;
    this.#reply.cookie = undefined;
    this.#reply.truncated = false;
    this.#reply.body = undefined;
    const proven = this.#judge(message, verdict, address, transport);
    if (transport === 'udp' && !proven && !this.#withinRate(address)) return 0;
    this.#count(transport);
    return this.#reply.bytes;
  }

  /** Writes the answer that was prepared last. */
  write(out: Buffer, at: number): void {
    this.#reply.writeTo(out, at);
  }

  /**
   * The whole answer to one message that somebody has a key for, past rate limits and sizes of packets;
   * undefined: none. What is special still is not signed: it is refused, within the limits.
   */
  respond(message: Buffer, address: string, transport: Transport = 'tcp'): Buffer | undefined {
    const verdict = gate(message);
    const bytes = this.prepare(
      message,
      verdict,
      address,
      verdict === 'special' ? transport : 'tcp',
    );
    if (bytes === 0) return undefined;
    const answer = Buffer.allocUnsafe(bytes);
    this.write(answer, 0);
    return answer;
  }

  /** Fills the reply; true: a cookie proves that the asker is where he says. */
  #judge(message: Buffer, verdict: Verdict, address: string, transport: Transport): boolean {
    const query = this.#query;
    if (verdict === 'cookie') return this.#judgeCookieAlone(message, address);
    if (verdict !== 'query') {
      query.readRefused(message, verdict === 'special' ? optOf(message)?.start : undefined);
      const otherVersion = verdict !== 'formerr' && query.ednsVersion !== 0;
      this.#fail(otherVersion ? RCODE.BADVERS : refusalOf(verdict, message));
      return false;
    }
    query.read(message);
    // First of the two: what options mean in another version, nobody here knows.
    if (query.ednsVersion !== 0) {
      this.#fail(RCODE.BADVERS);
      return false;
    }
    if (query.malformed) {
      this.#fail(RCODE.FORMERR);
      return false;
    }
    const proven = query.cookieAt !== 0 && this.#judgeCookie(message, address);
    const bytesMax = transport === 'udp' ? query.udpBytes : CODEC_LIMITS.messageBytesMax;
    this.#answer(message, bytesMax);
    return proven;
  }

  /** RFC 7873, section 5.4. */
  #judgeCookieAlone(message: Buffer, address: string): boolean {
    const query = this.#query;
    query.readCookie(message);
    if (query.ednsVersion !== 0 || query.malformed || query.cookieAt === 0) {
      this.#fail(query.ednsVersion === 0 ? RCODE.FORMERR : RCODE.BADVERS);
      return false;
    }
    const proven = this.#judgeCookie(message, address);
    const claimed = query.cookieBytes > CLIENT_COOKIE_BYTES;
    this.#fail(claimed && !proven ? RCODE.BADCOOKIE : RCODE.NOERROR);
    return proven;
  }

  #judgeCookie(message: Buffer, address: string): boolean {
    const { cookieAt, cookieBytes } = this.#query;
    const proven = this.#cookies.judge(message, cookieAt, cookieBytes, address);
    this.#reply.cookie = this.#cookies.cookie;
    return proven;
  }

  #answer(message: Buffer, bytesMax: number): void {
    const query = this.#query;
    const reply = this.#reply;
    const bodyMax = bytesMax - reply.frameBytes;
    this.#answers = (this.#answers + 1) & 0xffff;
    reply.rotation = this.#answers;
    reply.serial = this.#source.zone.serial;
    // A reserved number, and no type that anything could have (RFC 6895, section 3.1).
    if (query.type === 0) {
      this.#fail(RCODE.NOTIMP);
      return;
    }
    if (this.#cache.find(message, query) && this.#cache.body.length <= bodyMax) {
      this.#counters.cacheHits += 1;
      reply.body = this.#cache.body;
      this.#kind = kindOf(reply.body, this.#cache.label);
      return;
    }
    this.#counters.cacheMisses += 1;
    this.#answerAnew(message, query.questionEnd + bodyMax);
  }

  #answerAnew(message: Buffer, end: number): void {
    const query = this.#query;
    const templates = this.#templates;
    const { zone } = this.#source;
    const common = templates.find(message, query, zone, end - query.questionEnd);
    if (common !== undefined) {
      this.#use(message, common, templates.label, templates.leadsTo);
      return;
    }
    const labels = wireLabels(message, 12);
    const answer = answerQuestion({ labels, type: query.type, class: query.class }, zone);
    if (answer.rcode === RCODE.REFUSED) {
      this.#fail(RCODE.REFUSED);
      return;
    }
    const body = this.#writer.write(answer, labels, { start: query.questionEnd, end });
    const [own = '', ...others] = answer.labels;
    const leadsTo = others.filter((other) => other !== own);
    this.#use(message, body, labelKey(own), leadsTo);
  }

  #use(message: Buffer, body: Readonly<Body>, label: number, leadsTo: readonly string[]): void {
    this.#reply.body = body;
    this.#reply.truncated = body.truncated;
    this.#kind = kindOf(body, label);
    // What a chain led to elsewhere could change without a word about this label.
    const known = leadsTo.every((other) => this.#shared.has(other));
    if (!body.truncated && known) this.#cache.keep(message, this.#query, body, label);
  }

  #fail(rcode: number): void {
    this.#reply.rcode = rcode;
    this.#reply.body = undefined;
    this.#kind = rcode === RCODE.REFUSED ? KIND.refused : KIND.error;
  }

  /** Beyond the rate the answer goes, or all of it but the question and TC. */
  #withinRate(address: string): boolean {
    const verdict = this.#limit.judge(address, this.#kind);
    if (verdict === 'send') return true;
    if (verdict === 'drop') {
      this.#counters.dropped.rateLimited += 1;
      return false;
    }
    this.#counters.slipped += 1;
    this.#reply.rcode = this.#reply.body?.rcode ?? this.#reply.rcode;
    this.#reply.body = undefined;
    this.#reply.truncated = true;
    return true;
  }

  #count(transport: Transport): void {
    const counters = this.#counters;
    const rcode = Math.min(this.#reply.body?.rcode ?? this.#reply.rcode, 16);
    counters.rcodes[rcode] = (counters.rcodes[rcode] ?? 0) + 1;
    counters[transport].answered += 1;
    if (this.#reply.truncated) counters[transport].truncated += 1;
  }

  #forget(zone: Zone, labels: readonly string[]): void {
    if (labels.some((label) => this.#shared.has(label))) {
      this.#shared = sharedLabels(zone);
      this.#cache.clear();
    } else this.#cache.forget(labels);
  }
}

/** Only answers get here that nobody else gives: the zone, and NOTIFY, are not for this asker. */
function refusalOf(verdict: Verdict, message: Buffer): number {
  if (verdict === 'formerr') return RCODE.FORMERR;
  const opcode = ((message[2] ?? 0) >> 3) & 0xf;
  if (verdict === 'notimp' || opcode === UPDATE) return RCODE.NOTIMP;
  return opcode === NOTIFY ? RCODE.NOTAUTH : RCODE.REFUSED;
}

/** Where the OPT record lies of a message that has more than that and a question. */
function optOf(message: Buffer): RecordPlace | undefined {
  return layoutOf(message)?.records.find(({ type }) => type === TYPE.OPT);
}

function kindOf(body: Readonly<Body>, label: number): number {
  if (body.rcode === RCODE.NXDOMAIN) return KIND.nxdomain;
  return body.answers === 0 ? KIND.nodata : KIND.label + label;
}

/** Labels that answers about other labels depend on: the apex, its wildcard, the edge, glue. */
function sharedLabels(zone: Zone): ReadonlySet<string> {
  const servers = findSet(zone.apexNode.sets, TYPE.NS)?.data ?? [];
  const apexLabels = zone.apex.split('.').length;
  const glue = servers.map((data) => wireLabels(data, 0).at(-1 - apexLabels));
  return new Set(['', '*', EDGE_LABEL, ...glue.filter((label) => label !== undefined)]);
}
