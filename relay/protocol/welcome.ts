// The relay's answer to an accepted proof: what the device is called here, and who asks for its names.
// The same goes as `news` to a tunnel that is up when any of it changes. Plain JSON; its authenticity
// is that of the connection on which challenge and proof have passed.
import { type DeviceName, type Hostname, parseDeviceName, parseHostname } from '../../dns/name.ts';

const WELCOME_LIMITS = {
  /** One frame's worth: about 1,500 names of one device. */
  bytesMax: 65_535,
  /** A recovery per name; whoever has more of them at once has been told enough. */
  recoveriesMax: 100,
  /** The rest is told when these are renewed, or asked for daily. */
  renewalsMax: 100,
  /** Of the id of a recovery, which a person copies. */
  idCharsMax: 64,
} as const;

export interface Welcome {
  /** Grows with every new instance of this device key; the instance with the highest one is served. */
  readonly epoch: number;
  readonly names: readonly DeviceName[];
  readonly zone: Hostname;
  readonly recoveries: readonly PendingRecovery[];
  /** Names whose certificate the device shall ask about now: when it is to be renewed may have changed. */
  readonly renewals: readonly DeviceName[];
}

/** A new key that waits to take a name from this device. */
export interface PendingRecovery {
  readonly id: string;
  readonly name: DeviceName;
  /** ISO 8601 in UTC, by the relay's clock. */
  readonly dueAt: string;
  /** Then it is not before that: its time begins when the mail server has taken the letter about it. */
  readonly waitsForMail?: true;
}

export function encodeWelcome(welcome: Welcome): Buffer {
  const recoveries = welcome.recoveries.slice(0, WELCOME_LIMITS.recoveriesMax);
  const renewals = welcome.renewals.slice(0, WELCOME_LIMITS.renewalsMax);
  const bytes = Buffer.from(JSON.stringify({ ...welcome, recoveries, renewals }));
  if (bytes.length > WELCOME_LIMITS.bytesMax) {
    throw new RangeError(`A welcome with ${welcome.names.length} names has ${bytes.length} bytes.`);
  }
  return bytes;
}

/** `undefined` when it is malformed. Members that a later version adds are ignored. */
export function parseWelcome(bytes: Buffer): Welcome | undefined {
  if (bytes.length > WELCOME_LIMITS.bytesMax) return undefined;
  const members = parseMembers(bytes);
  const epoch = members.get('epoch');
  const zone = parseText(members.get('zone'), parseHostname);
  const names = parseList(members.get('names'), (name) => parseText(name, parseDeviceName));
  // The first version of the protocol does not tell them.
  const recoveries = parseList(members.get('recoveries') ?? [], parseRecovery);
  // Relays of an earlier day do not tell them either.
  const told = parseList(members.get('renewals') ?? [], (name) => parseText(name, parseDeviceName));
  if (zone === undefined || names === undefined || recoveries === undefined) return undefined;
  if (typeof epoch !== 'number' || !Number.isSafeInteger(epoch) || epoch < 0) return undefined;
  const { recoveriesMax, renewalsMax } = WELCOME_LIMITS;
  // Nothing is lost without them, so that names are not refused for their sake.
  const renewals = (told ?? []).slice(0, renewalsMax);
  return { epoch, names, zone, recoveries: recoveries.slice(0, recoveriesMax), renewals };
}

/** It goes into logs and onto terminals, so nothing but what it should be gets through. */
function parseRecovery(value: unknown): PendingRecovery | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const members = new Map<string, unknown>(Object.entries(value));
  const name = parseText(members.get('name'), parseDeviceName);
  const id = parseText(members.get('id'), parseId);
  const dueAt = parseText(members.get('dueAt'), parseTime);
  if (name === undefined || id === undefined || dueAt === undefined) return undefined;
  return { id, name, dueAt, ...(members.get('waitsForMail') === true ? WAITS_FOR_MAIL : {}) };
}

const WAITS_FOR_MAIL = { waitsForMail: true } as const;

function parseId(text: string): string | undefined {
  const fits = text.length <= WELCOME_LIMITS.idCharsMax && /^[\w-]+$/.test(text);
  return fits ? text : undefined;
}

function parseTime(text: string): string | undefined {
  return /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,3})?Z$/.test(text) ? text : undefined;
}

function parseMembers(bytes: Buffer): ReadonlyMap<string, unknown> {
  try {
    const json: unknown = JSON.parse(bytes.toString('utf8'));
    return new Map(typeof json === 'object' && json !== null ? Object.entries(json) : []);
  } catch {
    return new Map();
  }
}

function parseList<Item>(value: unknown, parse: (item: unknown) => Item | undefined) {
  if (!Array.isArray(value)) return undefined;
  const items = value.map((item: unknown) => parse(item));
  return items.every((item) => item !== undefined) ? items : undefined;
}

function parseText<Name>(value: unknown, parse: (text: string) => Name | undefined) {
  return typeof value === 'string' ? parse(value) : undefined;
}
