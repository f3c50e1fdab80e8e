import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeFields } from '../../../relay/entrance/fields.ts';
import { readHttp2Head } from '../../../relay/entrance/http2-head.ts';

const HEAD = [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', 'a.test'];

/** Node's own HTTP/2 refuses most of these before; our rules do not rely on it. */
describe('H2-6 a head that only the rules stand against', () => {
  const cases: Record<string, readonly string[]> = {
    'CR LF in a value': [...HEAD, 'x-a', 'b\r\nx: y'],
    'NUL in a value': [...HEAD, 'x-a', 'b\0'],
    'a character beyond latin1': [...HEAD, 'x-a', 'b\u010dc'],
    'a colon in a name': [...HEAD, 'x-a:', 'b'],
    'an empty name': [...HEAD, '', 'b'],
    'upper case in a name': [...HEAD, 'X-A', 'b'],
    'CR LF in the authority': [...HEAD.slice(0, -1), 'a.test\r\nx: y'],
    'a path in absolute form': HEAD.with(5, 'https://a.test/'),
    'a star': HEAD.with(5, '*'),
    'two Hosts': [...HEAD, 'host', 'a.test', 'host', 'a.test'],
    'another Host': [...HEAD, 'host', 'b.test'],
    'Transfer-Encoding': [...HEAD, 'transfer-encoding', 'chunked'],
    Connection: [...HEAD, 'connection', 'x-a'],
    Upgrade: [...HEAD, 'upgrade', 'websocket'],
    'a length without a body': [...HEAD, 'content-length', '5'],
    'too many fields': [
      ...HEAD,
      ...Array.from({ length: 101 }, (_, at) => [`x-${at}`, 'y']).flat(),
    ],
    'too long a field': [...HEAD, 'x-a', 'y'.repeat(16_384)],
    'too long a path': HEAD.with(5, `/${'a'.repeat(8_192)}`),
    'a pseudo-header behind a field': [...HEAD.slice(0, 6), 'x-a', 'b', ...HEAD.slice(6)],
    'two methods': [...HEAD, ':method', 'POST'],
    'extended CONNECT': [...HEAD, ':protocol', 'websocket'],
  };
  for (const [what, raw] of Object.entries(cases)) {
    it(`${what} is refused`, () => expect(readHttp2Head(raw, true)).toHaveProperty('detail'));
  }

  it('nothing makes it throw, and what it accepts has only fields of a head', () => {
    const name = fc.oneof(
      fc.constantFrom('x-a', 'cookie', 'host', ':path', ':method', 'te', 'content-length'),
      fc.string({ unit: 'binary', maxLength: 8 }),
    );
    const pairs = fc.array(fc.tuple(name, fc.string({ unit: 'binary', maxLength: 8 })));
    fc.assert(
      fc.property(pairs, fc.boolean(), (extra, bodiless) => {
        const head = readHttp2Head([...HEAD, ...extra.flat()], bodiless);
        if ('detail' in head) return;
        expect(head).toMatchObject({ method: 'GET', target: '/', version: '1.1' });
        expect(judgeFields(head.fields, 102)).toBeUndefined();
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a good head', () => {
  it('is that of an HTTP/1.1 request', () => {
    const raw = [...HEAD, 'cookie', 'a=1', 'accept', '*/*', 'cookie', 'b=2', 'host', 'A.test'];
    expect(readHttp2Head(raw, true)).toEqual({
      method: 'GET',
      target: '/',
      version: '1.1',
      fields: ['accept', '*/*', 'cookie', 'a=1; b=2', 'Host', 'a.test'],
    });
  });

  it('says how its body is framed', () => {
    const post = HEAD.with(1, 'POST');
    const fieldsOf = (raw: readonly string[], bodiless: boolean): readonly string[] => {
      const head = readHttp2Head(raw, bodiless);
      return 'detail' in head ? [] : head.fields.slice(-2);
    };
    expect(fieldsOf(post, false)).toEqual(['Transfer-Encoding', 'chunked']);
    expect(fieldsOf(post, true)).toEqual(['Content-Length', '0']);
    expect(fieldsOf([...post, 'content-length', '7'], false)).toEqual(['Host', 'a.test']);
    expect(fieldsOf(HEAD, true)).toEqual(['Host', 'a.test']);
  });
});
