// The bounds of the entrance, each with its reason. A program may lower or raise them by its
// configuration; tests shorten the times. There is on purpose no bound on how long a workspace may
// think, nor on the size or duration of a body that keeps moving: large uploads, long polls and
// event streams are what people keep workspaces for.

export const TLS_LIMITS = {
  /** A hybrid post-quantum ClientHello has about 1.6 KiB; what needs more is no browser. */
  helloBytesMax: 16_384,
  /** Honest clients send the ClientHello within one round trip; 5 s is a very bad mobile link. */
  helloTimeoutMs: 5_000,
  /** From accept to the end of the handshake. With one sweep (1 s) on top: over within 10 s. */
  handshakeTimeoutMs: 9_000,
  /** A refused client gets this long to read its alert; closing at once could overtake it. */
  refusedLingerMs: 1_000,
  /**
   * Open connections of one visitor address (IPv6: of one /64, which is what one home has). Offices
   * and carriers put hundreds of people behind one IPv4 address with six connections each; 1,000
   * serves them, and still leaves most of a usual descriptor limit to others.
   */
  connectionsPerAddressMax: 1_000,
  /**
   * Proofs that are looked for at the same time; anybody may ask, and they lie in a database. An
   * authority looks from five places for each name that it is about to sign.
   */
  challengesAtOnceMax: 100,
  /** The rest is for tunnels, the registry, logs, and the sockets that the program itself opens. */
  openFilesShare: 0.8,
  /** Finds dead visitors behind NAT long before the system's own 2 hours. */
  keepAliveProbeMs: 15_000,
} as const;

/** Any of the bounds, when they are not the default. */
export type TlsLimits = { readonly [Name in keyof typeof TLS_LIMITS]: number };

export const ENTRANCE_LIMITS = {
  /** From a request's first byte to the end of its head. Slowloris clients are gone by then. */
  headTimeoutMs: 10_000,
  /**
   * Between two requests of one connection. Longer than the 60 s after which common load balancers
   * drop an idle connection: the side that opened it must be the first to close it, otherwise it
   * sends requests into a connection that we are just closing.
   */
  keepAliveIdleMs: 75_000,
  /** A body must make progress in every such window ... */
  bodyStallWindowMs: 30_000,
  /** ... of at least this much: 500 bytes/s. The slowest modems do ten times as much. */
  bodyBytesPerWindow: 15_000,
  /** A visitor who takes nothing of what waits for him for so long is gone or hostile. */
  writeStallMs: 60_000,
  /**
   * What we still read of a body after an early answer. The rest stays unread until the visitor has
   * had time to read the answer: cutting him off at once could destroy it on its way.
   */
  drainAfterEarlyAnswerBytes: 65_536,
  /**
   * A visitor who has ended his half may wait for the rest of an answer, and one whose bytes wait
   * unread may be there; those who have gone away look the same. After so long without a byte for
   * him the workspace is told that he left.
   */
  unseenIdleMs: 300_000,
  /** From the end of our half to the end of his; a FIN takes a round trip, seldom two. */
  leaveTimeoutMs: 5_000,
  /** 100, 102 and 103 before one final response. A workspace sends two; a flood is a fault. */
  interimResponsesMax: 16,
  /** Lets long-lived connections spread over new relays, at no measurable cost. */
  requestsPerConnection: 10_000,
} as const;

export const HTTP2_LIMITS = {
  /** What browsers and other servers use; more only helps attackers (rapid reset). */
  concurrentStreamsMax: 100,
  /** As for HTTP/1.1 heads (head.ts), counted by RFC 9113, section 6.5.2 (32 bytes more per field). */
  headerListBytesMax: 16_384,
  /** As for HTTP/1.1 heads. One indexed field costs an attacker a single byte (HTTP/2 Bomb). */
  headerListPairsMax: 100,
  /** Per stream, towards us. Enough for 20 Mbit/s at 100 ms; a workspace has its own credit. */
  initialWindowBytes: 262_144,
  /** Of all streams together, towards us: four of them at full speed. */
  connectionWindowBytes: 1_048_576,
  /** Kept for the next requests of the same visit; a page loads with about as many at a time. */
  idleConnectionsMax: 8,
  /** Node's unit is 1,000,000 bytes. Holds headers, queues and settings of one session. */
  sessionMemoryMb: 4,
  /** Honest clients send none. */
  invalidFramesMax: 20,
  /** Streams that we refuse and that the client opens all the same: honest ones lag by a round trip. */
  rejectedStreamsMax: 20,
  /** Streams that the visitor resets: a closed tab with a hundred images, then 20 per second. */
  resetBurst: 100,
  resetsPerSecond: 20,
  /** PING and SETTINGS between two sweeps (1 s). Clients that keep alive by pings send one in ten. */
  controlFramesPerSecondMax: 100,
  /** We send no pings of our own, so every one above this answers nothing. */
  outstandingPingsMax: 4,
  /** RFC 9113 and its extensions define eight. */
  settingsEntriesMax: 16,
  /** For clients that negotiated h2 and then speak something else. */
  unknownProtocolTimeoutMs: 5_000,
  /** With no open stream. Browsers reconnect by themselves and without a trace. */
  idleTimeoutMs: 60_000,
} as const;
