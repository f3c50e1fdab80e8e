// The smuggling corpus: which body belongs to which head (H1-1, -2, -5, -7, -10, -13).
import {
  accepted,
  CHUNKED,
  chunks,
  each,
  CORPUS_HOSTNAME as H,
  HELLO,
  NEXT,
  post,
  type Row,
  raw,
  refused,
  type SmugglingCase,
} from './smuggling-case.ts';

export const framingCases: SmugglingCase[] = [
  ...refused('H1-1', 400, [
    ['CL.TE', post(`0\r\n\r\n${NEXT}`, 'Content-Length: 6', CHUNKED)],
    ['TE.CL', post(`5c\r\n${NEXT}\r\n0\r\n\r\n`, CHUNKED, 'Content-Length: 4')],
    ['CL 0 and TE', post(HELLO, 'Content-Length: 0', CHUNKED)],
    ['empty CL and TE', post(HELLO, 'Content-Length:', CHUNKED)],
    ['lower case CL and TE', post(HELLO, 'content-length: 15', 'transfer-encoding: chunked')],
    ['two equal lengths', post('hello', 'Content-Length: 5', 'Content-Length: 5')],
    ['two lengths', post('hello', 'Content-Length: 5', 'Content-Length: 0')],
    ['two lengths, other cases', post('hello', 'Content-Length: 5', 'CONTENT-LENGTH: 6')],
    ['two codings', post(HELLO, CHUNKED, CHUNKED)],
    ['chunked, then identity', post(HELLO, CHUNKED, 'Transfer-Encoding: identity')],
    ['identity, then chunked', post(HELLO, 'Transfer-Encoding: identity', CHUNKED)],
    ['TE in HTTP/1.0', raw('POST / HTTP/1.0', `Host: ${H}`, CHUNKED) + HELLO],
    ['CL and TE in HTTP/1.0', raw('POST / HTTP/1.0', `Host: ${H}`, CHUNKED, 'Content-Length: 5')],
    ['folded TE value', post(HELLO, 'Transfer-Encoding:\r\n chunked')],
    ['folded TE line', post(HELLO, 'X: y\r\n Transfer-Encoding: chunked')],
    ['bare LF before TE', post(HELLO, 'X: y\nTransfer-Encoding: chunked')],
    ['bare CR before TE', post(HELLO, 'X: y\rTransfer-Encoding: chunked')],
    ['CR CR LF before TE', post(HELLO, 'X: y\r\r\nTransfer-Encoding: chunked')],
    ['the head has bare LFs only', `POST / HTTP/1.1\nHost: ${H}\nContent-Length: 5\n\nhello`],
    ['bare LF at the head end', `POST / HTTP/1.1\r\nHost: ${H}\r\nContent-Length: 5\r\n\nhello`],
    ['LF CR at the head end', `POST / HTTP/1.1\r\nHost: ${H}\r\nContent-Length: 5\r\n\n\r\nhello`],
  ]),
  ...refused('H1-1', 501, [['CL.0', `${post('', 'Content-Length: 0')}hello${NEXT}`]], 1),
  ...refused(
    'H1-1',
    400,
    each(
      'coding',
      [
        'xchunked | chunkedx | identity | gzip | gzip, chunked | chunked, gzip | chunked,',
        ',chunked | chunked, chunked | chunked;q=1 | "chunked" |  | chun\tked | \x0bchunked',
        'chunked\x0b | \xa0chunked | \0chunked | chunked\0 | c hunked | chunked\x0c | cow',
        `chunked identity | 'chunked' | chunke\xe4`,
      ],
      (coding) => post(HELLO, `Transfer-Encoding: ${coding}`),
    ),
  ),
  ...refused(
    'H1-1',
    400,
    each(
      'coding name',
      [
        'Transfer-Encoding  |  Transfer-Encoding | Transfer-Encoding\t | Transfer_Encoding',
        'Transfer.Encoding | Transfer Encoding | Transfer-Encoding\0 | Content_Length',
        '\0Transfer-Encoding | \tTransfer-Encoding | Content-Length  | Content~Length',
      ],
      (name) => post(HELLO, `${name}: ${name.includes('Length') ? '5' : 'chunked'}`),
    ),
  ),
  ...accepted('H1-1', [
    ...each('coding', ['chunked | CHUNKED | Chunked | \tchunked\t |   chunked  '], (coding) =>
      post(HELLO, `Transfer-Encoding: ${coding}`),
    ),
    ['TE.0', raw('OPTIONS / HTTP/1.1', `Host: ${H}`, CHUNKED) + HELLO],
    ['a request as a body', post(NEXT, `Content-Length: ${NEXT.length}`)],
    ['a request as a chunk', chunks(`${NEXT.length.toString(16)}\r\n${NEXT}\r\n0\r\n\r\n`)],
  ]),
  ...accepted(
    'H1-1',
    [
      ['pipelined after a length', post('hello', 'Content-Length: 5') + NEXT],
      ['pipelined after chunks', chunks(HELLO) + NEXT],
      ['an empty line between requests', `${post('hello', 'Content-Length: 5')}\r\n${NEXT}`],
      ['pipelined after length 0', post('', 'Content-Length: 0') + NEXT],
    ],
    2,
  ),
  ...refused(
    'H1-5',
    400,
    each(
      'length',
      [
        '005 | 00 | +5 | -5 | 5 5 | 0x5 | 5,5 | 5, 5 | 5; | 5.0 | 5e0 |  | \xd9\xa5 | 5\0',
        '\x0b5 | 5\x0c | 1_0 | 9007199254740992 | 99999999999999999999',
        '18446744073709551616 | -0 | "5" | 5\xa0 | five | 0 5 | 5\r5 | 5\n5',
      ],
      (length) => post('hello', `Content-Length: ${length}`),
    ),
  ),
  ...accepted(
    'H1-5',
    each('length', [`5 |  5  | \t5 | ${''.padEnd(40) + 5}`], (length) =>
      post('hello', `Content-Length:${length}`),
    ),
  ),
  ...accepted(
    'H1-7',
    ['GET', 'HEAD', 'OPTIONS', 'DELETE', 'PUT'].flatMap((method): Row[] => [
      [
        `${method} with a length`,
        `${raw(`${method} / HTTP/1.1`, `Host: ${H}`, 'Content-Length: 5')}hello`,
      ],
      [`${method} with chunks`, raw(`${method} / HTTP/1.1`, `Host: ${H}`, CHUNKED) + HELLO],
    ]),
  ),
];

export const chunkedCases: SmugglingCase[] = [
  ...refused(
    'H1-2',
    400,
    [
      ...each(
        'chunk size',
        [
          ' | g | 0x5 | +5 | -5 |  5 | 5  | 5\t | 5\0 | 5, | 5; | 5; a | 5;a b | 5;a="',
          '5;a="\0" | 5;=x | 5;a= | 5;a="x"y | 5;a;;b | 5;a=b\x7f | 5;a\x80 | 5;a="\n"',
          '00000000000000005 | 20000000000000 | ffffffffffffffff | \x355\xb2 | 5\r | 5 ;a',
          `5;a=${'x'.repeat(260)}`,
        ],
        (size) => chunks(`${size}\r\nhello\r\n0\r\n\r\n`),
      ),
      ['bare LF after the size', chunks('5\nhello\r\n0\r\n\r\n')],
      ['bare CR after the size', chunks('5\rhello\r\n0\r\n\r\n')],
      ['LF CR after the size', chunks('5\n\rhello\r\n0\r\n\r\n')],
      ['LF ends an extension', chunks('5;a\nhello\r\n0\r\n\r\n')],
      ['no CRLF after the data', chunks('5\r\nhello0\r\n\r\n')],
      ['LF after the data', chunks('5\r\nhello\n0\r\n\r\n')],
      ['CR CR after the data', chunks('5\r\nhello\r\r\n0\r\n\r\n')],
      ['data longer than its size', chunks('4\r\nhello\r\n0\r\n\r\n')],
      ['data shorter than its size', chunks('6\r\nhello\r\n0\r\n\r\n')],
      ['LF after the last chunk', chunks('5\r\nhello\r\n0\n\r\n')],
      ['LF as the last line', chunks('5\r\nhello\r\n0\r\n\n')],
      ['a request instead of a chunk', chunks(NEXT)],
    ],
    1,
  ),
  ...accepted('H1-2', [
    ['chunks', chunks('5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n')],
    ['no chunks', chunks('0\r\n\r\n')],
    ['a long zero', chunks('5\r\nhello\r\n0000\r\n\r\n')],
    ['upper case size', chunks('A\r\n0123456789\r\n0\r\n\r\n')],
    ['leading zeros', chunks('0000000000000005\r\nhello\r\n0\r\n\r\n')],
    ['extension', chunks('5;a\r\nhello\r\n0;b=c\r\n\r\n')],
    ['quoted extension', chunks('5;a="x;y\\"z";b=c\r\nhello\r\n0\r\n\r\n')],
    ['CRLF in the data', chunks('4\r\n\r\n\r\n\r\n0\r\n\r\n')],
    ['what looks like an end in the data', chunks('7\r\n0\r\n\r\nab\r\n0\r\n\r\n')],
  ]),
  ...refused('H1-13', 400, [['64 KiB extension', chunks(`5;${'x'.repeat(65_536)}\r\n`)]], 1),
  ...refused(
    'H1-10',
    400,
    each(
      'trailer',
      [
        'a : b |  a: b | : b | a | a: b\r\n c | a: \0 | a: b\nc: d | a: b\rc: d | a(: b',
        `a: ${'x'.repeat(9_000)} | ${Array.from({ length: 33 }, () => 'a: b').join('\r\n')}`,
      ],
      (line) => chunks(`5\r\nhello\r\n0\r\n${line}\r\n\r\n`),
    ),
    1,
  ),
  ...accepted(
    'H1-10',
    each(
      'trailer',
      [
        `Host: evil.example | Authorization: Basic eA== | Content-Length: 9 | ${CHUNKED}`,
        'Cookie: a=b | X-Waygate-Trust: 3 | grpc-status: 0 | a: b\r\nc: d',
      ],
      (line) => chunks(`5\r\nhello\r\n0\r\n${line}\r\n\r\n`),
    ),
  ),
];
