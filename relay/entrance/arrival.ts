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
import type { Protocol, TlsOptions } from './tls.ts';

export class Arrival implements Swept {
  readonly #socket: Socket;
  readonly #options: TlsOptions;
  readonly #limits: TlsLimits;
  #reader: ClientHelloReader | undefined;
  readonly #startedAtMs: number;
  #deadlineMs: number;
  #open = true;

  constructor(socket: Socket, options: TlsOptions, limits: TlsLimits) {
    this.#socket = socket;
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
    if (hello.hostname === undefined) return this.#handshake(hello, this.#options.fallback);
    try {
      const chosen = this.#options.choose(hello.hostname);
      if (!(chosen instanceof Promise)) return this.#handshake(hello, chosen);
      chosen.then(
        (context) => this.#handshake(hello, context),
        (error: unknown) => this.#fault(error),
      );
    } catch (error) {
      this.#fault(error);
    }
  }

  #handshake(hello: ClientHello, context: SecureContext | undefined): void {
    if (this.#socket.destroyed) return;
    const { hostname } = hello;
    if (context === undefined) {
      return this.#refuse('unknown-name', 'unrecognized_name', hostname ?? '');
    }
    try {
      const alpn = this.#agree(hello);
      if (alpn === undefined) {
        return this.#refuse('no-protocol', 'no_application_protocol', hello.alpn.join(' '));
      }
      this.#startTls(hello, context, alpn);
    } catch (error) {
      this.#fault(error);
    }
  }

  /** RFC 7301, section 3.2: the server's order counts. */
  #agree({ hostname, alpn }: ClientHello): Protocol | undefined {
    if (alpn.length === 0) return 'http/1.1';
    return this.#options.offers(hostname).find((protocol) => alpn.includes(protocol));
  }

  #startTls(hello: ClientHello, secureContext: SecureContext, alpn: Protocol): void {
    this.#socket.unshift(this.#reader?.bytes());
    this.#reader = undefined;
    const ALPNCallback = hello.alpn.length === 0 ? undefined : AGREED[alpn];
    const socket = new TLSSocket(this.#socket, { isServer: true, secureContext, ALPNCallback });
    // Node reports faults of the TLS layer here, and leaves the connection as it is.
    socket.on('_tlsError', (error: Error) => socket.destroy(error));
    // During the handshake it is counted; later it is for the one who has taken the connection,
    // yet must never be an uncaught exception.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#over(error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'gone' : 'failed');
    });
    socket.once('secure', () => this.#established(socket, hello, alpn));
  }

  #established(socket: TLSSocket, { hostname }: ClientHello, alpn: Protocol): void {
    this.#over(socket.isSessionReused() ? 'resumed' : 'complete');
    this.#options.sweep.delete(this);
    // Node clears this mark only for sockets of a tls.Server; node:http2 waits while it is set.
    Object.assign(socket, { secureConnecting: false });
    try {
      this.#options.accept(socket, hostname, alpn);
    } catch (error) {
      this.#options.journal.fault(error, 'a visitor connection could not be taken over');
      socket.destroy();
    }
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
    this.#options.journal.refusedConnection(reason, socket.remoteAddress ?? '', detail);
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
const AGREED: Readonly<Record<Protocol, () => string>> = {
  h2: () => 'h2',
  'http/1.1': () => 'http/1.1',
};

const PLAIN_HTTP_TEXT = 'This port speaks HTTPS. Use https:// instead of http://.\n';
const PLAIN_HTTP_ANSWER = Buffer.from(
  'HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n' +
    `Content-Length: ${PLAIN_HTTP_TEXT.length}\r\n\r\n${PLAIN_HTTP_TEXT}`,
);
