// How the cases of the smuggling corpus are written down: a case is a whole connection's bytes, and
// what becomes of them. The functions here only make text.

/** The name for which all connections are made; lengths in the cases depend on it. */
export const CORPUS_HOSTNAME = 'hello.demo.vendor.localhost';

export interface SmugglingCase {
  readonly id: string;
  readonly name: string;
  readonly bytes: string;
  /** `accept`: all of it is passed on. Numbers: the status (one of) with which it is refused. */
  readonly expect: 'accept' | number | number[];
  /** How many request heads a workspace gets to see before a refusal, or in all. */
  readonly reached: number;
}

export type Row = readonly [name: string, bytes: string];

const H = CORPUS_HOSTNAME;
export const HELLO = '5\r\nhello\r\n0\r\n\r\n';
export const NEXT = `GET /smuggled HTTP/1.1\r\nHost: ${H}\r\n\r\n`;
export const CHUNKED = 'Transfer-Encoding: chunked';

export function get(...lines: string[]): string {
  return raw('GET / HTTP/1.1', `Host: ${H}`, ...lines);
}

export function post(body: string, ...lines: string[]): string {
  return raw('POST / HTTP/1.1', `Host: ${H}`, ...lines) + body;
}

export function raw(...lines: string[]): string {
  return `${lines.join('\r\n')}\r\n\r\n`;
}

export function target(text: string): string {
  return raw(`GET ${text} HTTP/1.1`, `Host: ${H}`);
}

export function host(text: string): string {
  return raw('GET / HTTP/1.1', `Host: ${text}`);
}

export function chunks(body: string): string {
  return post(body, CHUNKED);
}

/** Rows of one kind, parted by bars: a text makes the bytes, and is the name. */
export function each(
  name: string,
  lists: readonly string[],
  bytes: (text: string) => string,
): Row[] {
  return lists
    .flatMap((list) => list.split(' | '))
    .map((text) => [`${name} ${JSON.stringify(text.slice(0, 60))}`, bytes(text)]);
}

export function accepted(id: string, rows: readonly Row[], reached = 1): SmugglingCase[] {
  return rows.map(([name, bytes]) => ({ id, name, bytes, expect: 'accept', reached }));
}

export function refused(
  id: string,
  expect: number,
  rows: readonly Row[],
  reached = 0,
): SmugglingCase[] {
  return rows.map(([name, bytes]) => ({ id, name, bytes, expect, reached }));
}
