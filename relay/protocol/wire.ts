// What a session needs of the socket below it: whole messages out, and to be told when they are gone.
// The WebSocket behind it is in websocket-wire.ts; tests use memory.

export interface Wire {
  /**
   * Sends one message; `sent` is called when the socket has taken it from us. Never throws, and
   * never delivers a message from within this call.
   */
  send(message: Buffer, sent: () => void): void;
  /**
   * Starts the closing handshake; the wire cuts the connection if it is not answered in time. A
   * reason that does not fit a close frame is cut.
   */
  close(code: number, reason: string): void;
  /** Cuts the connection at once. */
  cut(): void;
}

/** Close codes of a tunnel's WebSocket (RFC 6455, 7.4; 4000 and up are ours). (wire) */
export const CLOSE = {
  /** Both sides agree that nothing is left to do: after a drain. */
  done: 1000,
  /** A frame that breaks the protocol. */
  protocol: 1002,
  /** Bytes beyond the credit, or a flood. */
  policy: 1008,
  /** The hello was not accepted; the reason starts with its code. */
  refused: 4001,
  /** Another instance of this device key has taken over. */
  superseded: 4003,
  /** Nothing was heard for too long. */
  silent: 4004,
  /** The other side does not take what we send. */
  stuck: 4005,
  /** The device key was revoked. */
  revoked: 4006,
} as const;
