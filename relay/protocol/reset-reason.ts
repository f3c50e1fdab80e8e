// Why a stream was broken, and the payload of a reset frame, which says it. The numbers are on the
// wire (PROTOCOL.md); the words are in logs and pages.
import { LIMITS } from './limits.ts';

/** Code on the wire by reason. A code is never reused for another meaning. */
export const RESET_CODES = {
  /** The one who opened the stream no longer wants it: the visitor went away. */
  cancelled: 0,
  /** The device has no workspace of that name. */
  'workspace-unknown': 1,
  /** The workspace refused the connection. */
  'workspace-unreachable': 2,
  /** The workspace did not take the connection in time. */
  'workspace-timeout': 3,
  /** The connection to the workspace broke after it was established. */
  'workspace-broke': 4,
  /** More open streams than the other side admits. */
  'too-many-streams': 5,
  /** Nobody took the bytes for too long, or the tunnel held too many of them. */
  'too-slow': 6,
  /** A frame for this stream broke the protocol. */
  protocol: 7,
  /** The other side is shutting down and takes no new streams. */
  draining: 8,
  /** The tunnel that carried the stream is gone. Never on the wire. */
  'tunnel-lost': 9,
  /** A fault of ours; the detail is in the log of the side that sent it. */
  internal: 10,
} as const;

export type ResetReason = keyof typeof RESET_CODES;

const REASONS = new Map<number, ResetReason>(
  Object.entries(RESET_CODES).map(([reason, code]) => [code, reason as ResetReason]),
);

export interface Reset {
  readonly reason: ResetReason;
  readonly detail: string;
}

/** u16 code, then the detail in UTF-8, cut where it is too long. */
export function encodeReset(reason: ResetReason, detail: string): Buffer {
  const text = Buffer.from(detail).subarray(0, LIMITS.detailBytesMax);
  const payload = Buffer.allocUnsafe(2 + text.length);
  payload.writeUInt16BE(RESET_CODES[isLocal(reason) ? 'internal' : reason], 0);
  text.copy(payload, 2);
  return payload;
}

/** Undefined when malformed. A code that may not be sent, or is from a newer version, is `internal`. */
export function decodeReset(payload: Buffer): Reset | undefined {
  if (payload.length < 2 || payload.length > 2 + LIMITS.detailBytesMax) return undefined;
  const reason = REASONS.get(payload.readUInt16BE(0));
  return {
    reason: reason === undefined || isLocal(reason) ? 'internal' : reason,
    // It goes into logs and onto terminals.
    detail: payload.toString('utf8', 2).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '\ufffd'),
  };
}

/** Only who has lost a tunnel knows it; another relay could be asked again on the strength of it. */
function isLocal(reason: ResetReason): boolean {
  return reason === 'tunnel-lost';
}
