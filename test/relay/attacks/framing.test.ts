// Attacks on where one message ends and the next begins, over a live relay.
import { describe, expect, it } from 'vitest';
import { saysClose } from './raw-responses.ts';
import { RawVisitor } from './raw-visitor.ts';
import { chunked, get, ok, post, request } from './requests.ts';
import { underAttack } from './under-attack.ts';

const vendor = underAttack();
const SMUGGLED = get('/smuggled');
const DRAINED_BYTES_MAX = 65_536;

/** Another visitor's request takes the same way and comes back: what was under way is there by then. */
async function aRoundTrip(): Promise<void> {
  using other = await RawVisitor.dial(vendor());
  other.say(get('/round-trip'));
  await other.answer();
}

describe('H1-1 two ideas of a length', { timeout: 30_000 }, () => {
  const both = ['Content-Length: 4', 'Transfer-Encoding: chunked'];
  const obsolete = ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'];
  it.each([
    ['CL.TE', `${request('POST', '/', ...both)}0\r\n\r\n${SMUGGLED}`],
    ['TE.CL', `${request('POST', '/', ...both.toReversed())}5c\r\n${SMUGGLED}\r\n0\r\n\r\n`],
    ['TE.TE', `${request('POST', '/', ...obsolete)}0\r\n\r\n${SMUGGLED}`],
    ['CL.CL', request('POST', '/', 'Content-Length: 0', 'Content-Length: 44') + SMUGGLED],
    ['a folded coding', request('POST', '/', 'Transfer-Encoding:\r\n chunked') + SMUGGLED],
    ['xchunked', request('POST', '/', 'Transfer-Encoding: xchunked') + SMUGGLED],
  ])('H1-1 %s reaches nothing and gets one answer', async (_, bytes) => {
    const before = await vendor().streamsOpened();
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(bytes);
    expect(await visitor.over()).toBe('end');
    expect(visitor.finals().map(({ status }) => status)).toEqual([400]);
    expect(saysClose(visitor.finals()[0]?.head ?? '')).toBe(true);
    expect(await vendor().streamsOpened()).toBe(before);
  });

  it.each([
    ['CL.0', post('/cl-0', SMUGGLED)],
    ['0.CL', request('GET', '/0-cl', `Content-Length: ${SMUGGLED.length}`) + SMUGGLED],
    ['TE.0', chunked('/te-0', `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`)],
  ])('H1-1 %s is one request with a body, for the workspace too', async (_, bytes) => {
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(bytes + get('/last'));
    await visitor.answer(2);
    const seen = vendor().workspace.requestsOf(visitor.address);
    expect(seen.map(({ body }) => body)).toEqual([SMUGGLED, '']);
    expect(seen.map(({ target }) => target)[1]).toBe('/last');
    expect(visitor.finals().length).toBe(2);
  });
});

describe('H1-6 Expect', { timeout: 30_000 }, () => {
  it('H1-6 what is expected but 100-continue gets 417; its body is no request', async () => {
    const before = await vendor().streamsOpened();
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(post('/', SMUGGLED, 'Expect: 200-ok'));
    expect(await visitor.over()).toBe('end');
    expect(visitor.finals().map(({ status }) => status)).toEqual([417]);
    expect(await vendor().streamsOpened()).toBe(before);
  });

  it('H1-6 100 is said by the workspace, and not before', async () => {
    const { workspace } = vendor();
    workspace.plays.set('/expect', { whole: (connection) => connection.say(ok('taken')) });
    using visitor = await RawVisitor.dial(vendor());
    const [head = '', body = ''] = post('/expect', 'body', 'Expect: 100-continue').split(
      /(?=body)/,
    );
    visitor.say(head);
    await workspace.seen(visitor.address, 1);
    await aRoundTrip();
    expect(visitor.text).toBe('');
    workspace.of(visitor.address)[0]?.say('HTTP/1.1 100 Continue\r\n\r\n');
    await visitor.watch.until(() => visitor.text !== '', 'a 100');
    expect(visitor.text).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    visitor.say(body);
    expect((await visitor.answer()).body).toBe('taken');
    expect(workspace.requestsOf(visitor.address)[0]?.body).toBe('body');
  });

  it('H1-6 a final status instead of 100 closes; the body behind it is no request', async () => {
    const { workspace } = vendor();
    workspace.plays.set('/refuse', {
      head: (connection) => connection.say('HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n'),
    });
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(
      request('POST', '/refuse', `Content-Length: ${SMUGGLED.length}`, 'Expect: 100-continue'),
    );
    const { status, head } = await visitor.answer();
    expect([status, saysClose(head)]).toEqual([401, true]);
    visitor.say(SMUGGLED);
    expect(await visitor.over()).toBe('end');
    await aRoundTrip();
    expect(visitor.finals().length).toBe(1);
    expect(workspace.requestsOf(visitor.address).length).toBe(1);
    expect(workspace.of(visitor.address)[0]?.text).not.toContain('smuggled');
  });

  it('H1-6 a 100 that nobody has asked for goes no further', async () => {
    const { workspace } = vendor();
    workspace.plays.set('/unasked', {
      whole: (connection) => connection.say(`HTTP/1.1 100 Continue\r\n\r\n${ok('a')}`),
    });
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get('/unasked'));
    await visitor.answer();
    expect(visitor.responses().map(({ status }) => status)).toEqual([200]);
  });
});

describe('H1-7 bodies where none are expected, and answers that come early', {
  timeout: 30_000,
}, () => {
  it.each(['GET', 'HEAD', 'OPTIONS', 'DELETE'])('H1-7 %s with a body', async (method) => {
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(request(method, '/body', `Content-Length: ${SMUGGLED.length}`) + SMUGGLED);
    await visitor.answer();
    visitor.say(
      `${request(method, '/chunks', 'Transfer-Encoding: chunked')}4\r\nGET \r\n0\r\n\r\n`,
    );
    await visitor.answer(2);
    const seen = vendor().workspace.requestsOf(visitor.address);
    expect(seen.map(({ body }) => body)).toEqual([SMUGGLED, 'GET ']);
    expect(seen[0]?.head).toContain(`\r\nContent-Length: ${SMUGGLED.length}\r\n`);
    expect(seen[1]?.head).toContain('\r\nTransfer-Encoding: chunked\r\n');
  });

  const early = async (restBytes: number): Promise<RawVisitor> => {
    vendor().workspace.plays.set('/early', { head: (connection) => connection.say(ok('early')) });
    const visitor = await RawVisitor.dial(vendor());
    visitor.say(request('POST', '/early', 'Content-Length: 10000000'));
    const { body, head } = await visitor.answer();
    expect([body, saysClose(head)]).toEqual(['early', true]);
    // It looks like requests, and must not be taken for any.
    visitor.say(SMUGGLED.repeat(Math.ceil(restBytes / SMUGGLED.length)).slice(0, restBytes));
    return visitor;
  };

  it('H1-7 the rest of a body behind an early answer is thrown away, up to 64 KiB', async () => {
    using visitor = await early(DRAINED_BYTES_MAX);
    expect(await visitor.over()).toBe('end');
    const closed = Promise.withResolvers<boolean>();
    visitor.socket.once('close', closed.resolve);
    visitor.socket.end();
    expect(await closed.promise).toBe(false);
    expect(vendor().workspace.requestsOf(visitor.address).length).toBe(1);
    expect(visitor.finals().length).toBe(1);
  });

  it('H1-7 the rest beyond that stays unread, and the connection is closed', async () => {
    using visitor = await early(0);
    await visitor.over();
    const closed = Promise.withResolvers<boolean>();
    visitor.socket.once('close', closed.resolve);
    let sent = 0;
    const count = (error: Error | null | undefined): void => {
      if (!error) sent += 1;
    };
    for (let at = 0; at < 32; at += 1) visitor.socket.write(Buffer.alloc(1_048_576, 'x'), count);
    expect(await closed.promise).toBe(true);
    // What the two kernels hold is gone; the relay has taken none of the rest.
    expect(sent).toBeLessThan(16);
    expect(vendor().workspace.requestsOf(visitor.address).length).toBe(1);
    expect(visitor.finals().length).toBe(1);
  });
});

describe('H1-10 trailers', () => {
  const HOSTILE = [
    ...['Host: evil.example', 'Authorization: Basic eA==', 'Content-Length: 9', 'Cookie: a=b'],
    ...['Transfer-Encoding: chunked', 'X-Forwarded-For: 10.0.0.1', 'X-Waygate-Trust: 3', 'X-A: b'],
  ].join('\r\n');

  it('H1-10 of a request are dropped, but those of gRPC', async () => {
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(chunked('/trailers', `1\r\nx\r\n0\r\n${HOSTILE}\r\ngrpc-status: 0\r\n\r\n`));
    await visitor.answer();
    const { text } = vendor().workspace.of(visitor.address)[0] ?? {};
    expect(text?.split('\r\n\r\n')[1]).toBe('1\r\nx\r\n0\r\ngrpc-status: 0');
  });

  it('H1-10 of a response are dropped, but those of gRPC', async () => {
    const response = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n';
    vendor().workspace.plays.set('/answer-trailers', {
      whole: (connection) => connection.say(`${response}${HOSTILE}\r\ngrpc-status: 7\r\n\r\n`),
    });
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get('/answer-trailers'));
    const { body, trailers } = await visitor.answer();
    expect([body, trailers]).toEqual(['x', 'grpc-status: 7\r\n']);
  });
});
