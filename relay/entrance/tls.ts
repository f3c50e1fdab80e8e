// The front door: accepts TCP, reads the ClientHello, refuses what nobody serves, does TLS with the
// certificate that the name asks for, and hands the connection over.
//
//   accept → count the address → read the ClientHello → choose the certificate → handshake → accept()
//
// The ClientHello is read before TLS begins, so that a bad name costs no handshake and each name gets
// its own context from the first byte on. That also keeps tickets apart: with a context that is only
// chosen in an SNICallback, OpenSSL resumes sessions by the default one (see tls-settings.ts).
import { readFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { SecureContext, TLSSocket } from 'node:tls';
import type { Hostname } from '../../dns/name.ts';
import { AddressCount } from './address-count.ts';
import { Arrival } from './arrival.ts';
import type { Journal } from './journal.ts';
import { TLS_LIMITS, type TlsLimits } from './limits.ts';
import { listening } from './listen.ts';
import type { Sweep } from './sweep.ts';

export type Protocol = 'h2' | 'http/1.1';

/** The context for a canonical name, if there is one. */
export type ChooseContext = (
  hostname: Hostname,
) => SecureContext | undefined | Promise<SecureContext | undefined>;

/** Who connected. On a TLSSocket the address would be a system call more. */
export interface Caller {
  readonly address: string;
  readonly port: number;
  /** What he asked for (`socket.servername` is not reliable on resumed sessions). */
  readonly hostname: Hostname | undefined;
}

export interface TlsOptions {
  readonly host: string;
  /** 0 takes any free one; see `TlsListener.port`. */
  readonly port: number;
  /**
   * The context for a canonical name, made with `tlsSettings()`. `undefined`: nobody here has that
   * name, and the visitor gets the alert `unrecognized_name`.
   */
  readonly choose: ChooseContext;
  /**
   * The context that proves to a certificate authority who holds a name (RFC 8737); `undefined`: there
   * is nothing to prove. Asked when a ClientHello offers `acme-tls/1` and nothing else, whatever the
   * name is; that connection ends with its handshake and is never handed over.
   */
  readonly alpnChallenge?: ChooseContext | undefined;
  /** For visitors who send no name: the vendor's own certificate. They can only be told 421. */
  readonly fallback: () => ReturnType<ChooseContext>;
  /** The protocols for a name, the preferred one first. Clients without ALPN get http/1.1. */
  readonly offers: (hostname: Hostname | undefined) => readonly Protocol[];
  /**
   * Takes over an encrypted connection, with all that comes of it: it is half-open capable, so who
   * takes it must end it after 'end'.
   */
  readonly accept: (socket: TLSSocket, from: Caller, alpn: Protocol) => void;
  readonly journal: Journal;
  readonly sweep: Sweep;
  readonly limits?: Partial<TlsLimits>;
  /** Default: the share of the process's open files that `TLS_LIMITS` says. */
  readonly connectionsMax?: number;
}

export interface TlsListener {
  readonly port: number;
  /** Open connections, also those that were handed over. */
  readonly connections: number;
  /** Takes no new connections. The open ones stay. */
  close(): void;
  /** Also cuts the open ones, wherever they are. */
  destroy(): void;
}

/** Resolves when connections are accepted; throws `ListenError`. */
export async function listenTls(options: TlsOptions): Promise<TlsListener> {
  const limits = { ...TLS_LIMITS, ...options.limits };
  const connectionsMax = options.connectionsMax ?? (await connectionsMaxHere(limits));
  const door = new Door(options, limits);
  const server = createServer(
    {
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: limits.keepAliveProbeMs,
    },
    (socket) => door.open(socket),
  );
  server.maxConnections = connectionsMax;
  server.on('drop', (data) => {
    options.journal.refusedConnection('too-many-connections', data?.remoteAddress ?? '', '');
  });
  await listening(server, options);
  server.on('error', (error) => options.journal.fault(error, 'the TLS listener failed'));
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return door.connections;
    },
    close: () => server.close(),
    destroy: () => {
      server.close();
      door.cut();
    },
  };
}

/** The connections of one listener. */
class Door {
  readonly #options: TlsOptions;
  readonly #limits: TlsLimits;
  readonly #addresses: AddressCount;
  readonly #sockets = new Set<Socket>();

  constructor(options: TlsOptions, limits: TlsLimits) {
    this.#options = options;
    this.#limits = limits;
    this.#addresses = new AddressCount(limits.connectionsPerAddressMax);
  }

  get connections(): number {
    return this.#sockets.size;
  }

  open(socket: Socket): void {
    const { journal } = this.#options;
    const address = socket.remoteAddress;
    socket.on('error', ignored);
    if (address === undefined) {
      socket.destroy();
      return;
    }
    const owner = this.#addresses.take(address);
    if (owner === undefined) {
      journal.refusedConnection('too-many-per-address', address, '');
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    journal.connectionsOpen += 1;
    const arrival = new Arrival(socket, address, this.#options, this.#limits);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#addresses.release(owner);
      journal.connectionsOpen -= 1;
      arrival.closed();
      // The TLSSocket on it stays in memory until a major collection; what listened here need not.
      socket.removeAllListeners();
    });
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** 'close' follows and says all that matters. */
function ignored(): void {
  return;
}

/** Where there is no /proc, the smallest limit that any system starts programs with is assumed. */
async function connectionsMaxHere(limits: TlsLimits): Promise<number> {
  const text = await readFile('/proc/self/limits', 'latin1').catch(() => '');
  const openFilesMax = Number(/^Max open files +(\d+)/m.exec(text)?.[1] ?? 1_024);
  return Math.floor(openFilesMax * limits.openFilesShare);
}
