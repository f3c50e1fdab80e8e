// One HTTP/2 request, from its head to the end of its stream: judged by the same rules as one of
// HTTP/1.1, and carried as one over a link of its visit.
import { constants, type ServerHttp2Stream } from 'node:http2';
import { mayAskAgain } from './exchange.ts';
import { type Fields, fieldValue } from './fields.ts';
import { lowerCaseNames, readHttp2Head, valuesByName } from './http2-head.ts';
import { Http2Output } from './http2-output.ts';
import { type Arrived, Http2Upload, TOO_SLOW } from './http2-upload.ts';
import type { Http2Visit } from './http2-visit.ts';
import type { RequestRecord } from './journal.ts';
import { locationFields } from './location.ts';
import { ownAnswer } from './own-answer.ts';
import { type Problem, problemPage } from './pages.ts';
import { type EntranceRequest, judgeRequest, writeRequestHead } from './request.ts';
import type { EntranceResponse } from './response.ts';
import type { Swept } from './sweep.ts';
import type { ResponseEvents, WorkspaceConnection } from './workspace.ts';

/**
 * open: the response is not whole · answered: it is, and the visitor takes what is left of it ·
 * broken: we have reset the stream · closed: nothing happens any more
 */
type Phase = 'open' | 'answered' | 'broken' | 'closed';

export class Http2Request implements ResponseEvents, RequestRecord, Swept {
  readonly visitorAddress: string;
  readonly hostname: string;
  readonly protocol = 'h2';
  readonly startedAtMs = performance.now();
  method = '';
  target = '';
  status = 0;
  responseBytes = 0;
  problem: Problem['kind'] | undefined;
  readonly #visit: Http2Visit;
  readonly #stream: ServerHttp2Stream;
  readonly #upload: Http2Upload;
  readonly #output: Http2Output;
  #connection: WorkspaceConnection | undefined;
  #request: EntranceRequest | undefined;
  #accept: string | undefined;
  #headOnly = false;
  #phase: Phase = 'open';
  #retried = false;
  #headSent = false;
  #trailersFollow = false;
  #trailers: Fields = [];

  constructor(visit: Http2Visit, arrived: Arrived) {
    const { stream } = arrived;
    this.#visit = visit;
    this.#stream = stream;
    this.visitorAddress = visit.visitor.address;
    this.hostname = visit.visitor.hostname;
    this.#upload = new Http2Upload(arrived, (bytes) => this.#connection?.write(bytes) !== false);
    this.#output = new Http2Output(stream);
    visit.parts.journal.requestsOpen += 1;
    stream.on('close', () => this.#closed());
    stream.on('aborted', () => this.#aborted());
    stream.on('drain', () => this.#drained());
  }

  get requestBytes(): number {
    return this.#upload.bytes;
  }

  /** Begins the request. `bodiless`: the stream ended with its head. */
  begin(raw: readonly string[], bodiless: boolean): void {
    this.#upload.done = bodiless;
    if (bodiless) this.#stream.resume();
    this.#headOnly = fieldValue(raw, ':method') === 'HEAD';
    const head = readHttp2Head(raw, bodiless);
    const judged = 'detail' in head ? head : judgeRequest(head, this.hostname);
    if (!('detail' in head)) this.#accept = fieldValue(head.fields, 'accept');
    if ('detail' in judged) return this.#refuse(judged);
    this.#request = judged;
    this.method = judged.method;
    this.target = judged.target;
    const { parts, visitor } = this.#visit;
    const answer = ownAnswer(parts, visitor, judged);
    if (answer !== undefined) return this.#answer(answer);
    this.#ask(judged);
    if (!bodiless) this.#upload.begin(judged.body.kind === 'chunked', this.#nowMs);
  }

  /** The visit ends. */
  cut(): void {
    this.#break();
    this.#closed();
  }

  sweep(nowMs: number): void {
    if (this.#output.stuck(nowMs)) this.#break();
    // Nobody tells when the last trailer has left.
    if (this.#phase === 'answered') this.#refuseRest();
    if (this.#phase !== 'open' || !this.#upload.tooSlow(nowMs)) return;
    this.#giveUp();
    this.#refuse(TOO_SLOW);
  }

  get #nowMs(): number {
    return this.#visit.parts.sweep.nowMs;
  }

  #ask(request: EntranceRequest): void {
    const connection = this.#visit.connect();
    if ('kind' in connection) return this.#answer(connection);
    this.#connection = connection;
    connection.ask(writeRequestHead(request, this.#visit.forwarding), request, this);
  }

  // ---- from the workspace ----------------------------------------------------------------------

  interim(response: EntranceResponse): void {
    if (!this.#open || (response.status === 100 && !this.#request?.expectContinue)) return;
    const headers = { ':status': String(response.status), ...valuesByName(response.fields) };
    this.#attempt(() => this.#stream.additionalHeaders(headers));
  }

  head(response: EntranceResponse): void {
    if (!this.#open) return;
    const { body, status } = response;
    const fields = lowerCaseNames(response.fields);
    if (body.kind === 'length') fields.push('content-length', String(body.bytes));
    const waitForTrailers = body.kind === 'chunked' && this.#request?.acceptsTrailers === true;
    this.#trailersFollow = waitForTrailers;
    if (waitForTrailers) this.#stream.on('wantTrailers', () => this.#sendTrailers());
    this.#respond(status, fields, { endStream: body.kind === 'none', waitForTrailers });
  }

  bodyBytes(bytes: Buffer): void {
    this.responseBytes += bytes.length;
    this.#output.push(bytes);
  }

  bodyTrailers(fields: Fields): void {
    this.#trailers = fields;
  }

  complete(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection !== undefined) {
      // What waits for the visitor is the stream's now: the next answer must not lack its credit.
      connection.resume();
      if (this.#upload.done) this.#visit.keep(connection);
      else connection.leave('cancelled');
    }
    if (this.#open) this.#end();
  }

  /** A switch of protocols is never asked for over HTTP/2. */
  pipeEnd(): void {
    this.#break();
  }

  failed(problem: Problem, untouched: boolean): void {
    const request = this.#request;
    const stale = this.#connection !== undefined && this.#connection.asked > 1;
    this.#connection = undefined;
    if (!this.#open) return;
    if (this.#headSent || request === undefined) {
      // Never a clean end: what has arrived so far must not be taken for the whole.
      this.problem = problem.kind;
      return this.#break();
    }
    if (untouched && !this.#retried && mayAskAgain(request, problem, stale)) {
      this.#retried = true;
      return this.#ask(request);
    }
    this.#answer(problem);
  }

  drain(): void {
    this.#upload.drain(this.#nowMs);
  }

  flush(): boolean {
    return !this.#open || this.#output.flush();
  }

  // ---- to the visitor --------------------------------------------------------------------------

  #refuse(refusal: { readonly status: number; readonly detail: string; fields?: Fields }): void {
    const { status, detail, fields } = refusal;
    this.#visit.parts.journal.refused(status);
    if (this.#headSent) this.#break();
    else if (status === 421) this.#answer({ kind: 'misdirected' });
    else this.#answer({ kind: 'bad-request', status, detail }, fields);
  }

  /** Answers the request with a page of ours. */
  #answer(problem: Problem, more: Fields = []): void {
    if (!this.#open) return;
    this.problem = problem.kind;
    const page = problemPage(problem, { hostname: this.hostname, accept: this.#accept });
    const location = locationFields(problem, this.#request);
    const fields = [...page.fields, ...lowerCaseNames([...location, ...more])];
    const bodiless = this.#headOnly;
    this.#respond(page.status, fields, { endStream: bodiless, waitForTrailers: false });
    if (!bodiless) this.bodyBytes(page.body);
    this.#end();
  }

  #respond(status: number, fields: string[], ends: ResponseEnds): void {
    this.status = status;
    this.#headSent = true;
    // A date is for the workspace to give, as over HTTP/1.1.
    const options = { ...ends, sendDate: false };
    const list = [':status', String(status), ...fields];
    this.#attempt(() => this.#stream.respond(list, options));
  }

  #sendTrailers(): void {
    const trailers = valuesByName(this.#trailers);
    this.#attempt(() => this.#stream.sendTrailers(trailers));
    setImmediate(() => this.#refuseRest());
  }

  /** Node judges what it sends once more, by throwing; a workspace must not stop us by that. */
  #attempt(send: () => void): void {
    try {
      send();
    } catch (error) {
      this.#visit.parts.journal.fault(error, 'a response could not be sent over HTTP/2');
      this.#break();
    }
  }

  /** The response is whole. What is left of the request is not wanted (RFC 9113, section 8.1). */
  #end(): void {
    const stream = this.#stream;
    this.#record('answered');
    this.#output.end();
    if (this.#upload.done) return;
    this.#upload.abandon();
    if (stream.writableFinished) this.#refuseRest();
    else stream.once('finish', () => this.#refuseRest());
  }

  /** Ends what is left of the request, after the response. A reset would overtake its trailers. */
  #refuseRest(): void {
    const stream = this.#stream;
    if (this.#upload.done || stream.destroyed || !stream.writableFinished) return;
    const { NGHTTP2_STREAM_STATE_HALF_CLOSED_LOCAL: ENDED, NGHTTP2_NO_ERROR } = constants;
    if (!this.#trailersFollow || stream.state.state === ENDED) stream.close(NGHTTP2_NO_ERROR);
  }

  /**
   * Resets the stream with INTERNAL_ERROR, so that what was sent is seen not to be the whole. Node's
   * `close(code)` would first end it as if it were.
   */
  #break(): void {
    this.#record('broken');
    this.#stream.destroy(new Error('broken off'));
  }

  /** Whether a response can still be written. */
  get #open(): boolean {
    return this.#phase === 'open' && !this.#stream.destroyed && !this.#stream.closed;
  }

  #drained(): void {
    if (this.#phase === 'answered') this.#output.end();
    else if (this.flush()) this.#connection?.resume();
  }

  /** The visitor has reset the stream. Without an error Node would wait for reads and writes of it. */
  #aborted(): void {
    this.#record('broken');
    setImmediate(() => this.#stream.destroy());
  }

  #closed(): void {
    if (this.#phase === 'closed') return;
    this.#record('closed');
    this.#visit.done(this);
  }

  /** Goes on to another phase; the first time, the request is over for the journal. */
  #record(phase: Phase): void {
    const before = this.#phase;
    this.#phase = phase;
    if (before !== 'open') return;
    this.#giveUp();
    const { journal } = this.#visit.parts;
    journal.requestsOpen -= 1;
    journal.request(this);
  }

  #giveUp(): void {
    this.#connection?.leave('cancelled');
    this.#connection = undefined;
  }
}

interface ResponseEnds {
  readonly endStream: boolean;
  readonly waitForTrailers: boolean;
}
