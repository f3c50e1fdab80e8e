// What a visitor has sent and nobody has read yet, and how heads are taken off it. A head that comes
// in a thousand pieces is searched once and copied a few times, not a thousand times.
import { fieldValue } from './fields.ts';
import {
  HEAD_LIMITS,
  type HeadFault,
  headEnd,
  headStart,
  parseRequestHead,
  partialHeadFault,
} from './head.ts';
import type { PageContext } from './pages.ts';
import type { Refusal } from './refusal.ts';
import { type EntranceRequest, judgeRequest } from './request.ts';

const EMPTY = Buffer.alloc(0);

export class Intake {
  /** The Accept field of the last head: a refusal is told in the form that was asked for. */
  #accept: string | undefined;
  readonly #hostname: string;
  #pending: Buffer = EMPTY;
  /** What `#pending` is a part of once it was joined, with room behind it for more. */
  #store: Buffer = EMPTY;
  #searchedTo = 0;

  /** `hostname`: the SNI name that every Host must equal. */
  constructor(hostname: string) {
    this.#hostname = hostname;
  }

  /** For pages of ours. */
  get pageContext(): PageContext {
    return { hostname: this.#hostname, accept: this.#accept };
  }

  get empty(): boolean {
    return this.#pending.length === 0;
  }

  push(bytes: Buffer): void {
    const pending = this.#pending;
    if (pending.length === 0) {
      this.#pending = bytes;
      return;
    }
    const length = pending.length + bytes.length;
    let from = pending.byteOffset;
    if (pending.buffer !== this.#store.buffer || from + length > this.#store.length) {
      from = 0;
      this.#store = Buffer.allocUnsafeSlow(length < HEAD_LIMITS.headBytesMax ? 2 * length : length);
      pending.copy(this.#store);
    }
    bytes.copy(this.#store, from + pending.length);
    this.#pending = this.#store.subarray(from, from + length);
  }

  /** All that is pending, for a reader who pushes back what is not his. */
  takeAll(): Buffer {
    const bytes = this.#pending;
    this.#pending = EMPTY;
    this.#store = EMPTY;
    return bytes;
  }

  /** The next request, or why it goes no further; undefined while its head is not whole. */
  takeRequest(): EntranceRequest | Refusal | undefined {
    const pending = this.#pending;
    const start = headStart(pending, 0);
    const from = Math.max(start, this.#searchedTo - 3);
    const end = headEnd(pending, from);
    if (end === -1) {
      this.#searchedTo = pending.length;
      return partialHeadFault(pending, start, from);
    }
    this.#searchedTo = 0;
    if (end === pending.length) this.takeAll();
    else this.#pending = pending.subarray(end);
    const head = parseRequestHead(pending.toString('latin1', start, end));
    if ('detail' in head) return head satisfies HeadFault;
    this.#accept = fieldValue(head.fields, 'accept');
    return judgeRequest(head, this.#hostname);
  }
}
