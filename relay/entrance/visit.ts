// One visitor connection that speaks HTTP/1.1, from its first byte to its last. Read this first.
//
//   read a head → judge it → reach the workspace → pass the body on → pass the response back → again
//
// One request is under way at a time; what a visitor sends ahead waits in one buffer while his socket
// is paused. A visit has at most one link, which no other visitor ever uses.
import type { TLSSocket } from 'node:tls';
import { Delivery, type DeliveryOwner } from './delivery.ts';
import { Exchange } from './exchange.ts';
import { Intake } from './intake.ts';
import { ENTRANCE_LIMITS } from './limits.ts';
import { ownAnswer } from './own-answer.ts';
import type { Problem } from './pages.ts';
import type { Refusal } from './refusal.ts';
import { type EntranceRequest, writeRequestHead } from './request.ts';
import type { Swept } from './sweep.ts';
import type { Upload } from './upload.ts';
import { VisitClock, type Wait } from './visit-clock.ts';
import type { AnyVisit, VisitParts } from './visit-parts.ts';
import { forwardingLines, type Visitor } from './visitor.ts';
import { VisitorOutput } from './visitor-output.ts';
import { WorkspaceConnection } from './workspace.ts';

/**
 * between: no request is under way · request: one is · pipe: after a 101 · leaving: our half has
 * ended, what still comes is thrown away · gone: nothing happens any more
 */
type Phase = 'between' | 'request' | 'pipe' | 'leaving' | 'gone';

export class Visit implements AnyVisit, DeliveryOwner, Swept {
  readonly #socket: TLSSocket;
  readonly #parts: VisitParts;
  readonly #visitor: Visitor;
  readonly #forwarding: string;
  readonly #intake: Intake;
  readonly #output: VisitorOutput;
  readonly #delivery: Delivery;
  readonly #exchange: Exchange;
  readonly #upload: Upload;
  readonly #clock: VisitClock;
  #connection: WorkspaceConnection | undefined;
  #phase: Phase = 'between';
  #requests = 0;
  #visitorEnded = false;
  #thrownBytes = 0;

  constructor(socket: TLSSocket, visitor: Visitor, parts: VisitParts) {
    this.#socket = socket;
    this.#parts = parts;
    this.#visitor = visitor;
    this.#forwarding = forwardingLines(visitor);
    this.#intake = new Intake(visitor.hostname);
    this.#output = new VisitorOutput(socket);
    this.#delivery = new Delivery(this.#output, this);
    this.#exchange = new Exchange(visitor, this.#delivery);
    this.#upload = this.#exchange.upload;
    this.#clock = new VisitClock(parts.sweep);
    parts.sweep.add(this);
    socket.on('data', (bytes: Buffer) => this.#data(bytes));
    // There is no 'drain' once our half is to end.
    for (const event of ['drain', 'finish']) socket.on(event, () => this.#drain());
    socket.on('end', () => this.#end());
    for (const event of ['error', 'close']) socket.on(event, () => this.cut());
  }

  stop(): void {
    if (this.#phase === 'between' && this.#intake.empty) this.#leave();
  }

  cut(): void {
    if (this.#phase === 'gone') return;
    if (this.#phase === 'request' || this.#phase === 'pipe') this.#record();
    this.#phase = 'gone';
    this.#giveUp();
    this.#intake.takeAll();
    this.#parts.sweep.delete(this);
    this.#socket.destroy();
    this.#parts.over(this);
  }

  sweep(nowMs: number): void {
    if (this.#output.stuck(nowMs)) return this.cut();
    const wait = this.#wait();
    const bytes = wait === 'upload' ? this.#upload.bytes : this.#delivery.bytes;
    const due = this.#clock.due(wait, bytes);
    if (due === 'leave') this.#leave();
    else if (due === 'cut') this.cut();
    else if (due !== undefined) this.#refuse(due);
  }

  /** What this visit waits for. */
  #wait(): Wait {
    if (this.#phase === 'leaving') return this.#socket.writableFinished ? 'leaving' : 'response';
    if (this.#phase === 'between' && this.#intake.empty) return 'idle';
    if (this.#phase === 'between') return this.#socket.isPaused() ? 'response' : 'head';
    if (this.#visitorEnded || this.#socket.isPaused()) return 'unseen';
    return this.#upload.done ? 'response' : 'upload';
  }

  // ---- from the visitor ------------------------------------------------------------------------

  #data(bytes: Buffer): void {
    if (this.#phase === 'pipe') return this.#pipe(bytes);
    if (this.#phase === 'leaving') {
      this.#thrownBytes += bytes.length;
      if (this.#thrownBytes > ENTRANCE_LIMITS.drainAfterEarlyAnswerBytes) this.#socket.pause();
      return;
    }
    // The deadline of a head begins with its first byte.
    if (this.#intake.empty && this.#phase === 'between') this.#clock.restart();
    this.#intake.push(bytes);
    this.#advance();
  }

  #pipe(bytes: Buffer): void {
    this.#exchange.pipedBytes += bytes.length;
    if (this.#connection?.write(bytes) === false) this.#socket.pause();
  }

  /** Reads what is pending, as far as the present request allows; the rest waits. */
  #advance(): void {
    while (!this.#intake.empty) {
      if (this.#phase === 'between' && !this.#socket.writableNeedDrain) {
        if (!this.#readHead()) break;
      } else if (this.#phase === 'request' && !this.#upload.done) {
        this.#readBody();
      } else {
        // The next request waits until this one is answered, and the answer taken.
        if (this.#phase !== 'leaving') this.#socket.pause();
        return;
      }
    }
    // What was pending is all there is.
    if (this.#visitorEnded) this.#end();
  }

  /** Takes one head from what is pending. False: it is not whole, or it was refused. */
  #readHead(): boolean {
    const request = this.#intake.takeRequest();
    if (request === undefined) return false;
    if ('detail' in request) this.#refuse(request);
    else this.#begin(request);
    return !('detail' in request);
  }

  #begin(request: EntranceRequest): void {
    this.#requests += 1;
    this.#phase = 'request';
    this.#clock.restart();
    this.#parts.journal.requestsOpen += 1;
    this.#exchange.begin(request);
    const answer = ownAnswer(this.#parts, this.#visitor, request);
    if (answer === undefined) this.#ask(request);
    else this.#answer(answer);
  }

  #ask(request: EntranceRequest): void {
    if (this.#connection?.reusable !== true) {
      this.#giveUp();
      const reached = this.#parts.reach(this.#visitor);
      if ('kind' in reached) return this.#answer(reached);
      this.#connection = new WorkspaceConnection(reached);
    }
    this.#upload.sendTo(this.#connection);
    this.#connection.ask(writeRequestHead(request, this.#forwarding), request, this.#delivery);
  }

  #readBody(): void {
    const rest = this.#upload.read(this.#intake.takeAll());
    if (rest.length > 0) this.#intake.push(rest);
    const { fault } = this.#upload;
    if (fault !== undefined) return this.#refuse({ status: 400, detail: fault });
    if (this.#upload.full) this.#socket.pause();
    if (this.#upload.done && this.#exchange.responded) this.#finish();
  }

  #end(): void {
    this.#visitorEnded = true;
    this.#clock.restart(this.#delivery.bytes);
    if (this.#phase === 'pipe') this.#connection?.endPipe();
    else if (this.#phase === 'request' && !this.#upload.done) this.cut();
    // Paused: whole requests of his still wait for their turn, and his end has overtaken them.
    else if (this.#phase !== 'request' && !this.#socket.isPaused()) this.#leave();
  }

  // ---- from the workspace, by way of the delivery ----------------------------------------------

  mustClose(): boolean {
    return (
      this.#exchange.request?.keepAlive !== true ||
      !this.#upload.done ||
      (this.#visitorEnded && this.#intake.empty) ||
      this.#requests >= ENTRANCE_LIMITS.requestsPerConnection ||
      this.#parts.stopping()
    );
  }

  switched(): void {
    this.#phase = 'pipe';
    this.#socket.resume();
    if (!this.#intake.empty) this.#pipe(this.#intake.takeAll());
    if (this.#visitorEnded) this.#connection?.endPipe();
  }

  responded(): void {
    this.#exchange.responded = true;
    if (this.#upload.done || this.#delivery.closing) this.#finish();
  }

  failed(problem: Problem, untouched: boolean): void {
    const { request } = this.#exchange;
    const linkWasUsed = this.#connection !== undefined && this.#connection.asked > 1;
    this.#connection = undefined;
    if (this.#phase !== 'request' || this.#delivery.headSent || request === undefined) {
      this.#exchange.problem = problem.kind;
      return this.cut();
    }
    if (untouched && this.#exchange.mayAskAgain(problem, linkWasUsed)) return this.#ask(request);
    this.#answer(problem);
  }

  requestDrain(): void {
    if (this.#phase === 'pipe') this.#socket.resume();
    if (!this.#upload.full) return;
    this.#upload.full = false;
    this.#clock.restart(this.#upload.bytes);
    this.#socket.resume();
    this.#advance();
  }

  // ---- to the visitor --------------------------------------------------------------------------

  /** Answers the request with a page of ours. */
  #answer(problem: Problem): void {
    this.#exchange.problem = problem.kind;
    this.#delivery.page(problem, { close: this.mustClose() }, this.#intake.pageContext);
    this.responded();
  }

  /** Answers what we do not pass on, or not to its end, and ends the connection. */
  #refuse({ status, detail, fields }: Refusal): void {
    this.#parts.journal.refused(status);
    this.#giveUp();
    if (this.#phase === 'between') {
      this.#exchange.begin(undefined);
      this.#parts.journal.requestsOpen += 1;
    } else if (this.#delivery.headSent) return this.cut();
    const problem: Problem =
      status === 421 ? { kind: 'misdirected' } : { kind: 'bad-request', status, detail };
    this.#exchange.problem = problem.kind;
    this.#delivery.page(problem, { close: true, fields }, this.#intake.pageContext);
    this.#record();
    this.#leave();
  }

  /** Request and response are done. */
  #finish(): void {
    this.#record();
    const last = this.#visitorEnded && this.#intake.empty;
    if (last || this.#delivery.closing || this.#parts.stopping()) return this.#leave();
    this.#phase = 'between';
    this.#clock.restart();
    if (!this.#intake.empty) setImmediate(() => this.#next());
    else if (this.#socket.isPaused()) this.#socket.resume();
  }

  /** The next pipelined request, once there is room for its answer. */
  #next(): void {
    if (this.#phase !== 'between' || this.#socket.writableNeedDrain) return;
    this.#socket.resume();
    this.#advance();
  }

  #drain(): void {
    if (!this.#output.drained()) return;
    this.#connection?.resume();
    this.#next();
  }

  #record(): void {
    this.#parts.journal.requestsOpen -= 1;
    this.#parts.journal.request(this.#exchange);
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
    this.#clock.restart();
    this.#intake.takeAll();
    this.#output.end(() => this.#clock.restart());
    this.#socket.resume();
  }
}
