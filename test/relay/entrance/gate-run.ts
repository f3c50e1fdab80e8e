// Runs the pure gate over a visitor connection's bytes, as the entrance does, but without sockets:
// the bytes come in pieces, and what a workspace would get comes out as one text.
import { BodyReader, CRLF, chunkHead, writeTrailers } from '../../../relay/entrance/body.ts';
import {
  headEnd,
  headStart,
  parseRequestHead,
  partialHeadFault,
} from '../../../relay/entrance/head.ts';
import {
  type EntranceRequest,
  judgeRequest,
  writeRequestHead,
} from '../../../relay/entrance/request.ts';
import { forwardingLines } from '../../../relay/entrance/visitor.ts';
import { CORPUS_HOSTNAME } from './smuggling-case.ts';

export interface GateRun {
  readonly output: string;
  readonly requests: readonly EntranceRequest[];
  /** The bodies as the gate read them, one for each request. */
  readonly bodies: readonly string[];
  /** The status of the refusal that ended the connection. */
  readonly refused: number | undefined;
  /** The last request has come to its end. */
  readonly whole: boolean;
}

const FORWARDING = forwardingLines({
  address: '203.0.113.7',
  port: 50_000,
  hostname: CORPUS_HOSTNAME,
  trust: 0,
  via: 'relay',
});

/** `cuts`: where the bytes are cut into pieces, in any order. */
export function runGate(bytes: Buffer, cuts: readonly number[]): GateRun {
  const run = new Run();
  const ends = cuts.filter((cut) => cut > 0 && cut < bytes.length).sort((a, b) => a - b);
  let from = 0;
  for (const end of [...ends, bytes.length]) {
    run.push(bytes.subarray(from, end));
    from = end;
  }
  return run;
}

class Run implements GateRun {
  output = '';
  requests: EntranceRequest[] = [];
  bodies: string[] = [];
  refused: number | undefined;
  #closed = false;
  #pending: Buffer = Buffer.alloc(0);
  readonly #body = new BodyReader();
  #searched = 0;
  #chunked = false;
  #trailers: readonly string[] = [];

  get whole(): boolean {
    return this.#body.done && this.#pending.length === 0;
  }

  push(bytes: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    while (!this.#closed && this.#pending.length > 0) {
      if (this.#body.done ? !this.#readHead() : !this.#readBody()) return;
    }
  }

  #readHead(): boolean {
    const start = headStart(this.#pending, 0);
    const end = headEnd(this.#pending, Math.max(start, this.#searched - 3));
    if (end < 0) {
      const fault = partialHeadFault(this.#pending, start, Math.max(start, this.#searched));
      this.#searched = this.#pending.length;
      return fault === undefined ? false : this.#refuse(fault.status);
    }
    const head = parseRequestHead(this.#pending.toString('latin1', start, end));
    this.#pending = this.#pending.subarray(end);
    this.#searched = 0;
    if ('detail' in head) return this.#refuse(head.status);
    const request = judgeRequest(head, CORPUS_HOSTNAME);
    if ('detail' in request) return this.#refuse(request.status);
    this.requests.push(request);
    this.bodies.push('');
    this.output += writeRequestHead(request, FORWARDING);
    this.#chunked = request.body.kind === 'chunked';
    this.#trailers = [];
    this.#body.start(request.body);
    this.#closed = request.websocketKey !== undefined || (!request.keepAlive && this.#body.done);
    return true;
  }

  #readBody(): boolean {
    const next = this.#body.read(this.#pending, 0, {
      bodyBytes: (slice) => this.#bodyBytes(slice.toString('latin1')),
      bodyTrailers: (fields) => {
        this.#trailers = fields;
      },
    });
    this.#pending = this.#pending.subarray(next);
    if (this.#body.fault !== undefined) return this.#refuse(400);
    if (!this.#body.done) return false;
    if (this.#chunked) this.output += writeTrailers(this.#trailers);
    if (this.requests.at(-1)?.keepAlive === false) this.#closed = true;
    return true;
  }

  #bodyBytes(text: string): void {
    this.bodies.push((this.bodies.pop() ?? '') + text);
    this.output += this.#chunked ? chunkHead(text.length) + text + CRLF : text;
  }

  #refuse(status: number): false {
    this.refused = status;
    this.#closed = true;
    return false;
  }
}
