// A small parser of canonical HTTP/1.1 requests that shares nothing with the entrance: it accepts
// only the one spelling that the entrance is meant to write, and says what is wrong otherwise.
export interface CanonicalRequest {
  readonly method: string;
  /** Names in lower case. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: string;
  /** False: the text ends within the body. */
  readonly whole: boolean;
}

const REQUEST_LINE = /^([A-Z-]+) (\/[!"$-[\]-~]*) HTTP\/1\.[01]$/;
const FIELD_LINE =
  /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)$/;
const TRAILERS = /^(grpc-(status|message|status-details-bin)|(content|repr)-digest|server-timing)$/;
const ONCE =
  'host x-forwarded-for x-forwarded-proto x-forwarded-host forwarded x-waygate-via x-waygate-trust';

/** Throws when the text is anything else than canonical requests, the last perhaps cut off. */
export function parseCanonical(text: string, hostname: string): CanonicalRequest[] {
  const requests: CanonicalRequest[] = [];
  let rest = text;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) throw new Error('a head is cut off');
    const [line = '', ...lines] = rest.slice(0, end).split('\r\n');
    const method = REQUEST_LINE.exec(line)?.[1];
    if (method === undefined) throw new Error(`request line ${JSON.stringify(line)}`);
    const fields = lines.map(parseField);
    judgeFields(fields, hostname);
    const framed = parseBody(rest.slice(end + 4), fields);
    requests.push({ method, fields, body: framed.body, whole: framed.whole });
    rest = framed.rest;
  }
  return requests;
}

function valuesOf(fields: CanonicalRequest['fields'], name: string): string[] {
  return fields.filter((field) => field[0] === name).map((field) => field[1]);
}

function parseField(line: string): readonly [string, string] {
  const match = FIELD_LINE.exec(line);
  if (match === null) throw new Error(`field line ${JSON.stringify(line)}`);
  return [(match[1] ?? '').toLowerCase(), match[2] ?? ''];
}

function judgeFields(fields: CanonicalRequest['fields'], hostname: string): void {
  for (const name of ONCE.split(' ')) {
    if (valuesOf(fields, name).length !== 1) throw new Error(`not one ${name}`);
  }
  const host = valuesOf(fields, 'host')[0] ?? '';
  if (host.split(':')[0] !== hostname) throw new Error(`host ${host}`);
  for (const [name] of fields) {
    const plain = name.replaceAll(/[^a-z0-9]/g, '-');
    const known = ONCE.includes(name) || name === 'content-length' || name === 'transfer-encoding';
    const ours =
      /^(x-forwarded-|x-waygate-|cf-|forwarded$|x-real-ip$|content-length$|transfer-encoding$)/;
    if (ours.test(plain) && !known) throw new Error(`passed ${name}`);
  }
}

interface Framed {
  readonly body: string;
  readonly rest: string;
  readonly whole: boolean;
}

function parseBody(text: string, fields: CanonicalRequest['fields']): Framed {
  const lengths = valuesOf(fields, 'content-length');
  const codings = valuesOf(fields, 'transfer-encoding');
  if (lengths.length + codings.length > 1) throw new Error('framed twice');
  if (codings.length === 1) {
    if (codings[0] !== 'chunked') throw new Error('coding');
    return parseChunks(text);
  }
  const [length = '0'] = lengths;
  if (!/^(0|[1-9][0-9]*)$/.test(length)) throw new Error('length');
  const bytes = Number(length);
  return { body: text.slice(0, bytes), rest: text.slice(bytes), whole: text.length >= bytes };
}

function parseChunks(text: string): Framed {
  let body = '';
  let rest = text;
  while (rest !== '') {
    const head = /^([1-9a-f][0-9a-f]*|0)\r\n/.exec(rest);
    if (head === null) throw new Error(`chunk ${JSON.stringify(rest.slice(0, 20))}`);
    rest = rest.slice(head[0].length);
    const bytes = Number.parseInt(head[1] ?? '', 16);
    if (bytes === 0) return { body, rest: afterTrailers(rest), whole: true };
    body += rest.slice(0, bytes);
    if (rest.slice(bytes, bytes + 2) !== '\r\n') throw new Error('chunk end');
    rest = rest.slice(bytes + 2);
  }
  return { body, rest: '', whole: false };
}

function afterTrailers(text: string): string {
  const end = text.startsWith('\r\n') ? 0 : text.indexOf('\r\n\r\n') + 2;
  if (end === 1) throw new Error('trailers are cut off');
  for (const line of text.slice(0, end).split('\r\n').slice(0, -1)) {
    if (!TRAILERS.test(parseField(line)[0])) throw new Error('trailer');
  }
  return text.slice(end + 2);
}
