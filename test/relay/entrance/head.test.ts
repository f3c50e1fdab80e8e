import { describe, expect, it } from 'vitest';
import { fieldKind, fieldValue, judgeFields } from '../../../relay/entrance/fields.ts';
import {
  HEAD_LIMITS,
  headEnd,
  headStart,
  parseRequestHead,
  parseResponseHead,
  partialHeadFault,
} from '../../../relay/entrance/head.ts';

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

describe('the bounds of a head', () => {
  it('are found, also when the search is resumed at any byte', () => {
    const text = 'GET / HTTP/1.1\r\nHost: a\r\n\r\nrest';
    const end = text.length - 4;
    expect(headEnd(latin1(text), 0)).toBe(end);
    for (let at = 0; at < end; at += 1) {
      expect(headEnd(latin1(text.slice(0, at)), 0)).toBe(-1);
      expect(headEnd(latin1(text), Math.max(0, at - 3))).toBe(end);
    }
  });

  it('leave out one empty line before, not two', () => {
    expect(headStart(latin1('GET'), 0)).toBe(0);
    expect(headStart(latin1('\r\nGET'), 0)).toBe(2);
    expect(headStart(latin1('\r'), 0)).toBe(0);
    expect(headStart(latin1('\n\nGET'), 0)).toBe(0);
    expect(headStart(latin1('x\r\n\r\nGET'), 1)).toBe(3);
  });
});

describe('a head whose end has not come', () => {
  it.each([
    ['a bare LF', 'GET / HTTP/1.1\nHost: a\n\n', 400],
    ['a bare LF after a right line', 'GET / HTTP/1.1\r\nHost: a\n', 400],
    ['a second empty line', '\r\n', 400],
    ['HTTP/0.9', 'GET /\r\n', 400],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n', 505],
    ['too many bytes of a target', `GET /${'a'.repeat(HEAD_LIMITS.headBytesMax)}`, 414],
    ['too many bytes', `GET / HTTP/1.1\r\nA: ${'a'.repeat(HEAD_LIMITS.headBytesMax)}`, 431],
  ])('H1-17 is refused at once for %s', (_, text, status) => {
    expect(partialHeadFault(latin1(text), 0, 0)?.status).toBe(status);
  });

  it('is waited for while nothing is wrong', () => {
    const text = '\r\nGET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r';
    for (let length = 2; length <= text.length; length += 1) {
      expect(partialHeadFault(latin1(text.slice(0, length)), 2, 2)).toBe(undefined);
    }
  });

  it('is judged from where the search is resumed', () => {
    const text = 'GET / HTTP/1.1\r\nA: b\nC: d';
    expect(partialHeadFault(latin1(text), 0, text.indexOf('\n', 20))?.status).toBe(400);
    expect(partialHeadFault(latin1(text), 0, text.indexOf('C'))).toBe(undefined);
  });
});

describe('a request head', () => {
  it('is read into its parts', () => {
    const text = 'POST /a?b HTTP/1.0\r\nHost:a\r\nX-Empty:\r\nx-Case: \t b \tc\xe4\t \r\n\r\n';
    expect(parseRequestHead(text)).toEqual({
      method: 'POST',
      target: '/a?b',
      version: '1.0',
      fields: ['Host', 'a', 'X-Empty', '', 'x-Case', 'b \tc\xe4'],
    });
    expect(parseRequestHead('GET / HTTP/1.1\r\n\r\n')).toMatchObject({ fields: [] });
  });

  it('H1-13 has limits', () => {
    const line = (bytes: number) => `GET /${'a'.repeat(bytes - 1)} HTTP/1.1\r\n\r\n`;
    expect(parseRequestHead(line(8_192))).toHaveProperty('target');
    expect(parseRequestHead(line(8_193))).toHaveProperty('status', 414);
    const fields = (count: number) => `GET / HTTP/1.1\r\n${'a: b\r\n'.repeat(count)}\r\n`;
    expect(parseRequestHead(fields(100))).toHaveProperty('fields.length', 200);
    expect(parseRequestHead(fields(101))).toHaveProperty('status', 431);
    const head = 'GET / HTTP/1.1\r\nA: \r\n\r\n';
    const sized = (bytes: number) => head.replace('A: ', `A: ${'a'.repeat(bytes - head.length)}`);
    expect(parseRequestHead(sized(16_384))).toHaveProperty('fields');
    expect(parseRequestHead(sized(16_385))).toHaveProperty('status', 431);
  });

  it('never lets characters beyond latin1 through', () => {
    expect(parseRequestHead('GET / HTTP/1.1\r\nA: \u010d\r\n\r\n')).toHaveProperty('status', 400);
    expect(parseRequestHead('GET /\u012f HTTP/1.1\r\n\r\n')).toHaveProperty('status', 400);
  });

  it.each([
    '',
    'GET / HTTP/1.1',
    'GET / HTTP/1.1\r\n',
    'GET / HTTP/1.1\r\nA: b\r\n',
    'GET / HTTP/1.1\r\nA: b',
    'GET / HTTP/1.1\r\nA: b\r\n\r\nC: d\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n\r\n',
  ])('must end with its empty line: %j', (text) => {
    expect(parseRequestHead(text)).toHaveProperty('status', 400);
  });

  it('must have a target', () => {
    expect(parseRequestHead('GET  HTTP/1.1\r\n\r\n')).toHaveProperty('status', 400);
  });

  it('is refused in words that repeat nothing of it', () => {
    const texts = ['SECRET@ / HTTP/1.1', 'GET /SECRET\0 HTTP/1.1', 'GET / HTTP/1.1\r\nSECRET : x'];
    for (const text of [...texts, 'GET / SECRET/1.1', 'GET / HTTP/1.1\r\nA: SECRET\0']) {
      const fault = parseRequestHead(`${text}\r\n\r\n`);
      expect(fault).toHaveProperty('detail');
      expect(JSON.stringify(fault)).not.toMatch(/secret/i);
    }
  });
});

describe('a response head', () => {
  it('is read into its parts', () => {
    expect(parseResponseHead('HTTP/1.1 404 Not \xe4 Found\r\nA: b\r\n\r\n')).toEqual({
      version: '1.1',
      status: 404,
      reason: 'Not \xe4 Found',
      fields: ['A', 'b'],
    });
    expect(parseResponseHead('HTTP/1.0 200 \r\n\r\n')).toMatchObject({
      version: '1.0',
      reason: '',
    });
    expect(parseResponseHead('HTTP/1.1 200\r\n\r\n')).toMatchObject({ status: 200, reason: '' });
  });

  it.each([
    'HTTP/1.1 099 x',
    'HTTP/1.1 600 x',
    'HTTP/1.1 20 x',
    'HTTP/1.1 2000 x',
    'HTTP/1.1 20x x',
    'HTTP/1.1 +20 x',
    'HTTP/1.1  200 x',
    'HTTP/1.1\t200 x',
    'HTTP/1.1 200\tx',
    'HTTP/1.2 200 x',
    'HTTP/2 200',
    'http/1.1 200 x',
    'ICY 200 OK',
    ' HTTP/1.1 200 x',
    'HTTP/1.1 200 a\rb',
    'HTTP/1.1 200 a\nb',
    'HTTP/1.1 200 a\0b',
    `HTTP/1.1 200 ${'r'.repeat(257)}`,
    'HTTP/1.1 200 x\r\nA : b',
    'HTTP/1.1 200 x\r\nA: b\r\n c',
    'HTTP/1.1 200 x\r\nA: b\nC: d',
    'HTTP/1.1 200 x\r\nA: b\rC: d',
    'HTTP/1.1 200 x\r\n: b',
    `HTTP/1.1 200 x\r\nA: ${'a'.repeat(16_384)}`,
    `HTTP/1.1 200 x${'\r\nA: b'.repeat(101)}`,
  ])('H1-15 is refused: %.60j', (text) => {
    expect(parseResponseHead(`${text}\r\n\r\n`)).toHaveProperty('detail');
  });
});

describe('fields', () => {
  it('are found by name in any case', () => {
    expect(fieldValue(['Accept', 'a', 'ACCEPT', 'b'], 'accept')).toBe('a');
    expect(fieldValue(['Accept-X', 'a'], 'accept')).toBe(undefined);
  });

  it('H1-9 are known in any case and with any sign for a hyphen', () => {
    const dropped = 'Forwarded X-Real-IP X-Forwarded-Anything CF-Ray True-Client-IP X-Client-IP';
    for (const name of `${dropped} X-Cluster-Client-IP Fastly-Client-IP`.split(' ')) {
      for (const spelled of spellings(name)) expect(fieldKind(spelled)).toBe('forwarding');
    }
    for (const name of spellings('X-Waygate-Trust')) expect(fieldKind(name)).toBe('ours');
    for (const name of spellings('Proxy-Connection')) expect(fieldKind(name)).toBe('hop');
    expect(fieldKind('CONTENT-length')).toBe('content-length');
    expect(fieldKind('Content_Length')).toBe('alias');
    expect(fieldKind('Transfer.Encoding')).toBe('alias');
  });

  it('H1-14 with names of object members mean nothing', () => {
    for (const name of ['__proto__', 'constructor', 'x', 'c', 'X-Forwar', 'cf']) {
      expect(fieldKind(name)).toBe('plain');
    }
  });

  it('H2-6 that came another way obey the same rules', () => {
    expect(judgeFields(['a', 'b\t\xe4', 'c', ''], 2)).toBe(undefined);
    expect(judgeFields(['a', 'b', 'c', ''], 1)?.status).toBe(431);
    for (const name of ['', 'a b', 'a:', ':a', 'a\r\n', '\xe4']) {
      expect(judgeFields([name, 'b'], 9)?.status).toBe(400);
    }
    for (const value of ['a\r\nb', '\0', 'a\nb', '\u0100', '\x7f']) {
      expect(judgeFields(['a', value], 9)?.status).toBe(400);
    }
  });
});

function spellings(name: string): string[] {
  const other = [name.replaceAll('-', '_'), name.replaceAll('-', '.'), name.replace('-', '_')];
  return [name, name.toUpperCase(), name.toLowerCase(), ...other];
}
