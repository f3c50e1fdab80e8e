import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseResponseHead } from '../../../relay/entrance/head.ts';
import {
  type EntranceResponse,
  judgeResponse,
  writeResponseHead,
} from '../../../relay/entrance/response.ts';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = createHash('sha1')
  .update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
  .digest('base64');
const SWITCH = ['Connection: upgrade', 'Upgrade: WebSocket', `Sec-WebSocket-Accept: ${ACCEPT}`];

function judge(lines: readonly string[], method = 'GET', key?: string) {
  const head = parseResponseHead(`${lines.join('\r\n')}\r\n\r\n`);
  return 'detail' in head ? head : judgeResponse(head, method, key);
}

function accept(lines: readonly string[], method = 'GET', key?: string): EntranceResponse {
  const response = judge(lines, method, key);
  if ('detail' in response) throw new Error(response.detail);
  return response;
}

function written(response: EntranceResponse, close = false): string[] {
  return writeResponseHead(response, { close }).split('\r\n');
}

describe('what a visitor gets', () => {
  it('is the response in canonical form', () => {
    const response = accept([
      'HTTP/1.1 200 All right',
      'set-cookie:a',
      'Set-Cookie: b',
      'content-length:  5',
      'Connection: keep-alive, X-Hop',
      'X-Hop: gone',
      'Keep-Alive: timeout=5',
      'X-Waygate-Trust: 3',
      'x_waygate_assertion: lie',
    ]);
    expect(response).toMatchObject({ keepAlive: true, interim: false, switched: false });
    const lines = ['set-cookie: a', 'Set-Cookie: b', 'Content-Length: 5'];
    expect(written(response)).toEqual(['HTTP/1.1 200 All right', ...lines, '', '']);
    expect(written(response, true)).toContain('Connection: close');
  });

  it.each([
    ['GET', ['HTTP/1.1 200 OK', 'Transfer-Encoding: Chunked'], { kind: 'chunked' }, true],
    ['GET', ['HTTP/1.1 200 OK', 'Content-Length: 0'], { kind: 'length', bytes: 0 }, true],
    ['GET', ['HTTP/1.1 200 OK'], { kind: 'close' }, false],
    ['GET', ['HTTP/1.1 200 OK', 'Connection: close'], { kind: 'close' }, false],
    ['GET', ['HTTP/1.0 200 OK', 'Content-Length: 3'], { kind: 'length', bytes: 3 }, false],
    ['GET', ['HTTP/1.1 204 No'], { kind: 'none' }, true],
    ['GET', ['HTTP/1.1 204 No', 'Content-Length: 0'], { kind: 'none' }, true],
    ['GET', ['HTTP/1.1 204 No', 'Content-Length: 3'], { kind: 'none' }, false],
    ['GET', ['HTTP/1.1 204 No', 'Transfer-Encoding: chunked'], { kind: 'none' }, false],
    ['GET', ['HTTP/1.1 304 Not', 'Content-Length: 9'], { kind: 'none' }, true],
    ['HEAD', ['HTTP/1.1 200 OK', 'Content-Length: 9'], { kind: 'none' }, true],
    ['HEAD', ['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'], { kind: 'none' }, true],
  ])('to %s for %j has the body %j', (method, lines, body, keepAlive) => {
    expect(accept(lines, method)).toMatchObject({ body, keepAlive });
  });

  it('tells the length of a body that is not sent only where it may', () => {
    expect(written(accept(['HTTP/1.1 200 OK', 'Content-Length: 9'], 'HEAD'))).toContain(
      'Content-Length: 9',
    );
    expect(written(accept(['HTTP/1.1 304 Not', 'Content-Length: 9']))).toContain(
      'Content-Length: 9',
    );
    for (const status of [100, 103, 204]) {
      const lines = written(accept([`HTTP/1.1 ${status} x`, 'Content-Length: 0']));
      expect(lines.join()).not.toContain('Content-Length');
    }
  });

  it('closes after a body without a length', () => {
    expect(written(accept(['HTTP/1.1 200 OK']))).toEqual([
      'HTTP/1.1 200 OK',
      'Connection: close',
      '',
      '',
    ]);
  });

  it('passes on interim responses', () => {
    const hints = accept(['HTTP/1.1 103 Early Hints', 'Link: </a>', 'Connection: close']);
    expect(hints).toMatchObject({ interim: true, switched: false, body: { kind: 'none' } });
    expect(written(hints, true)).toEqual(['HTTP/1.1 103 Early Hints', 'Link: </a>', '', '']);
  });

  it('announces only trailers that are passed on', () => {
    const chunked = ['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'];
    expect(accept([...chunked, 'Trailer: Grpc-Status']).fields).toEqual(['Trailer', 'Grpc-Status']);
    expect(accept([...chunked, 'Trailer: Set-Cookie']).fields).toEqual([]);
  });
});

describe('H1-15 a response is a fault', () => {
  it.each([
    ['two lengths', ['Content-Length: 5', 'Content-Length: 5']],
    ['a list of lengths', ['Content-Length: 5, 5']],
    ['a length that is no number', ['Content-Length: 0x5']],
    ['a negative length', ['Content-Length: -1']],
    ['an empty length', ['Content-Length:']],
    ['a length and a coding', ['Content-Length: 5', 'Transfer-Encoding: chunked']],
    ['two codings', ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked']],
    ['another coding', ['Transfer-Encoding: gzip, chunked']],
    ['identity', ['Transfer-Encoding: identity']],
    ['a malformed Connection', ['Connection: a b']],
    ['Connection names the length', ['Content-Length: 5', 'Connection: Content-Length']],
    ['a control character', ['A: b\x01']],
    ['a folded line', ['A: b', ' c']],
  ])('%s', (_, lines) => {
    expect(judge(['HTTP/1.1 200 OK', ...lines])).toHaveProperty('detail');
    expect(judge(['HTTP/1.1 200 OK', ...lines], 'HEAD')).toHaveProperty('detail');
  });

  it('a coding in HTTP/1.0', () => {
    expect(judge(['HTTP/1.0 200 OK', 'Transfer-Encoding: chunked'])).toHaveProperty('detail');
  });

  it('a 1xx with chunks', () => {
    expect(judge(['HTTP/1.1 103 x', 'Transfer-Encoding: chunked'])).toHaveProperty('detail');
  });
});

describe('101', () => {
  const line = 'HTTP/1.1 101 Switching Protocols';

  it('H1-11 is passed on when it answers the key', () => {
    const response = accept([line, ...SWITCH, 'Sec-WebSocket-Protocol: a'], 'GET', KEY);
    expect(response).toMatchObject({ switched: true, interim: false, body: { kind: 'none' } });
    expect(written(response)).toEqual([
      line,
      `Sec-WebSocket-Accept: ${ACCEPT}`,
      'Sec-WebSocket-Protocol: a',
      'Connection: Upgrade',
      'Upgrade: websocket',
      '',
      '',
    ]);
  });

  it.each([
    ['nobody asked', line, SWITCH, undefined],
    ['another key', line, SWITCH, 'AAAAAAAAAAAAAAAAAAAAAA=='],
    ['no Accept', line, SWITCH.slice(0, 2), KEY],
    ['two Accepts', line, [...SWITCH, SWITCH[2] ?? ''], KEY],
    ['no Upgrade', line, [SWITCH[0] ?? '', SWITCH[2] ?? ''], KEY],
    ['another protocol', line, ['Connection: upgrade', 'Upgrade: h2c', SWITCH[2] ?? ''], KEY],
    ['no Connection', line, SWITCH.slice(1), KEY],
    ['HTTP/1.0', 'HTTP/1.0 101 x', SWITCH, KEY],
    ['chunks', line, [...SWITCH, 'Transfer-Encoding: chunked'], KEY],
  ])('H1-11 is a fault: %s', (_, first, lines, key) => {
    expect(judge([first, ...lines], 'GET', key)).toHaveProperty('detail');
  });

  it('H1-11 may be declined: the connection stays HTTP', () => {
    const response = accept(['HTTP/1.1 426 x', 'Upgrade: h2c', 'Content-Length: 0'], 'GET', KEY);
    expect(response).toMatchObject({ switched: false, fields: [], keepAlive: true });
  });
});

const STATUS_LINES = [
  'HTTP/1.1 200 OK',
  'HTTP/1.1 204 No',
  'HTTP/1.0 200 ',
  'HTTP/1.1 101 S',
  'HTTP/1.1 304',
];
const LINES = [
  ...[
    'Content-Length: 5',
    'Content-Length: 05',
    'Transfer-Encoding: chunked',
    'A: b',
    'Set-Cookie: x',
  ],
  ...['Connection: close', 'Connection: A', 'Trailer: a', 'Upgrade: websocket', 'X-Waygate-Via: x'],
  ...SWITCH,
];
const CANONICAL =
  /^HTTP\/1\.1 [1-5][0-9][0-9] [\t -~\x80-\xff]*\r\n([!#-'*+.^-z|~0-9A-Z-]+: ([!-~\x80-\xff]([\t -~\x80-\xff]*[!-~\x80-\xff])?)?\r\n)*\r\n$/;

it('H1-15 any bytes become nothing, or one canonical head', () => {
  let heads = 0;
  const responses = fc.record({
    line: fc.constantFrom(...STATUS_LINES),
    lines: fc.array(fc.constantFrom(...LINES), { maxLength: 5 }),
    at: fc.nat(150),
    put: fc.constantFrom(
      '',
      '',
      '\r\n',
      '\n',
      '\r',
      '\0',
      ' ',
      ':',
      'HTTP/1.1 200 OK\r\n\r\n',
      '\xe4',
    ),
    method: fc.constantFrom('GET', 'HEAD'),
  });
  fc.assert(
    fc.property(responses, ({ line, lines, at, put, method }) => {
      const text = `${[line, ...lines].join('\r\n')}\r\n\r\n`;
      const place = at % text.length;
      const head = parseResponseHead(text.slice(0, place) + put + text.slice(place));
      if ('detail' in head) return;
      const response = judgeResponse(head, method, KEY);
      if ('detail' in response) return;
      heads += 1;
      const out = writeResponseHead(response, { close: false });
      expect(out).toMatch(CANONICAL);
      expect(out.match(/^(content-length|transfer-encoding):/gim)?.length ?? 0).toBeLessThan(2);
      expect(out).not.toMatch(/^x-waygate/im);
      expect(/^upgrade:/im.test(out)).toBe(response.switched);
    }),
    { numRuns: 20_000 },
  );
  expect(heads).toBeGreaterThan(2_000);
});
