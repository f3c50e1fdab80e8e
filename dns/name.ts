// Names: what a device, a workspace and a hostname may be called, and which is which below a zone.
// Text from outside is parsed here once and branded; everything behind trusts the brand. All results
// are canonical: lower case, ASCII, without a trailing dot. Malformed text gives `undefined`.

declare const deviceNameBrand: unique symbol;
declare const workspaceNameBrand: unique symbol;
declare const hostnameBrand: unique symbol;

/** The name of a device: `alice` in `alice.vendor.dev`. */
export type DeviceName = string & { readonly [deviceNameBrand]: true };
/** The name of a workspace: `code` in `code.alice.vendor.dev`. */
export type WorkspaceName = string & { readonly [workspaceNameBrand]: true };
/** A whole DNS hostname of LDH labels, at most 253 characters, never an IP address. */
export type Hostname = string & { readonly [hostnameBrand]: true };

export const NAME_LIMITS = {
  /** Shorter ones are the vendor's own, and too easily mistyped into another's name. */
  deviceNameCharsMin: 3,
  /** Longer ones nobody types; it also leaves room for the zone and `_acme-challenge`. */
  deviceNameCharsMax: 32,
  /** `65535--` and the name must fit into one label together. */
  workspaceNameCharsMax: 56,
  /** RFC 1035, section 2.3.4. */
  labelCharsMax: 63,
  /** 255 bytes on the wire, less the first length and the root label (RFC 1035, section 3.1). */
  hostnameCharsMax: 253,
} as const;

/** What a hostname means below a zone. */
export type Place =
  | { readonly kind: 'zone' }
  /** One label that no device can have, so it is the vendor's: `tunnel`, `my`, `www`, `ns1`, `ab`. */
  | { readonly kind: 'service'; readonly label: string }
  | { readonly kind: 'device'; readonly name: DeviceName }
  /** The device's own address on its LAN. */
  | { readonly kind: 'lan'; readonly name: DeviceName }
  | {
      readonly kind: 'workspace';
      readonly name: DeviceName;
      readonly workspace: WorkspaceName;
      /** From the form `8080--code`. */
      readonly port?: number;
    }
  /** Below the zone, yet nothing that can ever be given to anybody. */
  | { readonly kind: 'deeper' }
  | { readonly kind: 'outside' };

/** A device name in any letter case, or `undefined`. */
export function parseDeviceName(text: string): DeviceName | undefined {
  return deviceNameFault(text) === undefined ? (text.toLowerCase() as DeviceName) : undefined;
}

/** Why the text is no device name, as the end of a sentence that begins with the name. */
export function deviceNameFault(text: string): string | undefined {
  const { deviceNameCharsMin: min, deviceNameCharsMax: max } = NAME_LIMITS;
  if (text.length < min || text.length > max) {
    return `must have ${min} to ${max} characters, not ${text.length}`;
  }
  const fault = labelFault(text);
  if (fault !== undefined) return fault;
  if (text.includes('--')) return 'must not have two hyphens in a row';
  if (isReserved(text.toLowerCase())) return 'is reserved; choose another';
  return undefined;
}

/** A workspace name in any letter case, or `undefined`. */
export function parseWorkspaceName(text: string): WorkspaceName | undefined {
  if (workspaceNameFault(text) !== undefined) return undefined;
  return text.toLowerCase() as WorkspaceName;
}

/** Why the text is no workspace name, as the end of a sentence that begins with the name. */
export function workspaceNameFault(text: string): string | undefined {
  const max = NAME_LIMITS.workspaceNameCharsMax;
  if (text.length < 1 || text.length > max) {
    return `must have 1 to ${max} characters, not ${text.length}`;
  }
  const fault = labelFault(text);
  if (fault !== undefined) return fault;
  if (text.includes('--')) return 'must not have two hyphens in a row';
  if (RESERVED_WORKSPACES.has(text.toLowerCase())) return 'is reserved; choose another';
  return undefined;
}

/**
 * A hostname in any letter case, with or without one trailing dot. A single label is allowed (a zone
 * may be `localhost`). A last label that is a number is refused: such a text is an IP address to a
 * browser (WHATWG URL, "ends in a number").
 */
export function parseHostname(text: string): Hostname | undefined {
  const end = text.endsWith('.') ? text.length - 1 : text.length;
  if (end < 1 || end > NAME_LIMITS.hostnameCharsMax) return undefined;
  let start = 0;
  for (let at = 0; at <= end; at += 1) {
    if (at < end && text.charCodeAt(at) !== DOT) continue;
    if (!isLabel(text, start, at)) return undefined;
    if (at === end && isNumber(text.slice(start, end))) return undefined;
    start = at + 1;
  }
  return text.slice(0, end).toLowerCase() as Hostname;
}

/** Tells what a hostname is below the zone. Both are canonical already. */
export function splitHostname(hostname: Hostname, zone: Hostname): Place {
  if (hostname === zone) return ZONE;
  const end = hostname.length - zone.length - 1;
  if (end < 1 || hostname.charCodeAt(end) !== DOT || !hostname.endsWith(zone)) return OUTSIDE;
  const dot = hostname.lastIndexOf('.', end - 1);
  const label = hostname.slice(dot + 1, end);
  const name = parseDeviceName(label);
  if (dot === -1) return name === undefined ? { kind: 'service', label } : { kind: 'device', name };
  if (name === undefined) return DEEPER;
  return splitWorkspace(hostname.slice(0, dot), name);
}

function splitWorkspace(label: string, name: DeviceName): Place {
  if (label === 'lan') return { kind: 'lan', name };
  const hyphens = label.indexOf('--');
  if (hyphens === -1) {
    const workspace = parseWorkspaceName(label);
    return workspace === undefined ? DEEPER : { kind: 'workspace', name, workspace };
  }
  const port = parsePort(label.slice(0, hyphens));
  const workspace = parseWorkspaceName(label.slice(hyphens + 2));
  if (port === undefined || workspace === undefined) return DEEPER;
  return { kind: 'workspace', name, workspace, port };
}

/** One spelling per port: a second hostname for the same thing would be a second origin. */
function parsePort(text: string): number | undefined {
  if (text.length < 1 || text.length > 5 || text.startsWith('0')) return undefined;
  for (let at = 0; at < text.length; at += 1) {
    if (!isDigit(text.charCodeAt(at))) return undefined;
  }
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

const ZONE: Place = { kind: 'zone' };
const DEEPER: Place = { kind: 'deeper' };
const OUTSIDE: Place = { kind: 'outside' };

const DOT = 0x2e;
const HYPHEN = 0x2d;

/** Letters, digits and hyphens only, seen before any change of case: U+212A is a `k` afterwards. */
function isLabel(text: string, start: number, end: number): boolean {
  if (end - start < 1 || end - start > NAME_LIMITS.labelCharsMax) return false;
  if (text.charCodeAt(start) === HYPHEN || text.charCodeAt(end - 1) === HYPHEN) return false;
  for (let at = start; at < end; at += 1) {
    const code = text.charCodeAt(at);
    const letter = (code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a;
    if (!letter && !isDigit(code) && code !== HYPHEN) return false;
  }
  return true;
}

function labelFault(text: string): string | undefined {
  if (text.startsWith('-') || text.endsWith('-')) return 'must not begin or end with a hyphen';
  if (!isLabel(text, 0, text.length)) return 'may have only the letters a-z, digits and hyphens';
  return undefined;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function isNumber(label: string): boolean {
  return /^(?:[0-9]+|0x[0-9a-f]*)$/i.test(label);
}

function isReserved(name: string): boolean {
  return RESERVED_NAMES.has(name) || name.startsWith('ns');
}

/**
 * Names that mean something to software or to people, whoever holds them: addresses that a CA or an
 * abuse desk trusts (RFC 2142), hosts that clients look for by themselves (wpad, autodiscover, ...),
 * and the vendor's own. Name servers are barred by prefix, `_*` because it is no LDH label.
 */
export const RESERVED_NAMES: ReadonlySet<string> = new Set(
  [
    'abuse account accounts acme admin administrator api app auth autoconfig autodiscover billing',
    'blog broadcasthost caldav carddav cdn console dashboard dns dns1 dns2 docs edge example ftp',
    'help hostmaster id imap info internal invalid ipp isatap lan local localdomain localhost login',
    'mail mail1 mail2 metadata mta-sts mx mx1 mx2 my news noc none null oauth owner pki pop pop3',
    'portal postmaster proxy relay relays root security sftp share smtp sso ssh ssladmin',
    'ssladministrator sslwebmaster static status stun support sysadmin test tunnel turn undefined',
    'vendor waygate webmail webmaster wpad www www1 www2 www3 zone',
  ].flatMap((line) => line.split(' ')),
);

/** `lan` is the device itself; the others are asked for by clients that use it as search domain. */
const RESERVED_WORKSPACES: ReadonlySet<string> = new Set([
  'autoconfig',
  'autodiscover',
  'isatap',
  'lan',
  'localhost',
  'mta-sts',
  'wpad',
]);
