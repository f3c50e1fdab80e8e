// Attacks on the order of things: requests ahead of their turn, ends and answers at the wrong moment,
// links that go stale. What must hold: one request at a time, answers in order, nothing asked twice
// that may have had an effect, and every connection ends.
import { describe, expect, it } from 'vitest';
import { parseCanonical } from '../entrance/canonical-parser.ts';
import { CORPUS_HOSTNAME } from '../entrance/smuggling-case.ts';
import { saysClose, valuesIn } from './raw-responses.ts';
import { RawVisitor } from './raw-visitor.ts';
import type { RecordedConnection } from './recording-workspace.ts';
import { askUpgrade, chunked, get, ok, post, request, SWITCHED } from './requests.ts';
import { underAttack } from './under-attack.ts';

const vendor = underAttack();
const REQUESTS_PER_CONNECTION = 10_000;

function dial(hostname = CORPUS_HOSTNAME): Promise<RawVisitor> {
  return RawVisitor.dial(vendor(), { servername: hostname });
}

function targetsOf({ address }: RawVisitor): string[] {
  return vendor()
    .workspace.requestsOf(address)
    .map(({ target }) => target);
}

function linkOf({ address }: RawVisitor, index = 0): RecordedConnection | undefined {
  return vendor().workspace.of(address)[index];
}

async function closed(visitor: RawVisitor, index = 0): Promise<RecordedConnection | undefined> {
  const { watch } = vendor().workspace;
  await watch.until(() => linkOf(visitor, index)?.closed === true, 'the end of a link');
  return linkOf(visitor, index);
}

function statuses(visitor: RawVisitor): number[] {
  return visitor.finals().map(({ status }) => status);
}

describe('requests ahead of their turn', { timeout: 60_000 }, () => {
  it('H1-2 wait until the one before is answered', async () => {
    vendor().workspace.plays.set('/held', { whole: () => undefined });
    using visitor = await dial();
    visitor.say(get('/held') + get('/second') + get('/third'));
    await vendor().workspace.seen(visitor.address, 1);
    using other = await dial();
    other.say(get('/other'));
    await other.answer();
    expect(targetsOf(visitor)).toEqual(['/held']);
    linkOf(visitor)?.say(ok('held'));
    await visitor.answer(3);
    expect(targetsOf(visitor)).toEqual(['/held', '/second', '/third']);
    expect(statuses(visitor)).toEqual([200, 204, 204]);
  });

  it('H1-2 a wrong one is refused after the right ones before it, and ends all', async () => {
    using visitor = await dial();
    visitor.say(`${get('/one')}${post('/two', 'body')}GET /\0 HTTP/1.1\r\n\r\n${get('/four')}`);
    expect(await visitor.over()).toBe('end');
    expect(statuses(visitor)).toEqual([204, 204, 400]);
    expect(targetsOf(visitor)).toEqual(['/one', '/two']);
  });

  it('H1-2 none is read behind an answer that closes', async () => {
    using visitor = await dial();
    visitor.say(get('/one', 'Connection: close') + get('/two'));
    expect(await visitor.over()).toBe('end');
    expect(statuses(visitor)).toEqual([204]);
    expect(targetsOf(visitor)).toEqual(['/one']);
  });

  it('H1-2 pages of ours are answered in order, thousands at once', async () => {
    const nobody = CORPUS_HOSTNAME.replace('hello', 'nobody');
    using visitor = await dial(nobody);
    const pages = 2_000;
    visitor.say(get('/').replace(CORPUS_HOSTNAME, nobody).repeat(pages));
    await visitor.watch.until(() => visitor.text.split('HTTP/1.1 404 ').length > pages, 'pages');
    expect(visitor.finals().every(({ status, whole }) => status === 404 && whole)).toBe(true);
    expect(visitor.ending).toBeUndefined();
  });

  it(`H1-2 after ${REQUESTS_PER_CONNECTION} the connection ends, with none lost`, async () => {
    using visitor = await dial();
    visitor.say(get('/many').repeat(REQUESTS_PER_CONNECTION + 5));
    expect(await visitor.over(50_000)).toBe('end');
    const answers = visitor.finals();
    expect(answers.length).toBe(REQUESTS_PER_CONNECTION);
    expect(answers.map(({ head }) => saysClose(head)).indexOf(true)).toBe(answers.length - 1);
    expect(targetsOf(visitor).length).toBe(REQUESTS_PER_CONNECTION);
  });

  it('H1-2 a visitor of HTTP/1.0 gets one answer, whatever he asks for', async () => {
    using visitor = await dial();
    const lines = `Host: ${CORPUS_HOSTNAME}\r\nConnection: keep-alive\r\nKeep-Alive: max=9\r\n\r\n`;
    visitor.say(`GET /old HTTP/1.0\r\n${lines}GET /older HTTP/1.0\r\n${lines}`);
    expect(await visitor.over()).toBe('end');
    expect(statuses(visitor)).toEqual([204]);
    const [seen] = vendor().workspace.requestsOf(visitor.address);
    expect(targetsOf(visitor)).toEqual(['/old']);
    expect(valuesIn(seen?.head ?? '', 'connection')).toEqual(['close']);
  });

  it('H1-10 chunks for a visitor of HTTP/1.0 come without their framing', async () => {
    const framed =
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n';
    vendor().workspace.plays.set('/chunks', { whole: (connection) => connection.say(framed) });
    using visitor = await dial();
    visitor.say(`GET /chunks HTTP/1.0\r\nHost: ${CORPUS_HOSTNAME}\r\n\r\n`);
    await visitor.over();
    const [answer] = visitor.finals();
    expect(answer?.body).toBe('abc');
    expect(valuesIn(answer?.head ?? '', 'transfer-encoding')).toEqual([]);
    expect(saysClose(answer?.head ?? '')).toBe(true);
  });
});

describe('a visitor who ends his half', { timeout: 30_000 }, () => {
  it('H1-2 before a request is told nothing', async () => {
    using visitor = await dial();
    visitor.socket.end();
    expect(await visitor.over()).toBe('end');
    expect(visitor.text).toBe('');
  });

  it.each([
    ['a body with a length', `${request('POST', '/cut', 'Content-Length: 9')}half`],
    ['a chunk', chunked('/cut', '9\r\nhalf')],
    ['trailers', chunked('/cut', '4\r\nhalf\r\n0\r\nX-A: b\r\n')],
  ])('H1-2 within %s cuts the request off at the workspace too', async (_, bytes) => {
    using visitor = await dial();
    visitor.say(bytes);
    const arrived = () => vendor().workspace.requestsOf(visitor.address)[0]?.body === 'half';
    await vendor().workspace.watch.until(arrived, 'half a body');
    visitor.socket.end();
    await visitor.over();
    expect((await closed(visitor))?.broken).toBe(true);
    expect(visitor.text).toBe('');
  });

  it('H1-2 behind his requests gets all the answers', async () => {
    using visitor = await dial();
    visitor.say(get('/one') + post('/two', 'body') + get('/three'));
    visitor.socket.end();
    expect(await visitor.over()).toBe('end');
    expect(statuses(visitor)).toEqual([204, 204, 204]);
    expect(targetsOf(visitor)).toEqual(['/one', '/two', '/three']);
  });

  it('H1-2 in the same breath as his requests gets all the answers, every time', async () => {
    const bytes = get('/one') + chunked('/two', '0\r\n\r\n') + get('/three');
    for (let round = 0; round < 100; round += 1) {
      using visitor = await dial();
      visitor.socket.end(bytes);
      expect(await visitor.over()).toBe('end');
      expect(statuses(visitor)).toEqual([204, 204, 204]);
    }
  });

  it('H1-2 while the workspace works gets a long answer to its end', async () => {
    const body = 'x'.repeat(3_000_000);
    vendor().workspace.plays.set('/long', { whole: () => undefined });
    using visitor = await dial();
    visitor.say(get('/long'));
    visitor.socket.end();
    await vendor().workspace.seen(visitor.address, 1);
    linkOf(visitor)?.say(ok(body));
    expect(await visitor.over()).toBe('end');
    expect(visitor.finals()[0]?.body.length).toBe(body.length);
  });

  it('H1-11 in a pipe ends only that half', async () => {
    const { watch, plays } = vendor().workspace;
    plays.set('/half-pipe', {
      whole: (connection) => {
        connection.raw = true;
        connection.say(SWITCHED);
      },
    });
    using visitor = await dial();
    visitor.say(askUpgrade('/half-pipe'));
    await visitor.answer();
    // Without this the recording end would answer with its own end.
    const link = linkOf(visitor);
    link?.socket.removeAllListeners('end');
    const ended = new Promise((resolve) => link?.socket.once('end', () => resolve(true)));
    visitor.say('last words');
    visitor.socket.end();
    await ended;
    expect(link?.text.endsWith('last words')).toBe(true);
    link?.say('more');
    await visitor.watch.until(() => visitor.text.endsWith('more'), 'what comes after');
    link?.socket.end();
    expect(await visitor.over()).toBe('end');
    await watch.until(() => link?.closed === true, 'the end of the pipe');
    expect(link?.broken).toBe(false);
  });
});

describe('answers at the wrong moment', { timeout: 30_000 }, () => {
  it('H1-7 a whole answer within an upload ends both, and its rest is no request', async () => {
    vendor().workspace.plays.set('/mid', { head: () => undefined });
    using visitor = await dial();
    visitor.say(chunked('/mid', '4\r\nhalf\r\n'));
    const arrived = () => vendor().workspace.requestsOf(visitor.address)[0]?.body === 'half';
    await vendor().workspace.watch.until(arrived, 'half a body');
    linkOf(visitor)?.say(ok('early'));
    const { head } = await visitor.answer();
    expect(saysClose(head)).toBe(true);
    visitor.say(`0\r\n\r\n${get('/next')}`);
    expect(await visitor.over()).toBe('end');
    expect((await closed(visitor))?.broken).toBe(true);
    expect(targetsOf(visitor)).toEqual(['/mid']);
  });

  it('H1-7 a body that breaks the rules after the answer has begun cuts it off', async () => {
    vendor().workspace.plays.set('/begun', {
      head: (connection) => connection.say('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'),
    });
    using visitor = await dial();
    visitor.say(chunked('/begun', ''));
    await visitor.watch.until(() => visitor.text.endsWith('half'), 'half an answer');
    visitor.say('no chunk\r\n');
    await visitor.over();
    expect(visitor.finals().map(({ status, whole }) => [status, whole])).toEqual([[200, false]]);
    expect((await closed(visitor))?.broken).toBe(true);
  });

  it('H1-7 an answer in one piece with the head of the next reaches no later request', async () => {
    const poison = `${ok('first')}HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n`;
    vendor().workspace.plays.set('/poison', { whole: (connection) => connection.say(poison) });
    using visitor = await dial();
    visitor.say(get('/poison') + get('/clean'));
    await visitor.answer(2);
    expect(statuses(visitor)).toEqual([200, 204]);
    expect(vendor().workspace.of(visitor.address).length).toBe(2);
  });
});

describe('links that go stale', { timeout: 30_000 }, () => {
  /** One right answer, and at the next request the connection breaks without a word. */
  function staleAfterOne(path: string): void {
    vendor().workspace.plays.set(path, {
      head: ({ requests, socket }) => {
        if (requests.length > 1) socket.resetAndDestroy();
      },
      whole: (connection) => {
        if (connection.requests.length === 1) connection.say(ok('fresh'));
      },
    });
  }

  it('H1-2 a GET is asked again, as a whole, on another link', async () => {
    staleAfterOne('/stale');
    using visitor = await dial();
    visitor.say(get('/stale'));
    await visitor.answer();
    visitor.say(get('/stale', 'X-A: b'));
    expect((await visitor.answer(2)).body).toBe('fresh');
    const links = vendor().workspace.of(visitor.address);
    expect(links.map(({ requests }) => requests.length)).toEqual([2, 1]);
    expect(links[1]?.requests[0]?.head).toBe(links[0]?.requests[1]?.head);
    for (const { text } of links)
      expect(parseCanonical(text, CORPUS_HOSTNAME).length).toBeGreaterThan(0);
  });

  it.each([
    ['POST', post('/stale-post', 'pay')],
    ['POST without a body', request('POST', '/stale-post')],
    ['DELETE', request('DELETE', '/stale-post')],
    ['GET with a body', `${request('GET', '/stale-post', 'Content-Length: 3')}pay`],
  ])('H1-2 %s is never asked twice', async (_, bytes) => {
    staleAfterOne('/stale-post');
    using visitor = await dial();
    visitor.say(get('/stale-post'));
    await visitor.answer();
    visitor.say(bytes);
    expect((await visitor.answer(2)).status).toBe(502);
    expect(targetsOf(visitor).length).toBe(2);
  });

  it('H1-2 a GET that was answered in part is not asked again', async () => {
    vendor().workspace.plays.set('/part', {
      head: (connection) => {
        if (connection.requests.length === 1) return connection.say(ok('whole'));
        connection.say('HTTP/1.1 2');
        setImmediate(() => connection.socket.end());
      },
    });
    using visitor = await dial();
    visitor.say(get('/part'));
    await visitor.answer();
    visitor.say(get('/part'));
    expect((await visitor.answer(2)).status).toBe(502);
    expect(targetsOf(visitor).length).toBe(2);
  });

  it('H1-2 a workspace that always breaks off is asked twice at most', async () => {
    let asked = 0;
    vendor().workspace.plays.set('/always', {
      head: (connection) => {
        asked += 1;
        if (asked === 1) connection.say(ok('once'));
        else connection.socket.resetAndDestroy();
      },
    });
    using visitor = await dial();
    visitor.say(get('/always'));
    await visitor.answer();
    visitor.say(get('/always'));
    expect((await visitor.answer(2)).status).toBe(502);
    expect(asked).toBe(3);
  });

  it('H1-2 a workspace that ends its half between two requests gets the next on a new link', async () => {
    vendor().workspace.plays.set('/end', {
      whole: (connection) => {
        connection.say(ok('x'));
        connection.socket.end();
      },
    });
    using visitor = await dial();
    for (let count = 1; count <= 5; count += 1) {
      visitor.say(post('/end', 'body'));
      expect((await visitor.answer(count)).status).toBe(200);
      await closed(visitor, count - 1);
    }
    expect(
      vendor()
        .workspace.of(visitor.address)
        .map(({ broken }) => broken),
    ).not.toContain(true);
  });
});

describe('afterwards', { timeout: 30_000 }, () => {
  it('F-13 nothing is left of all this', async () => {
    const { workspace } = vendor();
    const over = () => workspace.connections.every((connection) => connection.closed);
    await workspace.watch.until(over, 'the end of all links');
    expect(await vendor().figure('relay', 'waygate_streams')).toBe(0);
    expect(await vendor().figure('device', 'waygate_device_streams')).toBe(0);
    expect(await vendor().figure('relay', 'waygate_entrance_open_requests')).toBe(0);
    expect(vendor().log('relay')).not.toMatch(/"level":[56]0/);
    expect(await vendor().alive()).toBe(true);
  });
});
