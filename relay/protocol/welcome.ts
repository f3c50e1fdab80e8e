// The relay's answer to an accepted proof: what the device is called here. Plain JSON; its authenticity
// is that of the connection on which challenge and proof have just passed.
import { type DeviceName, type Hostname, parseDeviceName, parseHostname } from '../../dns/name.ts';

/** One frame's worth: about 1,500 names of one device. */
const WELCOME_BYTES_MAX = 65_535;

export interface Welcome {
  /** Grows with every new instance of this device key; the instance with the highest one is served. */
  readonly epoch: number;
  readonly names: readonly DeviceName[];
  readonly zone: Hostname;
}

export function encodeWelcome(welcome: Welcome): Buffer {
  const bytes = Buffer.from(JSON.stringify(welcome));
  if (bytes.length > WELCOME_BYTES_MAX) {
    throw new RangeError(`A welcome with ${welcome.names.length} names has ${bytes.length} bytes.`);
  }
  return bytes;
}

/** `undefined` when it is malformed. Members that a later version adds are ignored. */
export function parseWelcome(bytes: Buffer): Welcome | undefined {
  if (bytes.length > WELCOME_BYTES_MAX) return undefined;
  const members = parseMembers(bytes);
  const epoch = members.get('epoch');
  const zone = parseText(members.get('zone'), parseHostname);
  const names = members.get('names');
  if (zone === undefined || !Number.isSafeInteger(epoch) || !Array.isArray(names)) return undefined;
  const parsed = names.map((name: unknown) => parseText(name, parseDeviceName));
  if (typeof epoch !== 'number' || epoch < 0) return undefined;
  return parsed.every((name) => name !== undefined) ? { epoch, names: parsed, zone } : undefined;
}

function parseMembers(bytes: Buffer): ReadonlyMap<string, unknown> {
  try {
    const json: unknown = JSON.parse(bytes.toString('utf8'));
    return new Map(typeof json === 'object' && json !== null ? Object.entries(json) : []);
  } catch {
    return new Map();
  }
}

function parseText<Name>(value: unknown, parse: (text: string) => Name | undefined) {
  return typeof value === 'string' ? parse(value) : undefined;
}
