// One secondary that is told of changes (NOTIFY, RFC 1996), signed with TSIG. At most one NOTIFY is on
// its way; changes meanwhile, and in a burst, become one that tells the newest serial; it is repeated,
// ever more slowly, until it is answered. A secondary that was told is also asked for its SOA soon
// after, and every secondary now and then: one that has fallen behind, however that came about, is told
// again. (BIND, for one, forgets a NOTIFY that comes while a transfer is about to fail.)
import { isIPv6 } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Alarm } from './alarm.ts';
import { isNewerSerial } from './difference.ts';
import { encodeName } from './domain-name.ts';
import { ask, askByUdp, makeQuestion } from './exchange.ts';
import { type Layout, layoutOf } from './message-layout.ts';
import { CLASS, TYPE } from './record.ts';
import { soaSerial } from './transfer-plan.ts';
import type { SecondarySetting } from './transfer-settings.ts';
import { signRequest, type WallClock } from './tsig.ts';
import type { TsigKey } from './tsig-key.ts';
import type { Zone } from './zone.ts';
import type { ZoneSource } from './zone-source.ts';

export const NOTIFY_LIMITS = {
  /** A burst of changes becomes one NOTIFY; a challenge waits no longer than that for others. */
  batchMs: 20,
  /** To the other side of the world and back takes less. */
  answerMs: 2_000,
  /** The first repetition is for a lost packet. */
  retryMsMin: 250,
  /** A secondary that was away is told within half a minute of its return. */
  retryMsMax: 30_000,
  /** NSD needs a second to take a change over, the others a tenth of it. */
  compareSoonMs: 2_000,
  /** How soon a secondary that has missed something is noticed, at the price of one small question. */
  compareEveryMs: 60_000,
  /** A large zone is taken over within that; one that is behind for longer is worth a line in the log. */
  behindMsMax: 60_000,
} as const;

export type NotifyLimits = { readonly [Name in keyof typeof NOTIFY_LIMITS]: number };

export interface SecondaryState {
  readonly name: string;
  /** The newest serial that it has said to have heard of. */
  readonly acknowledgedSerial: number | undefined;
  /** What it served when it was last compared. */
  readonly servedSerial: number | undefined;
  /** How long it has been seen to serve an older zone than ours; 0: it does not. */
  readonly behindMs: number;
  /** Since the last NOTIFY that was answered. */
  readonly failures: number;
  readonly fault: string | undefined;
}

export interface ToldSecondaryParts {
  readonly source: ZoneSource;
  readonly setting: SecondarySetting;
  readonly key: TsigKey;
  readonly notifyFrom: readonly string[];
  readonly log: Logger;
  readonly now: WallClock;
  readonly limits: NotifyLimits;
}

export class ToldSecondary {
  readonly #parts: ToldSecondaryParts;
  readonly #end = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  readonly #changed = new Alarm();
  readonly #answered = new Alarm();
  #told: number | undefined;
  #acknowledged: number | undefined;
  #served: number | undefined;
  #behindSinceMs: number | undefined;
  #behindTold = false;
  #failures = 0;
  #fault: string | undefined;

  constructor(parts: ToldSecondaryParts) {
    this.#parts = parts;
  }

  start(): void {
    const { notify, signs } = this.#parts.setting;
    this.#running = Promise.all([
      notify ? this.#tellForever() : undefined,
      signs === true ? undefined : this.#compareForever(),
    ]);
  }

  changed(): void {
    this.#changed.ring();
  }

  async stop(): Promise<void> {
    this.#end.abort();
    this.#changed.ring();
    this.#answered.ring();
    await this.#running;
  }

  state(): SecondaryState {
    const since = this.#behindSinceMs;
    return {
      name: this.#parts.setting.name,
      acknowledgedSerial: this.#acknowledged,
      servedSerial: this.#served,
      behindMs: since === undefined ? 0 : Math.round(performance.now() - since),
      failures: this.#failures,
      fault: this.#fault,
    };
  }

  async #tellForever(): Promise<void> {
    const { source, limits } = this.#parts;
    while (!this.#end.signal.aborted) {
      const { zone } = source;
      if (this.#told === zone.serial) {
        await this.#changed.wait();
        await this.#pause(limits.batchMs);
      } else if (await this.#notify(zone)) {
        this.#told = zone.serial;
        this.#answered.ring();
      } else {
        // A change is a reason to try again early, but not as often as there are changes.
        await this.#pause(limits.retryMsMin);
        await this.#changed.wait(this.#retryMs());
      }
    }
  }

  /** Doubles, less up to a quarter at random, so that secondaries are not all tried at once. */
  #retryMs(): number {
    const { retryMsMin, retryMsMax } = this.#parts.limits;
    const ms = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(this.#failures, 16));
    return ms * (1 - Math.random() / 4);
  }

  async #notify(zone: Zone): Promise<boolean> {
    const { key, now, setting, limits, log } = this.#parts;
    const question = encodeName(zone.apex) ?? Buffer.of(0);
    const request = signRequest(makeNotify(question, zone), key, now);
    let hint = '';
    const accept = (answer: Buffer): Layout | undefined => {
      const layout = request.verifyAnswer(answer);
      const unsigned = layout === undefined ? layoutOf(answer) : undefined;
      if (unsigned !== undefined) hint = `, or only unsigned with RCODE ${unsigned.rcode}`;
      return layout?.opcode === NOTIFY_OPCODE ? layout : undefined;
    };
    try {
      const signal = this.#within(limits.answerMs);
      const { layout } = await askByUdp(request.message, setting, {
        signal,
        accept,
        ...this.#from(),
      });
      if (layout.rcode !== 0) throw new Error(`it answered with RCODE ${layout.rcode}`);
      if (this.#failures > 0) log.info({ secondary: setting.name }, 'the secondary answers again');
      this.#acknowledged = zone.serial;
      this.#failures = 0;
      this.#fault = undefined;
      return true;
    } catch (error) {
      if (this.#end.signal.aborted) return false;
      this.#failures += 1;
      this.#fault = `NOTIFY: ${wordsOf(error)}${hint}`;
      if (this.#failures === 3) log.warn({ secondary: setting.name, fault: this.#fault }, SILENT);
      return false;
    }
  }

  async #compareForever(): Promise<void> {
    const { source, limits } = this.#parts;
    let waitMs = limits.compareEveryMs;
    while (!this.#end.signal.aborted) {
      let expected = source.zone.serial;
      if (await this.#answered.wait(waitMs)) {
        expected = source.zone.serial;
        waitMs = limits.compareSoonMs;
        await this.#pause(waitMs);
      }
      if (this.#end.signal.aborted) return;
      const current = await this.#compare(expected);
      waitMs = current ? limits.compareEveryMs : Math.min(waitMs * 2, limits.compareEveryMs);
    }
  }

  /** Whether it serves what it was to serve by now; one that does not is told again. */
  async #compare(expected: number): Promise<boolean> {
    const { setting, limits, log } = this.#parts;
    await this.#askSerial();
    if (this.#served !== undefined && !isNewerSerial(expected, this.#served)) {
      if (this.#behindTold) log.info({ secondary: setting.name }, 'the secondary has caught up');
      this.#behindSinceMs = undefined;
      this.#behindTold = false;
      return true;
    }
    this.#behindSinceMs ??= performance.now();
    const { behindMs } = this.state();
    if (!this.#behindTold && behindMs >= limits.behindMsMax) {
      this.#behindTold = true;
      log.warn({ secondary: setting.name, serial: expected, served: this.#served }, BEHIND);
    }
    // Only the newest serial counts as told, so this has the next NOTIFY sent.
    this.#told = undefined;
    this.#changed.ring();
    return false;
  }

  async #askSerial(): Promise<void> {
    const { setting, source, limits } = this.#parts;
    const question = makeQuestion(encodeName(source.zone.apex) ?? Buffer.of(0), TYPE.SOA);
    let served: number | undefined;
    try {
      const signal = this.#within(limits.answerMs);
      const { message, layout } = await ask(question, setting, { signal, ...this.#from() });
      const soa = layout.records.find(
        ({ section, type }) => section === 'answer' && type === TYPE.SOA,
      );
      if (soa !== undefined) served = soaSerial(message, soa.dataStart, soa.end);
    } catch (error) {
      this.#fault = `SOA: ${wordsOf(error)}`;
    }
    // Only now: whoever reads the state while the question is under way sees the last answer.
    this.#served = served;
  }

  #within(ms: number): AbortSignal {
    return AbortSignal.any([this.#end.signal, AbortSignal.timeout(ms)]);
  }

  #from(): { readonly from: string } | undefined {
    const { notifyFrom, setting } = this.#parts;
    const from = notifyFrom.find((address) => isIPv6(address) === isIPv6(setting.address));
    return from === undefined ? undefined : { from };
  }

  async #pause(ms: number): Promise<void> {
    await pause(ms, undefined, { signal: this.#end.signal }).catch(() => undefined);
  }
}

const SILENT =
  'the secondary does not answer NOTIFY; see that it runs, that its address and key are the same on both sides, and both clocks';
const BEHIND =
  'the secondary serves an older zone than this primary; see its log for why its transfers fail';

const NOTIFY_OPCODE = 4;

/** RFC 1996, section 3.7: the question is the SOA, and the new one is told with it. */
function makeNotify(apex: Buffer, { soa }: Zone): Buffer {
  const message = makeQuestion(apex, TYPE.SOA).subarray(0, 12 + apex.length + 4);
  // Opcode NOTIFY and AA; one record of answer, no OPT.
  message.writeUInt16BE((NOTIFY_OPCODE << 11) | 0x0400, 2);
  message.writeUInt16BE(1, 6);
  message.writeUInt16BE(0, 10);
  const data = soa.data[0] ?? Buffer.alloc(0);
  const head = Buffer.alloc(12);
  // The owner is a pointer to the question, which begins behind the header.
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(TYPE.SOA, 2);
  head.writeUInt16BE(CLASS.IN, 4);
  head.writeUInt32BE(soa.ttl, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([message, head, data]);
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.name === 'TimeoutError' ? 'no answer in time' : error.message;
}
