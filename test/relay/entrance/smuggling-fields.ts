// The smuggling corpus: field names and values, Connection, Expect, Upgrade, and limits (H1-6, -8,
// -9, -11, -13, -14).
import {
  accepted,
  CHUNKED,
  each,
  get,
  CORPUS_HOSTNAME as H,
  HELLO,
  NEXT,
  post,
  raw,
  refused,
  type SmugglingCase,
} from './smuggling-case.ts';

const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
const VERSION = 'Sec-WebSocket-Version: 13';
const ASK = ['Connection: Upgrade', 'Upgrade: websocket'];
const WEBSOCKET = [...ASK, VERSION, KEY];

function lines(count: number, length = 1): string[] {
  return Array.from({ length: count }, (_, at) => `X-${at}: ${'v'.repeat(length)}`);
}

export const connectionCases: SmugglingCase[] = [
  ...refused('H1-8', 400, [
    ...each(
      'connection',
      [
        'Host | Content-Length | Transfer-Encoding | Authorization | Cookie | X-Forwarded-For',
        'X-Forwarded-Proto | X-Waygate-Trust | x-waygate-assertion | x_forwarded_for | Forwarded',
        'X-Real-IP | CF-Connecting-IP | Expect | Sec-WebSocket-Key | content_length | COOKIE',
        'close, Host | close,Cookie,X-A | keep-alive, transfer-encoding | "close" | a b | a;b',
        'close; x | (a) | \xe9 | close\x0b | a=b',
      ],
      (value) => get(`Connection: ${value}`),
    ),
    ['the second line names Host', get('Connection: close', 'Connection: Host')],
    ['a length is named', post('hello', 'Content-Length: 5', 'Connection: Content-Length')],
    ['a coding is named', post(HELLO, CHUNKED, 'Connection: Transfer-Encoding')],
  ]),
  ...accepted('H1-8', [
    ...each(
      'connection',
      [
        'keep-alive | close | Close | X-Auth-User | close, X-A, keep-alive | ,,close,  | ',
        'TE | Keep-Alive, TE, Trailer | HTTP2-Settings | Proxy-Connection | __proto__',
      ],
      (value) => get(`Connection: ${value}`, 'X-Auth-User: root', 'X-A: b'),
    ),
    [
      'hop-by-hop fields',
      get('Keep-Alive: timeout=5', 'Proxy-Connection: x', 'TE: trailers', 'Proxy: x'),
    ],
  ]),
  ...refused('H1-6', 417, [
    ...each(
      'expect',
      ['foo | 100-continue, foo | 200-ok |  | 100-continue;a | "100-continue"'],
      (value) => post('hello', 'Content-Length: 5', `Expect: ${value}`),
    ),
    [
      'two lines',
      post('hello', 'Content-Length: 5', 'Expect: 100-continue', 'Expect: 100-continue'),
    ],
  ]),
  ...accepted('H1-6', [
    ['with a length', post('hello', 'Content-Length: 5', 'Expect: 100-continue')],
    ['other case', post(HELLO, CHUNKED, 'Expect: 100-Continue')],
    ['without a body', get('Expect: 100-continue')],
    [
      'in HTTP/1.0',
      `${raw('POST / HTTP/1.0', `Host: ${H}`, 'Content-Length: 5', 'Expect: 100-continue')}hello`,
    ],
  ]),
];

export const fieldCases: SmugglingCase[] = [
  ...refused('H1-9', 400, [
    ...each(
      'name',
      [
        'X-Forwarded-For  | X-Forwarded-For\t |  X-A | \tX-A |  | Na me | Na(me | Na)me | Na,me | Na/me',
        'Na;me | Na<me | Na=me | Na>me | Na?me | Na@me | Na[me | Na]me | Na{me | Na}me | Na"me',
        'Na\\me | Na\x80me | N\xe4me | Na\0me | Na\x7fme | \x0bName | Name\x0b | Na\rme | Na\nme | \xa0X',
      ],
      (name) => get(`${name}: value`),
    ),
    ['no colon', get('Accept')],
    ['no colon in the first line', raw('GET / HTTP/1.1', 'Accept', `Host: ${H}`)],
    ['folded value', get('X-A: b\r\n c')],
    ['folded with a tab', get('X-A: b\r\n\tc')],
    ['a fold of nothing', get('X-A: b\r\n ')],
    ...each(
      'value',
      ['\0 | \x01 | \x08 | \x0b | \x0c | \x0e | \x1b[0m | \x1f | \x7f | a\rb | a\nb | a\r\r'],
      (value) => get(`X-A: a${value}b`),
    ),
    ['a second request in a value', get(`X-A: a\n\n${NEXT}`)],
  ]),
  ...accepted('H1-9', [
    ...each(
      'dropped',
      [
        'X-Forwarded-For | X_Forwarded_For | x.forwarded.for | Forwarded | X-Real-IP | X_Real_IP',
        'CF-Connecting-IP | True-Client-IP | X-Waygate-Trust | X_Waygate_Trust | X-Waygate-Assertion',
      ],
      (name) => get(`${name}: 127.0.0.1`),
    ),
    ...each('passed', ["X_A | A_ | _ | !#$%&'*+-.^`~ | X-A.B | X-Forwarder"], (name) =>
      get(`${name}: b`),
    ),
    ...each('value', [' |  a  | a b\tc | \xe4\xff\x80 | a:b | a,b;c="d" | "\\'], (value) =>
      get(`X-A:${value}`),
    ),
  ]),
  ...accepted(
    'H1-14',
    each('name', ['__proto__ | constructor | toString | hasOwnProperty'], (name) =>
      get(`${name}: x`),
    ),
  ),
  ...refused('H1-13', 431, [
    ['101 fields', get(...lines(100))],
    ['many fields', get(...lines(1_000))],
    ['17 KiB of fields', get(...lines(20, 900))],
    ['one field of 16 KiB', get(...lines(1, 16_384))],
  ]),
  ...refused('H1-13', 414, [
    ['target over 8 KiB', raw(`GET /${'a'.repeat(8_192)} HTTP/1.1`, `Host: ${H}`)],
    ['target of 20 KiB', raw(`GET /${'a'.repeat(20_000)} HTTP/1.1`, `Host: ${H}`)],
    ['a line without an end', `GET /${'a'.repeat(20_000)}`],
  ]),
  ...accepted('H1-13', [['100 fields', get(...lines(99))]]),
];

export const upgradeCases: SmugglingCase[] = [
  ...accepted('H1-11', [
    ['websocket', get(...WEBSOCKET)],
    [
      'websocket in other case',
      get('connection: keep-alive, UPGRADE', 'upgrade: WebSocket', VERSION, KEY),
    ],
    ['foo', get('Connection: Upgrade', 'Upgrade: foo')],
    [
      'h2c',
      get(
        'Connection: Upgrade, HTTP2-Settings',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABkAAQAAP__',
      ),
    ],
    ['websocket and h2c', get('Connection: Upgrade', 'Upgrade: websocket, h2c', VERSION, KEY)],
    ['two Upgrade lines', get(...WEBSOCKET, 'Upgrade: websocket')],
    ['not named in Connection', get('Upgrade: websocket', VERSION, KEY)],
    ['POST', raw('POST / HTTP/1.1', `Host: ${H}`, ...WEBSOCKET)],
    ['HTTP/1.0', raw('GET / HTTP/1.0', `Host: ${H}`, ...WEBSOCKET)],
    ['with a length', `${get(...WEBSOCKET, 'Content-Length: 5')}hello`],
    ['with length 0', get(...WEBSOCKET, 'Content-Length: 0')],
    ['with chunks', get(...WEBSOCKET, CHUNKED) + HELLO],
  ]),
  ...accepted(
    'H1-11',
    [
      ['foo and a pipelined request', get('Connection: Upgrade', 'Upgrade: foo') + NEXT],
      [
        'foo, a body and a pipelined request',
        `${post('hello', 'Connection: Upgrade', 'Upgrade: foo', 'Content-Length: 5')}${NEXT}`,
      ],
      ['websocket with a body that is a request', get(...WEBSOCKET, `Content-Length: 0`) + NEXT],
    ],
    2,
  ),
  ...refused('H1-11', 426, [
    ...each('version', ['8 | 7 | 013 | 13, 8 |  | 13.0 | x'], (version) =>
      get(...ASK, KEY, `Sec-WebSocket-Version: ${version}`),
    ),
    ['no version', get(...ASK, KEY)],
    ['two versions', get(...WEBSOCKET, VERSION)],
    [
      'a wrong version and a pipelined request',
      get(...ASK, KEY, 'Sec-WebSocket-Version: 777') + NEXT,
    ],
  ]),
  ...refused('H1-11', 400, [
    ...each(
      'key',
      ['x | dGhlIHNhbXBsZSBub25jZQ | dGhlIHNhbXBsZSBub25jZR== |  | dGhlIHNhbXBsZSBub25jZQ==='],
      (key) => get(...ASK, VERSION, `Sec-WebSocket-Key: ${key}`),
    ),
    ['no key', get(...ASK, VERSION)],
    ['two keys', get(...WEBSOCKET, KEY)],
    ['with a length and chunks', get(...WEBSOCKET, 'Content-Length: 5', CHUNKED) + HELLO],
  ]),
];
