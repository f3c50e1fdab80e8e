// The response side of an HTTP/1.1 visit: what the workspace answers is written to the visitor in
// canonical form, each piece in the turn in which it came, in as few writes as possible. What came in
// one piece leaves in one chunk, however the workspace had cut it up.
import { CRLF, chunkHead, LAST_CHUNK, writeTrailers } from './body.ts';
import type { Fields } from './fields.ts';
import { locationFields } from './location.ts';
import { type PageContext, type Problem, problemPage } from './pages.ts';
import type { EntranceRequest } from './request.ts';
import { type EntranceResponse, writeResponseHead } from './response.ts';
import type { VisitorOutput } from './visitor-output.ts';
import type { ResponseEvents } from './workspace.ts';

/** What the visit wants to know. */
export interface DeliveryOwner {
  /** Whether the connection must end with this response. */
  mustClose(): boolean;
  /** A 101 was passed on: from now on the connection is a pipe. */
  switched(): void;
  /** The whole response is on its way. */
  responded(): void;
  /** There is no (whole) response; `untouched`: the workspace has said nothing. */
  failed(problem: Problem, untouched: boolean): void;
  /** The workspace takes request bytes again. */
  requestDrain(): void;
}

const CHUNKED = { kind: 'chunked' } as const;
const UNTIL_CLOSE = { kind: 'close' } as const;

export class Delivery implements ResponseEvents {
  status = 0;
  bytes = 0;
  /** A final head was written: an error can no longer be told, only shown by breaking off. */
  headSent = false;
  /** The response said that the connection closes after it. */
  closing = false;
  readonly #output: VisitorOutput;
  readonly #owner: DeliveryOwner;
  #request: EntranceRequest | undefined;
  #chunked = false;
  #trailers: readonly string[] = [];
  /** Where the size of the chunk will stand that has these bytes so far. */
  #chunkAt = 0;
  #chunkBytes = 0;

  constructor(output: VisitorOutput, owner: DeliveryOwner) {
    this.#output = output;
    this.#owner = owner;
  }

  /** Begins the answer to a request; `undefined` when its head could not be read. */
  start(request: EntranceRequest | undefined): void {
    this.#request = request;
    this.status = 0;
    this.bytes = 0;
    this.headSent = false;
    this.#chunked = false;
    this.#trailers = [];
  }

  interim(response: EntranceResponse): void {
    const request = this.#request;
    if (request === undefined || request.version === '1.0') return;
    if (response.status === 100 && !request.expectContinue) return;
    this.#output.push(writeResponseHead(response, { close: false }));
  }

  head(response: EntranceResponse): void {
    const old = this.#request?.version === '1.0';
    const { kind } = response.body;
    const unbounded = kind === 'chunked' || kind === 'close';
    // A body that ends with the connection gets chunks: else nobody could see that it broke off.
    this.#chunked = unbounded && !old;
    this.closing = !response.switched && ((unbounded && old) || this.#owner.mustClose());
    const written = unbounded ? { ...response, body: old ? UNTIL_CLOSE : CHUNKED } : response;
    this.status = response.status;
    this.headSent = true;
    this.#output.push(writeResponseHead(written, { close: this.closing }));
    if (response.switched) this.#owner.switched();
  }

  bodyBytes(bytes: Buffer): void {
    this.bytes += bytes.length;
    if (this.#chunked) {
      if (this.#chunkBytes === 0) this.#chunkAt = this.#output.reserve();
      this.#chunkBytes += bytes.length;
    }
    this.#output.push(bytes);
  }

  bodyTrailers(fields: readonly string[]): void {
    this.#trailers = fields;
  }

  complete(): void {
    if (this.#chunked) {
      this.#endChunk();
      this.#output.push(this.#trailers.length === 0 ? LAST_CHUNK : writeTrailers(this.#trailers));
    }
    this.flush();
    this.#owner.responded();
  }

  pipeEnd(): void {
    this.#endChunk();
    this.#output.end();
  }

  failed(problem: Problem, untouched: boolean): void {
    this.#owner.failed(problem, untouched);
  }

  drain(): void {
    this.#owner.requestDrain();
  }

  /** Writes a page of our own as the whole response. */
  page(
    problem: Problem,
    { close, fields = [] }: { readonly close: boolean; readonly fields?: Fields | undefined },
    context: PageContext,
  ): void {
    const page = problemPage(problem, context);
    this.status = page.status;
    this.headSent = true;
    this.closing = close;
    const head = {
      status: page.status,
      reason: '',
      fields: [...page.fields, ...locationFields(problem, this.#request), ...fields],
      // Its length is among the fields, also for HEAD.
      body: { kind: 'none' as const },
      interim: false,
      switched: false,
      keepAlive: !close,
    };
    this.#output.push(writeResponseHead(head, { close }));
    this.#chunked = false;
    if (this.#request?.method !== 'HEAD') this.bodyBytes(page.body);
    this.flush();
  }

  /** Hands what has come to the visitor's socket. False: it has enough for now. */
  flush(): boolean {
    this.#endChunk();
    return this.#output.flush();
  }

  #endChunk(): void {
    if (this.#chunkBytes === 0) return;
    this.#output.fill(this.#chunkAt, chunkHead(this.#chunkBytes));
    this.#chunkBytes = 0;
    this.#output.push(CRLF);
  }
}
