// The smuggling corpus: hosts, targets and request lines (H1-3, -4, -17, -18).
import {
  accepted,
  each,
  get,
  CORPUS_HOSTNAME as H,
  host,
  raw,
  refused,
  type SmugglingCase,
  target,
} from './smuggling-case.ts';

export const hostCases: SmugglingCase[] = [
  ...refused('H1-3', 400, [
    ...each(
      'host',
      [
        `${H}, ${H} | a@${H} | ${H}:80:443 |  | :443 | ${H}: | ${H}:0 | ${H}:65536`,
        `${H}:99999 | ${H}:x | ${H}:+80 | ${H}:080 | ${H}: 80 | ${H} :80 | ${H}/ | ${H}?x`,
        `${H}# | ${H}\\ | [::1] | [::1]:443 | 127.0.0.1 | 2130706433 | -a.example`,
        `a-.example | a..example | .${H} | ${H}.. | . | a_b.example`,
        `${'a'.repeat(64)}.example | ${'a.'.repeat(130)}example | b\xfccher.example`,
        `${H}\0 | \0${H} | ${H}\x7f | ${H}\x01 | %68${H.slice(1)} | https://${H}`,
        `${H} evil.example | ${H}\tevil.example | "${H}" | ${H};a | * | *.${H}`,
      ],
      host,
    ),
    ['no host', raw('GET / HTTP/1.1', 'Accept: */*')],
    ['no host in HTTP/1.0', raw('GET / HTTP/1.0', 'Accept: */*')],
    ['two equal hosts', get(`Host: ${H}`)],
    ['two hosts', get('Host: evil.example')],
    ['two hosts, other case', get('HOST: evil.example')],
    ['two hosts, the right one last', raw('GET / HTTP/1.1', 'Host: evil.example', `Host: ${H}`)],
    ['an empty host besides', get('Host:')],
    ['folded host', raw('GET / HTTP/1.1', `Host:\r\n ${H}`)],
    ['space before the colon', raw('GET / HTTP/1.1', `Host : ${H}`)],
  ]),
  ...refused(
    'H1-3',
    421,
    each(
      'host',
      [
        'other.demo.vendor.localhost | demo.vendor.localhost | evil.example',
        `${H}.evil.example | x${H} | ${H.slice(1)} | localhost | localhost:8443`,
        `xn--bcher-kva.example | EVIL.example. | x.${H} | a1.example:1`,
      ],
      host,
    ),
  ),
  ...accepted('H1-3', [
    ...each(
      'host',
      [
        `${H} | ${H.toUpperCase()} | ${H}. | ${H}:443 | ${H}:8443 | ${H.toUpperCase()}.:1`,
        `${H}:65535`,
      ],
      host,
    ),
    ['white space around', raw('GET / HTTP/1.1', `Host:\t ${H} \t`)],
    ['no white space', raw('GET / HTTP/1.1', `host:${H}`)],
  ]),
  ...refused(
    'H1-4',
    400,
    each(
      'target',
      [
        `https://evil.example/ | https://a@${H}/ | https://${H}:443/ | ftp://${H}/`,
        `https:/// | https:/${H}/ | https:${H} | ${H}:443 | ${H}/`,
        `https://${H}@evil.example/ | https://[::1]/ | javascript:alert(1) | https://`,
        `https://${H}:/ | ws://${H}/ | https://evil.example?${H}`,
        `https://${H}%2eevil.example/ | https://${H}:x/`,
      ],
      target,
    ),
  ),
  ...refused('H1-4', 421, [
    ['both name another host', raw('GET https://a.example/ HTTP/1.1', 'Host: a.example')],
  ]),
  ...accepted('H1-4', [
    ...each(
      'target',
      [
        `https://${H}/a | http://${H}/ | HTTPS://${H.toUpperCase()}./a | https://${H}`,
        `https://${H}?x=1 | https://${H}/https://evil.example/`,
      ],
      target,
    ),
    ['the same port', raw(`GET https://${H}:8443/ HTTP/1.1`, `Host: ${H}:8443`)],
  ]),
];

export const lineCases: SmugglingCase[] = [
  ...refused('H1-17', 405, [
    ['TRACE', raw('TRACE / HTTP/1.1', `Host: ${H}`)],
    ['CONNECT', raw(`CONNECT ${H}:443 HTTP/1.1`, `Host: ${H}`)],
    ['CONNECT of a path', raw('CONNECT / HTTP/1.1', `Host: ${H}`)],
  ]),
  ...refused(
    'H1-17',
    505,
    each(
      'line',
      [
        'GET / HTTP/1.2 | GET / HTTP/2.0 | GET / HTTP/0.9 | GET / HTTP/3.0 | GET / HTTP/9.9',
        'PRI * HTTP/2.0',
      ],
      (line) => raw(line, `Host: ${H}`),
    ),
  ),
  ...refused('H1-17', 505, [['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']]),
  ...refused(
    'H1-17',
    501,
    each(
      'line',
      ['get / HTTP/1.1 | GeT / HTTP/1.1 | GET1 / HTTP/1.1 | G_T / HTTP/1.1 | -GET / HTTP/1.1'],
      (line) => raw(line, `Host: ${H}`),
    ),
  ),
  ...refused('H1-17', 501, [['long method', raw(`${'M'.repeat(33)} / HTTP/1.1`, `Host: ${H}`)]]),
  ...refused('H1-17', 400, [
    ...each(
      'line',
      [
        'GET / | GET |  | OPTIONS * HTTP/1.1 | GET * HTTP/1.1 | GET / http/1.1',
        'GET / HTTP/1.10 | GET / HTTP/1,1 | GET / HTTP/01.1 | GET / HTTP/1.1 ',
        'GET / HTTP /1.1 | GET / HTTP/1 | GET / HTTPS/1.1 | GET / ICE/1.0 | GET  / HTTP/1.1',
        'GET\t/ HTTP/1.1 |  GET / HTTP/1.1 | GET /  HTTP/1.1 | GET /\tHTTP/1.1',
        'GET HTTP/1.1 |  / HTTP/1.1 | G@T / HTTP/1.1 | "GET" / HTTP/1.1 | GE\0T / HTTP/1.1',
        'GET / HTTP/1.1\0 | GET / HTTP/1.1\r | G\xcbT / HTTP/1.1 | GET / HTTP/1.1 HTTP/1.1',
        'GET / a HTTP/1.1 | GET /\r HTTP/1.1 | GET /\n HTTP/1.1 | GET / HTTP/+1.1',
      ],
      (line) => raw(line, `Host: ${H}`),
    ),
    ['two empty lines before', `\r\n\r\n${get()}`],
    ['a bare LF before', `\n${get()}`],
    ['a fold after the request line', raw('GET / HTTP/1.1', ` Host: ${H}`, `Host: ${H}`)],
  ]),
  ...accepted('H1-17', [
    ...each(
      'line',
      ['PROPFIND / HTTP/1.1 | M-SEARCH / HTTP/1.1 | GET / HTTP/1.0 | OPTIONS / HTTP/1.1'],
      (line) => raw(line, `Host: ${H}`),
    ),
    ['one empty line before', `\r\n${get()}`],
  ]),
  ...refused(
    'H1-18',
    400,
    each(
      'target',
      [
        '/a\\b | \\ | /%00 | /a%00b | /?a=%00 | /a#b | /\x80 | /\xc3\xa9 | /\x7f | /a\tb',
        '/a b | /\0 | a | ?x | # | /\x1b[0m | /..\\ | /\x0b',
      ],
      target,
    ),
  ),
  ...accepted(
    'H1-18',
    each(
      'target',
      [
        '// | //evil.example/ | /../ | /%2e%2e/ | /%2f | /;a=b | /%0d%0aX:y | /% | /%zz',
        `/@:x | /?q={}|^\`"<> | /~a | /?a=https://evil.example/ | /${'a'.repeat(8_191)}`,
      ],
      target,
    ),
  ),
];
