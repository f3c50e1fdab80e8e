// Every number that both ends of a tunnel agree on or defend with, and why it is what it is.
// PROTOCOL.md quotes them; a third party must keep to those marked (wire).

/** Subprotocol of the WebSocket. A version that breaks the frames gets another name. (wire) */
export const SUBPROTOCOL = 'waygate.1';

/** The version inside the hello; raised when frames or their meaning are added. (wire) */
export const PROTOCOL_VERSION = 2;

export const LIMITS = {
  /** A message holds whole frames: one 64 KiB read of a socket and 128 headers. Held at once. (wire) */
  messageBytesMax: 66_560,
  /** Payload of one frame: what its length field can say. (wire) */
  framePayloadBytesMax: 65_535,
  /** Before a device is known it may not make us hold more than a token. (wire) */
  helloBytesMax: 4_096,
  /** From the WebSocket's upgrade to the welcome: a slow link with a round trip of 1 s needs 4 s. */
  helloTimeoutMs: 10_000,
  /** A receiver's first credit for a stream: 20 Mbit/s at 100 ms; all that one stalled visitor holds. (wire) */
  windowBytesStart: 262_144,
  /** Credit grows up to this for long fat pipes: 500 Mbit/s at 100 ms. (wire) */
  windowBytesMax: 6_291_456,
  /** Growth of all windows of a tunnel together: five streams at full size; the rest stay small. */
  windowGrowthBytesMax: 33_554_432,
  /** Nearer than this the first window carries a gigabit/s; more would only be held for who stops. */
  windowGrowthRoundTripMs: 2,
  /** Bytes of a tunnel that were delivered and found no room. Beyond it the stalest stream is reset. */
  heldBytesMax: 33_554_432,
  /** What holding a frame costs beside its bytes: or 1-byte frames would cost 50 times what they say. */
  heldFrameBytes: 512,
  /** Streams that one side admits in one tunnel, unless its configuration says otherwise. */
  streamsMax: 1_000,
  /** What any side may admit: their ids must fit one sync frame. (wire) */
  streamsCeiling: 10_000,
  /** Ids are 31 bit; a tunnel that has used them up is replaced. (wire) */
  streamIdMax: 0x7fff_ffff,
  /** Payload of an open frame: names, an address, a few words. (wire) */
  openBytesMax: 4_096,
  /** Detail text of a reset. (wire) */
  detailBytesMax: 512,
  /** Bytes handed to the socket and not yet gone. More only adds delay for the other streams. */
  inFlightBytesMax: 262_144,
  /** The same, with control frames, when the other side has stopped reading: the tunnel is closed. */
  inFlightBytesHard: 4_194_304,
  /** Bytes in flight and none gone for so long: the same. 64 KiB at 10 kbit/s need 52 s. */
  stuckAfterMs: 60_000,
  /** Share of one stream before the next one has its turn. Two TLS records. */
  quantumBytes: 32_768,
  /**
   * Pings at the start, each after the answer to the one before: the first ones meet programs that
   * are still warming up, and would make a near neighbour look far away for `pingEveryMs`.
   */
  firstPings: 16,
  /** How often each side asks "are you there". Under the shortest NAT timeouts seen (30 s). */
  pingEveryMs: 10_000,
  /** Silence after which a tunnel is dead: two pings and some seconds, noticed within 30 s. */
  deadAfterMs: 25_000,
  /** How often silence is looked at. */
  pulseMs: 2_500,
  /** How often the live stream ids are compared: a leak lasts no longer. */
  syncEveryMs: 60_000,
  /** Frames with stream id 0 in one second: ten times what round-trip measuring could want. (wire) */
  tunnelFramesPerSecondMax: 100,
  /** Between two news of a tunnel: they tell a state, so the last one says it all. (wire) */
  newsEveryMs: 2_000,
  /** News in one minute: twice what may be sent, since they may come late and together. */
  newsPerMinuteMax: 60,
  /** Frames for streams that never were: an honest end sends none. (wire) */
  strayFramesMax: 1_000,
  /** An idle tunnel that drains stays so long: the other side connects elsewhere first. */
  drainEmptyMs: 5_000,
  /** How long streams may run on in a tunnel that is replaced because its ids are used up. */
  replaceWithinMs: 600_000,
  /** A closing handshake that is not answered is cut. */
  closeTimeoutMs: 5_000,
} as const;
