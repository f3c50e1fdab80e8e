// The zone handed to secondaries (AXFR, RFC 5936; IXFR, RFC 1995), and whatever else comes signed with
// TSIG. Only who signs with the key of a secondary, and asks from where that secondary may ask from,
// gets the zone; all others are refused. A transfer reads one immutable version of the zone, however
// long it takes, and holds one message of it at a time.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from 'pino';
import { encodeName } from './domain-name.ts';
import { errorAnswer, RCODE } from './error-answer.ts';
import { HEADER_BYTES, type Layout, layoutOf } from './message-layout.ts';
import { CLASS, TYPE } from './record.ts';
import type { Asker, Special } from './server.ts';
import { signQuestionAnswer } from './signed-answer.ts';
import { transferMessages } from './transfer-messages.ts';
import { planTransfer, requestedSerial, type TransferPlan } from './transfer-plan.ts';
import type { SecondarySetting, TransferLimits } from './transfer-settings.ts';
import { TransferSlots } from './transfer-slots.ts';
import {
  type AnswerSigner,
  type RequestVerdict,
  verifyRequest,
  type WallClock,
  wallClock,
} from './tsig.ts';
import type { TsigKeys } from './tsig-key.ts';
import type { ZoneSource } from './zone-source.ts';

const NOTICE_LIMITS = {
  /** Anybody can send faulty requests without end; the counters tell how many, the log that they come. */
  refusalLinesEveryMs: 10_000,
} as const;

export interface TransferParts {
  readonly source: ZoneSource;
  readonly keys: TsigKeys;
  readonly secondaries: readonly SecondarySetting[];
  readonly limits: TransferLimits;
  /** Answers ordinary questions that came signed, and refuses what did not; undefined: silence. */
  readonly answer: (message: Buffer, asker: Asker) => Buffer | undefined;
  readonly log: Logger;
  readonly now?: WallClock;
}

/** For metrics; they only grow. */
export interface TransferCounts {
  axfr: number;
  ixfr: number;
  current: number;
  failed: number;
  refused: number;
  busy: number;
}

/** A transfer that ended before its last message. The connection is cut, so that nothing looks whole. */
class TransferError extends Error {
  readonly code: 'ERR_TRANSFER_STALLED' | 'ERR_TRANSFER_TOO_LONG';

  constructor(code: TransferError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

interface SignedRequest {
  /** Without its TSIG. */
  readonly bare: Buffer;
  readonly layout: Layout;
  readonly keyName: string;
  readonly signer: AnswerSigner;
  readonly asker: Asker;
}

export class ZoneTransfers {
  readonly counts: TransferCounts = {
    axfr: 0,
    ixfr: 0,
    current: 0,
    failed: 0,
    refused: 0,
    busy: 0,
  };
  readonly #parts: TransferParts;
  readonly #slots: TransferSlots;
  #refusalLineDueMs = 0;

  constructor(parts: TransferParts) {
    this.#parts = parts;
    this.#slots = new TransferSlots(parts.secondaries, parts.limits);
  }

  get running(): number {
    return this.#slots.running;
  }

  /** Rejects only when the connection of the asker has to be cut. */
  readonly special: Special = async (message, asker) => {
    const layout = layoutOf(message);
    if (layout === undefined) return asker.send(errorAnswer(message, undefined, RCODE.FORMERR));
    if (layout.response) return;
    const { keys, now = wallClock } = this.#parts;
    const verdict = verifyRequest(message, layout, keys, now);
    switch (verdict.kind) {
      case 'malformed':
        return asker.send(errorAnswer(message, layout, RCODE.FORMERR));
      case 'unsigned':
        this.#noteRefusal('unsigned', asker);
        return this.#refuseUnsigned(message, asker);
      case 'refused':
        this.#noteRefusal(verdict.fault, asker);
        return asker.send(verdict.refuse(errorAnswer(message, layout, RCODE.NOTAUTH)));
      case 'good':
        return this.#serve(signedRequest(verdict, layout, asker));
    }
  };

  async #serve(request: SignedRequest): Promise<void> {
    const { bare, layout, asker, signer } = request;
    const { type } = layout.question;
    if (layout.opcode === UPDATE) return this.#refuse(request, RCODE.NOTIMP);
    if (layout.opcode !== 0) return this.#refuse(request, RCODE.NOTAUTH);
    if (type === TYPE.AXFR || type === TYPE.IXFR) return this.#transfer(request);
    const answer = this.#parts.answer(bare, asker);
    if (answer !== undefined) await asker.send(signQuestionAnswer(answer, request, signer));
  }

  async #transfer(request: SignedRequest): Promise<void> {
    const { bare, layout, keyName, asker } = request;
    const { question } = layout;
    const admitted = this.#slots.admit(keyName, asker.address);
    if (admitted.length === 0) return this.#refuse(request, RCODE.REFUSED);
    const apex = encodeName(this.#parts.source.zone.apex);
    if (question.class !== CLASS.IN || apex?.equals(question.name) !== true) {
      return this.#refuse(request, RCODE.NOTAUTH);
    }
    const from = question.type === TYPE.IXFR ? requestedSerial(bare, layout) : undefined;
    const misused = question.type === TYPE.IXFR ? from === undefined : asker.transport === 'udp';
    if (misused) return this.#refuse(request, RCODE.FORMERR);
    using slot = this.#slots.take(admitted);
    if (slot === undefined) {
      this.counts.busy += 1;
      return this.#refuse(request, RCODE.SERVFAIL);
    }
    await this.#send(
      await planTransfer(this.#parts.source, from, asker.transport),
      request,
      slot.name,
    );
  }

  async #send(plan: TransferPlan, request: SignedRequest, secondary: string): Promise<void> {
    const { bare, layout } = request;
    const question = bare.subarray(HEADER_BYTES, layout.question.end);
    const edns = layout.records.some(({ type }) => type === TYPE.OPT);
    const head = { id: bare.readUInt16BE(0), question, edns };
    const startedMs = performance.now();
    const told = { secondary, kind: plan.kind, serial: plan.zone.serial };
    try {
      const bytes = await this.#stream(transferMessages(head, plan.records), request);
      this.counts[plan.kind] += 1;
      const ms = Math.round(performance.now() - startedMs);
      const words = plan.kind === 'current' ? 'the secondary has the zone' : 'zone transferred';
      this.#parts.log[plan.kind === 'current' ? 'debug' : 'info'](
        { ...told, from: plan.from, bytes, ms },
        words,
      );
    } catch (error) {
      this.counts.failed += 1;
      this.#parts.log.warn({ ...told, err: error }, 'the transfer broke off');
      throw error;
    }
  }

  async #stream(messages: Iterable<Buffer>, { signer, asker }: SignedRequest): Promise<number> {
    const { wholeMs, progressMs } = this.#parts.limits;
    const endMs = performance.now() + wholeMs;
    let bytes = 0;
    for (const message of messages) {
      const signed = signer.sign(message);
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) throw new TransferError('ERR_TRANSFER_TOO_LONG', TOO_LONG);
      await taken(asker.send(signed), Math.min(progressMs, leftMs));
      bytes += signed.length;
      // One message is about a millisecond; whoever else is waiting comes before the next.
      await nextTurn();
    }
    return bytes;
  }

  async #refuse({ bare, layout, signer, asker }: SignedRequest, rcode: number): Promise<void> {
    if (rcode !== RCODE.SERVFAIL) this.#noteRefusal('not allowed', asker);
    await asker.send(signer.sign(errorAnswer(bare, layout, rcode)));
  }

  async #refuseUnsigned(message: Buffer, asker: Asker): Promise<void> {
    const answer = this.#parts.answer(message, asker);
    if (answer !== undefined) await asker.send(answer);
  }

  #noteRefusal(why: string, { address }: Asker): void {
    this.counts.refused += 1;
    const now = performance.now();
    if (now < this.#refusalLineDueMs) return;
    this.#refusalLineDueMs = now + NOTICE_LIMITS.refusalLinesEveryMs;
    this.#parts.log.warn({ why, address }, 'a request to this primary was refused');
  }
}

const UPDATE = 5;

const TOO_LONG = 'The secondary took longer for the whole zone than transferLimits.wholeMs allows.';
const STALLED = 'The secondary took nothing for longer than transferLimits.progressMs allows.';

function signedRequest(
  verdict: Extract<RequestVerdict, { kind: 'good' }>,
  layout: Layout,
  asker: Asker,
): SignedRequest {
  const { bare, key, signer } = verdict;
  return { bare, layout, keyName: key.name, signer, asker };
}

async function taken(sent: Promise<void>, withinMs: number): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new TransferError('ERR_TRANSFER_STALLED', STALLED)),
    withinMs,
  );
  try {
    await Promise.race([sent, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
