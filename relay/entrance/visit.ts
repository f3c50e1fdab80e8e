// One visitor connection that speaks HTTP/1.1, from its first byte to its last. Read this first.
//
//   read a head → judge it → reach the workspace → pass the body on → pass the response back → again
//
// One request is under way at a time; what a visitor sends ahead waits in one buffer while his socket
// is paused. A visit has at most one link, which no other visitor ever uses.
import type { TLSSocket } from 'node:tls';
import { Delivery, type DeliveryOwner } from './delivery.ts';
import { fieldValue } from './fields.ts';
import { headEnd, headStart, parseRequestHead, partialHeadFault } from './head.ts';
import type { Journal, RequestRecord } from './journal.ts';
import { ENTRANCE_LIMITS } from './limits.ts';
import type { Problem } from './pages.ts';
import type { Reach } from './reach.ts';
import { type EntranceRequest, judgeRequest, writeRequestHead } from './request.ts';
import type { Sweep, Swept } from './sweep.ts';
import { Upload } from './upload.ts';
import { forwardingLines, type Visitor } from './visitor.ts';
import { WorkspaceConnection } from './workspace.ts';

export interface VisitParts {
  readonly reach: Reach;
  readonly journal: Journal;
  readonly sweep: Sweep;
  /** True while the program stops: responses then say `Connection: close`. */
  readonly stopping: () => boolean;
  /** The visit is over. */
  readonly over: (visit: { stop(): void; cut(): void }) => void;
}

/**
 * between: no request is under way · request: one is · pipe: after a 101 · leaving: our half has
 * ended, what still comes is thrown away · gone: nothing happens any more
 */
type Phase = 'between' | 'request' | 'pipe' | 'leaving' | 'gone';

const EMPTY = Buffer.alloc(0);
/** Methods that may be asked twice (RFC 9110, 9.2.1), when they carry no body. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

export class Visit implements DeliveryOwner, Swept, RequestRecord {
  readonly visitorAddress: string;
  readonly hostname: string;
  readonly protocol = 'http/1.1';
  startedAtMs = 0;
  problem: Problem['kind'] | undefined;
  readonly #socket: TLSSocket;
  readonly #parts: VisitParts;
  readonly #visitor: Visitor;
  readonly #forwarding: string;
  readonly #delivery: Delivery;
  readonly #upload = new Upload();
  #connection: WorkspaceConnection | undefined;
  #request: EntranceRequest | undefined;
  #accept: string | undefined;
  #phase: Phase = 'between';
  /** Received and not yet read. */
  #pending: Buffer = EMPTY;
  /** How far the end of a head was looked for. */
  #searchedTo = 0;
  #requests = 0;
  #responded = true;
  #retried = false;
  #visitorEnded = false;
  /** When the present wait began, for its deadline. */
  #sinceMs: number;
  #sweptBytes = 0;
  #pipedBytes = 0;
  #thrownBytes = 0;

  constructor(socket: TLSSocket, visitor: Visitor, parts: VisitParts) {
    this.#socket = socket;
    this.#parts = parts;
    this.#visitor = visitor;
    this.visitorAddress = visitor.address;
    this.hostname = visitor.hostname;
    this.#forwarding = forwardingLines(visitor);
    this.#delivery = new Delivery(socket, this);
    this.#sinceMs = parts.sweep.nowMs;
    parts.sweep.add(this);
    socket.on('data', (bytes: Buffer) => this.#data(bytes));
    socket.on('drain', () => this.#drain());
    socket.on('end', () => this.#end());
    socket.on('timeout', () => this.cut());
    socket.on('error', () => this.cut());
    socket.on('close', () => this.cut());
  }

  get method(): string {
    return this.#request?.method ?? '';
  }

  get target(): string {
    return this.#request?.target ?? '';
  }

  get status(): number {
    return this.#delivery.status;
  }

  get requestBytes(): number {
    return this.#upload.bytes + this.#pipedBytes;
  }

  get responseBytes(): number {
    return this.#delivery.bytes;
  }

  /** Ends the connection when no request is under way; else it ends after the response. */
  stop(): void {
    if (this.#phase === 'between') this.#leave();
  }

  /** Ends the connection at once, in a way that shows. */
  cut(): void {
    if (this.#phase === 'gone') return;
    if (this.#phase === 'request' || this.#phase === 'pipe') this.#record();
    this.#phase = 'gone';
    this.#giveUp();
    this.#pending = EMPTY;
    this.#parts.sweep.delete(this);
    this.#socket.destroy();
    this.#parts.over(this);
  }

  sweep(nowMs: number): void {
    const waitedMs = nowMs - this.#sinceMs;
    if (this.#phase === 'leaving') {
      if (!this.#socket.writableFinished) this.#sinceMs = nowMs;
      else if (waitedMs > ENTRANCE_LIMITS.leaveTimeoutMs) this.cut();
    } else if (this.#phase === 'between') {
      if (this.#pending.length === 0) {
        if (waitedMs > ENTRANCE_LIMITS.keepAliveIdleMs) this.#leave();
      } else if (waitedMs > ENTRANCE_LIMITS.headTimeoutMs && !this.#socket.isPaused()) {
        this.#refuse(408, 'The request head did not arrive within 10 seconds.');
      }
    } else if (this.#phase === 'request' && !this.#upload.done && !this.#upload.full) {
      if (waitedMs > ENTRANCE_LIMITS.bodyStallWindowMs) this.#judgeUploadRate(nowMs);
    }
  }

  #judgeUploadRate(nowMs: number): void {
    const bytes = this.#upload.bytes - this.#sweptBytes;
    this.#sinceMs = nowMs;
    this.#sweptBytes = this.#upload.bytes;
    if (bytes < ENTRANCE_LIMITS.bodyBytesPerWindow) {
      this.#refuse(408, 'The request body came slower than 500 bytes per second.');
    }
  }

  // ---- from the visitor ------------------------------------------------------------------------

  #data(bytes: Buffer): void {
    if (this.#phase === 'pipe') return this.#pipe(bytes);
    if (this.#phase === 'leaving') {
      this.#thrownBytes += bytes.length;
      if (this.#thrownBytes > ENTRANCE_LIMITS.drainAfterEarlyAnswerBytes) this.cut();
      return;
    }
    if (this.#pending.length > 0) this.#pending = Buffer.concat([this.#pending, bytes]);
    else {
      this.#pending = bytes;
      if (this.#phase === 'between') this.#sinceMs = this.#parts.sweep.nowMs;
    }
    this.#advance();
  }

  #pipe(bytes: Buffer): void {
    this.#pipedBytes += bytes.length;
    if (this.#connection?.write(bytes) === false) this.#socket.pause();
  }

  /** Reads what is pending, as far as the present request allows; the rest waits. */
  #advance(): void {
    while (this.#pending.length > 0) {
      if (this.#phase === 'between' && !this.#socket.writableNeedDrain) {
        if (!this.#readHead()) return;
      } else if (this.#phase === 'request' && !this.#upload.done) {
        this.#readBody();
      } else {
        // The next request waits until this one is answered, and the answer taken.
        if (this.#phase !== 'leaving') this.#socket.pause();
        return;
      }
    }
  }

  /** Takes one head from the pending bytes. False: it is not whole, or it was refused. */
  #readHead(): boolean {
    const pending = this.#pending;
    const start = headStart(pending, 0);
    const searchedTo = Math.max(start, this.#searchedTo - 3);
    const end = headEnd(pending, searchedTo);
    if (end === -1) {
      const fault = partialHeadFault(pending, start, searchedTo);
      this.#searchedTo = pending.length;
      if (fault !== undefined) this.#refuse(fault.status, fault.detail);
      return false;
    }
    this.#searchedTo = 0;
    this.startedAtMs = performance.now();
    this.#pending = end === pending.length ? EMPTY : pending.subarray(end);
    const head = parseRequestHead(pending.toString('latin1', start, end));
    const judged = 'detail' in head ? head : judgeRequest(head, this.#visitor.hostname);
    if (!('detail' in head)) this.#accept = fieldValue(head.fields, 'accept');
    if ('detail' in judged) {
      this.#refuse(judged.status, judged.detail);
      return false;
    }
    this.#begin(judged);
    return true;
  }

  #begin(request: EntranceRequest): void {
    this.#request = request;
    this.#requests += 1;
    this.#phase = 'request';
    this.#responded = false;
    this.#retried = false;
    this.problem = undefined;
    this.#sweptBytes = 0;
    this.#sinceMs = this.#parts.sweep.nowMs;
    this.#parts.journal.requestsOpen += 1;
    this.#upload.start(request.body);
    this.#delivery.start(request);
    this.#ask(request);
  }

  #ask(request: EntranceRequest): void {
    if (this.#connection?.reusable !== true) {
      this.#giveUp();
      const reached = this.#parts.reach(this.#visitor);
      if ('kind' in reached) return this.#answer(reached);
      this.#connection = new WorkspaceConnection(reached);
    }
    this.#upload.sendTo(this.#connection);
    const head = writeRequestHead(request, this.#forwarding);
    this.#connection.ask(head, request, this.#delivery);
  }

  #readBody(): void {
    this.#pending = this.#upload.read(this.#pending);
    if (this.#upload.fault !== undefined) return this.#refuse(400, this.#upload.fault);
    if (this.#upload.full) this.#socket.pause();
    if (this.#upload.done && this.#responded) this.#finish();
  }

  #end(): void {
    this.#visitorEnded = true;
    if (this.#phase === 'pipe') this.#connection?.endPipe();
    else if (this.#phase === 'request' && !this.#upload.done) this.cut();
    else if (this.#phase !== 'request') this.#leave();
  }

  // ---- from the workspace, by way of the delivery ----------------------------------------------

  mustClose(): boolean {
    return (
      this.#request?.keepAlive !== true ||
      !this.#upload.done ||
      this.#visitorEnded ||
      this.#requests >= ENTRANCE_LIMITS.requestsPerConnection ||
      this.#parts.stopping()
    );
  }

  switched(): void {
    this.#phase = 'pipe';
    const bytes = this.#pending;
    this.#pending = EMPTY;
    this.#socket.resume();
    if (bytes.length > 0) this.#pipe(bytes);
    if (this.#visitorEnded) this.#connection?.endPipe();
  }

  responded(): void {
    this.#responded = true;
    if (this.#upload.done || this.#delivery.closing) this.#finish();
  }

  failed(problem: Problem, untouched: boolean): void {
    const request = this.#request;
    const stale = this.#connection !== undefined && this.#connection.asked > 1;
    this.#connection = undefined;
    if (this.#phase !== 'request' || this.#delivery.headSent || request === undefined) {
      this.problem = problem.kind;
      return this.cut();
    }
    const repeatable = request.body.kind === 'none' && SAFE.has(request.method);
    const worthIt = stale || problem.kind === 'device-away';
    if (untouched && repeatable && worthIt && !this.#retried) {
      this.#retried = true;
      return this.#ask(request);
    }
    this.#answer(problem);
  }

  requestDrain(): void {
    if (this.#phase === 'pipe') this.#socket.resume();
    if (!this.#upload.full) return;
    this.#upload.full = false;
    this.#sinceMs = this.#parts.sweep.nowMs;
    this.#sweptBytes = this.#upload.bytes;
    this.#socket.resume();
    this.#advance();
  }

  // ---- to the visitor --------------------------------------------------------------------------

  /** Answers the request with a page of ours. */
  #answer(problem: Problem): void {
    this.problem = problem.kind;
    this.#delivery.page(problem, this.mustClose(), this.#pageContext());
    this.responded();
  }

  /** Answers what we do not pass on, or not to its end, and ends the connection. */
  #refuse(status: number, detail: string): void {
    this.#parts.journal.refused(status);
    this.#giveUp();
    if (this.#phase === 'between') {
      this.#delivery.start(undefined);
      this.#parts.journal.requestsOpen += 1;
    } else if (this.#delivery.headSent) return this.cut();
    const problem: Problem =
      status === 421 ? { kind: 'misdirected' } : { kind: 'bad-request', status, detail };
    this.problem = problem.kind;
    this.#delivery.page(problem, true, this.#pageContext());
    this.#record();
    this.#leave();
  }

  #pageContext() {
    return { hostname: this.#visitor.hostname, accept: this.#accept };
  }

  /** Request and response are done. */
  #finish(): void {
    this.#record();
    if (this.#delivery.closing || this.#visitorEnded || this.#parts.stopping()) {
      return this.#leave();
    }
    this.#phase = 'between';
    this.#request = undefined;
    this.#sinceMs = this.#parts.sweep.nowMs;
    if (this.#pending.length > 0) setImmediate(() => this.#next());
    else if (this.#socket.isPaused()) this.#socket.resume();
  }

  /** The next pipelined request, once there is room for its answer. */
  #next(): void {
    if (this.#phase !== 'between' || this.#socket.writableNeedDrain) return;
    this.#socket.resume();
    this.#advance();
  }

  #drain(): void {
    this.#delivery.drained();
    this.#connection?.resume();
    this.#next();
  }

  #record(): void {
    this.#parts.journal.requestsOpen -= 1;
    this.#parts.journal.request(this);
  }

  #giveUp(): void {
    this.#connection?.leave('cancelled');
    this.#connection = undefined;
  }

  /** Ends our half politely, so that the visitor can read the answer to its end. */
  #leave(): void {
    if (this.#phase === 'leaving' || this.#phase === 'gone') return;
    this.#giveUp();
    this.#phase = 'leaving';
    this.#sinceMs = this.#parts.sweep.nowMs;
    this.#pending = EMPTY;
    this.#socket.setTimeout(ENTRANCE_LIMITS.writeStallMs);
    this.#socket.end();
    this.#socket.resume();
  }
}
