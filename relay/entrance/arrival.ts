// One connection from its first byte to the end of its TLS handshake.
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import {
  type AlertName,
  type ClientHello,
  ClientHelloReader,
  type HelloFault,
  tlsAlert,
} from './client-hello.ts';
import type { HandshakeResult, RefusalReason } from './journal.ts';
import type { TlsLimits } from './limits.ts';
import type { Swept } from './sweep.ts';
import type { ChooseContext, Protocol, TlsOptions } from './tls.ts';

/** What a handshake may agree on; none but ours is ever handed over. */
type Agreed = Protocol | typeof CHALLENGE;

/** By it a certificate authority asks for proof (RFC 8737). */
const CHALLENGE = 'acme-tls/1';

/** Those who offer it among others are visitors, and are served as if they had not. */
function isChallenge(alpn: readonly string[]): boolean {
  return alpn.length === 1 && alpn[0] === CHALLENGE;
}

export class Arrival implements Swept {
  readonly #socket: Socket;
  readonly #address: string;
  readonly #options: TlsOptions;
  readonly #limits: TlsLimits;
  #reader: ClientHelloReader | undefined;
  readonly #startedAtMs: number;
  #deadlineMs: number;
  #open = true;

  constructor(socket: Socket, address: string, options: TlsOptions, limits: TlsLimits) {
    this.#socket = socket;
    this.#address = address;
    this.#options = options;
    this.#limits = limits;
    this.#reader = new ClientHelloReader(limits.helloBytesMax);
    this.#startedAtMs = performance.now();
    this.#deadlineMs = this.#startedAtMs + limits.helloTimeoutMs;
    options.sweep.add(this);
    socket.on('data', this.#data);
    socket.on('end', this.#end);
  }

  sweep(nowMs: number): void {
    if (nowMs < this.#deadlineMs) return;
    this.#over('timeout');
    this.#socket.destroy();
  }

  /** The TCP connection is closed. */
  closed(): void {
    this.#over('gone');
    this.#options.sweep.delete(this);
  }

  #data = (bytes: Buffer): void => {
    const hello = this.#reader?.push(bytes);
    if (hello === undefined || hello === 'more') return;
    this.#leaveRawSocket();
    if (hello.kind === 'fault') this.#refuseHello(hello);
    else this.#choose(hello);
  };

  #end = (): void => {
    this.#socket.destroy();
  };

  #leaveRawSocket(): void {
    this.#socket.pause();
    this.#socket.off('data', this.#data);
    this.#socket.off('end', this.#end);
  }

  #choose(hello: ClientHello): void {
    this.#deadlineMs = this.#startedAtMs + this.#limits.handshakeTimeoutMs;
    try {
      const chosen = this.#contextFor(hello);
      if (!(chosen instanceof Promise)) return this.#handshake(hello, chosen);
      chosen
        .then((context) => this.#handshake(hello, context))
        .catch((error: unknown) => this.#fault(error));
    } catch (error) {
      this.#fault(error);
    }
  }

  #contextFor({ hostname, alpn }: ClientHello): ReturnType<ChooseContext> {
    const { choose, alpnChallenge, fallback } = this.#options;
    if (isChallenge(alpn)) return hostname === undefined ? undefined : alpnChallenge?.(hostname);
    return hostname === undefined ? fallback() : choose(hostname);
  }

  #handshake(hello: ClientHello, context: SecureContext | undefined): void {
    if (this.#socket.destroyed) return;
    const alpn = this.#agree(hello);
    if (context === undefined && alpn !== CHALLENGE) {
      return this.#refuse('unknown-name', 'unrecognized_name', hello.hostname ?? '');
    }
    // Where there is nothing to prove, that protocol is as unknown as any other.
    if (context === undefined || alpn === undefined) {
      return this.#refuse('no-protocol', 'no_application_protocol', hello.alpn.join(' '));
    }
    this.#startTls(hello, context, alpn);
  }

  /** RFC 7301, section 3.2: the server's order counts. */
  #agree({ hostname, alpn }: ClientHello): Agreed | undefined {
    if (alpn.length === 0) return 'http/1.1';
    if (isChallenge(alpn)) return CHALLENGE;
    return this.#options.offers(hostname).find((protocol) => alpn.includes(protocol));
  }

  #startTls(hello: ClientHello, secureContext: SecureContext, alpn: Agreed): void {
    this.#socket.unshift(this.#reader?.bytes());
    this.#reader = undefined;
    const ALPNCallback = hello.alpn.length === 0 ? undefined : AGREED[alpn];
    const socket = new TLSSocket(this.#socket, { isServer: true, secureContext, ALPNCallback });
    // TLS 1.2 alone has it; no HTTP needs it, and it is work that a visitor can ask for over and over.
    socket.disableRenegotiation();
    // Node reports faults of the TLS layer here, and leaves the connection as it is.
    socket.on('_tlsError', (error: Error) => socket.destroy(error));
    // During the handshake it is counted; later it is for the one who has taken the connection,
    // yet must never be an uncaught exception.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#over(error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'gone' : 'failed');
    });
    socket.once('secure', () => this.#established(socket, hello, alpn));
    // A TLSSocket stays in memory until a major collection; what listened to it need not.
    socket.once('close', () => socket.removeAllListeners());
  }

  #established(socket: TLSSocket, { hostname }: ClientHello, alpn: Agreed): void {
    if (alpn === CHALLENGE) return this.#proved(socket);
    this.#over(socket.isSessionReused() ? 'resumed' : 'complete');
    this.#options.sweep.delete(this);
    // Node clears this mark only for sockets of a tls.Server; node:http2 waits while it is set.
    Object.assign(socket, { secureConnecting: false });
    try {
      const port = this.#socket.remotePort ?? 0;
      this.#options.accept(socket, { address: this.#address, port, hostname }, alpn);
    } catch (error) {
      this.#options.journal.fault(error, 'a visitor connection could not be taken over');
      socket.destroy();
    }
  }

  /** RFC 8737, section 3: nothing else is said. The authority closes when it has read our end. */
  #proved(socket: TLSSocket): void {
    this.#over('challenge');
    this.#deadlineMs = performance.now() + this.#limits.refusedLingerMs;
    socket.on('end', this.#end);
    socket.resume();
    socket.end();
  }

  #refuseHello(fault: HelloFault): void {
    if (fault.plainHttp) return this.#refuse('plain-http', PLAIN_HTTP_ANSWER, fault.detail);
    const reason = fault.alert === 'unrecognized_name' ? 'bad-name' : 'bad-hello';
    this.#refuse(reason, fault.alert, fault.detail);
  }

  #fault(error: unknown): void {
    this.#options.journal.fault(error, 'a certificate could not be chosen');
    if (!this.#socket.destroyed) this.#refuse('internal', 'internal_error', '');
  }

  /** Says why, ends our half, and leaves the visitor a moment to read it. */
  #refuse(reason: RefusalReason, answer: AlertName | Buffer, detail: string): void {
    const socket = this.#socket;
    this.#over('refused');
    this.#options.journal.refusedConnection(reason, this.#address, detail);
    this.#deadlineMs = performance.now() + this.#limits.refusedLingerMs;
    socket.end(Buffer.isBuffer(answer) ? answer : tlsAlert({ alert: answer }));
    socket.on('end', this.#end);
    socket.resume();
  }

  #over(result: HandshakeResult): void {
    if (!this.#open) return;
    this.#open = false;
    this.#options.journal.handshakes[result] += 1;
  }
}

/**
 * The choice is made already. A list of protocols would do as well, but Node keeps a copy of it for
 * each connection, and a few bytes keep 64 KiB of its pool alive: 2.7 KiB for each idle tunnel.
 */
const AGREED: Readonly<Record<Agreed, () => string>> = {
  [CHALLENGE]: () => CHALLENGE,
  h2: () => 'h2',
  'http/1.1': () => 'http/1.1',
};

const PLAIN_HTTP_TEXT = 'This port speaks HTTPS. Use https:// instead of http://.\n';
const PLAIN_HTTP_ANSWER = Buffer.from(
  'HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n' +
    `Content-Length: ${PLAIN_HTTP_TEXT.length}\r\n\r\n${PLAIN_HTTP_TEXT}`,
);
