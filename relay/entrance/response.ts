// What a response of a workspace means, judged as strictly as a request: a workspace may be broken
// or hostile, and must not be able to speak in the next response's place. A result with a `detail`
// is a fault; the visitor gets 502 and the link is given up.
import { hash } from 'node:crypto';
import type { Body } from './body.ts';
import { type Connection, readConnection, withoutNamed } from './connection.ts';
import { type Fields, fieldKind, sameName } from './fields.ts';
import type { ResponseFault, ResponseHead } from './head.ts';
import { allTrailers, parseLength } from './request.ts';

export interface EntranceResponse {
  readonly status: number;
  readonly reason: string;
  /** What is passed on as it came; with Content-Length where it tells of a body that is not sent. */
  readonly fields: Fields;
  readonly body: Body;
  /** A 1xx that is not the last response: another head follows. */
  readonly interim: boolean;
  /** A 101 that is right: both sides are now a pipe of bytes. */
  readonly switched: boolean;
  /** Whether the workspace takes another request on this link. */
  readonly keepAlive: boolean;
}

interface Found {
  readonly passed: string[];
  length: string | undefined;
  coding: string | undefined;
  connection: string | undefined;
  upgrade: string | undefined;
  accept: string | undefined;
  trailer: string | undefined;
}

/** Judges a response to a request with this method, and this key if it asked for a WebSocket. */
export function judgeResponse(
  head: ResponseHead,
  method: string,
  websocketKey: string | undefined,
): EntranceResponse | ResponseFault {
  const { status, reason } = head;
  const found = findFields(head.fields);
  if ('detail' in found) return found;
  const connection = readConnection(found.connection);
  if (connection === undefined) return FAULTS.connection;
  const framing = readFraming(head, found);
  if ('detail' in framing) return framing;
  const fields = withoutNamed(found.passed, connection.named);
  const interim = status < 200 && status !== 101;
  if (status < 200 && framing.kind === 'chunked') return FAULTS.interimBody;
  const right = head.version === '1.1' && switchesRightly(found, connection, websocketKey);
  if (status === 101 && !right) return FAULTS.switching;
  const body = status < 200 ? NONE : bodyOf(framing, status, method);
  if (body.kind === 'none' && framing.kind === 'length' && status !== 204 && status >= 200) {
    fields.push('Content-Length', String(framing.bytes));
  }
  if (body.kind === 'chunked' && found.trailer !== undefined && allTrailers(found.trailer)) {
    fields.push('Trailer', found.trailer);
  }
  // Sloppy programs give 204 a body. It is not read; the link with it on must not be used again.
  const stray = status === 204 && (framing.kind === 'chunked' || lengthOf(framing) > 0);
  return {
    status,
    reason,
    fields,
    body,
    interim,
    switched: status === 101,
    keepAlive: head.version === '1.1' && !connection.close && body.kind !== 'close' && !stray,
  };
}

/** The canonical head for a visitor, latin1, always of HTTP/1.1. `close`: nothing follows. */
export function writeResponseHead(
  response: EntranceResponse,
  options: { readonly close: boolean },
): string {
  const { fields, body } = response;
  let text = `HTTP/1.1 ${response.status} ${response.reason}\r\n`;
  for (let at = 0; at < fields.length; at += 2) text += `${fields[at]}: ${fields[at + 1]}\r\n`;
  if (response.switched) return `${text}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
  if (response.interim) return `${text}\r\n`;
  if (body.kind === 'length') text += `Content-Length: ${body.bytes}\r\n`;
  else if (body.kind === 'chunked') text += 'Transfer-Encoding: chunked\r\n';
  const close = options.close || body.kind === 'close';
  return text + (close ? 'Connection: close\r\n\r\n' : '\r\n');
}

function findFields(fields: Fields): Found | ResponseFault {
  const found = nothingFound();
  const { passed } = found;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] ?? '';
    const value = fields[at + 1] ?? '';
    const kind = fieldKind(name);
    switch (kind) {
      case 'hop':
      case 'ours':
      case 'alias':
      case 'te':
        break;
      case 'content-length':
        if (found.length !== undefined) return FAULTS.lengths;
        found.length = value;
        break;
      case 'transfer-encoding':
        if (found.coding !== undefined) return FAULTS.coding;
        found.coding = value;
        break;
      case 'connection':
      case 'upgrade':
      case 'trailer':
        found[kind] = joined(found[kind], value);
        break;
      case 'sec-websocket-accept':
        found.accept = joined(found.accept, value);
        passed.push(name, value);
        break;
      default:
        passed.push(name, value);
    }
  }
  return found;
}

function nothingFound(): Found {
  return {
    passed: [],
    length: undefined,
    coding: undefined,
    connection: undefined,
    upgrade: undefined,
    accept: undefined,
    trailer: undefined,
  };
}

function joined(first: string | undefined, value: string): string {
  return first === undefined ? value : `${first}, ${value}`;
}

/** What the fields say of the framing, whether or not this response has a body. */
function readFraming(head: ResponseHead, found: Found): Body | ResponseFault {
  const { length, coding } = found;
  if (coding !== undefined) {
    if (length !== undefined) return FAULTS.lengthAndCoding;
    if (head.version === '1.0') return FAULTS.oldCoding;
    return sameName(coding, 'chunked') ? CHUNKED : FAULTS.coding;
  }
  if (length === undefined) return CLOSE;
  const bytes = parseLength(length);
  return bytes === undefined ? FAULTS.length : { kind: 'length', bytes };
}

/** RFC 9112 section 6.3, for a status of 200 and more. */
function bodyOf(framing: Body, status: number, method: string): Body {
  return method === 'HEAD' || status === 204 || status === 304 ? NONE : framing;
}

function lengthOf(framing: Body): number {
  return framing.kind === 'length' ? framing.bytes : 0;
}

/** Only what was asked for, and only from one who has read the key (RFC 6455 section 4.1). */
function switchesRightly(found: Found, connection: Connection, key: string | undefined): boolean {
  return (
    key !== undefined &&
    connection.upgrade &&
    found.upgrade !== undefined &&
    sameName(found.upgrade, 'websocket') &&
    found.accept === hash('sha1', `${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`, 'base64')
  );
}

const NONE = { kind: 'none' } as const;
const CHUNKED = { kind: 'chunked' } as const;
const CLOSE = { kind: 'close' } as const;

const FAULTS = {
  connection: { detail: 'the Connection field is malformed, or names a field of the framing' },
  lengths: { detail: 'there is more than one Content-Length field' },
  length: { detail: 'Content-Length is not a plain number' },
  coding: { detail: 'Transfer-Encoding is something else than chunked' },
  oldCoding: { detail: 'Transfer-Encoding does not exist in HTTP/1.0' },
  lengthAndCoding: { detail: 'there are both Content-Length and Transfer-Encoding' },
  interimBody: { detail: 'a 1xx response has a body' },
  switching: { detail: 'the protocol is switched without being asked, or wrongly' },
} as const satisfies Record<string, ResponseFault>;
