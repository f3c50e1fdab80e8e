// Header fields: which characters they may have, which names mean something to the entrance, and
// how lines become a flat list [name, value, name, value, ...] of latin1 strings.
// Names are kept as sent, values lose the white space around them. No objects keyed by a name from
// outside exist here, so `__proto__` is a name like any other.

export type Fields = readonly string[];

/** What is wrong with field lines. The detail is for a person and never repeats received bytes. */
export interface FieldsFault {
  readonly status: 400 | 431;
  readonly detail: string;
}

/**
 * What a name means to the entrance:
 * - `hop`: only between two neighbours; never sent on.
 * - `forwarding`: says where a visitor is or what he asked for; only we may say that.
 * - `ours`: `X-Waygate-*`, in either direction only ours.
 * - `credential`: passed on, but a `Connection` field must not remove it.
 * - `alias`: another spelling of a name of this list, as CGI-like workspaces would read it.
 * The others stand for the one field of that name.
 */
export type FieldKind =
  | 'plain'
  | 'alias'
  | 'hop'
  | 'forwarding'
  | 'ours'
  | 'credential'
  | 'host'
  | 'content-length'
  | 'transfer-encoding'
  | 'connection'
  | 'upgrade'
  | 'expect'
  | 'te'
  | 'trailer'
  | 'sec-websocket-key'
  | 'sec-websocket-version'
  | 'sec-websocket-accept';

interface Special {
  readonly name: string;
  readonly kind: FieldKind;
}

/**
 * Reads the lines of `text` from `start` on into `fields`; the text ends with the empty line.
 * Strict by RFC 9112 section 5: no folded lines, no space before the colon, CRLF only.
 */
export function readFieldLines(
  text: string,
  start: number,
  countMax: number,
  fields: string[],
): FieldsFault | undefined {
  const end = text.length - 2;
  let at = start;
  while (at < end) {
    if (fields.length >= countMax * 2) return FAULTS.tooMany;
    let colon = at;
    while (TOKEN[text.charCodeAt(colon)] === 1) colon += 1;
    if (colon === at || text.charCodeAt(colon) !== COLON) return nameFault(text, at, colon);
    let from = colon + 1;
    while (isBlank(text.charCodeAt(from))) from += 1;
    let stop = from;
    while (VALUE[text.charCodeAt(stop)] === 1) stop += 1;
    if (text.charCodeAt(stop) !== CR || text.charCodeAt(stop + 1) !== LF) {
      return valueFault(text.charCodeAt(stop));
    }
    const next = stop + 2;
    while (stop > from && isBlank(text.charCodeAt(stop - 1))) stop -= 1;
    fields.push(text.slice(at, colon), text.slice(from, stop));
    at = next;
  }
  const ended = at === end && text.charCodeAt(at) === CR && text.charCodeAt(at + 1) === LF;
  return ended ? undefined : FAULTS.noEnd;
}

/** The same rules for fields that came another way than as lines (HTTP/2). */
export function judgeFields(fields: Fields, countMax: number): FieldsFault | undefined {
  if (fields.length > countMax * 2) return FAULTS.tooMany;
  for (let at = 0; at < fields.length; at += 2) {
    if (!isToken(fields[at] ?? '')) return FAULTS.name;
    if (!isFieldText(fields[at + 1] ?? '')) return FAULTS.value;
  }
  return undefined;
}

/** The first value of a field; the name is given in lower case. */
export function fieldValue(fields: Fields, lowerName: string): string | undefined {
  for (let at = 0; at < fields.length; at += 2) {
    if (sameName(fields[at] ?? '', lowerName)) return fields[at + 1];
  }
  return undefined;
}

export function fieldKind(name: string): FieldKind {
  const length = name.length;
  const first = FOLD[name.charCodeAt(0)] ?? 0;
  if (first === LETTER_X || first === LETTER_C) {
    if (foldedStart(name, 'x-forwarded-') || foldedStart(name, 'cf-')) return 'forwarding';
    if (foldedStart(name, 'x-waygate-')) return 'ours';
  }
  const bucket = BUCKETS[bucketOf(length, first, FOLD[name.charCodeAt(length - 1)] ?? 0)];
  if (bucket === undefined) return 'plain';
  for (const special of bucket) {
    if (special.name.length !== length || !foldedStart(name, special.name)) continue;
    const { kind } = special;
    if (kind === 'hop' || kind === 'forwarding' || kind === 'ours') return kind;
    return sameName(name, special.name) ? kind : 'alias';
  }
  return 'plain';
}

/**
 * A field that may come after a body (RFC 9110 section 6.5.1). All others are dropped: software
 * that merges trailers into the fields would take them for judged ones.
 */
export function isTrailerName(name: string): boolean {
  return TRAILER_NAMES.has(name.toLowerCase());
}

/** Compares letters without their case; `lowerName` is in lower case. */
export function sameName(name: string, lowerName: string): boolean {
  if (name === lowerName) return true;
  if (name.length !== lowerName.length) return false;
  for (let at = 0; at < name.length; at += 1) {
    const code = name.charCodeAt(at);
    const lower = code >= 65 && code <= 90 ? code + 32 : code;
    if (lower !== lowerName.charCodeAt(at)) return false;
  }
  return true;
}

export function isTokenCode(code: number): boolean {
  return TOKEN[code] === 1;
}

export function isToken(text: string): boolean {
  let at = 0;
  while (TOKEN[text.charCodeAt(at)] === 1) at += 1;
  return at === text.length && at > 0;
}

/** HTAB, SP, VCHAR and obs-text (RFC 9110 section 5.5). */
export function isFieldText(text: string): boolean {
  let at = 0;
  while (VALUE[text.charCodeAt(at)] === 1) at += 1;
  return at === text.length;
}

function nameFault(text: string, at: number, stop: number): FieldsFault {
  const code = text.charCodeAt(stop);
  if (stop === at && isBlank(code)) return FAULTS.folded;
  if (stop === at && code === COLON) return FAULTS.noName;
  if (isBlank(code)) return FAULTS.spaceBeforeColon;
  return code === CR || code === LF ? FAULTS.noColon : FAULTS.name;
}

function valueFault(code: number): FieldsFault {
  return code === CR || code === LF ? FAULTS.bareLineEnd : FAULTS.value;
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}

/** Whether a name begins so, with `_` and other signs taken for a hyphen and without case. */
function foldedStart(name: string, start: string): boolean {
  if (name.length < start.length) return false;
  for (let at = 0; at < start.length; at += 1) {
    if (FOLD[name.charCodeAt(at)] !== start.charCodeAt(at)) return false;
  }
  return true;
}

function bucketOf(length: number, first: number, last: number): number {
  return (length * 67 + first * 31 + last * 7) & 1023;
}

const CR = 13;
const LF = 10;
const COLON = 58;
const LETTER_C = 99;
const LETTER_X = 120;

const FAULTS = {
  tooMany: { status: 431, detail: 'the request has too many header fields' },
  noEnd: { status: 400, detail: 'the header fields do not end with an empty line' },
  name: { status: 400, detail: 'a header field name has a character that names must not have' },
  noName: { status: 400, detail: 'a header field has no name' },
  noColon: { status: 400, detail: 'a header line has no colon' },
  folded: { status: 400, detail: 'a header line begins with white space' },
  spaceBeforeColon: { status: 400, detail: 'a header field name has white space in or after it' },
  value: { status: 400, detail: 'a header field value has a control character' },
  bareLineEnd: { status: 400, detail: 'a line must end with CR and LF, and have neither inside' },
} as const satisfies Record<string, FieldsFault>;

const TOKEN = table((code) => /[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(String.fromCharCode(code)));
const VALUE = table((code) => code === 9 || (code >= 32 && code !== 127));
const FOLD = Uint8Array.from({ length: 256 }, (_, code) =>
  /[0-9A-Za-z]/.test(String.fromCharCode(code))
    ? String.fromCharCode(code).toLowerCase().charCodeAt(0)
    : 45,
);

function table(has: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (has(code) ? 1 : 0));
}

const TRAILER_NAMES: ReadonlySet<string> = new Set([
  'grpc-status',
  'grpc-message',
  'grpc-status-details-bin',
  'content-digest',
  'repr-digest',
  'server-timing',
]);

/** `Proxy` is here for what CGI makes of it (httpoxy). */
const HOP_NAMES =
  'keep-alive proxy-connection proxy-authenticate proxy-authorization proxy-authentication-info ' +
  'http2-settings proxy';

/** The second line: names that replace a target which was judged. The rest claim an address. */
const FORWARDING_NAMES =
  'forwarded x-forwarded x-real-ip true-client-ip x-client-ip x-cluster-client-ip client-ip ' +
  'x-original-url x-rewrite-url x-original-host x-original-forwarded-for x-http-host-override ' +
  'fastly-client-ip fly-client-ip do-connecting-ip x-originating-ip x-remote-ip x-remote-addr ' +
  'x-proxyuser-ip proxy-client-ip wl-proxy-client-ip x-envoy-external-address x-azure-clientip';

const SINGLE_KINDS: readonly FieldKind[] = [
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'upgrade',
  'expect',
  'te',
  'trailer',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-accept',
];

const BUCKETS = makeBuckets([
  ...SINGLE_KINDS.map((kind): Special => ({ name: kind, kind })),
  ...HOP_NAMES.split(' ').map((name): Special => ({ name, kind: 'hop' })),
  ...FORWARDING_NAMES.split(' ').map((name): Special => ({ name, kind: 'forwarding' })),
  { name: 'x-waygate', kind: 'ours' },
  { name: 'authorization', kind: 'credential' },
  { name: 'cookie', kind: 'credential' },
]);

function makeBuckets(specials: readonly Special[]): readonly (readonly Special[] | undefined)[] {
  const buckets: (Special[] | undefined)[] = Array.from({ length: 1024 }, () => undefined);
  for (const special of specials) {
    const { name } = special;
    const key = bucketOf(name.length, name.charCodeAt(0), name.charCodeAt(name.length - 1));
    buckets[key] = [...(buckets[key] ?? []), special];
  }
  return buckets;
}
