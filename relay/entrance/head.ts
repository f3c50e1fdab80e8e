// Heads of HTTP/1.1 messages: where one ends in the bytes, and what it says. Strict by RFC 9112;
// what is doubtful is refused, never repaired. No meaning is judged here: see request.ts and
// response.ts. A result with a `detail` is a fault.
import { type Fields, isFieldText, isToken, readFieldLines } from './fields.ts';

export const HEAD_LIMITS = {
  /** What Node's, nginx's and most workspaces' own limits let through. */
  headBytesMax: 16 * 1024,
  /** Browsers send about 20, with tracing and proxies 40. */
  fieldsMax: 100,
  /** RFC 9112 section 3 asks for 8000 at least. */
  targetBytesMax: 8 * 1024,
  /** The longest registered method has 17. */
  methodBytesMax: 32,
  /** Reason phrases are for people; a sentence is enough. */
  reasonBytesMax: 256,
} as const;

export interface RequestHead {
  readonly method: string;
  readonly target: string;
  readonly version: '1.1' | '1.0';
  readonly fields: Fields;
}

export interface ResponseHead {
  readonly version: '1.1' | '1.0';
  readonly status: number;
  readonly reason: string;
  readonly fields: Fields;
}

/** The answer that a broken request head gets. The detail never repeats received bytes. */
export interface HeadFault {
  readonly status: 400 | 405 | 414 | 431 | 501 | 505;
  readonly detail: string;
}

/** What is wrong with a response of a workspace; the visitor gets 502. */
export interface ResponseFault {
  readonly detail: string;
}

/**
 * Where the next head begins: RFC 9112 section 2.2 lets one empty line stand before it.
 * Call it with the offset at which the last message ended, never with its own result.
 */
export function headStart(buffer: Buffer, from: number): number {
  return buffer[from] === CR && buffer[from + 1] === LF ? from + 2 : from;
}

/**
 * The index after the first empty line at or after `from`, or -1. To resume a search when more
 * bytes have come, begin three bytes before the new ones.
 */
export function headEnd(buffer: Buffer, from: number): number {
  const at = buffer.indexOf(HEAD_END, from, 'latin1');
  return at < 0 ? -1 : at + 4;
}

/**
 * What is already wrong with a request head that has begun at `start` and whose end has not come;
 * only lines that end at or after `from` are looked at. Without this, a bare LF or a line of
 * HTTP/0.9 would hold a connection until its deadline.
 */
export function partialHeadFault(
  buffer: Buffer,
  start: number,
  from: number,
): HeadFault | undefined {
  const firstEnd = buffer.indexOf(LF, start);
  if (buffer.length - start > HEAD_LIMITS.headBytesMax) {
    return firstEnd < 0 ? FAULTS.longTarget : FAULTS.longHead;
  }
  for (let at = buffer.indexOf(LF, from); at >= 0; at = buffer.indexOf(LF, at + 1)) {
    if (at === start || buffer[at - 1] !== CR) return FAULTS.lineEnd;
    if (at !== firstEnd) continue;
    const head = parseRequestHead(`${buffer.toString('latin1', start, at + 1)}\r\n`);
    if ('detail' in head) return head;
  }
  return undefined;
}

/** Reads the latin1 text of a request head, its empty line included. */
export function parseRequestHead(text: string): RequestHead | HeadFault {
  if (text.length > HEAD_LIMITS.headBytesMax) return longHeadFault(text);
  let methodEnd = 0;
  while (isMethodCode(text.charCodeAt(methodEnd))) methodEnd += 1;
  const targetStart = methodEnd + 1;
  let targetEnd = targetStart;
  while (isTargetCode(text.charCodeAt(targetEnd))) targetEnd += 1;
  const version = versionAt(text, targetEnd + 1);
  const lineEnd = targetEnd + 9;
  if (
    version === undefined ||
    methodEnd === 0 ||
    methodEnd > HEAD_LIMITS.methodBytesMax ||
    text.charCodeAt(0) === HYPHEN ||
    targetEnd === targetStart ||
    targetEnd - targetStart > HEAD_LIMITS.targetBytesMax ||
    text.charCodeAt(methodEnd) !== SP ||
    text.charCodeAt(targetEnd) !== SP ||
    text.charCodeAt(lineEnd) !== CR ||
    text.charCodeAt(lineEnd + 1) !== LF
  ) {
    return requestLineFault(text);
  }
  const fields: string[] = [];
  const fault = readFieldLines(text, lineEnd + 2, HEAD_LIMITS.fieldsMax, fields);
  if (fault !== undefined) return fault;
  return {
    method: text.slice(0, methodEnd),
    target: text.slice(targetStart, targetEnd),
    version,
    fields,
  };
}

/** Reads the latin1 text of a response head, its empty line included. */
export function parseResponseHead(text: string): ResponseHead | ResponseFault {
  if (text.length > HEAD_LIMITS.headBytesMax) return FAULTS.longHead;
  const version = versionAt(text, 0);
  if (version === undefined) return { detail: 'the answer is not HTTP/1.1 or HTTP/1.0' };
  const status = statusAt(text, 9);
  if (text.charCodeAt(8) !== SP || status === undefined) {
    return { detail: 'the status is not a number from 100 to 599' };
  }
  const lineEnd = text.indexOf('\r\n', 12);
  // The space is due even without a reason (RFC 9112 section 4), but many programs leave it out.
  if (lineEnd < 0 || (lineEnd > 12 && text.charCodeAt(12) !== SP)) {
    return { detail: 'the status line is malformed' };
  }
  const reason = text.slice(13, lineEnd);
  if (reason.length > HEAD_LIMITS.reasonBytesMax || !isFieldText(reason)) {
    return { detail: 'the reason phrase is too long or has a control character' };
  }
  const fields: string[] = [];
  const fault = readFieldLines(text, lineEnd + 2, HEAD_LIMITS.fieldsMax, fields);
  return fault ?? { version, status, reason, fields };
}

/** Visible ASCII: what a target may be made of before its form is judged. */
export function isTargetCode(code: number): boolean {
  return code > 32 && code < 127;
}

/** Upper case only: software that takes `head` for `HEAD` would frame its answer otherwise. */
export function isMethod(method: string): boolean {
  let at = 0;
  while (isMethodCode(method.charCodeAt(at))) at += 1;
  const ended = at > 0 && at === method.length && at <= HEAD_LIMITS.methodBytesMax;
  return ended && method.charCodeAt(0) !== HYPHEN;
}

function isMethodCode(code: number): boolean {
  return (code >= 65 && code <= 90) || code === HYPHEN;
}

function versionAt(text: string, at: number): '1.1' | '1.0' | undefined {
  if (!text.startsWith('HTTP/1.', at)) return undefined;
  const minor = text.charCodeAt(at + 7);
  if (minor === ONE) return '1.1';
  return minor === ZERO ? '1.0' : undefined;
}

function statusAt(text: string, at: number): number | undefined {
  const hundreds = text.charCodeAt(at) - ZERO;
  const tens = text.charCodeAt(at + 1) - ZERO;
  const ones = text.charCodeAt(at + 2) - ZERO;
  const digits = hundreds >= 1 && hundreds <= 5 && tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9;
  return digits ? hundreds * 100 + tens * 10 + ones : undefined;
}

function longHeadFault(text: string): HeadFault {
  const lineEnd = text.indexOf('\r\n');
  const long = lineEnd < 0 || lineEnd > HEAD_LIMITS.targetBytesMax + HEAD_LIMITS.methodBytesMax;
  return long ? FAULTS.longTarget : FAULTS.longHead;
}

/** Says which rule a request line breaks; off the fast path, so it may look twice. */
function requestLineFault(text: string): HeadFault {
  const lineEnd = text.indexOf('\r\n');
  if (lineEnd < 0) return FAULTS.lineEnd;
  if (lineEnd === 0) return FAULTS.emptyLine;
  const line = text.slice(0, lineEnd);
  for (let at = 0; at < line.length; at += 1) {
    const code = line.charCodeAt(at);
    if (code === CR || code === LF) return FAULTS.lineEnd;
    if (code < 32 || code > 126) return FAULTS.lineCharacter;
  }
  const parts = line.split(' ');
  const [method = '', target = '', version = ''] = parts;
  if (parts.length < 3) return FAULTS.noVersion;
  if (parts.length > 3 || method === '' || target === '') return FAULTS.spaces;
  if (/^HTTP\/[0-9]\.[0-9]$/.test(version) && !/^HTTP\/1\.[01]$/.test(version)) {
    return FAULTS.version;
  }
  if (!/^HTTP\/1\.[01]$/.test(version)) return FAULTS.noVersion;
  if (target.length > HEAD_LIMITS.targetBytesMax) return FAULTS.longTarget;
  return isToken(method) ? FAULTS.method : FAULTS.methodCharacter;
}

const HEAD_END = '\r\n\r\n';
const CR = 13;
const LF = 10;
const SP = 32;
const HYPHEN = 45;
const ZERO = 48;
const ONE = 49;

const FAULTS = {
  longHead: { status: 431, detail: 'the header fields are too large' },
  longTarget: { status: 414, detail: 'the address of the request is too long' },
  emptyLine: { status: 400, detail: 'there is more than one empty line before the request' },
  lineEnd: { status: 400, detail: 'a line must end with CR and LF, and have neither inside' },
  lineCharacter: { status: 400, detail: 'the request line has a character that is not visible' },
  noVersion: { status: 400, detail: 'the request line does not end with HTTP/1.1 or HTTP/1.0' },
  spaces: { status: 400, detail: 'the parts of the request line are not parted by one space' },
  version: { status: 505, detail: 'only HTTP/1.1 and HTTP/1.0 are spoken here' },
  method: { status: 501, detail: 'the method is not made of upper case letters, or is too long' },
  methodCharacter: { status: 400, detail: 'the method has a character that methods must not have' },
} as const satisfies Record<string, HeadFault>;
