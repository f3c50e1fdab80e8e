// The authoritative name server: UDP and TCP on sockets of our own, a gate in front, answers from an
// immutable zone in memory. Who else answers: messages that the gate calls special (transfers, NOTIFY,
// UPDATE, everything signed) go to `special`, which alone replies to them, or not.
import type { RemoteInfo } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { makeCounters, type NameServerCounters } from './counters.ts';
import { gate } from './gate.ts';
import { RATE_LIMITS } from './rate-limit.ts';
import { Responder } from './responder.ts';
import { TCP_LIMITS, TcpConnections } from './tcp.ts';
import type { TcpConnection, TcpLimits } from './tcp-connection.ts';
import { openUdp, type UdpEnd } from './udp.ts';
import type { ZoneSource } from './zone-source.ts';

/** Who sent a message, and the way back to him. */
export interface Asker {
  readonly address: string;
  readonly port: number;
  readonly transport: 'udp' | 'tcp';
  /** Resolves when there is room again; rejects when the connection is gone. */
  send(message: Buffer): Promise<void>;
}

/** The message is sound in shape, but not parsed. A rejection cuts a TCP connection. */
export type Special = (message: Buffer, asker: Asker) => void | Promise<void>;

export interface ListenPlace {
  /** `::` is all addresses: of IPv4 too, unless another place has one of those. */
  readonly address: string;
  /** 0: any that is free for UDP and TCP. */
  readonly port: number;
}

export interface NameServerOptions {
  /** One socket per address, because an answer must leave from the address that was asked. */
  readonly listen: readonly ListenPlace[];
  readonly source: ZoneSource;
  readonly special?: Special | undefined;
  /** Per network and kind of answer by UDP; 0: no limit. */
  readonly responsesPerSecond?: number | undefined;
  readonly cacheBytes?: number | undefined;
  readonly reusePort?: boolean | undefined;
  readonly tcpLimits?: Partial<TcpLimits> | undefined;
  /** Told of what should not happen; service goes on. */
  readonly onFault?: ((error: Error) => void) | undefined;
}

const SERVER_LIMITS = {
  /** With port 0: how often another port is tried when the one that UDP got is taken for TCP. */
  portTries: 20,
  /** Special messages by UDP that are not answered yet; nobody's sender is proven, so they are few. */
  udpSpecials: 256,
} as const;

export class NameServer {
  readonly counters: NameServerCounters = makeCounters();
  readonly #options: NameServerOptions;
  readonly #responder: Responder;
  readonly #udp: UdpEnd[] = [];
  readonly #tcp: TcpConnections;
  #udpSpecials = 0;

  constructor(options: NameServerOptions) {
    this.#options = options;
    this.#responder = new Responder({
      source: options.source,
      counters: this.counters,
      responsesPerSecond: options.responsesPerSecond ?? RATE_LIMITS.responsesPerSecond,
      cacheBytes: options.cacheBytes,
    });
    const limits = { ...TCP_LIMITS, ...options.tcpLimits };
    this.#tcp = new TcpConnections(limits, this.counters, {
      prepare: (message, connection) => this.#prepareTcp(message, connection),
      write: (out, at) => this.#responder.write(out, at),
      error: (error) => this.#fault(error),
    });
  }

  /** Where it listens, the ports filled in, in the order of the options. */
  get places(): readonly ListenPlace[] {
    return this.#udp.map(({ address, port }) => ({ address, port }));
  }

  /** Rejects when an address cannot be had; nothing stays open then. */
  async start(): Promise<void> {
    try {
      for (const place of this.#options.listen) await this.#open(place);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#responder.stop();
    await Promise.all([this.#tcp.close(), ...this.#udp.map((end) => end.close())]);
    this.#udp.length = 0;
  }

  /**
   * The answer to an ordinary question that came signed, past limits of rate and size, or the refusal
   * of a special message that did not; undefined: silence.
   */
  answer(message: Buffer, asker: Asker): Buffer | undefined {
    return this.#responder.respond(message, asker.address, asker.transport);
  }

  async #open({ address, port }: ListenPlace): Promise<void> {
    const reusePort = this.#options.reusePort ?? false;
    const others = this.#options.listen.filter((place) => place.port === port);
    const ipv6Only = address !== '::' || others.some((place) => !isIPv6(place.address));
    for (let tries = 1; ; tries += 1) {
      const end = await openUdp(
        { address, port, ipv6Only, reusePort },
        {
          packet: (message, from, to) => this.#packet(message, from, to),
          portZero: () => {
            this.counters.dropped.portZero += 1;
          },
          sendQueueFull: () => {
            this.counters.dropped.sendQueue += 1;
          },
          error: (error) => this.#fault(error),
        },
      );
      try {
        await this.#tcp.listen({ address, port: end.port, ipv6Only, reusePort });
        this.#udp.push(end);
        return;
      } catch (error) {
        await end.close();
        if (port !== 0 || tries === SERVER_LIMITS.portTries) throw error;
      }
    }
  }

  #packet(message: Buffer, from: RemoteInfo, end: UdpEnd): void {
    this.counters.udp.received += 1;
    const verdict = gate(message);
    if (verdict === 'special' && this.#options.special !== undefined) {
      this.#specialPacket(message, from, end);
      return;
    }
    try {
      const bytes = this.#responder.prepare(message, verdict, from.address, 'udp');
      if (bytes === 0) return;
      const answer = Buffer.allocUnsafe(bytes);
      this.#responder.write(answer, 0);
      end.send(answer, from.port, from.address);
    } catch (error) {
      this.#fault(error);
    }
  }

  #specialPacket(message: Buffer, { address, port }: RemoteInfo, end: UdpEnd): void {
    if (this.#udpSpecials >= SERVER_LIMITS.udpSpecials) {
      this.counters.dropped.busy += 1;
      return;
    }
    this.#udpSpecials += 1;
    const send = async (answer: Buffer): Promise<void> => end.send(answer, port, address);
    this.#handOver(message, { address, port, transport: 'udp', send })
      .catch((error) => this.#fault(error))
      .finally(() => {
        this.#udpSpecials -= 1;
      });
  }

  #prepareTcp(message: Buffer, connection: TcpConnection): number {
    this.counters.tcp.received += 1;
    const verdict = gate(message);
    if (verdict === 'special' && this.#options.special !== undefined) {
      // It is answered later, while the input that it lies in goes on.
      connection.track(this.#handOver(Buffer.from(message), connection));
      return 0;
    }
    try {
      return this.#responder.prepare(message, verdict, connection.address, 'tcp');
    } catch (error) {
      this.#fault(error);
      return 0;
    }
  }

  async #handOver(message: Buffer, asker: Asker): Promise<void> {
    this.counters.special += 1;
    await this.#options.special?.(message, asker);
  }

  #fault(error: unknown): void {
    this.counters.failed += 1;
    this.#options.onFault?.(error instanceof Error ? error : new Error(String(error)));
  }
}
