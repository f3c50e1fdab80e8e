// Bytes that a visitor connection might carry, for property tests: right requests, wrong ones, and
// right ones with wrong things put into them.
import fc from 'fast-check';
import { CORPUS_HOSTNAME } from './smuggling-case.ts';

export interface VisitorBytes {
  readonly bytes: Buffer;
  readonly cuts: readonly number[];
}

const METHODS = ['GET', 'POST', 'HEAD', 'DELETE', 'OPTIONS', 'PUT', 'TRACE', 'get'];
const TARGETS = ['/', '/a?b=c', '//', '/%2e', '*', `https://${CORPUS_HOSTNAME}/x`, '/\\', '/%00'];
const FIELDS = [
  'Accept: */*',
  'Cookie: a=b; c=d',
  'X-Forwarded-For: 127.0.0.1',
  'X_Waygate_Trust: 3',
  'Connection: close',
  'Connection: keep-alive, X-A',
  'Connection: Upgrade',
  'Connection: Host',
  'Upgrade: websocket',
  'Upgrade: h2c',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Expect: 100-continue',
  'TE: trailers',
  'Trailer: grpc-status',
  'X-A:',
  'X-A:\t b \t',
  'X-A: \xe4\xff',
  `Host: ${CORPUS_HOSTNAME}`,
  'Content-Length: 3',
  'Transfer-Encoding: chunked',
  ' folded',
];
const BODIES = [
  '\r\n',
  '\r\n',
  'Content-Length: 0\r\n\r\n',
  'Content-Length: 5\r\n\r\nhello',
  'Content-Length: 05\r\n\r\nhello',
  'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\nA;a="b"\r\n0123456789\r\n0\r\ngrpc-status: 0\r\nHost: x\r\n\r\n',
  'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
];
const TOKENS = [
  ...[
    '\r',
    '\n',
    '\r\n',
    '\r\n\r\n',
    '\n\n',
    '\0',
    ' ',
    '\t',
    ':',
    ',',
    '\x0b',
    '0',
    '5',
    'f',
    ';',
  ],
  ...[
    'Transfer-Encoding: chunked\r\n',
    'Content-Length: 1\r\n',
    'Content-Length:',
    'chunked',
    '\xa0',
  ],
  ...[
    'GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n',
    ' HTTP/1.1',
    'HTTP/1.0',
    '_',
    '-',
    '%00',
    '#',
  ],
];

const request = fc
  .record({
    method: fc.constantFrom(...METHODS),
    target: fc.constantFrom(...TARGETS),
    version: fc.constantFrom('1.1', '1.1', '1.1', '1.0', '1.2'),
    fields: fc.array(fc.constantFrom(...FIELDS), { maxLength: 3 }),
    body: fc.constantFrom(...BODIES),
  })
  .map(({ method, target, version, fields, body }) => {
    const lines = [`${method} ${target} HTTP/${version}`, `Host: ${CORPUS_HOSTNAME}`, ...fields];
    return `${lines.join('\r\n')}\r\n${body}`;
  });

/** Right in all that matters, so that most of these pass. */
const plainRequest = fc
  .record({
    method: fc.constantFrom('GET', 'POST', 'PUT'),
    fields: fc.array(fc.constantFrom(...FIELDS.slice(0, 4)), { maxLength: 3 }),
    body: fc.constantFrom(...BODIES.slice(0, 4), ...BODIES.slice(5, 8)),
  })
  .map(({ method, fields, body }) => {
    const lines = [`${method} /p HTTP/1.1`, `Host: ${CORPUS_HOSTNAME}`, ...fields];
    return `${lines.join('\r\n')}\r\n${body}`;
  });

const mutation = fc.record({
  at: fc.nat(1_000),
  removed: fc.constantFrom(0, 0, 1, 2, 12),
  put: fc.constantFrom('', ...TOKENS),
});

const connection = fc
  .record({
    requests: fc.array(fc.oneof(plainRequest, plainRequest, request), {
      minLength: 1,
      maxLength: 3,
    }),
    mutations: fc.array(mutation, { maxLength: 2 }),
  })
  .map(({ requests, mutations }) => {
    let text = requests.join('');
    for (const { at, removed, put } of mutations) {
      const place = at % (text.length + 1);
      text = text.slice(0, place) + put + text.slice(place + removed);
    }
    return Buffer.from(text, 'latin1');
  });

const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));

/** Any bytes of a connection, in pieces cut anywhere. */
export const visitorBytes: fc.Arbitrary<VisitorBytes> = fc.record({
  bytes: fc.oneof({ weight: 19, arbitrary: connection }, { weight: 1, arbitrary: noise }),
  cuts: fc.array(fc.nat(600), { maxLength: 6 }),
});
