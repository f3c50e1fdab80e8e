// Requests as texts, for the name under attack.
import { CORPUS_HOSTNAME } from '../entrance/smuggling-case.ts';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
/** Of the key above: RFC 6455, section 1.3, has the same one. */
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

export function get(target: string, ...lines: readonly string[]): string {
  return request('GET', target, ...lines);
}

export function request(method: string, target: string, ...lines: readonly string[]): string {
  const all = [`${method} ${target} HTTP/1.1`, `Host: ${CORPUS_HOSTNAME}`, ...lines];
  return `${all.join('\r\n')}\r\n\r\n`;
}

export function post(target: string, body: string, ...lines: readonly string[]): string {
  return request('POST', target, `Content-Length: ${body.length}`, ...lines) + body;
}

export function chunked(target: string, chunks: string, ...lines: readonly string[]): string {
  return request('POST', target, 'Transfer-Encoding: chunked', ...lines) + chunks;
}

export function askUpgrade(target: string, ...lines: readonly string[]): string {
  const asking = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
  return request('GET', target, ...asking, `Sec-WebSocket-Key: ${KEY}`, ...lines);
}

/** The right answer to `askUpgrade()`. */
export const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  `Sec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`;

/** A response with a body of known length. */
export function ok(body: string, ...lines: readonly string[]): string {
  const head = ['HTTP/1.1 200 OK', `Content-Length: ${body.length}`, ...lines];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
