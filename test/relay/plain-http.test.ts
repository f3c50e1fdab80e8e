// Plain HTTP on real sockets: authorities get their proofs, visitors are sent to HTTPS, and nobody
// can make it send them elsewhere, wait, or fill up.
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import fc from 'fast-check';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ListenError } from '../../relay/entrance/listen.ts';
import { exposePlainHttp } from '../../relay/metrics.ts';
import { listenPlainHttp, type PlainHttp, type PlainHttpOptions } from '../../relay/plain-http.ts';

const HOST = 'code.alice.vendor.test';
const TOKEN = 'LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0';
const PROOF = `${TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI`;
const CHALLENGE = `/.well-known/acme-challenge/${TOKEN}`;

let plain: PlainHttp | undefined;
const sockets: Socket[] = [];
const logged: string[] = [];

async function open(options: Partial<PlainHttpOptions> = {}): Promise<PlainHttp> {
  logged.length = 0;
  plain = await listenPlainHttp({
    host: '127.0.0.1',
    port: 0,
    knows: (hostname) => hostname === HOST || hostname === 'own.example',
    keyAuthorization: async (hostname, token) =>
      hostname === HOST && token === TOKEN ? PROOF : undefined,
    httpsPort: 443,
    log: pino({}, { write: (line: string) => logged.push(line) }),
    ...options,
  });
  return plain;
}

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await plain?.close();
  plain = undefined;
});

function dial(localAddress = '127.0.0.1'): Socket {
  const socket = createConnection({
    port: plain?.port ?? 0,
    host: '127.0.0.1',
    localAddress,
    allowHalfOpen: true,
  });
  socket.on('error', () => undefined);
  socket.on('end', () => socket.end());
  sockets.push(socket);
  return socket;
}

/** Also when an error says so first. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

/** All that comes until the connection ends. */
async function textOf(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part;
  });
  await closed(socket);
  return text;
}

async function tell(bytes: string): Promise<string> {
  const socket = dial();
  socket.write(bytes, 'latin1');
  return await textOf(socket);
}

/** One request, with these lines besides. */
function ask(line: string, host: string | undefined = HOST, ...lines: string[]): Promise<string> {
  const all = [`${line} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...lines];
  return tell(`${all.join('\r\n')}\r\n\r\n`);
}

function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);
}

function locationOf(answer: string): string | undefined {
  return /^location: (.*)\r$/im.exec(answer)?.[1];
}

describe('an authority', () => {
  it('reads the key authorization for its token, and nothing else', async () => {
    const { counts } = await open();
    const answer = await ask(`GET ${CHALLENGE}`);
    expect(statusOf(answer)).toBe(200);
    expect(answer).toMatch(/^content-type: text\/plain/im);
    expect(answer.split('\r\n\r\n')[1]).toBe(PROOF);
    const head = await ask(`HEAD ${CHALLENGE}`, `${HOST.toUpperCase()}.:80`);
    expect(statusOf(head)).toBe(200);
    expect(head).toContain(`content-length: ${PROOF.length}`);
    expect(head).not.toContain(PROOF);
    expect(counts.get('challenge-answered')).toBe(2);
  });

  it('is answered for a name that is not served yet', async () => {
    await open({ knows: () => false });
    expect(statusOf(await ask(`GET ${CHALLENGE}`))).toBe(200);
    expect(statusOf(await ask('GET /'))).toBe(421);
  });

  it('is never sent to HTTPS, where a workspace of an own domain might be', async () => {
    const { counts } = await open();
    for (const line of [`GET ${CHALLENGE}x`, `POST ${CHALLENGE}`, `GET ${CHALLENGE}?a`]) {
      expect(statusOf(await ask(line))).toBe(404);
    }
    expect(statusOf(await ask(`GET ${CHALLENGE}`, 'own.example'))).toBe(404);
    expect(counts.get('challenge-unknown')).toBe(4);
    expect(counts.get('redirected')).toBe(0);
  });

  it('attack: a token with odd characters is asked of nobody', async () => {
    const asked: string[] = [];
    await open({
      keyAuthorization: async (_hostname, token) => {
        asked.push(token);
        return token;
      },
    });
    const places = [
      '',
      '/',
      '/..',
      '/a/b',
      '/a.b',
      '/%61',
      '/a%00b',
      "/a'--",
      '/a;b',
      '/a+b',
      '/a=',
    ];
    const long = `/${'a'.repeat(129)}`;
    for (const place of [...places, long, '/a?b', '/a%0d%0aSet-Cookie:x', '/../x']) {
      const answer = await ask(`GET /.well-known/acme-challenge${place}`);
      expect([place, [400, 404].includes(statusOf(answer))]).toEqual([place, true]);
    }
    expect(asked).toEqual([]);
    expect(statusOf(await ask(`GET /.well-known/acme-challenge/${'a'.repeat(128)}`))).toBe(200);
    expect(asked).toEqual(['a'.repeat(128)]);
  });

  it('is told to come again when the answer cannot be found now', async () => {
    const { counts } = await open({
      keyAuthorization: (hostname) =>
        hostname === HOST ? Promise.reject(new Error('planted')) : new Promise(() => undefined),
      limits: { lookupMs: 100, lookupsMax: 1 },
    });
    expect(statusOf(await ask(`GET ${CHALLENGE}`))).toBe(503);
    expect(logged.join('')).toContain('planted');
    expect(statusOf(await ask(`GET ${CHALLENGE}`, 'own.example'))).toBe(503);
    expect(logged.join('')).toContain('No answer within 100 ms');
    // The one that never ends takes the only place.
    expect(statusOf(await ask(`GET ${CHALLENGE}`))).toBe(503);
    expect(counts.get('challenge-failed')).toBe(3);
  });
});

describe('a visitor', () => {
  it('is sent to the same place by HTTPS', async () => {
    const { counts } = await open();
    const answer = await ask('GET /a/b?c=d&e=%20', `Code.Alice.Vendor.Test:80`);
    expect(statusOf(answer)).toBe(308);
    expect(locationOf(answer)).toBe(`https://${HOST}/a/b?c=d&e=%20`);
    expect(locationOf(await ask(`GET http://${HOST}?q`))).toBe(`https://${HOST}/?q`);
    expect(counts.get('redirected')).toBe(2);
  });

  it('is sent to the port where HTTPS is', async () => {
    await open({ httpsPort: 8443 });
    expect(locationOf(await ask('POST /form', HOST, 'Content-Length: 0'))).toBe(
      `https://${HOST}:8443/form`,
    );
  });

  it('may ask again on the same connection, for a moment', async () => {
    await open({ limits: { keepAliveMs: 100 } });
    const answer = await tell(`GET /a HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`.repeat(2));
    expect(answer.match(/^HTTP\/1\.1 308 /gm)).toHaveLength(2);
  });
});

describe('attack: the Host field', () => {
  it('cannot choose where a visitor is sent', async () => {
    const { counts } = await open();
    const others = ['evil.example', 'vendor.test', `${HOST}.evil.example`, `evil.${HOST}`];
    for (const host of others) {
      const answer = await ask('GET /', host);
      expect([host, statusOf(answer), locationOf(answer)]).toEqual([host, 421, undefined]);
    }
    expect(counts.get('unknown-host')).toBe(others.length);
  });

  it('must be one hostname, with at most a port', async () => {
    await open();
    const broken = [
      ...['', '@evil.example', `${HOST}@evil.example`, `evil.example@${HOST}`, `${HOST}/x`],
      ...[`${HOST}:`, `${HOST}:0`, `${HOST}:x`, `${HOST}:80:80`, `${HOST}:443@evil.example`],
      ...[`${HOST} evil.example`, `${HOST},evil.example`, `${HOST}\\evil.example`, `${HOST}#`],
      ...['127.0.0.1', '[::1]', `${HOST}%0d%0a`, `${HOST}\x00`, `\xe4.test`, `${HOST}:99999`],
    ];
    for (const host of broken) {
      const answer = await ask('GET /', host);
      expect([host, statusOf(answer), locationOf(answer)]).toEqual([host, 400, undefined]);
    }
    expect(statusOf(await ask('GET /', HOST, 'Host: evil.example'))).toBe(400);
    expect(statusOf(await ask('GET /', HOST, `Host: ${HOST}`))).toBe(400);
    expect(statusOf(await tell('GET / HTTP/1.1\r\n\r\n'))).toBe(400);
    expect(statusOf(await tell('GET / HTTP/1.0\r\n\r\n'))).toBe(400);
  });

  it('is the same as that of an absolute address', async () => {
    await open();
    for (const target of ['http://evil.example/', `http://own.example/`, 'ftp://x/', '*', 'x']) {
      const answer = await ask(`GET ${target}`);
      expect([target, statusOf(answer), locationOf(answer)]).toEqual([target, 400, undefined]);
    }
  });
});

describe('attack: the target of a redirect', () => {
  it('stays behind the name, whatever it is', async () => {
    await open();
    for (const target of ['//evil.example/', '/@evil.example', '/.evil.example', '/:80@evil/']) {
      expect(locationOf(await ask(`GET ${target}`))).toBe(`https://${HOST}${target}`);
    }
    for (const target of ['/\\evil.example', '/a#b', '/a%00', '/\x01', '/\xff']) {
      expect([target, statusOf(await ask(`GET ${target}`))]).toEqual([target, 400]);
    }
  });

  it('never ends a field, with any characters', async () => {
    await open();
    const target = fc.string({ unit: fc.nat(255).map((code) => String.fromCharCode(code)) });
    await fc.assert(
      fc.asyncProperty(target, async (text) => {
        const answer = await ask(`GET /${text}`, HOST, 'X-Mark: evil');
        expect(answer.toLowerCase()).not.toContain('\nx-mark');
        const location = locationOf(answer);
        if (location === undefined) return;
        expect(new URL(location).host).toBe(HOST);
        expect(location).toMatch(/^[\x21-\x7e]+$/);
      }),
      { numRuns: 300 },
    );
  });
});

describe('attack: bodies and wishes', () => {
  it('no body is waited for, and what follows one is no request', async () => {
    const { counts } = await open();
    const head = `POST / HTTP/1.1\r\nHost: ${HOST}\r\n`;
    for (const framing of ['Content-Length: 1000000000', 'Transfer-Encoding: chunked']) {
      for (const expecting of ['', 'Expect: 100-continue\r\n']) {
        const answer = await tell(`${head}${framing}\r\n${expecting}\r\n`);
        expect(answer).toMatch(/^HTTP\/1\.1 308 /);
        expect(answer).not.toContain('100 Continue');
        expect(answer).toMatch(/^connection: close/im);
      }
    }
    const smuggled = `GET /smuggled HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;
    const answer = await tell(`${head}Content-Length: ${smuggled.length}\r\n\r\n${smuggled}`);
    expect(answer.match(/^HTTP/gm)).toHaveLength(1);
    expect(counts.get('redirected')).toBe(5);
  });

  it.each([
    'Content-Length: 1\r\nTransfer-Encoding: chunked',
    'Content-Length: 1\r\nContent-Length: 2',
    'X : y',
    ' folded: x',
  ])('what is no strict HTTP is refused: %j', async (lines) => {
    const { counts } = await open();
    expect(statusOf(await tell(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n${lines}\r\n\r\n`))).toBe(400);
    expect(counts.get('redirected')).toBe(0);
  });

  it('no protocol is switched to, no connection is made, and no head is large', async () => {
    await open();
    const upgrade = ['Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA'];
    expect(statusOf(await ask('GET /', HOST, ...upgrade))).toBe(308);
    expect(await ask('CONNECT evil.example:443')).toBe('');
    expect(statusOf(await ask('GET /', HOST, `X: ${'x'.repeat(9_000)}`))).toBe(431);
    expect(statusOf(await tell('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))).toBe(400);
    expect(statusOf(await tell('\x16\x03\x01\x00\x05hello'))).toBe(400);
  });
});

describe('attack: slow and many visitors', () => {
  const limits = { headMs: 300, lookMs: 100, silentMs: 800 };

  it('heads that come too slowly are cut off, and so is silence', async () => {
    await open({ limits });
    const slow = dial();
    slow.write('GET / HTTP/1.1\r\nX: ');
    const drip = setInterval(() => slow.write('x'), 50);
    const texts = await Promise.all([textOf(slow), textOf(dial())]);
    clearInterval(drip);
    expect(texts.map(statusOf)).toEqual([408, 408]);
  });

  it('who takes no answers is cut off', async () => {
    const { counts } = await open({
      limits: { lookMs: 100, silentMs: 800, requestsPerConnection: 1_000_000 },
    });
    const socket = dial();
    socket.pause();
    const requests = `GET /${'x'.repeat(4_000)} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`.repeat(4_000);
    socket.write(requests);
    await closed(socket);
    expect(counts.get('redirected')).toBeGreaterThan(0);
    expect(counts.get('redirected')).toBeLessThan(4_000);
  });

  it('a thousand connections of one address leave room for another', async () => {
    const { counts } = await open({ limits: { connectionsPerAddressMax: 200 } });
    const crowd = Array.from({ length: 1_000 }, () => dial('127.0.0.2'));
    let cut = 0;
    for (const socket of crowd) {
      socket.resume().on('close', () => {
        cut += 1;
      });
    }
    await vi.waitFor(() => expect(cut).toBe(800), 5_000);
    expect(counts.get('too-many-connections')).toBe(800);
    expect(statusOf(await ask('GET /'))).toBe(308);
    for (const socket of crowd) socket.destroy();
    await vi.waitFor(async () => {
      const again = dial('127.0.0.2');
      again.end(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
      expect(statusOf(await textOf(again))).toBe(308);
    }, 5_000);
  });

  it('all addresses together have a bound', async () => {
    const { counts } = await open({ limits: { connectionsMax: 3 } });
    const crowd = ['127.0.0.2', '127.0.0.3', '127.0.0.4'].map(dial);
    await Promise.all(crowd.map((socket) => once(socket, 'connect')));
    expect(await textOf(dial().resume())).toBe('');
    expect(counts.get('too-many-connections')).toBe(1);
  });
});

describe('the listener', () => {
  it('has figures', async () => {
    const metrics = new Registry();
    exposePlainHttp(await open(), [metrics]);
    await ask('GET /');
    expect(await metrics.metrics()).toContain('waygate_plain_http_total{outcome="redirected"} 1');
    expect(await metrics.metrics()).toContain('waygate_plain_http_total{outcome="redirected"} 1');
  });

  it('says why it cannot listen', async () => {
    const { port } = await open();
    const options = { host: '127.0.0.1', httpsPort: 443, log: pino({ enabled: false }) };
    const none = { knows: () => false, keyAuthorization: async () => undefined };
    await expect(listenPlainHttp({ ...options, ...none, port })).rejects.toThrow(ListenError);
  });

  it('answers what was asked before it closes, and does not wait for the silent', async () => {
    const asked = Promise.withResolvers<void>();
    const found = Promise.withResolvers<string>();
    const { port } = await open({
      limits: { drainMs: 500 },
      keyAuthorization: () => {
        asked.resolve();
        return found.promise;
      },
    });
    dial();
    const answer = ask(`GET ${CHALLENGE}`);
    await asked.promise;
    const over = plain?.close();
    found.resolve(PROOF);
    expect(await answer).toContain(PROOF);
    await over;
    const late = createConnection({ port, host: '127.0.0.1' });
    await expect(once(late, 'connect')).rejects.toThrow('ECONNREFUSED');
  });
});
