// H1-15, H1-16: a workspace that is broken or hostile. What it says wrongly is not passed on, what it
// breaks off looks broken, and nobody but its own visitor notices.
import { describe, expect, it } from 'vitest';
import { RawVisitor } from './raw-visitor.ts';
import type { RecordedConnection } from './recording-workspace.ts';
import { chunked, get, ok, post, request } from './requests.ts';
import { underAttack } from './under-attack.ts';

const vendor = underAttack();
const EVIL = 'evil';
let paths = 0;

/** A path that is answered so, as soon as its head has come. */
function answered(answer: string | ((connection: RecordedConnection) => void)): string {
  paths += 1;
  const path = `/hostile-${paths}`;
  const head = typeof answer === 'string' ? (each: RecordedConnection) => each.say(answer) : answer;
  vendor().workspace.plays.set(path, { head });
  return path;
}

/** A visitor of the same workspace, on a connection of his own that was there before. */
async function bystander(): Promise<RawVisitor> {
  const visitor = await RawVisitor.dial(vendor());
  visitor.say(get('/bystander'));
  await visitor.answer();
  return visitor;
}

async function expectUnaffected(other: RawVisitor): Promise<void> {
  other.say(get('/bystander'));
  expect((await other.answer(2)).status).toBe(204);
  expect(vendor().workspace.of(other.address).length).toBe(1);
  other.socket.destroy();
}

function head(...lines: readonly string[]): string {
  return `HTTP/1.1 200 OK\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
}

function many(count: number, length: number): string[] {
  return Array.from({ length: count }, (_, at) => `X-${at}: ${'v'.repeat(length)}`);
}

describe('H1-15 a wrong response head', { timeout: 30_000 }, () => {
  it.concurrent.each([
    ['a CR in a value', head('Content-Length: 4', 'X-A: a\rSet-Cookie: evil') + EVIL],
    ['a LF in a value', head('Content-Length: 4', 'X-A: a\nSet-Cookie: evil') + EVIL],
    ['a NUL in a value', head('Content-Length: 4', 'X-A: a\0b') + EVIL],
    ['a space in a name', head('Content-Length: 4', 'X A: evil') + EVIL],
    ['a space before the colon', head('Content-Length : 4') + EVIL],
    ['a folded line', head('X-A: a', ' evil', 'Content-Length: 4') + EVIL],
    ['a line without a colon', head('evil', 'Content-Length: 4') + EVIL],
    ['an empty name', head(': evil', 'Content-Length: 4') + EVIL],
    ['two lengths', head('Content-Length: 4', 'Content-Length: 40') + EVIL],
    ['two equal lengths', head('Content-Length: 4', 'Content-Length: 4') + EVIL],
    ['a length and a coding', head('Content-Length: 4', 'Transfer-Encoding: chunked') + EVIL],
    ['two codings', head('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked') + EVIL],
    ['another coding', head('Transfer-Encoding: gzip, chunked') + EVIL],
    ['xchunked', head('Transfer-Encoding: xchunked') + EVIL],
    ['a length of 0x4', head('Content-Length: 0x4') + EVIL],
    ['a length of +4', head('Content-Length: +4') + EVIL],
    ['a negative length', head('Content-Length: -4') + EVIL],
    ['a huge length', head('Content-Length: 99999999999999999999') + EVIL],
    ['a list of lengths', head('Content-Length: 4, 4') + EVIL],
    ['a coding in HTTP/1.0', `HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${EVIL}`],
    ['status 999', `HTTP/1.1 999 evil\r\nContent-Length: 0\r\n\r\n`],
    ['status 099', `HTTP/1.1 099 evil\r\nContent-Length: 0\r\n\r\n`],
    ['status 20', `HTTP/1.1 20 evil\r\nContent-Length: 0\r\n\r\n`],
    ['status 2000', `HTTP/1.1 2000 evil\r\nContent-Length: 0\r\n\r\n`],
    ['status -1', `HTTP/1.1 -1 evil\r\nContent-Length: 0\r\n\r\n`],
    ['HTTP/2', `HTTP/2 200 evil\r\nContent-Length: 0\r\n\r\n`],
    ['HTTP/0.9', `<html>evil\r\n\r\n`],
    ['SSH', `SSH-2.0-OpenSSH_9.2 evil\r\n\r\n`],
    ['a control in the reason', `HTTP/1.1 200 \x1b[31mevil\r\nContent-Length: 0\r\n\r\n`],
    ['a huge reason', `HTTP/1.1 200 ${EVIL.repeat(1_000)}\r\nContent-Length: 0\r\n\r\n`],
    ['bare line feeds', `HTTP/1.1 200 OK\nX-A: evil\n\n\r\n\r\n`],
    ['101 fields', head(...many(101, 1))],
    ['17 KiB of fields', head(...many(20, 900))],
    ['one field of 20 KiB', head(...many(1, 20_000))],
    ['a head without an end', `HTTP/1.1 200 OK\r\nX-A: ${EVIL.repeat(5_000)}`],
    ['a line without an end', EVIL.repeat(5_000)],
    ['1xx without end', 'HTTP/1.1 103 Hints\r\n\r\n'.repeat(40) + head('Content-Length: 0')],
    [
      '1xx with chunks',
      `HTTP/1.1 103 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n`,
    ],
    ['Connection names Content-Length', head('Connection: content-length', 'Content-Length: 4')],
  ])('H1-15 %s gets 502, and no word of it goes further', async (_, answer) => {
    const other = await bystander();
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get(answered(answer)));
    await visitor.answer();
    const last = visitor.finals().at(-1);
    expect(last?.status).toBe(502);
    expect(visitor.finals().length).toBe(1);
    expect(visitor.responses().length).toBeLessThanOrEqual(17);
    expect(visitor.text).not.toContain(EVIL);
    const [connection] = vendor().workspace.of(visitor.address);
    await vendor().workspace.watch.until(() => connection?.closed === true, 'the end of its link');
    await expectUnaffected(other);
  });
});

describe('H1-15 a wrong response body', { timeout: 30_000 }, () => {
  const CHUNKS = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  it.concurrent.each([
    ['a size that is no number', `${CHUNKS}2\r\nok\r\nevil\r\n`],
    ['a chunk longer than its size', `${CHUNKS}2\r\nokevil\r\n0\r\n\r\n`],
    ['a bare LF', `${CHUNKS}2\r\nok\r\n4\nevil\r\n0\r\n\r\n`],
    ['a huge size', `${CHUNKS}2\r\nok\r\nfffffffffffffffff\r\nevil`],
    ['a huge extension', `${CHUNKS}2\r\nok\r\n4;${'x'.repeat(65_536)}\r\nevil\r\n0\r\n\r\n`],
    ['a wrong trailer', `${CHUNKS}2\r\nok\r\n0\r\nX A: evil\r\n\r\n`],
    ['huge trailers', `${CHUNKS}2\r\nok\r\n0\r\n${many(100, 200).join('\r\n')}\r\n\r\n`],
  ])('H1-15 %s cuts the connection before the end', async (_, answer) => {
    const other = await bystander();
    using visitor = await RawVisitor.dial(vendor());
    const [start = '', rest = ''] = answer.split(/(?<=2\r\nok)/);
    const path = answered((connection) => {
      connection.say(start);
      // The head is on its way alone, so that it cannot be taken back.
      void visitor.watch
        .until(() => visitor.text.includes('ok'), 'the start')
        .then(() => connection.say(rest));
    });
    visitor.say(get(path));
    await visitor.over();
    expect(visitor.finals().map(({ status, whole }) => [status, whole])).toEqual([[200, false]]);
    expect(visitor.text).not.toContain(EVIL);
    await expectUnaffected(other);
  });

  it('H1-15 bytes behind a response answer nothing, and the link is given up', async () => {
    const path = answered(`${ok('right')}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`);
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get(path) + get('/next'));
    await visitor.answer(2);
    expect(visitor.finals().map(({ status }) => status)).toEqual([200, 204]);
    expect(visitor.text).not.toContain(EVIL);
    expect(vendor().workspace.of(visitor.address).length).toBe(2);
  });

  it('H1-15 a response before any request answers none', async () => {
    const path = answered(ok('right'));
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get(path));
    await visitor.answer();
    const [connection] = vendor().workspace.of(visitor.address);
    connection?.say(`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`);
    await vendor().workspace.watch.until(() => connection?.closed === true, 'a reset');
    visitor.say(get('/next'));
    expect((await visitor.answer(2)).status).toBe(204);
    expect(visitor.text).not.toContain(EVIL);
    expect(vendor().workspace.of(visitor.address).length).toBe(2);
  });

  it.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ])('H1-15 the body of an answer to %s with %d is not passed on', async (method, status) => {
    const path = answered(`HTTP/1.1 ${status} X\r\nContent-Length: 4\r\n\r\nevil`);
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(request(method, path) + get('/next'));
    const finals = () => visitor.finals(method);
    await visitor.watch.until(() => finals().length === 2, 'two answers');
    expect(finals().map((each) => each.status)).toEqual([status, 204]);
    expect(visitor.text).not.toContain(EVIL);
  });
});

describe('H1-16 a workspace that breaks off', { timeout: 30_000 }, () => {
  const START: Readonly<Record<string, string>> = {
    'a length': head('Content-Length: 100'),
    chunks: head('Transfer-Encoding: chunked'),
    'the end of the connection': head(),
    'the end of the connection, in HTTP/1.0': 'HTTP/1.0 200 OK\r\n\r\n',
  };
  it.each(Object.keys(START))('H1-16 a body framed by %s is never whole', async (how) => {
    const body = how === 'chunks' ? '4\r\npart\r\n' : 'part';
    using visitor = await RawVisitor.dial(vendor());
    const path = answered((connection) => {
      connection.say((START[how] ?? '') + body);
      void visitor.watch
        .until(() => visitor.text.includes('part'), 'the start of the body')
        .then(() => connection.socket.resetAndDestroy());
    });
    visitor.say(get(path));
    await visitor.over();
    expect(visitor.finals().map(({ status, whole }) => [status, whole])).toEqual([[200, false]]);
  });

  it('H1-16 a body that ends with the connection is whole, and the visitor may go on', async () => {
    const path = answered((connection) => {
      connection.say('HTTP/1.0 200 OK\r\n\r\nall of it');
      connection.socket.end();
    });
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get(path));
    expect((await visitor.answer()).body).toBe('all of it');
    const [connection] = vendor().workspace.of(visitor.address);
    await vendor().workspace.watch.until(() => connection?.closed === true, 'the end of the link');
    expect(connection?.broken).toBe(false);
    visitor.say(get('/next'));
    expect((await visitor.answer(2)).status).toBe(204);
  });

  it.each([
    ['GET', get],
    ['POST', (path: string) => post(path, 'body')],
    ['POST in chunks', (path: string) => chunked(path, '4\r\nbody\r\n0\r\n\r\n')],
  ])('H1-16 no answer at all to %s gets 502', async (_, ask) => {
    const path = answered(({ socket }) => socket.resetAndDestroy());
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(ask(path));
    expect((await visitor.answer()).status).toBe(502);
    expect(vendor().workspace.requestsOf(visitor.address).length).toBe(1);
  });
});
