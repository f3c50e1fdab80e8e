// What a request means, judged strictly, and how it is written to a workspace. Pure: the same head
// and name give the same result. A result with a `detail` is a refusal; the connection must be
// closed after its answer, because what follows may not be where it seems to be.
import type { Body } from './body.ts';
import { type Connection, readConnection, trimBlanks, withoutNamed } from './connection.ts';
import { type Fields, fieldKind, isTrailerName, sameName } from './fields.ts';
import { isMethod, type RequestHead } from './head.ts';
import { REFUSALS, type Refusal } from './refusal.ts';
import { judgeHost, judgeTarget } from './target.ts';

export interface EntranceRequest {
  readonly method: string;
  /** Origin form, as sent. */
  readonly target: string;
  /** The canonical name, with the port if the visitor gave one. */
  readonly host: string;
  readonly version: '1.1' | '1.0';
  /** What is passed on as it came. What has to do with framing and forwarding is not in here. */
  readonly fields: Fields;
  readonly body: Exclude<Body, { readonly kind: 'close' }>;
  /** Set: the visitor asks for a WebSocket. */
  readonly websocketKey?: string | undefined;
  readonly expectContinue: boolean;
  readonly acceptsTrailers: boolean;
  readonly keepAlive: boolean;
}

/** The fields that are judged, not just passed on; several lines of one are joined by commas. */
interface Found {
  readonly passed: string[];
  host: string | undefined;
  length: string | undefined;
  coding: string | undefined;
  connection: string | undefined;
  upgrade: string | undefined;
  expect: string | undefined;
  te: string | undefined;
  trailer: string | undefined;
  key: string | undefined;
  version: string | undefined;
}

/** Judges a request that came over a TLS connection with this (canonical) SNI name. */
export function judgeRequest(head: RequestHead, hostname: string): EntranceRequest | Refusal {
  const { method, version } = head;
  if (method === 'TRACE' || method === 'CONNECT') return REFUSALS.method;
  if (!isMethod(method)) return REFUSALS.methodName;
  const found = findFields(head.fields);
  if ('detail' in found) return found;
  const host = found.host === hostname ? hostname : judgeHost(found.host, hostname);
  if (typeof host !== 'string') return host;
  const target = judgeTarget(head.target, host, hostname);
  if (typeof target !== 'string') return target;
  const connection = readConnection(found.connection);
  if (connection === undefined) return REFUSALS.connection;
  const body = judgeFraming(found, version);
  if ('detail' in body) return body;
  if (found.expect !== undefined && !sameName(found.expect, '100-continue')) {
    return REFUSALS.expect;
  }
  const websocket = asksForWebsocket(head, found, connection);
  const refusal = websocket ? judgeWebsocket(found) : undefined;
  if (refusal !== undefined) return refusal;
  const fields = withoutNamed(found.passed, connection.named);
  if (found.trailer !== undefined && body.kind === 'chunked' && allTrailers(found.trailer)) {
    fields.push('Trailer', found.trailer);
  }
  return {
    method,
    target,
    host,
    version,
    fields,
    body,
    websocketKey: websocket ? found.key : undefined,
    expectContinue:
      found.expect !== undefined &&
      version === '1.1' &&
      (body.kind === 'chunked' || (body.kind === 'length' && body.bytes > 0)),
    acceptsTrailers: version === '1.1' && found.te !== undefined && namesTrailers(found.te),
    keepAlive: version === '1.1' && !connection.close,
  };
}

/**
 * The canonical head for a workspace, latin1. `forwarding` is `forwardingLines(visitor)`. A visitor
 * of HTTP/1.0 stays one, so that the workspace answers what he can read.
 */
export function writeRequestHead(request: EntranceRequest, forwarding: string): string {
  const { fields, host, body } = request;
  let text = `${request.method} ${request.target} HTTP/${request.version}\r\nHost: ${host}\r\n`;
  for (let at = 0; at < fields.length; at += 2) text += `${fields[at]}: ${fields[at + 1]}\r\n`;
  text += `${forwarding};host="${host}"\r\nX-Forwarded-Host: ${host}\r\n`;
  if (body.kind === 'length') text += `Content-Length: ${body.bytes}\r\n`;
  else if (body.kind === 'chunked') text += 'Transfer-Encoding: chunked\r\n';
  if (request.expectContinue) text += 'Expect: 100-continue\r\n';
  return text + connectionLines(request);
}

function connectionLines(request: EntranceRequest): string {
  if (request.websocketKey !== undefined)
    return 'Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  if (request.acceptsTrailers) {
    const options = request.keepAlive ? 'TE' : 'close, TE';
    return `Connection: ${options}\r\nTE: trailers\r\n\r\n`;
  }
  return request.keepAlive ? '\r\n' : 'Connection: close\r\n\r\n';
}

function findFields(fields: Fields): Found | Refusal {
  const found = nothingFound();
  const { passed } = found;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] ?? '';
    const value = fields[at + 1] ?? '';
    const kind = fieldKind(name);
    switch (kind) {
      case 'plain':
      case 'credential':
      case 'sec-websocket-accept':
        passed.push(name, value);
        break;
      case 'hop':
      case 'forwarding':
      case 'ours':
        break;
      case 'alias':
        return REFUSALS.alias;
      case 'host':
        if (found.host !== undefined) return REFUSALS.hosts;
        found.host = value;
        break;
      case 'content-length':
        if (found.length !== undefined) return REFUSALS.lengths;
        found.length = value;
        break;
      case 'transfer-encoding':
        if (found.coding !== undefined) return REFUSALS.coding;
        found.coding = value;
        break;
      case 'sec-websocket-key':
        found.key = joined(found.key, value);
        passed.push(name, value);
        break;
      case 'sec-websocket-version':
        found.version = joined(found.version, value);
        passed.push(name, value);
        break;
      default:
        found[kind] = joined(found[kind], value);
    }
  }
  return found;
}

function nothingFound(): Found {
  return {
    passed: [],
    host: undefined,
    length: undefined,
    coding: undefined,
    connection: undefined,
    upgrade: undefined,
    expect: undefined,
    te: undefined,
    trailer: undefined,
    key: undefined,
    version: undefined,
  };
}

function joined(first: string | undefined, value: string): string {
  return first === undefined ? value : `${first}, ${value}`;
}

function judgeFraming(found: Found, version: '1.1' | '1.0'): EntranceRequest['body'] | Refusal {
  const { length, coding } = found;
  if (coding !== undefined) {
    if (length !== undefined) return REFUSALS.lengthAndCoding;
    if (version === '1.0') return REFUSALS.oldCoding;
    return sameName(coding, 'chunked') ? CHUNKED : REFUSALS.coding;
  }
  if (length === undefined) return NONE;
  const bytes = parseLength(length);
  return bytes === undefined ? REFUSALS.length : { kind: 'length', bytes };
}

/** Digits only, no leading zero, and exact as a number. Responses obey the same rule. */
export function parseLength(text: string): number | undefined {
  if (text.length === 0 || text.length > 16) return undefined;
  if (text.length > 1 && text.charCodeAt(0) === ZERO) return undefined;
  for (let at = 0; at < text.length; at += 1) if (!isDigit(text.charCodeAt(at))) return undefined;
  const bytes = Number(text);
  return bytes <= Number.MAX_SAFE_INTEGER ? bytes : undefined;
}

/**
 * Only then does Upgrade go further. In all other cases it is dropped, and the request is an
 * ordinary one: a server may ignore Upgrade (RFC 9110 section 7.8), so nobody is misled.
 */
function asksForWebsocket(head: RequestHead, found: Found, connection: Connection): boolean {
  return (
    found.upgrade !== undefined &&
    connection.upgrade &&
    head.method === 'GET' &&
    head.version === '1.1' &&
    found.length === undefined &&
    found.coding === undefined &&
    sameName(found.upgrade, 'websocket')
  );
}

function judgeWebsocket(found: Found): Refusal | undefined {
  if (found.version !== '13') return REFUSALS.websocketVersion;
  // 16 bytes are 22 characters, of which the last one carries only two bits.
  const valid = found.key !== undefined && /^[A-Za-z0-9+/]{21}[AQgw]==$/.test(found.key);
  return valid ? undefined : REFUSALS.websocketKey;
}

function namesTrailers(te: string): boolean {
  return te.split(',').some((coding) => sameName(trimBlanks(coding), 'trailers'));
}

/** An announcement of a trailer that is dropped would be wrong, and some servers refuse it. */
export function allTrailers(names: string): boolean {
  return names.split(',').every((name) => isTrailerName(trimBlanks(name)));
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= 57;
}

const ZERO = 48;

const NONE = { kind: 'none' } as const;
const CHUNKED = { kind: 'chunked' } as const;
