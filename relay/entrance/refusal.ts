// Why a request goes no further: one sentence for each rule, as the end of "The request was
// refused: ...". None repeats received bytes.
import type { Fields } from './fields.ts';

/** The answer to a request that goes no further; the connection is closed after it. */
export interface Refusal {
  readonly status: 400 | 405 | 408 | 414 | 417 | 421 | 426 | 431 | 501 | 505;
  readonly detail: string;
  /** What the answer must say besides (RFC 9110, sections 15.5.6 and 15.5.22). */
  readonly fields?: Fields;
}

export const REFUSALS = {
  method: {
    status: 405,
    detail: 'TRACE and CONNECT are not passed on to a workspace',
    fields: ['Allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
  },
  methodName: bad('the method is not made of upper case letters'),
  alias: bad('a header field is named almost like one that decides about framing'),
  noHost: bad('there is no Host field'),
  hosts: bad('there is more than one Host field'),
  host: bad('the Host field is not a hostname with at most a port'),
  otherHost: {
    status: 421,
    detail: 'the Host field has another name than the connection was made for',
  },
  targetCharacter: bad('the address has a character that addresses must not have'),
  targetForm: bad('the address does not begin with a slash'),
  targetHost: bad('the address has another host than the Host field'),
  connection: bad('the Connection field is malformed, or names a field that must not be dropped'),
  lengths: bad('there is more than one Content-Length field'),
  length: bad('Content-Length is not a plain number'),
  coding: bad('Transfer-Encoding is something else than chunked'),
  oldCoding: bad('Transfer-Encoding does not exist in HTTP/1.0'),
  lengthAndCoding: bad('there are both Content-Length and Transfer-Encoding'),
  expect: { status: 417, detail: 'only 100-continue can be expected' },
  websocketKey: bad('Sec-WebSocket-Key is not one value of 16 bytes in base64'),
  websocketVersion: {
    status: 426,
    detail: 'only version 13 of WebSocket is spoken here',
    fields: ['Upgrade', 'websocket', 'Sec-WebSocket-Version', '13'],
  },
} as const satisfies Record<string, Refusal>;

function bad(detail: string): { readonly status: 400; readonly detail: string } {
  return { status: 400, detail };
}
