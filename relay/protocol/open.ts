// What an open frame says: which workspace is wanted, and what the relay knows of the visitor.
// It is the only frame whose payload is parsed as JSON after the hello, once per visitor connection.
import { LIMITS } from './limits.ts';

export interface OpenHeader {
  /** The name the visitor asked for, `alice`; a device may hold several. */
  readonly name: string;
  /** The workspace of that device, `code`. Never an address: the device decides what it dials. */
  readonly workspace: string;
  /** The visitor's address as the relay's own socket saw it. */
  readonly address: string;
  readonly port: number;
  /** Trust level of the visitor, 0 to 3. */
  readonly trust: number;
}

export function encodeOpen(header: OpenHeader): Buffer {
  return Buffer.from(JSON.stringify(header));
}

/** Undefined when the payload is not exactly what the protocol says. */
export function decodeOpen(payload: Buffer): OpenHeader | undefined {
  if (payload.length > LIMITS.openBytesMax) return undefined;
  const value = parseJson(payload);
  if (typeof value !== 'object' || value === null) return undefined;
  const { name, workspace, address, port, trust } = value as Record<string, unknown>;
  if (!isText(name) || !isText(workspace) || !isText(address)) return undefined;
  if (!isWithin(port, 65_535) || !isWithin(trust, 3)) return undefined;
  return { name, workspace, address, port, trust };
}

function parseJson(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString('utf8'));
  } catch {
    return undefined;
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 255;
}

function isWithin(value: unknown, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max;
}
