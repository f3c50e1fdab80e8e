// H1-11: attacks by way of an upgrade. Until a workspace has switched, in the right words, every byte is
// HTTP and is judged.
import { describe, expect, it } from 'vitest';
import { parseCanonical } from '../entrance/canonical-parser.ts';
import { CORPUS_HOSTNAME } from '../entrance/smuggling-case.ts';
import { valuesIn } from './raw-responses.ts';
import { RawVisitor } from './raw-visitor.ts';
import type { RecordedConnection } from './recording-workspace.ts';
import { askUpgrade, get, ok, post, request, SWITCHED } from './requests.ts';
import { underAttack } from './under-attack.ts';

const vendor = underAttack();
const SMUGGLED = get('/smuggled', 'X-Forwarded-For: 127.0.0.1');

function play(path: string, bytes: string, raw = false): void {
  const answer = (connection: RecordedConnection): void => {
    connection.raw = raw;
    connection.say(bytes);
  };
  vendor().workspace.plays.set(path, { whole: answer });
}

function connectionOf(visitor: RawVisitor): RecordedConnection | undefined {
  return vendor().workspace.of(visitor.address)[0];
}

async function aRoundTrip(): Promise<void> {
  using other = await RawVisitor.dial(vendor());
  other.say(get('/round-trip'));
  await other.answer();
}

describe('H1-11 an upgrade to a WebSocket', { timeout: 30_000 }, () => {
  it('H1-11 what is sent behind it waits for the 101 (CVE-2026-2833)', async () => {
    const { workspace } = vendor();
    workspace.plays.set('/wait', { whole: () => undefined });
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(`${askUpgrade('/wait')}\x81\x00${SMUGGLED}`);
    await workspace.seen(visitor.address, 1);
    await aRoundTrip();
    const connection = connectionOf(visitor);
    expect(parseCanonical(connection?.text ?? '', CORPUS_HOSTNAME).length).toBe(1);
    const headBytes = connection?.text.length ?? 0;
    if (connection !== undefined) connection.raw = true;
    connection?.say(SWITCHED);
    const behind = () => connection?.text.slice(headBytes) ?? '';
    await workspace.watch.until(() => behind().length >= SMUGGLED.length + 2, 'what was behind');
    expect(behind()).toBe(`\x81\x00${SMUGGLED}`);
    connection?.say('HTTP/1.1 200 raw\r\n\r\n');
    await visitor.watch.until(() => visitor.text.endsWith('raw\r\n\r\n'), 'raw bytes');
  });

  it.each([
    ['200', ok('no')],
    ['426', 'HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n'],
    ['404 in chunks', 'HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n'],
  ])('H1-11 a workspace says %s: the visitor does not keep the pipe', async (status, answer) => {
    const path = `/no-${status.replaceAll(' ', '-')}`;
    play(path, answer);
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(askUpgrade(path) + SMUGGLED + get('/last'));
    await visitor.answer(3);
    const statuses = visitor.finals().map((each) => each.status);
    expect(statuses).toEqual([Number.parseInt(status, 10), 204, 204]);
    for (const { text } of vendor().workspace.of(visitor.address)) {
      for (const { fields } of parseCanonical(text, CORPUS_HOSTNAME)) {
        expect(fields).toContainEqual(['x-forwarded-for', visitor.address]);
      }
    }
  });

  it('H1-11 a workspace says no: bytes that are no HTTP get 400 and reach nothing', async () => {
    play('/no', ok('no'));
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(`${askUpgrade('/no')}\x81\x85\x00\x00\x00\x00hello\r\n\r\n`);
    await visitor.over();
    expect(visitor.finals().map(({ status }) => status)).toEqual([200, 400]);
    expect(parseCanonical(connectionOf(visitor)?.text ?? '', CORPUS_HOSTNAME).length).toBe(1);
  });

  it('H1-11 an interim answer before the 101 does not open the pipe', async () => {
    play('/hints', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n');
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(askUpgrade('/hints') + SMUGGLED);
    await visitor.watch.until(() => visitor.text !== '', 'a 103');
    await aRoundTrip();
    expect(connectionOf(visitor)?.text).not.toContain('smuggled');
  });

  const KEYLESS = SWITCHED.replace(/Sec-.*\r\n/, '');
  it.each([
    ['with no Accept', KEYLESS],
    ['with a wrong Accept', SWITCHED.replace('s3pP', 'S3pP')],
    ['with two Accepts', SWITCHED.replace('\r\n\r\n', '\r\nSec-WebSocket-Accept: x\r\n\r\n')],
    ['without Upgrade', SWITCHED.replace('Upgrade: websocket\r\n', '')],
    ['without Connection', SWITCHED.replace('Connection: Upgrade\r\n', '')],
    ['to h2c', SWITCHED.replace('websocket', 'h2c')],
    ['in HTTP/1.0', SWITCHED.replace('/1.1', '/1.0')],
    ['with chunks', SWITCHED.replace('\r\n\r\n', '\r\nTransfer-Encoding: chunked\r\n\r\n')],
  ])('H1-11 a 101 %s is no switch: 502, and the pipe is gone', async (how, answer) => {
    const path = `/wrong-${how.replaceAll(' ', '-')}`;
    play(path, `${answer}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`);
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(askUpgrade(path));
    expect((await visitor.answer()).status).toBe(502);
    expect(visitor.text).not.toContain('evil');
    const connection = connectionOf(visitor);
    await vendor().workspace.watch.until(() => connection?.closed === true, 'a reset');
    expect(connection?.broken).toBe(true);
    // The visitor's connection may go on: with another link, on which all is judged.
    visitor.say(get('/after'));
    expect((await visitor.answer(2)).status).toBe(204);
    expect(vendor().workspace.of(visitor.address).length).toBe(2);
  });

  it.each([
    ['GET', get('/unasked')],
    ['GET with the key alone', get('/unasked', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==')],
    ['POST', post('/unasked', 'body')],
    ['POST with all of it', post('/unasked', 'body', 'Connection: Upgrade', 'Upgrade: websocket')],
    ['h2c', get('/unasked', 'Connection: Upgrade', 'Upgrade: h2c')],
  ])('H1-11 a 101 that was not asked for gets 502: %s', async (_, bytes) => {
    play('/unasked', SWITCHED);
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(bytes);
    expect((await visitor.answer()).status).toBe(502);
    expect(visitor.text).not.toMatch(/101|websocket/i);
  });

  it('H1-11 after the switch nothing is judged, and nobody else gets that connection', async () => {
    play('/pipe', SWITCHED, true);
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(askUpgrade('/pipe'));
    await visitor.answer();
    visitor.say('\0\r\n\r\nGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n');
    const connection = connectionOf(visitor);
    await vendor().workspace.watch.until(
      () => connection?.text.endsWith('example\r\n\r\n') === true,
      'raw',
    );
    await aRoundTrip();
    visitor.socket.destroy();
    await vendor().workspace.watch.until(() => connection?.closed === true, 'the end of the pipe');
    await aRoundTrip();
    expect(connection?.requests.length).toBe(1);
  });
});

describe('H1-11 other upgrades', { timeout: 30_000 }, () => {
  const SETTINGS = 'HTTP2-Settings: AAMAAABkAAQAAP__';
  it.each([
    ['h2c', ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', SETTINGS]],
    ['h2c without Connection', ['Upgrade: h2c', SETTINGS]],
    ['foo', ['Connection: Upgrade', 'Upgrade: foo']],
    ['websocket, h2c', ['Connection: Upgrade', 'Upgrade: websocket, h2c']],
    ['two lines', ['Connection: Upgrade', 'Upgrade: websocket', 'Upgrade: h2c']],
    ['TLS/1.0', ['Connection: upgrade', 'Upgrade: TLS/1.0, HTTP/1.1']],
  ])('H1-11 %s never goes further (CVE-2026-58055)', async (_, lines) => {
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get('/other', ...lines) + SMUGGLED);
    await visitor.answer(2);
    visitor.say(`${request('POST', '/body', ...lines, 'Content-Length: 5')}hello${SMUGGLED}`);
    await visitor.answer(4);
    const seen = vendor().workspace.requestsOf(visitor.address);
    expect(seen.map(({ target }) => target)).toEqual(['/other', '/smuggled', '/body', '/smuggled']);
    for (const { head } of seen) {
      expect(
        ['upgrade', 'http2-settings', 'connection'].flatMap((name) => valuesIn(head, name)),
      ).toEqual([]);
    }
    expect(seen[2]?.body).toBe('hello');
  });
});
