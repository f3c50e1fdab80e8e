// P-8: what is logged is told to people and to programs that watch logs. A visitor or a workspace must
// not be able to write lines there, and what is secret must not get there at all.
import { describe, expect, it } from 'vitest';
import { CORPUS_HOSTNAME } from '../entrance/smuggling-case.ts';
import { RawVisitor } from './raw-visitor.ts';
import { get, post, request } from './requests.ts';
import { underAttack } from './under-attack.ts';

const vendor = underAttack();
const SECRET = 'canary-c0ffee';
const FORGED = '{"level":60,"msg":"forged"}';

/** The log as lines, which must all be objects. */
function lines(program: 'relay' | 'device'): Readonly<Record<string, unknown>>[] {
  const text = vendor().log(program);
  expect(text.endsWith('\n')).toBe(true);
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line));
}

async function say(bytes: string): Promise<void> {
  using visitor = await RawVisitor.dial(vendor());
  visitor.say(bytes);
  await visitor.watch.until(
    () => visitor.finals().length > 0 || visitor.ending !== undefined,
    bytes,
  );
}

describe('P-8 logs', { timeout: 30_000 }, () => {
  it('P-8 hold neither credentials nor queries, whatever becomes of the request', async () => {
    const secrets = [
      ...[`Authorization: Basic ${SECRET}`, `Cookie: session=${SECRET}`, `X-Api-Key: ${SECRET}`],
      ...[`Referer: https://a/?${SECRET}`, `User-Agent: ${SECRET}`, `Sec-WebSocket-Key: ${SECRET}`],
    ];
    const target = `/logged?token=${SECRET}`;
    vendor().workspace.plays.set('/broken', {
      head: (connection) =>
        connection.say(`HTTP/1.1 200 ${SECRET}\r\nSet-Cookie ${SECRET}\r\n\r\n`),
    });
    vendor().workspace.plays.set('/cut', { head: ({ socket }) => socket.resetAndDestroy() });
    await say(get(target, ...secrets));
    await say(get(`https://${CORPUS_HOSTNAME}${target}`, ...secrets));
    await say(post(`/broken?${SECRET}`, SECRET, ...secrets));
    await say(post(`/cut?${SECRET}`, SECRET, ...secrets));
    await say(get(`/?${SECRET}#x`, ...secrets));
    await say(get(target, ...secrets, `X-A: ${SECRET}\0`));
    await say(request('TRACE', target, ...secrets));
    await say(request('POST', target, ...secrets, `Transfer-Encoding: ${SECRET}`));
    await say(request('POST', target, 'Transfer-Encoding: chunked') + SECRET);
    await say(`GET ${target}\r\nCookie: ${SECRET}\r\n\r\n`);
    await say(`${SECRET} / HTTP/1.1\r\n\r\n`);
    expect(lines('relay').some(({ path }) => path === '/logged')).toBe(true);
    expect(vendor().log('relay')).not.toContain(SECRET);
    expect(vendor().log('device')).not.toContain(SECRET);
  });

  it('P-8 cannot be written to by what a visitor says', async () => {
    const before = lines('relay').length;
    const paths = [
      ...[`/"}${FORGED}`, `/%0a${FORGED}`, `/'"<script>`, '/%1b[31m', '/$%7Bjndi:x}'],
      ...[`/${'a'.repeat(8_000)}`, '/%e2%80%a8'],
    ];
    for (const path of paths) await say(get(path, `User-Agent: ${FORGED}`, `Referer: ${FORGED}`));
    for (const bytes of ['\n', '\r', '\r\n', '\0', '\x1b[2J', '\x85', '\xff']) {
      await say(get(`/a${bytes}${FORGED}`));
      await say(get('/', `X-A: a${bytes}${FORGED}`));
      await say(`GET / HTTP/1.1\r\nHost: ${CORPUS_HOSTNAME}${bytes}${FORGED}\r\n\r\n`);
      await say(`GET${bytes}${FORGED} / HTTP/1.1\r\n\r\n`);
    }
    const said = lines('relay').slice(before);
    expect(said.length).toBeGreaterThanOrEqual(paths.length + 20);
    expect(said.filter(({ msg }) => msg !== 'request')).toEqual([]);
    expect(Math.max(...said.map((line) => JSON.stringify(line).length))).toBeLessThan(3_000);
    // Printable ASCII only: nothing that a terminal would obey.
    expect(vendor().log('relay')).toMatch(/^[\n -~]*$/);
    expect(lines('device').some(({ msg }) => msg === 'forged')).toBe(false);
  });

  it('P-8 cannot be written to by what a workspace says', async () => {
    const said = [
      `HTTP/1.1 200 \n${FORGED}\r\n\r\n`,
      `${FORGED}\n\r\n\r\n`,
      `HTTP/1.1 101 ${FORGED}\r\n\r\n`,
    ];
    for (const [index, bytes] of said.entries()) {
      const path = `/workspace-${index}`;
      vendor().workspace.plays.set(path, {
        whole: (connection) => connection.say(bytes.repeat(3)),
      });
      await say(get(path));
    }
    for (const program of ['relay', 'device'] as const) {
      expect(lines(program).some(({ msg }) => msg === 'forged')).toBe(false);
      expect(vendor().log(program)).toMatch(/^[\n -~]*$/);
    }
  });
});
