// The TCP side of the name server: who is let in, and when a connection has had its time.
import { createServer, type Server, type Socket } from 'node:net';
import type { NameServerCounters } from './counters.ts';
import { GATE_LIMITS } from './gate.ts';
import { TcpConnection, type TcpLimits, type TcpWork } from './tcp-connection.ts';

export const TCP_LIMITS: TcpLimits = {
  /** RFC 7766 names none; each holds at most about 200 KB, so that all hold 200 MB and usually none. */
  connections: 1_000,
  /** A resolver needs one or two; many sit behind one address of a provider. */
  connectionsPerAddress: 64,
  /** Transfers and signed questions; the others are answered in the turn in which they come. */
  inFlight: 100,
  /** Answers that the other side does not take; while there are more, nothing is read. */
  unsentBytes: 64 * 1024,
  /** Whoever connects knows his question. */
  firstByteMs: 5_000,
  /** A message comes in one packet or two; a dripping one is an attack. */
  messageMs: 5_000,
  /** RFC 7766, section 6.2.3: a few seconds, and longer only while there are connections to spare. */
  idleMs: 10_000,
  /** Not a byte taken for as long: nobody is there. */
  stallMs: 10_000,
  /** How exact all deadlines are. */
  sweepMs: 1_000,
};

export interface TcpEvents {
  readonly prepare: (message: Buffer, connection: TcpConnection) => number;
  readonly write: (out: Buffer, at: number) => void;
  readonly error: (error: Error) => void;
}

export interface TcpPlace {
  readonly address: string;
  readonly port: number;
  readonly ipv6Only: boolean;
  readonly reusePort: boolean;
}

/** All listeners of a server share it, so that its bounds hold for all together. */
export class TcpConnections {
  readonly #limits: TcpLimits;
  readonly #counters: NameServerCounters['connections'];
  readonly #events: TcpEvents;
  readonly #open = new Set<TcpConnection>();
  readonly #perAddress = new Map<string, number>();
  readonly #work: TcpWork;
  readonly #servers: Server[] = [];
  #sweep: NodeJS.Timeout | undefined;

  constructor(limits: TcpLimits, counters: NameServerCounters, events: TcpEvents) {
    this.#limits = limits;
    this.#counters = counters.connections;
    this.#events = events;
    this.#work = {
      limits,
      messageBytesMax: GATE_LIMITS.messageBytesMax,
      prepare: events.prepare,
      write: events.write,
      closed: (connection) => this.#forget(connection),
    };
  }

  /** Resolves with the port. */
  async listen({ address, port, ipv6Only, reusePort }: TcpPlace): Promise<number> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#admit(socket),
    );
    const bound = Promise.withResolvers<void>();
    server.once('error', bound.reject);
    server.listen({ host: address, port, reusePort, ipv6Only }, bound.resolve);
    await bound.promise;
    server.off('error', bound.reject);
    server.on('error', this.#events.error);
    this.#servers.push(server);
    this.#sweep ??= setInterval(() => this.#sweepAll(), this.#limits.sweepMs);
    const place = server.address();
    return place === null || typeof place === 'string' ? port : place.port;
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    const closed = this.#servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    for (const connection of this.#open) connection.cut();
    await Promise.all(closed);
  }

  #admit(socket: Socket): void {
    const address = socket.remoteAddress;
    const count = this.#perAddress.get(address ?? '') ?? 0;
    if (address === undefined || count >= this.#limits.connectionsPerAddress || !this.#hasPlace()) {
      this.#counters.refused += 1;
      // It may be reset at any time, and there is nobody else who would listen.
      socket.on('error', () => undefined);
      socket.destroy();
      return;
    }
    this.#perAddress.set(address, count + 1);
    this.#open.add(new TcpConnection(socket, address, this.#work));
    this.#counters.accepted += 1;
    this.#counters.open = this.#open.size;
  }

  /** When all places are taken, whoever has been idle longest loses his. */
  #hasPlace(): boolean {
    if (this.#open.size < this.#limits.connections) return true;
    let idlest: TcpConnection | undefined;
    for (const connection of this.#open) {
      const until = connection.idleUntilMs;
      if (until !== undefined && until < (idlest?.idleUntilMs ?? Number.POSITIVE_INFINITY)) {
        idlest = connection;
      }
    }
    if (idlest === undefined) return false;
    idlest.cut();
    this.#forget(idlest);
    return true;
  }

  #sweepAll(): void {
    const now = performance.now();
    for (const connection of this.#open) connection.sweep(now);
  }

  #forget(connection: TcpConnection): void {
    if (!this.#open.delete(connection)) return;
    if (connection.wasCut) this.#counters.cut += 1;
    const count = (this.#perAddress.get(connection.address) ?? 1) - 1;
    if (count === 0) this.#perAddress.delete(connection.address);
    else this.#perAddress.set(connection.address, count);
    this.#counters.open = this.#open.size;
  }
}
