// The entrance: where visitors arrive. TLS by the listener, then one visit per connection, of the
// kind that ALPN chose. The relay and, on its LAN, a device run this same code; how a workspace is
// reached and which certificate a name has are handed in.
import type { SecureContext, TLSSocket } from 'node:tls';
import type { Hostname } from '../../dns/name.ts';
import { Http2Visit } from './http2-visit.ts';
import type { Journal } from './journal.ts';
import { TLS_LIMITS } from './limits.ts';
import type { Reach } from './reach.ts';
import { RequestRate } from './request-rate.ts';
import { Sweep } from './sweep.ts';
import {
  type Caller,
  type ChooseContext,
  listenTls,
  type Protocol,
  type TlsListener,
} from './tls.ts';
import { Visit } from './visit.ts';
import type { AnyVisit, VisitParts } from './visit-parts.ts';
import type { Visitor } from './visitor.ts';

export interface EntranceOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly via: 'relay' | 'lan';
  /** The certificate for a hostname; undefined: nobody here has that name. */
  readonly choose: ChooseContext;
  /** What proves to a certificate authority who holds a name; see `TlsOptions`. Absent: nothing does. */
  readonly alpnChallenge?: ChooseContext;
  /** For visitors who send no name. */
  readonly fallback: () => ReturnType<ChooseContext>;
  readonly reach: Reach;
  readonly journal: Journal;
  /** Connections to these hostnames are no visits: `take` gets them, with HTTP/1.1. */
  readonly services?: readonly EntranceService[];
  readonly connectionsPerAddress?: number;
  /** Requests that one address may ask in a second; no bound when absent. */
  readonly requestsPerSecondPerAddress?: number | undefined;
}

/** Something of the vendor's own that lives on the same port. */
export interface EntranceService {
  readonly hostname: Hostname;
  readonly take: (socket: TLSSocket) => void;
}

export class Entrance {
  readonly #options: EntranceOptions;
  readonly #visits = new Set<AnyVisit>();
  readonly #sweep = new Sweep();
  readonly #parts: VisitParts;
  readonly #services: ReadonlyMap<string | undefined, EntranceService>;
  #listener: TlsListener | undefined;
  #stopping = false;
  #challengesAsked = 0;

  constructor(options: EntranceOptions) {
    this.#options = options;
    this.#services = new Map(options.services?.map((each) => [each.hostname, each]));
    const perSecond = options.requestsPerSecondPerAddress;
    this.#parts = {
      rate: perSecond === undefined ? undefined : new RequestRate(perSecond, this.#sweep),
      reach: options.reach,
      journal: options.journal,
      sweep: this.#sweep,
      stopping: () => this.#stopping,
      over: (visit) => this.#visits.delete(visit),
    };
  }

  /** Resolves with the port. Rejects with ListenError. */
  async listen(): Promise<number> {
    const { host, port, choose, fallback, journal, connectionsPerAddress } = this.#options;
    this.#listener = await listenTls({
      host,
      port,
      choose,
      alpnChallenge: (hostname) => this.#challenge(hostname),
      fallback,
      journal,
      sweep: this.#sweep,
      offers: (hostname) => (this.#services.has(hostname) ? ONLY_HTTP1 : BOTH),
      accept: (socket, from, protocol) => this.#accept(socket, from, protocol),
      ...(connectionsPerAddress === undefined
        ? {}
        : { limits: { connectionsPerAddressMax: connectionsPerAddress } }),
    });
    return this.#listener.port;
  }

  get visitCount(): number {
    return this.#visits.size;
  }

  /** Takes no new connections. Each visit goes on, and ends with the next response. */
  stop(): void {
    this.#stopping = true;
    this.#listener?.close();
  }

  /** After `stop()`: visits that ask for nothing end now, the others with the request under way. */
  stopIdleVisits(): void {
    for (const visit of [...this.#visits]) visit.stop();
  }

  /** Cuts the visits that are left. */
  stopVisits(): void {
    for (const visit of [...this.#visits]) visit.cut();
  }

  /** Ends everything at once, also the connections that a service took. */
  close(): void {
    this.stopVisits();
    this.#listener?.destroy();
    this.#sweep.stop();
  }

  async #challenge(hostname: Hostname): Promise<SecureContext | undefined> {
    if (this.#challengesAsked >= TLS_LIMITS.challengesAtOnceMax) return undefined;
    this.#challengesAsked += 1;
    try {
      return await this.#options.alpnChallenge?.(hostname);
    } finally {
      this.#challengesAsked -= 1;
    }
  }

  #accept(socket: TLSSocket, { address, port, hostname }: Caller, protocol: Protocol): void {
    const { via } = this.#options;
    const service = this.#services.get(hostname);
    if (service !== undefined) return service.take(socket);
    const visitor: Visitor = {
      address,
      port,
      hostname: hostname ?? '',
      trust: 0,
      via,
    };
    const visit =
      protocol === 'h2'
        ? new Http2Visit(socket, visitor, this.#parts)
        : new Visit(socket, visitor, this.#parts);
    this.#visits.add(visit);
  }
}

const BOTH: readonly Protocol[] = ['h2', 'http/1.1'];
const ONLY_HTTP1: readonly Protocol[] = ['http/1.1'];
