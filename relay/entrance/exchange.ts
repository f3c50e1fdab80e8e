// One request and its response on an HTTP/1.1 visit: how far both are, and what the journal records
// of them. One object serves a whole connection, one exchange after another.
import type { Delivery } from './delivery.ts';
import type { RequestRecord } from './journal.ts';
import type { Problem } from './pages.ts';
import type { EntranceRequest } from './request.ts';
import { Upload } from './upload.ts';
import type { Visitor } from './visitor.ts';

/** Methods that may be asked twice (RFC 9110, 9.2.1), when they carry no body. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

export class Exchange implements RequestRecord {
  readonly visitorAddress: string;
  readonly hostname: string;
  readonly protocol = 'http/1.1';
  readonly upload = new Upload();
  readonly delivery: Delivery;
  /** Undefined when the head could not be read. */
  request: EntranceRequest | undefined;
  startedAtMs = 0;
  problem: Problem['kind'] | undefined;
  /** The whole response is on its way. */
  responded = true;
  /** Bytes from the visitor after a 101. */
  pipedBytes = 0;
  #askedAgain = false;

  constructor(visitor: Visitor, delivery: Delivery) {
    this.visitorAddress = visitor.address;
    this.hostname = visitor.hostname;
    this.delivery = delivery;
  }

  get method(): string {
    return this.request?.method ?? '';
  }

  get target(): string {
    return this.request?.target ?? '';
  }

  get status(): number {
    return this.delivery.status;
  }

  get requestBytes(): number {
    return this.upload.bytes + this.pipedBytes;
  }

  get responseBytes(): number {
    return this.delivery.bytes;
  }

  begin(request: EntranceRequest | undefined): void {
    this.request = request;
    this.startedAtMs = performance.now();
    this.problem = undefined;
    this.responded = false;
    this.#askedAgain = false;
    this.upload.start(request?.body ?? { kind: 'none' });
    this.delivery.start(request);
  }

  /** Whether the request that failed may be asked once more. Says yes once. */
  mayAskAgain(problem: Problem, linkWasUsed: boolean): boolean {
    const { request } = this;
    if (this.#askedAgain || request === undefined) return false;
    this.#askedAgain = mayAskAgain(request, problem, linkWasUsed);
    return this.#askedAgain;
  }
}

/**
 * Whether a request that failed may be asked once more, on another link: one without effects of which
 * the workspace has said nothing, because its idle connection was just closing, or its tunnel is gone
 * or takes nothing new any more (RFC 9110, 9.2.2).
 */
export function mayAskAgain(
  request: EntranceRequest,
  problem: Problem,
  linkWasUsed: boolean,
): boolean {
  if (request.body.kind !== 'none' || !SAFE.has(request.method)) return false;
  return linkWasUsed || problem.kind === 'device-away' || problem.kind === 'relay-draining';
}
