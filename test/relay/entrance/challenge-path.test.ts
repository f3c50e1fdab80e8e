// What is below /.well-known/acme-challenge/ reaches no workspace, however it is spelled.
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isChallengePath } from '../../../relay/entrance/challenge-path.ts';
import { ask, House } from './http2-house.ts';

/** Each is the place of challenges to some parser. */
const SPELLINGS = [
  '/.well-known/acme-challenge/token',
  '/.well-known/acme-challenge/',
  '/.well-known/acme-challenge',
  '/.well-known/acme-challenge?token',
  '/.well-known/acme-challenge/a/b/c',
  '/.well-known/acme-challenge/../acme-challenge/token',
  '/%2ewell-known/acme-challenge/token',
  '/.well-known/%61cme-challenge/token',
  '/.well-known/acme%2Dchallenge/token',
  '/.well-known/acme%2dchallenge/token',
  '/.well-known%2facme-challenge%2Ftoken',
  '/%2F.well-known/acme-challenge/token',
  '/%252ewell-known/acme-challenge/token',
  '/.well-known/acme%25252dchallenge/token',
  '/.well-known%5Cacme-challenge/token',
  '//.well-known/acme-challenge/token',
  '///.well-known////acme-challenge//token',
  '/./.well-known/./acme-challenge/token',
  '/%2e/.well-known/acme-challenge/token',
  '/x/../.well-known/acme-challenge/token',
  '/x/%2e%2e/.well-known/acme-challenge/token',
  '/x/.%2E/.well-known/acme-challenge/token',
  '/x/..%2f.well-known/acme-challenge/token',
  '/x/..%5c.well-known/acme-challenge/token',
  '/a%2fb/../.well-known/acme-challenge/token',
  '/a//../../.well-known/acme-challenge/token',
  '/../.well-known/acme-challenge/token',
  '/..;/.well-known/acme-challenge/token',
  '/.well-known/x/../acme-challenge/token',
  '/.well-known;a=b/acme-challenge;c/token',
  '/.well-known%3b/acme-challenge/token',
  '/.Well-Known/ACME-Challenge/token',
  // By which authorities ask that have no ACME.
  '/.well-known/pki-validation/fileauth.txt',
  '/.well-known/pki%2dvalidation/fileauth.txt',
  '/x/../.well-known/pki-validation/fileauth.txt',
];

const OTHERS = [
  '/',
  '/acme-challenge/token',
  '/well-known/acme-challenge/token',
  '/.well-known/',
  '/.well-known/acme-challenges/token',
  '/.well-known/acme-challeng',
  '/pki-validation/fileauth.txt',
  '/.well-known/openid-configuration',
  '/.well-known/security.txt?next=/.well-known/acme-challenge/token',
  '/?path=/.well-known/acme-challenge/token',
  '/docs/.well-known/acme-challenge/token',
  '/proxy/8080/.well-known/acme-challenge/token',
  '/.well-known/acme%2challenge/token',
  '/.vscode/../settings.json',
  '/%20/%2e%2e/%E2%82%AC',
];

describe('the place of challenges', () => {
  it.each(SPELLINGS)('is %s', (target) => expect(isChallengePath(target)).toBe(true));
  it.each(OTHERS)('is not %s', (target) => expect(isChallengePath(target)).toBe(false));

  it('is what WHATWG URL says, decoded or not, and whatever stands in front', () => {
    const piece = fc.constantFrom(
      '.well-known',
      'acme-challenge',
      '..',
      '.',
      '',
      'a',
      '%2e',
      '%2f',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 7 }), (pieces) => {
        const target = `/${pieces.join('/')}`;
        const { pathname } = new URL(`https://host${target}`);
        for (const read of [pathname, decodeURIComponent(pathname)]) {
          if (!/^\/\.well-known\/acme-challenge(\/|$)/.test(read)) continue;
          expect(isChallengePath(target)).toBe(true);
        }
      }),
      { numRuns: 20_000 },
    );
  });
});

describe('attack: a workspace that would answer an authority', () => {
  let house: House;
  beforeAll(async () => {
    house = await new House().open();
  });
  afterAll(() => house.close());

  /** One request on a connection of its own; the whole answer. */
  async function http1(head: string): Promise<string> {
    const socket = connectTls({
      port: house.port,
      servername: 'alice.vendor.test',
      rejectUnauthorized: false,
    });
    let answer = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text;
    });
    socket.write(`${head}\r\nHost: alice.vendor.test\r\nConnection: close\r\n\r\n`);
    await once(socket, 'close');
    return answer;
  }

  it('is not asked over HTTP/1.1, and the visitor is told whose place it is', async () => {
    for (const target of SPELLINGS) {
      const answer = await http1(`GET ${target} HTTP/1.1`);
      expect(answer).toMatch(/^HTTP\/1\.1 404 /);
      expect(answer).toContain('proves to certificate authorities who holds alice.vendor.test');
    }
    for (const method of ['HEAD', 'POST', 'OPTIONS']) {
      expect(await http1(`${method} /.well-known/acme-challenge/x HTTP/1.1`)).toContain(' 404 ');
    }
    const absolute = 'GET https://alice.vendor.test/.well-known/acme-challenge/x HTTP/1.1';
    expect(await http1(absolute)).toMatch(/^HTTP\/1\.1 404 /);
    expect(house.requests).toHaveLength(0);
    expect(house.journal.problems.get('challenge-path')).toBe(SPELLINGS.length + 4);
  });

  it('is not asked for a WebSocket there', async () => {
    const answer = await http1(
      'GET /.well-known/acme-challenge/x HTTP/1.1\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
        'Connection: Upgrade',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 404 /);
    expect(house.sockets).toHaveLength(0);
  });

  it('is not asked over HTTP/2, and the connection serves on', async () => {
    const session = house.visit();
    for (const target of SPELLINGS) {
      const answer = await ask(session, { ':path': target, accept: 'application/json' });
      expect(JSON.parse(answer.body)).toMatchObject({
        type: 'urn:waygate:problem:challenge-path',
        status: 404,
      });
    }
    const posted = await ask(
      session,
      { ':method': 'POST', ':path': '/.well-known/acme-challenge/x' },
      'body',
    );
    expect(posted.status).toBe(404);
    expect(house.requests).toHaveLength(0);
    for (const target of OTHERS) {
      expect(await ask(session, { ':path': target })).toMatchObject({ status: 200, body: 'hello' });
    }
    expect(house.requests.map(({ url }) => url)).toEqual(OTHERS);
  });
});
