// TSIG (RFC 8945): messages between name servers, signed with a secret that both have. Requests are
// judged in the order of section 5.2: key, MAC, time, truncation. What was judged good can sign its
// answer, and a stream of answers, each with the MAC before it in its own.
//
// The time of the last request of a key is not kept to refuse earlier ones (a SHOULD of section
// 5.2.3): servers ask over UDP and TCP at once, and requests that overtake each other are honest. What
// a replay within the fudge would show has been seen already by whoever recorded the request.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { type Layout, layoutOf } from './message-layout.ts';
import { CLASS } from './record.ts';
import type { TsigKey, TsigKeys } from './tsig-key.ts';
import {
  appendTsig,
  findTsig,
  TSIG_ERROR,
  type TsigRecord,
  timeBytes,
  timersOf,
  tsigBytes,
} from './tsig-record.ts';

const TSIG_LIMITS = {
  /** Seconds; the value that RFC 8945, section 10, recommends. */
  fudgeS: 300,
  /** Below it a truncated MAC is malformed (section 5.2.2.1), if half the hash is not even more. */
  macBytesMin: 10,
  /** Our policy for truncated MACs: SHA-256-128 is the shortest that the RFC calls preferable. */
  policyMacBytesMin: 16,
} as const;

/** Seconds since 1970; both sides compare the wall clock, so nothing else can be used here. */
export type WallClock = () => number;

export const wallClock: WallClock = () => Math.floor(Date.now() / 1000);

export type RequestVerdict =
  | { readonly kind: 'unsigned' }
  | { readonly kind: 'malformed' }
  /** NOTAUTH; `refuse` makes of a bare answer the one to send, signed only where the RFC says so. */
  | {
      readonly kind: 'refused';
      readonly fault: 'BADKEY' | 'BADSIG' | 'BADTIME' | 'BADTRUNC';
      readonly keyName: Buffer;
      readonly refuse: (answer: Buffer) => Buffer;
    }
  /** `bare` is the request without its TSIG, under the ID that it came with. */
  | {
      readonly kind: 'good';
      readonly key: TsigKey;
      readonly bare: Buffer;
      readonly signer: AnswerSigner;
    };

export function verifyRequest(
  message: Buffer,
  layout: Layout,
  keys: TsigKeys,
  now: WallClock,
): RequestVerdict {
  const search = findTsig(message, layout);
  if (search.kind === 'absent') return { kind: 'unsigned' };
  if (search.kind === 'malformed') return { kind: 'malformed' };
  const { record, bare } = search;
  const key = keys.find(record.keyName);
  if (key === undefined || !key.algorithmWire.equals(record.algorithm)) {
    return refused('BADKEY', record, unsignedRefusal(TSIG_ERROR.BADKEY, record, now));
  }
  if (!isPossibleSize(record.mac.length, key)) return { kind: 'malformed' };
  const mac = digest(key, [bare, variablesOf(record)]);
  if (!timingSafeEqual(mac.subarray(0, record.mac.length), record.mac)) {
    return refused('BADSIG', record, unsignedRefusal(TSIG_ERROR.BADSIG, record, now));
  }
  const signer = new AnswerSigner(key, record, now);
  if (Math.abs(now() - record.timeSigned) > record.fudge) {
    return refused('BADTIME', record, (answer) => signer.signLate(answer));
  }
  if (record.mac.length < Math.min(TSIG_LIMITS.policyMacBytesMin, key.macBytes)) {
    return refused('BADTRUNC', record, (answer) => signer.sign(answer, TSIG_ERROR.BADTRUNC));
  }
  bare.writeUInt16BE(message.readUInt16BE(0), 0);
  return { kind: 'good', key, bare, signer };
}

/** Section 5.2.2.1; a size of zero only exists in errors, which are no requests. */
function isPossibleSize(bytes: number, { macBytes }: TsigKey): boolean {
  return bytes <= macBytes && bytes >= Math.max(TSIG_LIMITS.macBytesMin, macBytes / 2);
}

function refused(
  fault: 'BADKEY' | 'BADSIG' | 'BADTIME' | 'BADTRUNC',
  { keyName }: TsigRecord,
  refuse: (answer: Buffer) => Buffer,
): RequestVerdict {
  return { kind: 'refused', fault, keyName, refuse };
}

/** Section 5.3.2: nothing may be signed for whoever has not shown the key. */
function unsignedRefusal(error: number, request: TsigRecord, now: WallClock) {
  const unsigned = { ...request, timeSigned: now(), fudge: TSIG_LIMITS.fudgeS, error };
  return (answer: Buffer): Buffer =>
    appendTsig(answer, { ...unsigned, mac: Buffer.alloc(0), other: Buffer.alloc(0) });
}

/** Signs the answers to one request: the first with all variables, those after it with timers only. */
export class AnswerSigner {
  readonly #key: TsigKey;
  readonly #request: TsigRecord;
  readonly #now: WallClock;
  #priorMac: Buffer;
  #first = true;

  constructor(key: TsigKey, request: TsigRecord, now: WallClock) {
    this.#key = key;
    this.#request = request;
    this.#now = now;
    this.#priorMac = request.mac;
  }

  /** What a signature adds to an answer. */
  get recordBytes(): number {
    return tsigBytes(this.#key);
  }

  sign(answer: Buffer, error: number = TSIG_ERROR.NONE): Buffer {
    return this.#finish(answer, {
      ...this.#request,
      timeSigned: this.#now(),
      fudge: TSIG_LIMITS.fudgeS,
      error,
      other: Buffer.alloc(0),
    });
  }

  /** BADTIME: the client's time as it was, ours in Other Data, so that he sees whose clock is wrong. */
  signLate(answer: Buffer): Buffer {
    const other = timeBytes(this.#now());
    return this.#finish(answer, { ...this.#request, error: TSIG_ERROR.BADTIME, other });
  }

  #finish(answer: Buffer, record: TsigRecord): Buffer {
    const ending = this.#first ? variablesOf(record) : timersOf(record);
    const mac = digest(this.#key, [
      twoBytes(this.#priorMac.length),
      this.#priorMac,
      twoBytes(record.originalId),
      answer.subarray(2),
      ending,
    ]);
    this.#first = false;
    this.#priorMac = mac;
    return appendTsig(answer, { ...record, mac });
  }
}

export interface SignedRequest {
  readonly message: Buffer;
  /** Whether an answer is one to this request, of someone who has the key; its layout when it is. */
  readonly verifyAnswer: (answer: Buffer) => Layout | undefined;
}

/** Signs a request of ours, which begins with its final ID. */
export function signRequest(request: Buffer, key: TsigKey, now: WallClock): SignedRequest {
  const record: TsigRecord = {
    keyName: key.nameWire,
    algorithm: key.algorithmWire,
    timeSigned: now(),
    fudge: TSIG_LIMITS.fudgeS,
    mac: Buffer.alloc(0),
    originalId: request.readUInt16BE(0),
    error: TSIG_ERROR.NONE,
    other: Buffer.alloc(0),
  };
  const mac = digest(key, [request, variablesOf(record)]);
  return {
    message: appendTsig(request, { ...record, mac }),
    verifyAnswer: (answer) => verifyAnswer(answer, key, mac, now),
  };
}

/** Errors count as answers only when they are signed: anybody could send the others. */
function verifyAnswer(
  answer: Buffer,
  key: TsigKey,
  requestMac: Buffer,
  now: WallClock,
): Layout | undefined {
  const layout = layoutOf(answer);
  const search = layout === undefined ? undefined : findTsig(answer, layout);
  if (search?.kind !== 'found') return undefined;
  const { record, bare } = search;
  if (!record.keyName.equals(key.nameWire)) return undefined;
  if (!record.algorithm.equals(key.algorithmWire)) return undefined;
  if (record.mac.length !== key.macBytes) return undefined;
  const mac = digest(key, [twoBytes(requestMac.length), requestMac, bare, variablesOf(record)]);
  if (!timingSafeEqual(mac, record.mac)) return undefined;
  return Math.abs(now() - record.timeSigned) <= record.fudge ? layout : undefined;
}

function digest({ hash, secret }: TsigKey, parts: readonly Buffer[]): Buffer {
  const hmac = createHmac(hash, secret);
  for (const part of parts) hmac.update(part);
  return hmac.digest();
}

function twoBytes(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff);
}

/** Section 4.3.3: what of the record is signed, in canonical form. */
function variablesOf(record: TsigRecord): Buffer {
  const classAndTtl = Buffer.of(0, CLASS.ANY, 0, 0, 0, 0);
  const rest = Buffer.alloc(4);
  rest.writeUInt16BE(record.error, 0);
  rest.writeUInt16BE(record.other.length, 2);
  const { keyName, algorithm, other } = record;
  return Buffer.concat([keyName, classAndTtl, algorithm, timersOf(record), rest, other]);
}
