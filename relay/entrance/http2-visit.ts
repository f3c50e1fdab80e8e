// One visitor connection that speaks HTTP/2. Each of its requests becomes an HTTP/1.1 request on a
// link of this visit's own (see http2-request.ts); links are kept for the next requests of the same
// visit, never for another one. Node does the protocol, with the limits of limits.ts.
import {
  constants,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { Http2Request } from './http2-request.ts';
import { Arrived } from './http2-upload.ts';
import { ENTRANCE_LIMITS, HTTP2_LIMITS } from './limits.ts';
import type { Problem } from './pages.ts';
import type { Swept } from './sweep.ts';
import type { VisitParts } from './visit-parts.ts';
import { forwardingLines, type Visitor } from './visitor.ts';
import { WorkspaceConnection } from './workspace.ts';

export class Http2Visit implements Swept {
  readonly parts: VisitParts;
  readonly visitor: Visitor;
  readonly forwarding: string;
  readonly #session: ServerHttp2Session;
  readonly #requests = new Set<Http2Request>();
  readonly #idleConnections: WorkspaceConnection[] = [];
  #arrived: Arrived[] = [];
  #requestCount = 0;
  /** PING and SETTINGS since the last sweep. */
  #controlFrames = 0;
  #idleSinceMs: number;
  #gone = false;

  constructor(socket: TLSSocket, visitor: Visitor, parts: VisitParts) {
    this.parts = parts;
    this.visitor = visitor;
    this.forwarding = forwardingLines(visitor);
    this.#idleSinceMs = parts.sweep.nowMs;
    parts.sweep.add(this);
    const session = performServerHandshake(socket, SESSION_OPTIONS);
    this.#session = session;
    session.setLocalWindowSize(HTTP2_LIMITS.connectionWindowBytes);
    session.on('stream', this.#stream);
    session.on('ping', this.#control);
    session.on('remoteSettings', this.#control);
    // Node waits for more even then, and would only notice with the next byte for the visitor.
    socket.on('end', () => this.cut());
    session.on('error', () => this.cut());
    session.on('close', () => this.cut());
  }

  /** Takes no more requests (GOAWAY); ends when those under way are answered. */
  stop(): void {
    this.#session.close();
  }

  /** Ends the connection at once. */
  cut(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.parts.sweep.delete(this);
    for (const request of [...this.#requests]) request.cut();
    for (const connection of this.#idleConnections.splice(0)) connection.leave('cancelled');
    this.#arrived = [];
    this.#session.destroy();
    this.parts.over(this);
  }

  sweep(nowMs: number): void {
    this.#controlFrames = 0;
    for (const request of this.#requests) request.sweep(nowMs);
    if (this.#requests.size > 0) this.#idleSinceMs = nowMs;
    const idleMs = nowMs - this.#idleSinceMs;
    if (idleMs > HTTP2_LIMITS.idleTimeoutMs + ENTRANCE_LIMITS.leaveTimeoutMs) this.cut();
    else if (idleMs > HTTP2_LIMITS.idleTimeoutMs) this.stop();
  }

  /** A connection to the workspace that carries no request, or why there is none. */
  connect(): WorkspaceConnection | Problem {
    let connection = this.#idleConnections.pop();
    while (connection !== undefined && !connection.reusable) {
      connection.leave('cancelled');
      connection = this.#idleConnections.pop();
    }
    if (connection !== undefined) return connection;
    const reached = this.parts.reach(this.visitor);
    return 'kind' in reached ? reached : new WorkspaceConnection(reached);
  }

  /** Takes a connection back whose response is complete. */
  keep(connection: WorkspaceConnection): void {
    const room = this.#idleConnections.length < HTTP2_LIMITS.idleConnectionsMax && !this.#gone;
    if (room && connection.reusable) this.#idleConnections.push(connection);
    else connection.leave('cancelled');
  }

  /** The stream of a request is closed. */
  done(request: Http2Request): void {
    this.#requests.delete(request);
    if (this.#requests.size === 0) this.#idleSinceMs = this.parts.sweep.nowMs;
  }

  /**
   * Requests begin one turn after they have arrived: those that an attacker resets in the same
   * packet (rapid reset, CVE-2023-44487) cost a workspace nothing.
   */
  #stream = (
    stream: ServerHttp2Stream,
    _headers: unknown,
    flags: number,
    head: readonly string[],
  ): void => {
    stream.on('error', ignored);
    if (this.#arrived.length === 0) setImmediate(this.#begin);
    this.#arrived.push(new Arrived(stream, head, (flags & END_STREAM) !== 0));
  };

  #begin = (): void => {
    const arrived = this.#arrived;
    this.#arrived = [];
    for (const one of arrived) {
      if (this.#gone) return;
      if (one.stream.destroyed || one.stream.closed) continue;
      const request = new Http2Request(this, one);
      this.#requests.add(request);
      // An empty body may have ended meanwhile; Node does not tell that twice.
      request.begin(one.head, one.bodiless || one.stream.readableEnded);
    }
    this.#requestCount += arrived.length;
    if (this.#requestCount >= ENTRANCE_LIMITS.requestsPerConnection) this.stop();
  };

  #control = (): void => {
    this.#controlFrames += 1;
    if (this.#controlFrames <= HTTP2_LIMITS.controlFramesPerSecondMax || this.#gone) return;
    this.#session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    this.cut();
  };
}

const END_STREAM = constants.NGHTTP2_FLAG_END_STREAM;

/** 'close' follows and says all that matters. */
function ignored(): void {
  return;
}

const SESSION_OPTIONS = {
  maxSessionMemory: HTTP2_LIMITS.sessionMemoryMb,
  maxHeaderListPairs: HTTP2_LIMITS.headerListPairsMax,
  maxSessionInvalidFrames: HTTP2_LIMITS.invalidFramesMax,
  maxSessionRejectedStreams: HTTP2_LIMITS.rejectedStreamsMax,
  maxOutstandingPings: HTTP2_LIMITS.outstandingPingsMax,
  maxSettings: HTTP2_LIMITS.settingsEntriesMax,
  streamResetBurst: HTTP2_LIMITS.resetBurst,
  streamResetRate: HTTP2_LIMITS.resetsPerSecond,
  unknownProtocolTimeout: HTTP2_LIMITS.unknownProtocolTimeoutMs,
  strictFieldWhitespaceValidation: true,
  // What a workspace sends twice is passed on twice, as in HTTP/1.1.
  strictSingleValueFields: false,
  settings: {
    enablePush: false,
    maxConcurrentStreams: HTTP2_LIMITS.concurrentStreamsMax,
    maxHeaderListSize: HTTP2_LIMITS.headerListBytesMax,
    initialWindowSize: HTTP2_LIMITS.initialWindowBytes,
  },
};
