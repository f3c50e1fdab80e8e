import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BODY_LIMITS,
  type Body,
  BodyReader,
  type BodySink,
  CRLF,
  chunkHead,
  LAST_CHUNK,
  writeTrailers,
} from '../../../relay/entrance/body.ts';

class Kept implements BodySink {
  text = '';
  slices: Buffer[] = [];
  trailers: (readonly string[])[] = [];

  bodyBytes(slice: Buffer): void {
    this.slices.push(slice);
    this.text += slice.toString('latin1');
  }

  bodyTrailers(fields: readonly string[]): void {
    this.trailers.push(fields);
  }
}

const CHUNKED: Body = { kind: 'chunked' };

/** Reads all the pieces; `rest` is what does not belong to the body. */
function read(body: Body, pieces: readonly Buffer[], reader = new BodyReader()) {
  const kept = new Kept();
  reader.start(body);
  let rest = '';
  for (const piece of pieces) {
    rest += piece.toString('latin1', reader.read(piece, 0, kept));
  }
  return { reader, kept, rest };
}

function readText(body: Body, text: string) {
  return read(body, [Buffer.from(text, 'latin1')]);
}

describe('a body with a length', () => {
  it('ends where its length says, and leaves the rest', () => {
    const { reader, kept, rest } = readText({ kind: 'length', bytes: 5 }, 'helloGET /');
    expect(reader.done).toBe(true);
    expect([kept.text, rest]).toEqual(['hello', 'GET /']);
  });

  it('is nothing when it is 0, or there is none', () => {
    for (const body of [{ kind: 'length', bytes: 0 }, { kind: 'none' }] as const) {
      const { reader, kept, rest } = readText(body, 'GET /');
      expect(reader.done).toBe(true);
      expect([kept.slices.length, rest]).toEqual([0, 'GET /']);
    }
  });

  it('is handed on without a copy, from any offset', () => {
    const bytes = Buffer.from('..hello..');
    const reader = new BodyReader();
    const kept = new Kept();
    reader.start({ kind: 'length', bytes: 5 });
    expect(reader.read(bytes, 2, kept)).toBe(7);
    expect(kept.slices[0]?.buffer).toBe(bytes.buffer);
    reader.start({ kind: 'length', bytes: 10 });
    expect(reader.read(bytes, 0, kept)).toBe(bytes.length);
    expect(kept.slices[1]).toBe(bytes);
    expect(reader.done).toBe(false);
  });
});

it('a body that ends with the connection takes all, and is never done', () => {
  const { reader, kept, rest } = readText({ kind: 'close' }, 'HTTP/1.1 200 OK');
  expect(reader.done).toBe(false);
  expect([kept.text, rest]).toEqual(['HTTP/1.1 200 OK', '']);
});

describe('a chunked body', () => {
  it('H1-2 is handed on as it comes, not chunk by chunk', () => {
    const reader = new BodyReader();
    const kept = new Kept();
    reader.start(CHUNKED);
    reader.read(Buffer.from('ffffffff\r\nfirst'), 0, kept);
    expect(kept.text).toBe('first');
    reader.read(Buffer.from('second'), 0, kept);
    expect(kept.text).toBe('firstsecond');
    expect(reader.done).toBe(false);
  });

  it('H1-2 is read alike however it is cut, and ends at its end', () => {
    const chunk = fc.uint8Array({ minLength: 1, maxLength: 40 });
    const extension = fc.constantFrom('', '', ';a', ';a=b', ';a="\\";x";c');
    const parts = fc.array(fc.tuple(chunk, extension), { maxLength: 6 });
    const trailers = fc.constantFrom('', 'grpc-status: 0\r\n', 'Host: x\r\ngrpc-status: 0\r\n');
    const rest = fc.constantFrom('', 'GET / HTTP/1.1\r\n\r\n', '\r\n', '0\r\n\r\n');
    fc.assert(
      fc.property(parts, trailers, rest, fc.array(fc.nat(300)), (chunks, lines, after, cuts) => {
        const texts = chunks.map(([data, more]) =>
          Buffer.concat([
            Buffer.from(`${data.length.toString(16)}${more}\r\n`),
            data,
            Buffer.from(CRLF),
          ]),
        );
        const bytes = Buffer.concat([...texts, Buffer.from(`0\r\n${lines}\r\n${after}`)]);
        const result = read(CHUNKED, cut(bytes, cuts));
        expect(result.reader.fault).toBe(undefined);
        expect(result.reader.done).toBe(true);
        expect(result.rest).toBe(after);
        const data = Buffer.concat(chunks.map(([piece]) => piece));
        expect(result.kept.text).toBe(data.toString('latin1'));
        expect(result.kept.trailers).toEqual(lines === '' ? [] : [['grpc-status', '0']]);
      }),
      { numRuns: 5_000 },
    );
  });

  it('H1-2 is never done before its last byte', () => {
    const text = '5;a="b"\r\nhello\r\n0\r\ngrpc-status: 0\r\n\r\n';
    for (let length = 0; length < text.length; length += 1) {
      const { reader } = readText(CHUNKED, text.slice(0, length));
      expect([reader.done, reader.fault]).toEqual([false, undefined]);
    }
    const single = [...text].map((byte) => Buffer.from(byte));
    expect(read(CHUNKED, single).reader.done).toBe(true);
  });

  it('H1-2 has a size for each chunk', () => {
    for (const text of ['\r\n\r\n', ';a\r\n\r\n', '1\r\na\r\n\r\n\r\n']) {
      expect(readText(CHUNKED, text).reader.fault).toContain('no size');
    }
  });

  it('H1-2 takes sizes up to 2^53 - 1', () => {
    expect(readText(CHUNKED, '1fffffffffffff\r\nx').kept.text).toBe('x');
    expect(readText(CHUNKED, '001fffffffffffff\r\nx').kept.text).toBe('x');
    expect(readText(CHUNKED, '20000000000000').reader.fault).toContain('too large');
    expect(readText(CHUNKED, '00000000000000001').reader.fault).toContain('too large');
  });

  it('H1-13 has bounds for extensions and trailers', () => {
    const extension = (bytes: number) => `1;${'x'.repeat(bytes - 1)}\r\na`;
    expect(readText(CHUNKED, extension(BODY_LIMITS.extensionBytesMax)).kept.text).toBe('a');
    const long = readText(CHUNKED, `1;${'x'.repeat(BODY_LIMITS.extensionBytesMax)}`);
    expect(long.reader.fault).toContain('extension');
    const trailer = (bytes: number) => `0\r\na: ${'x'.repeat(bytes - 7)}\r\n\r\n`;
    expect(readText(CHUNKED, trailer(BODY_LIMITS.trailerBytesMax)).reader.done).toBe(true);
    expect(readText(CHUNKED, trailer(BODY_LIMITS.trailerBytesMax + 1)).reader.fault).toContain(
      'large',
    );
    const endless = [
      Buffer.from('0\r\n'),
      ...Array.from({ length: 9 }, () => Buffer.alloc(1_000, 97)),
    ];
    expect(read(CHUNKED, endless).reader.fault).toContain('large');
  });

  it('H1-10 ends with only those trailers that may be passed on', () => {
    const lines =
      'Host: a\r\nAuthorization: b\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n';
    const { kept } = readText(
      CHUNKED,
      `0\r\n${lines}GRPC-Status: 0\r\ngrpc-message:\r\nX-A: b\r\n\r\n`,
    );
    expect(kept.trailers).toEqual([['GRPC-Status', '0', 'grpc-message', '']]);
    expect(readText(CHUNKED, `0\r\n${lines}\r\n`).kept.trailers).toEqual([]);
  });

  it('H1-2 stops at a fault, and starts anew', () => {
    const reader = new BodyReader();
    const broken = read(CHUNKED, [Buffer.from('5\r\nhelloXX'), Buffer.from('0\r\n\r\n')], reader);
    expect(broken.reader.fault).toContain('longer');
    expect([broken.reader.done, broken.kept.text]).toEqual([false, 'hello']);
    const next = read(CHUNKED, [Buffer.from('1\r\na\r\n0\r\n\r\n')], reader);
    expect([next.reader.fault, next.reader.done, next.kept.text]).toEqual([undefined, true, 'a']);
    read(CHUNKED, [Buffer.from('1;abc')], reader);
    expect(read({ kind: 'length', bytes: 2 }, [Buffer.from('abc')], reader).rest).toBe('c');
  });
});

it('chunked coding is written in canonical form', () => {
  expect(chunkHead(255)).toBe('ff\r\n');
  expect(writeTrailers([])).toBe(LAST_CHUNK);
  expect(writeTrailers(['a', 'b', 'c', ''])).toBe('0\r\na: b\r\nc: \r\n\r\n');
  const text = `${chunkHead(5)}hello${CRLF}${writeTrailers(['grpc-status', '0'])}`;
  expect(readText(CHUNKED, text).kept).toMatchObject({
    text: 'hello',
    trailers: [['grpc-status', '0']],
  });
});

function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const ends = [...cuts.filter((at) => at < bytes.length), bytes.length].sort((a, b) => a - b);
  return ends.map((end, at) => bytes.subarray(at === 0 ? 0 : ends[at - 1], end));
}
