// What the name server counts, as plain numbers that only grow; a program gives them names.

export interface TransportCounters {
  /** Messages that arrived, whatever they were. */
  received: number;
  answered: number;
  truncated: number;
}

export interface NameServerCounters {
  readonly udp: TransportCounters;
  readonly tcp: TransportCounters;
  /** Answers by RCODE; the index is the code, BADVERS and beyond count in the last. */
  readonly rcodes: number[];
  readonly dropped: {
    /** Shorter than a header, longer than any question, or itself an answer. */
    noQuestion: number;
    /** A packet from port 0, to which nothing can be sent. */
    portZero: number;
    rateLimited: number;
    /** The system took no more packets. */
    sendQueue: number;
    /** Special, while too many of them were under way. */
    busy: number;
  };
  /** Rate-limited answers that were sent empty. */
  slipped: number;
  cacheHits: number;
  cacheMisses: number;
  /** Handed to transfers: AXFR, IXFR, NOTIFY, UPDATE, signed. */
  special: number;
  /** Answers that could not be made: a fault of ours. */
  failed: number;
  readonly connections: {
    open: number;
    accepted: number;
    /** Beyond the bound in all, or per address. */
    refused: number;
    /** Cut for taking too long, in either direction, or for a message that is too long. */
    cut: number;
  };
}

export function makeCounters(): NameServerCounters {
  return {
    udp: { received: 0, answered: 0, truncated: 0 },
    tcp: { received: 0, answered: 0, truncated: 0 },
    rcodes: new Array<number>(17).fill(0),
    dropped: { noQuestion: 0, portZero: 0, rateLimited: 0, sendQueue: 0, busy: 0 },
    slipped: 0,
    cacheHits: 0,
    cacheMisses: 0,
    special: 0,
    failed: 0,
    connections: { open: 0, accepted: 0, refused: 0, cut: 0 },
  };
}
