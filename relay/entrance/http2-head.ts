// A request head of HTTP/2 (RFC 9113, section 8.3) in the shape that the rules for HTTP/1.1 judge.
// What HTTP/1.1 would read otherwise than HTTP/2 did is refused here, so that nothing is smuggled
// by the change of version.
import { type Fields, type FieldsFault, fieldKind, isToken, judgeFields } from './fields.ts';
import { HEAD_LIMITS, type HeadFault, type RequestHead } from './head.ts';
import type { Refusal } from './refusal.ts';

/**
 * `raw` is Node's flat list [name, value, ...], pseudo-header fields first. `bodiless`: the stream
 * ended with the head. Fields that belong to one HTTP/1.1 connection never come out of it, except
 * for a Transfer-Encoding that is ours.
 */
export function readHttp2Head(
  raw: readonly string[],
  bodiless: boolean,
): RequestHead | HeadFault | Refusal {
  const pseudo = readPseudo(raw);
  if ('detail' in pseudo) return pseudo;
  const { method, path, authority } = pseudo;
  if (path.length > HEAD_LIMITS.targetBytesMax) return FAULTS.longPath;
  if (!path.startsWith('/')) return FAULTS.path;
  const fields: string[] = [];
  const found = readFields(raw, pseudo.end, fields);
  if ('detail' in found) return found;
  // A Host field beside :authority says nothing more, so it must not say anything else.
  if (authority !== undefined && found.host !== undefined && !sameHost(found.host, authority)) {
    return FAULTS.host;
  }
  const host = authority ?? found.host;
  if (host !== undefined) fields.push('Host', host);
  const fault = judgeFields(fields, HEAD_LIMITS.fieldsMax);
  if (fault !== undefined) return fault;
  if (bodiless && (found.length ?? '0') !== '0') return FAULTS.length;
  if (found.length === undefined) {
    if (!bodiless) fields.push('Transfer-Encoding', 'chunked');
    else if (USUALLY_WITH_BODY.has(method)) fields.push('Content-Length', '0');
  }
  return { method, target: path, version: '1.1', fields };
}

interface Pseudo {
  readonly method: string;
  readonly path: string;
  readonly authority: string | undefined;
  /** Where the other fields begin. */
  readonly end: number;
}

function readPseudo(raw: readonly string[]): Pseudo | Refusal {
  const seen = new Map<string, string>();
  let at = 0;
  for (; raw[at]?.startsWith(':'); at += 2) {
    const name = raw[at] ?? '';
    if (seen.has(name) || !PSEUDO.has(name)) return FAULTS.pseudo;
    seen.set(name, raw[at + 1] ?? '');
  }
  const method = seen.get(':method');
  const path = seen.get(':path');
  if (method === 'CONNECT') return FAULTS.connect;
  if (method === undefined || path === undefined) return FAULTS.pseudo;
  if (seen.get(':scheme') !== 'https') return FAULTS.scheme;
  return { method, path, authority: seen.get(':authority'), end: at };
}

interface Found {
  readonly host: string | undefined;
  readonly length: string | undefined;
}

function readFields(raw: readonly string[], start: number, fields: string[]): Found | FieldsFault {
  let host: string | undefined;
  let length: string | undefined;
  let cookies: string | undefined;
  let bytes = 0;
  for (let at = start; at < raw.length; at += 2) {
    const name = raw[at] ?? '';
    const value = raw[at + 1] ?? '';
    bytes += name.length + value.length + FIELD_OVERHEAD_BYTES;
    if (bytes > HEAD_LIMITS.headBytesMax) return FAULTS.long;
    if (!isToken(name) || name !== name.toLowerCase()) return FAULTS.name;
    switch (fieldKind(name)) {
      case 'connection':
      case 'upgrade':
      case 'transfer-encoding':
        return FAULTS.connection;
      case 'host':
        if (host !== undefined) return FAULTS.host;
        host = value;
        break;
      case 'content-length':
        length = value;
        fields.push(name, value);
        break;
      case 'credential':
        // RFC 9113, section 8.2.3: one cookie per field there, one field for all of them here.
        if (name !== 'cookie') fields.push(name, value);
        else cookies = cookies === undefined ? value : `${cookies}; ${value}`;
        break;
      default:
        fields.push(name, value);
    }
  }
  if (cookies !== undefined) fields.push('cookie', cookies);
  return { host, length };
}

/** What `: ` and CRLF take in HTTP/1.1. */
const FIELD_OVERHEAD_BYTES = 4;

function sameHost(host: string, authority: string): boolean {
  return host.toLowerCase() === authority.toLowerCase();
}

/** Names of response fields as HTTP/2 wants them: in lower case. */
export function lowerCaseNames(fields: Fields): string[] {
  return fields.map((text, at) => (at % 2 === 0 ? text.toLowerCase() : text));
}

/** The same as an object for Node, which takes no list everywhere. */
export function valuesByName(fields: Fields): Record<string, string | string[]> {
  const values = new Map<string, string | string[]>();
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at]?.toLowerCase() ?? '';
    const value = fields[at + 1] ?? '';
    const before = values.get(name);
    values.set(name, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(values);
}

/** RFC 9110, section 8.6: over HTTP/1.1 their senders say so when there is none. */
const USUALLY_WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

const PSEUDO: ReadonlySet<string> = new Set([':method', ':path', ':scheme', ':authority']);

const FAULTS = {
  pseudo: bad('the pseudo-header fields are not those of a request'),
  scheme: bad('the scheme is not https'),
  connect: { status: 405, detail: 'TRACE and CONNECT are not passed on to a workspace' },
  path: bad('the address does not begin with a slash'),
  longPath: { status: 414, detail: 'the address of the request is too long' },
  long: { status: 431, detail: 'the header fields are too large' },
  name: bad('the name of a header field is malformed'),
  connection: bad('a header field belongs to HTTP/1.1 alone'),
  host: bad('the Host field is not the same as :authority'),
  length: bad('Content-Length tells of a body that is not there'),
} as const;

function bad(detail: string): { readonly status: 400; readonly detail: string } {
  return { status: 400, detail };
}
