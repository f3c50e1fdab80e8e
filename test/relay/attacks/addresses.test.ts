// Attacks on what a request is for: the host that routes it and the one that the workspace reads, the
// form of its target, its method, its version.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SeededRandom } from '../../world/random.ts';
import { CORPUS_HOSTNAME } from '../entrance/smuggling-case.ts';
import { AttackedVendor } from './attacked-vendor.ts';
import { saysClose, valuesIn } from './raw-responses.ts';
import { RawVisitor } from './raw-visitor.ts';
import { RecordingWorkspace } from './recording-workspace.ts';
import { get } from './requests.ts';

const H = CORPUS_HOSTNAME;
const OTHER = H.replace('hello.', 'other.');

let neighbour: RecordingWorkspace;
let vendor: AttackedVendor;
let streamsBefore = 0;

beforeAll(async () => {
  neighbour = await RecordingWorkspace.open();
  vendor = await AttackedVendor.start({ other: neighbour.url });
  streamsBefore = await vendor.streamsOpened();
}, 90_000);
afterAll(async () => {
  await vendor?.[Symbol.asyncDispose]();
  await neighbour?.[Symbol.asyncDispose]();
});

/** One answer, no stream, and the connection is closed. */
async function expectRefusal(bytes: string, status: number): Promise<void> {
  using visitor = await RawVisitor.dial(vendor);
  visitor.say(bytes);
  expect(await visitor.over()).toBe('end');
  const answers = visitor.finals();
  expect(answers.map((answer) => answer.status)).toEqual([status]);
  expect(saysClose(answers[0]?.head ?? '')).toBe(true);
  expect(vendor.workspace.of(visitor.address)).toEqual([]);
}

async function seenOf(bytes: string) {
  using visitor = await RawVisitor.dial(vendor);
  visitor.say(bytes);
  await visitor.answer();
  const [seen] = vendor.workspace.requestsOf(visitor.address);
  return { target: seen?.target, host: valuesIn(seen?.head ?? '', 'host') };
}

function asHost(...lines: readonly string[]): string {
  return `GET / HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
}

describe('H1-3 hosts', { timeout: 30_000 }, () => {
  it.concurrent.each([
    ...[H.toUpperCase(), `${H}.`, 'Hello.Demo.Vendor.LocalHost.'],
    ...[`${H}:443`, `${H}:1`, `${H.toUpperCase()}.:65535`],
  ])('H1-3 %j is this name, and reaches the workspace in one spelling', async (host) => {
    const port = /:[0-9]+$/.exec(host)?.[0] ?? '';
    expect((await seenOf(asHost(`Host: ${host}`))).host).toEqual([H + port]);
  });

  it.concurrent.each([
    ...['', ' ', `${H}, ${H}`, `a@${H}`, `${H}:80:443`, `${H}:`, `${H}:0`, `${H}:0443`],
    ...[`${H}:65536`, `${H}:-1`, `${H}:80x`, `${H}..`, `.${H}`, `${H}/`, `${H}#`, `${H}?a`],
    ...[
      `http://${H}`,
      `[${H}]`,
      '[::1]',
      '::1',
      '127.0.0.1',
      '0x7f.1',
      '2130706433',
      `${H}\\`,
      `${H}%00`,
      `%68ello.demo.vendor`,
    ],
    ...[`${H} a`, `${H}\ta`, `${H};a`, `"${H}"`, `a..${H}`, `${'a'.repeat(64)}.vendor.localhost`],
    ...[`${'a.'.repeat(127)}localhost`, 'b\xfccher.demo.vendor.localhost', `${H}\xff`],
  ])('H1-3 %j is no host', async (host) => {
    await expectRefusal(asHost(`Host: ${host}`), 400);
  });

  it.concurrent.each([
    ...[OTHER, 'demo.vendor.localhost', 'vendor.localhost', 'tunnel.vendor.localhost'],
    ...['localhost', 'evil.example', `x${H}`, `${H}.evil.example`],
    ...['hello.demo.vendor', `${H.slice(0, -1)}`, 'xn--hello-9xa.demo.vendor.localhost'],
  ])('H1-3 %j is another name than the connection is for', async (host) => {
    await expectRefusal(asHost(`Host: ${host}`), 421);
  });

  it.concurrent.each([
    ['none', asHost('Accept: */*')],
    ['two that are equal', asHost(`Host: ${H}`, `Host: ${H}`)],
    ['ours, then another', asHost(`Host: ${H}`, `Host: ${OTHER}`)],
    ['another, then ours', asHost(`Host: ${OTHER}`, `Host: ${H}`)],
    ['the second with a space', asHost(`Host: ${H}`, `Host : ${OTHER}`)],
    ['the second folded', asHost(`Host: ${H}`, ` Host: ${OTHER}`)],
    ['the second after a bare CR', asHost(`Host: ${H}\rHost: ${OTHER}`)],
    ['the second after a bare LF', asHost(`Host: ${H}\nHost: ${OTHER}`)],
    ['a NUL', asHost(`Host: ${H}\0.evil.example`)],
    ['a folded one', asHost(`Host:\r\n ${H}`)],
    ['none in HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n'],
  ])('H1-3 Host: %s', async (_, bytes) => {
    await expectRefusal(bytes, 400);
  });
});

describe('H1-4 the absolute form', { timeout: 30_000 }, () => {
  it.concurrent.each([
    [`https://${H}/a?b`, '/a?b'],
    [`http://${H}/a`, '/a'],
    [`HTTPS://${H.toUpperCase()}./a//b`, '/a//b'],
    [`https://${H}`, '/'],
    [`https://${H}?q=https://${OTHER}/`, `/?q=https://${OTHER}/`],
  ])('H1-4 %s of the same host arrives as %s', async (target, origin) => {
    const seen = await seenOf(get(target));
    expect(seen).toEqual({ target: origin, host: [H] });
  });

  it.concurrent.each(
    [
      ...[`https://${OTHER}/`, `https://evil.example/`, `https://${H}:444/`, `https://a@${H}/`],
      ...[`https://${H}:x/`, `https:///${H}/`, `https://${H}.evil.example/`, `https:/${H}/`],
      ...[`ftp://${H}/`, `file:///etc/passwd`, `https:${H}`, `javascript:alert(1)`, `//${H}@`],
      ...[`https://${H}@evil.example/`, `https://[::1]/`, `https://127.0.0.1/`, H, `${H}:443`],
    ].filter((target) => !target.startsWith('/')),
  )('H1-4 %s with the right Host', async (target) => {
    await expectRefusal(get(target), 400);
  });

  it('H1-4 the right target with another Host', async () => {
    await expectRefusal(`GET https://${H}/ HTTP/1.1\r\nHost: ${OTHER}\r\n\r\n`, 421);
  });
});

describe('H1-17 other methods, forms and versions', { timeout: 30_000 }, () => {
  it.concurrent.each([
    ['TRACE', 405, `TRACE / HTTP/1.1\r\nHost: ${H}\r\n\r\n`],
    ['CONNECT', 405, `CONNECT ${H}:443 HTTP/1.1\r\nHost: ${H}:443\r\n\r\n`],
    ['CONNECT with a path', 405, `CONNECT / HTTP/1.1\r\nHost: ${H}\r\n\r\n`],
    ['the asterisk', 400, `OPTIONS * HTTP/1.1\r\nHost: ${H}\r\n\r\n`],
    ['HTTP/0.9', 400, 'GET /\r\n'],
    ['HTTP/0.9 with a bare LF', 400, 'GET /\n'],
    ['HTTP/1.2', 505, `GET / HTTP/1.2\r\nHost: ${H}\r\n\r\n`],
    ['HTTP/2.0', 505, `GET / HTTP/2.0\r\nHost: ${H}\r\n\r\n`],
    ['HTTP/1.1 in lower case', 400, `GET / http/1.1\r\nHost: ${H}\r\n\r\n`],
    ['HTTP/01.1', 400, `GET / HTTP/01.1\r\nHost: ${H}\r\n\r\n`],
    ['ICY', 400, `GET / ICY/1.1\r\nHost: ${H}\r\n\r\n`],
    ['the preface of HTTP/2', 505, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['a TLS record', 400, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n'],
    ['a lower case method', 501, `get / HTTP/1.1\r\nHost: ${H}\r\n\r\n`],
    ['a method with a NUL', 400, `G\0T / HTTP/1.1\r\nHost: ${H}\r\n\r\n`],
    ['two spaces', 400, `GET  / HTTP/1.1\r\nHost: ${H}\r\n\r\n`],
    ['a tab', 400, `GET\t/ HTTP/1.1\r\nHost: ${H}\r\n\r\n`],
    ['a space in front', 400, ` GET / HTTP/1.1\r\nHost: ${H}\r\n\r\n`],
    ['two empty lines in front', 400, `\r\n\r\nGET / HTTP/1.1\r\nHost: ${H}\r\n\r\n`],
  ])('H1-17 %s is answered with %d at once', async (_, status, bytes) => {
    const startedAtMs = performance.now();
    await expectRefusal(bytes, status);
    // Not by the deadline of a head.
    expect(performance.now() - startedAtMs).toBeLessThan(9_000);
  });
});

describe('H1-18 paths', { timeout: 30_000 }, () => {
  it('H1-18 go through byte for byte, whatever others would make of them', async () => {
    const odd = [
      ...[
        '//',
        '///a',
        '/../',
        '/../../etc/passwd',
        '/./',
        '/a/./b/../c',
        '/%2e%2e/',
        '/%2E%2E%2f',
      ],
      ...['/%2f', '/a%2Fb', '/%5c', '/;a=b', '/..;/', '/%0d%0aX:y', '/%', '/%zz', '/%c0%af', '/*'],
      ...['/?', '/?a?b', '/?a=//b', '/a:b', '/@', '//evil.example/', '/https://evil.example/'],
      ...[
        '/"',
        '/<script>',
        "/'",
        '/`',
        '/{}',
        '/|',
        '/^',
        '/[',
        '/]',
        '/~',
        '/!',
        '/$&+,=',
        '/%25',
      ],
    ];
    const random = new SeededRandom(18);
    const targets = [...odd, ...Array.from({ length: 400 }, () => randomTarget(random))];
    using visitor = await RawVisitor.dial(vendor);
    visitor.say(targets.map((target) => get(target)).join(''));
    await visitor.answer(targets.length);
    const seen = vendor.workspace.requestsOf(visitor.address);
    expect(seen.map(({ target }) => target)).toEqual(targets);
  });

  it.concurrent.each([
    ...['/\\', '/a\\..\\b', '\\', '/%00', '/a%00.jpg', '/#', '/a#b', '/\x7f', '/\x01', '/\xe4'],
    ...['/\0', '/a\x0bb', '/\xa0', '', 'a', '?a', '../', '%2f', './', '*', '/a b'],
  ])('H1-18 %j is refused', async (target) => {
    await expectRefusal(get(target), 400);
  });
});

describe('what was refused here', { timeout: 30_000 }, () => {
  it('H1-3, H1-4 reached no neighbour, and opened no stream', async () => {
    const visitors = new Set(vendor.workspace.connections.map(({ visitor }) => visitor));
    expect((await vendor.streamsOpened()) - streamsBefore).toBe(visitors.size);
    expect(neighbour.connections).toEqual([]);
    expect(await vendor.alive()).toBe(true);
  });
});

function randomTarget(random: SeededRandom): string {
  let target = '/';
  for (let left = random.below(60); left > 0; left -= 1) {
    const character = String.fromCharCode(33 + random.below(94));
    target += character === '#' || character === '\\' || character === '%' ? '%41' : character;
  }
  return target;
}
