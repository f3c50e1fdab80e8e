// One HTTP/1.1 connection to a workspace, over a link. It sends one request at a time, judges each
// response head, and hands on what is in it; the visitor's side decides how that is written. Bytes
// are handed on as they come: nothing is collected.
import type { Link, LinkEvents } from '../protocol/link.ts';
import type { ResetReason } from '../protocol/reset-reason.ts';
import { BodyReader, type BodySink } from './body.ts';
import { HEAD_LIMITS, headEnd, parseResponseHead } from './head.ts';
import { ENTRANCE_LIMITS } from './limits.ts';
import type { Problem } from './pages.ts';
import { type EntranceResponse, judgeResponse } from './response.ts';

/** What comes of a request. After `complete`, `failed` or `pipeEnd` nothing more is called. */
export interface ResponseEvents {
  /** 100 Continue, 103 Early Hints and their like. */
  interim(response: EntranceResponse): void;
  head(response: EntranceResponse): void;
  /** Bytes of the body; after a 101, bytes of the pipe. */
  bodyBytes(bytes: Buffer): void;
  bodyTrailers(fields: readonly string[]): void;
  /** The whole response has arrived. */
  complete(): void;
  /** After a 101: the workspace has ended its half of the pipe. */
  pipeEnd(): void;
  /** There will be no (whole) response. `untouched`: not one byte of it has come. */
  failed(problem: Problem, untouched: boolean): void;
  /** All that came in one piece was handed on. False: no room, call `resume()` when there is. */
  flush(): boolean;
  /** There is room for request bytes again. */
  drain(): void;
}

type Phase = 'idle' | 'head' | 'body' | 'pipe' | 'dead';

const EMPTY = Buffer.alloc(0);

export class WorkspaceConnection implements LinkEvents, BodySink {
  readonly #link: Link;
  readonly #body = new BodyReader();
  #events: ResponseEvents | undefined;
  #phase: Phase = 'idle';
  #method = '';
  #websocketKey: string | undefined;
  /** Start of a response head that has not arrived whole. */
  #partial: Buffer = EMPTY;
  #untouched = true;
  #untilEnd = false;
  #interims = 0;
  #heldBytes = 0;
  /** Requests asked so far: the first one cannot have met a stale connection. */
  asked = 0;
  /** The last response allowed another request on this connection. */
  #keepAlive = true;
  /** Request bytes wait for the link to take them. */
  #blocked = false;
  #stopping = false;

  constructor(link: Link) {
    this.#link = link;
    link.events = this;
  }

  /**
   * Whether another request may be asked. Not when the one before still waits for its way out: a
   * workspace that answers without reading would let requests gather without end.
   */
  get reusable(): boolean {
    return this.#phase === 'idle' && this.#keepAlive && !this.#blocked;
  }

  /** Sends a canonical request head; its body follows by `write()`. */
  ask(
    head: string,
    request: { readonly method: string; readonly websocketKey?: string | undefined },
    events: ResponseEvents,
  ): void {
    this.#events = events;
    this.#phase = 'head';
    this.#method = request.method;
    this.#websocketKey = request.websocketKey;
    this.#untouched = true;
    this.#interims = 0;
    this.asked += 1;
    this.write(head);
  }

  /** Bytes of the request body in canonical framing, or of the pipe. False: wait for `drain()`. */
  write(bytes: Buffer | string): boolean {
    this.#blocked = !this.#link.write(bytes);
    return !this.#blocked;
  }

  /** The visitor's half of the pipe has ended. */
  endPipe(): void {
    this.#link.end();
  }

  /**
   * Gives the link up; no event follows. Also one that has come to its end: what it still has to send
   * may wait for a workspace that reads no more.
   */
  leave(reason: ResetReason): void {
    this.#phase = 'dead';
    this.#events = undefined;
    this.#link.reset(reason);
  }

  /** There is room again after `flush()` said no. */
  resume(): void {
    const bytes = this.#heldBytes;
    if (bytes === 0) return;
    this.#heldBytes = 0;
    this.#link.taken(bytes);
  }

  data(bytes: Buffer): void {
    this.#read(bytes);
    if (this.#events === undefined || this.#events.flush()) this.#link.taken(bytes.length);
    else this.#heldBytes += bytes.length;
  }

  end(): void {
    switch (this.#phase) {
      case 'pipe':
        this.#events?.pipeEnd();
        return;
      case 'body':
        if (this.#untilEnd) {
          this.#complete(false);
          this.#events?.flush();
          return this.end(); // now nothing waits any more, and our half ends too
        }
        return this.#fail({ kind: 'workspace-broke' });
      case 'head':
        return this.#fail({ kind: 'workspace-broke' });
      case 'idle':
        this.#phase = 'dead';
        this.#link.end();
        return;
      case 'dead':
        return;
    }
  }

  /** The visitor's connection lives on; his next request takes another link. */
  stopping(): void {
    this.#stopping = true;
    this.#keepAlive = false;
    this.#leaveIfIdle();
  }

  broken(reason: ResetReason): void {
    const waiting = this.#phase !== 'idle' && this.#phase !== 'dead';
    const events = this.#events;
    this.#phase = 'dead';
    this.#events = undefined;
    if (waiting) events?.failed(problemOf(reason), this.#untouched);
  }

  drain(): void {
    this.#blocked = false;
    this.#events?.drain();
  }

  bodyBytes(bytes: Buffer): void {
    this.#events?.bodyBytes(bytes);
  }

  bodyTrailers(fields: readonly string[]): void {
    this.#events?.bodyTrailers(fields);
  }

  #read(bytes: Buffer): void {
    this.#untouched = false;
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#phase === 'head') rest = this.#readHead(rest);
      else if (this.#phase === 'body') rest = this.#readBody(rest);
      else if (this.#phase === 'pipe') return this.#events?.bodyBytes(rest);
      else if (this.#phase === 'dead') return;
      else return this.leave('protocol'); // bytes that answer no request
    }
  }

  /** Reads a head, or keeps its start. Returns what follows it. */
  #readHead(bytes: Buffer): Buffer {
    const partial = this.#partial;
    const whole = partial.length === 0 ? bytes : Buffer.concat([partial, bytes]);
    const end = headEnd(whole, Math.max(0, partial.length - 3));
    if (end === -1) {
      if (whole.length > HEAD_LIMITS.headBytesMax) this.#fail({ kind: 'bad-response' });
      else this.#partial = whole;
      return EMPTY;
    }
    this.#partial = EMPTY;
    const head = parseResponseHead(whole.toString('latin1', 0, end));
    if (end > HEAD_LIMITS.headBytesMax || 'detail' in head) {
      this.#fail({ kind: 'bad-response' });
      return EMPTY;
    }
    const response = judgeResponse(head, this.#method, this.#websocketKey);
    if ('detail' in response) {
      this.#fail({ kind: 'bad-response' });
      return EMPTY;
    }
    const rest = whole.subarray(end);
    this.#take(response, rest.length > 0);
    return rest;
  }

  #take(response: EntranceResponse, more: boolean): void {
    if (response.interim) {
      this.#interims += 1;
      if (this.#interims > ENTRANCE_LIMITS.interimResponsesMax) {
        return this.#fail({ kind: 'bad-response' });
      }
      return this.#events?.interim(response);
    }
    const { body } = response;
    this.#keepAlive &&= response.keepAlive;
    this.#untilEnd = body.kind === 'close';
    this.#phase = response.switched ? 'pipe' : 'body';
    this.#events?.head(response);
    if (this.#phase !== 'body') return;
    this.#body.start(body);
    if (this.#body.done) this.#complete(!more);
  }

  #readBody(bytes: Buffer): Buffer {
    const next = this.#body.read(bytes, 0, this);
    if (this.#body.fault !== undefined) {
      this.#fail({ kind: 'bad-response' });
      return EMPTY;
    }
    if (this.#body.done) this.#complete(next === bytes.length);
    return bytes.subarray(next);
  }

  /** `clean`: nothing follows that answers no request, and the link is still open. */
  #complete(clean: boolean): void {
    this.#phase = 'idle';
    if (!clean) this.#keepAlive = false;
    this.#events?.complete();
    // Not at once: who was told may still have a word to say.
    if (this.#stopping) setImmediate(() => this.#leaveIfIdle());
  }

  #leaveIfIdle(): void {
    if (this.#phase === 'idle') this.leave('cancelled');
  }

  #fail(problem: Problem): void {
    const events = this.#events;
    this.leave(problem.kind === 'bad-response' ? 'protocol' : 'cancelled');
    events?.failed(problem, this.#untouched);
  }
}

/** What a person is told when the link broke before a response came. */
function problemOf(reason: ResetReason): Problem {
  switch (reason) {
    case 'workspace-unknown':
      return { kind: 'no-such-workspace' };
    case 'workspace-unreachable':
    case 'workspace-timeout':
    case 'workspace-broke':
    case 'too-many-streams':
      return { kind: reason };
    case 'tunnel-lost':
      return { kind: 'device-away' };
    case 'draining':
      return { kind: 'relay-draining' };
    case 'cancelled':
    case 'too-slow':
    case 'protocol':
    case 'internal':
      return { kind: 'internal' };
  }
}
