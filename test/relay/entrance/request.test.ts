import { describe, expect, it } from 'vitest';
import { parseRequestHead } from '../../../relay/entrance/head.ts';
import {
  type EntranceRequest,
  judgeRequest,
  writeRequestHead,
} from '../../../relay/entrance/request.ts';
import { forwardingLines, type Visitor } from '../../../relay/entrance/visitor.ts';

const HOSTNAME = 'a.vendor.dev';
const VISITOR: Visitor = {
  address: '203.0.113.7',
  port: 50_000,
  hostname: HOSTNAME,
  trust: 0,
  via: 'relay',
};
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

function judge(...lines: string[]) {
  const head = parseRequestHead(`${lines.join('\r\n')}\r\n\r\n`);
  if ('detail' in head) throw new Error(head.detail);
  return judgeRequest(head, HOSTNAME);
}

function accept(...lines: string[]): EntranceRequest {
  const request = judge(...lines);
  if ('detail' in request) throw new Error(request.detail);
  return request;
}

function get(...lines: string[]): EntranceRequest {
  return accept('GET / HTTP/1.1', `Host: ${HOSTNAME}`, ...lines);
}

function written(request: EntranceRequest): string[] {
  return writeRequestHead(request, forwardingLines(VISITOR)).split('\r\n');
}

describe('what a workspace gets', () => {
  it('is the request in canonical form, with our fields last', () => {
    const request = accept(
      'POST /a?b=%2F HTTP/1.1',
      'accept:*/*',
      'HOST: A.Vendor.DEV.:8443',
      'Content-Length: 5',
      'X-Twice: 1',
      'x-twice: 2 ',
      'Connection: keep-alive, X-Hop',
      'x-hop: gone',
      'Keep-Alive: timeout=5',
    );
    expect(written(request)).toEqual([
      'POST /a?b=%2F HTTP/1.1',
      'Host: a.vendor.dev:8443',
      'accept: */*',
      'X-Twice: 1',
      'x-twice: 2',
      'X-Waygate-Via: relay',
      'X-Waygate-Trust: 0',
      'X-Forwarded-For: 203.0.113.7',
      'X-Forwarded-Proto: https',
      'Forwarded: for=203.0.113.7;proto=https;host="a.vendor.dev:8443"',
      'X-Forwarded-Host: a.vendor.dev:8443',
      'Content-Length: 5',
      '',
      '',
    ]);
  });

  it('H1-2 has one framing', () => {
    const post = ['POST / HTTP/1.1', `Host: ${HOSTNAME}`];
    const chunked = accept(...post, 'transfer-encoding: Chunked');
    expect(chunked.body).toEqual({ kind: 'chunked' });
    expect(written(chunked).slice(-3)).toEqual(['Transfer-Encoding: chunked', '', '']);
    expect(accept(...post).body).toEqual({ kind: 'none' });
    expect(accept(...post, 'Content-Length: 9007199254740991').body).toHaveProperty(
      'bytes',
      Number.MAX_SAFE_INTEGER,
    );
  });

  it('N-1 says of the visitor only what we say', () => {
    const names = 'Forwarded X-Forwarded-For x_forwarded_host X-Forwarded-User X-Real-IP x_real_ip';
    const others = 'CF-Connecting-IP CF-IPCountry CF-Ray CF-Visitor True-Client-IP X-Client-IP';
    const more = 'X-Cluster-Client-IP Fastly-Client-IP X-Waygate-Trust X_Waygate_Assertion Proxy';
    const lines = `${names} ${others} ${more}`.split(' ').map((name) => `${name}: lie`);
    const request = get('A: b', ...lines, 'C: d');
    expect(request.fields).toEqual(['A', 'b', 'C', 'd']);
    expect(written(request).join()).not.toContain('lie');
  });

  it.each([
    ['2001:DB8::1', '2001:db8::1', '"[2001:db8::1]"'],
    ['fe80::1%eth0', 'fe80::1', '"[fe80::1]"'],
    ['::ffff:192.0.2.1', '192.0.2.1', '192.0.2.1'],
    ['', 'unknown', 'unknown'],
    ['1.2.3.4\r\nX: y', 'unknown', 'unknown'],
  ])('N-7 writes the address %j', (address, plain, node) => {
    const lines = forwardingLines({ ...VISITOR, address, via: 'lan' }).split('\r\n');
    expect(lines).toContain(`X-Forwarded-For: ${plain}`);
    expect(lines).toContain('X-Waygate-Via: lan');
    expect(lines.at(-1)).toBe(`Forwarded: for=${node};proto=https`);
  });

  it('H1-8 keeps our fields whatever Connection names', () => {
    const request = get(
      'Connection: close, X-Auth-User, x-a',
      'X-A: 1',
      'X-AUTH-USER: root',
      'B: c',
    );
    expect(request.fields).toEqual(['B', 'c']);
    expect(request.keepAlive).toBe(false);
    expect(written(request)).toContain('Connection: close');
    expect(written(request)).toContain('X-Waygate-Trust: 0');
  });

  it('H1-10 announces only trailers that are passed on', () => {
    const chunked = (...lines: string[]) =>
      accept('POST / HTTP/1.1', `Host: ${HOSTNAME}`, 'Transfer-Encoding: chunked', ...lines).fields;
    expect(chunked('Trailer: grpc-status, Server-Timing')).toEqual([
      'Trailer',
      'grpc-status, Server-Timing',
    ]);
    expect(chunked('Trailer: grpc-status, Content-Length')).toEqual([]);
    expect(get('Trailer: grpc-status').fields).toEqual([]);
    const te = written(get('TE: gzip, Trailers', 'Connection: TE'));
    expect(te.slice(-4)).toEqual(['Connection: TE', 'TE: trailers', '', '']);
    expect(written(get('TE: gzip')).join()).not.toContain('TE: ');
  });

  it('stays HTTP/1.0 for a visitor of HTTP/1.0', () => {
    const lines = [
      'POST / HTTP/1.0',
      `Host: ${HOSTNAME}`,
      'Connection: keep-alive',
      'TE: trailers',
    ];
    const request = accept(...lines, 'Content-Length: 5', 'Expect: 100-continue');
    expect(request).toMatchObject({ version: '1.0', keepAlive: false, expectContinue: false });
    expect(written(request)[0]).toBe('POST / HTTP/1.0');
    expect(written(request).slice(-3)).toEqual(['Connection: close', '', '']);
  });

  it('H1-6 has Expect only where a body waits for it', () => {
    const post = ['POST / HTTP/1.1', `Host: ${HOSTNAME}`, 'Expect: 100-Continue'];
    const request = accept(...post, 'Content-Length: 5');
    expect(request.expectContinue).toBe(true);
    expect(written(request)).toContain('Expect: 100-continue');
    expect(accept(...post, 'Transfer-Encoding: chunked').expectContinue).toBe(true);
    expect(accept(...post, 'Content-Length: 0').expectContinue).toBe(false);
    expect(get('Expect: 100-continue').expectContinue).toBe(false);
  });
});

describe('the host and the target', () => {
  it.each([
    ['/a', 'A.VENDOR.dev.', '/a', 'a.vendor.dev'],
    ['//x/../%2e', 'a.vendor.dev:1', '//x/../%2e', 'a.vendor.dev:1'],
    ['https://a.vendor.dev/x?y', 'A.vendor.dev', '/x?y', 'a.vendor.dev'],
    ['HTTP://A.vendor.dev.:8443?y/', 'a.vendor.dev:8443', '/?y/', 'a.vendor.dev:8443'],
    ['https://a.vendor.dev', 'a.vendor.dev', '/', 'a.vendor.dev'],
  ])('H1-3 H1-4 %s for %s are canonical', (target, host, sentTarget, sentHost) => {
    const request = accept(`GET ${target} HTTP/1.1`, `Host: ${host}`);
    expect(request).toMatchObject({ target: sentTarget, host: sentHost });
  });

  it('H1-4 H1-17 are judged also when a head came another way than as text', () => {
    const head = {
      method: 'GET',
      target: '/',
      version: '1.1',
      fields: ['Host', HOSTNAME],
    } as const;
    for (const target of ['', '/a b', '/\r\nX: y', '/\u0100', '*']) {
      expect(judgeRequest({ ...head, target }, HOSTNAME)).toHaveProperty('status', 400);
    }
    for (const method of ['', 'G T', 'GET\r\n', 'get']) {
      expect(judgeRequest({ ...head, method }, HOSTNAME)).toHaveProperty('status', 400);
    }
    expect(judgeRequest({ ...head, fields: [] }, HOSTNAME)).toHaveProperty('status', 400);
  });

  it('H1-17 a refusal says what the answer needs', () => {
    const refusal = judge('TRACE / HTTP/1.1', `Host: ${HOSTNAME}`);
    expect(refusal).toMatchObject({
      status: 405,
      fields: ['Allow', expect.stringContaining('GET')],
    });
  });
});

describe('WebSocket', () => {
  const ask = [
    'Connection: keep-alive, Upgrade',
    'Upgrade: WebSocket',
    'Sec-WebSocket-Version: 13',
  ];

  it('H1-11 is asked for in canonical form', () => {
    const request = get(...ask, `Sec-WebSocket-Key: ${KEY}`, 'Sec-WebSocket-Protocol: a');
    expect(request.websocketKey).toBe(KEY);
    const lines = written(request);
    expect(lines).toContain(`Sec-WebSocket-Key: ${KEY}`);
    expect(lines).toContain('Sec-WebSocket-Protocol: a');
    expect(lines.slice(-4)).toEqual(['Connection: Upgrade', 'Upgrade: websocket', '', '']);
  });

  it.each([
    ['foo', ['Connection: Upgrade', 'Upgrade: foo']],
    ['h2c', ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AA']],
    ['two protocols', [...ask, 'Upgrade: h2c', `Sec-WebSocket-Key: ${KEY}`]],
    ['a length', [...ask, `Sec-WebSocket-Key: ${KEY}`, 'Content-Length: 0']],
    ['chunks', [...ask, `Sec-WebSocket-Key: ${KEY}`, 'Transfer-Encoding: chunked']],
    ['no Connection', [...ask.slice(1), `Sec-WebSocket-Key: ${KEY}`]],
  ])('H1-11 goes on as plain HTTP: %s', (_, lines) => {
    const request = get(...lines);
    expect(request.websocketKey).toBe(undefined);
    expect(written(request).join('\n')).not.toMatch(/^(upgrade|connection|http2-settings):/im);
  });

  it('H1-11 goes on as plain HTTP: another method, HTTP/1.0', () => {
    for (const line of ['POST / HTTP/1.1', 'HEAD / HTTP/1.1', 'GET / HTTP/1.0']) {
      const request = accept(line, `Host: ${HOSTNAME}`, ...ask, `Sec-WebSocket-Key: ${KEY}`);
      expect(request.websocketKey).toBe(undefined);
    }
  });

  it('H1-11 of another version is refused, and told which', () => {
    const lines = [...ask.slice(0, 2), 'Sec-WebSocket-Version: 8', `Sec-WebSocket-Key: ${KEY}`];
    expect(judge('GET / HTTP/1.1', `Host: ${HOSTNAME}`, ...lines)).toMatchObject({
      status: 426,
      fields: ['Upgrade', 'websocket', 'Sec-WebSocket-Version', '13'],
    });
  });
});

it('H1-14 a field named __proto__ is a field', () => {
  expect(get('__proto__: x', 'constructor: y').fields).toEqual([
    '__proto__',
    'x',
    'constructor',
    'y',
  ]);
});
