// Attacks by header fields: what a visitor may say of himself, take away, or call almost like ours.
import { describe, expect, it } from 'vitest';
import { valuesIn } from './raw-responses.ts';
import { RawVisitor } from './raw-visitor.ts';
import { get, ok } from './requests.ts';
import { underAttack } from './under-attack.ts';

const vendor = underAttack();

/** The head that the workspace gets to see, and who asked. */
async function passOn(...lines: readonly string[]) {
  using visitor = await RawVisitor.dial(vendor());
  visitor.say(get('/', ...lines));
  await visitor.answer();
  const head = vendor().workspace.requestsOf(visitor.address)[0]?.head ?? '';
  return { head, address: visitor.address };
}

/** What only we may say, as it must arrive. */
function ours(head: string, address: string): void {
  const values = (name: string) => valuesIn(head, name);
  expect(values('x-forwarded-for')).toEqual([address]);
  expect(values('x-forwarded-proto')).toEqual(['https']);
  expect(values('x-forwarded-host')).toEqual(values('host'));
  expect(values('x-waygate-via')).toEqual(['relay']);
  expect(values('x-waygate-trust')).toEqual(['0']);
  expect(values('forwarded')).toEqual([`for=${address};proto=https;host="${values('host')[0]}"`]);
}

describe('H1-8 Connection names fields', { timeout: 30_000 }, () => {
  it.concurrent.each([
    ...['X-Forwarded-For', 'x-forwarded-for', 'X-Forwarded-Proto', 'X-Forwarded-Host', 'Forwarded'],
    ...['X-Waygate-Trust', 'X-Waygate-Via', 'X-Waygate-Assertion', 'X_Waygate_Trust', 'X-Real-IP'],
    ...[
      'Host',
      'Content-Length',
      'Transfer-Encoding',
      'Authorization',
      'Cookie',
      'CF-Connecting-IP',
    ],
    ...['close, X-Forwarded-For', 'X-A,X-Forwarded-For', 'keep-alive,\tcookie', 'Expect'],
  ])('H1-8 %s cannot be taken away (CVE-2026-33805, CVE-2026-26365)', async (named) => {
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get('/', `Connection: ${named}`));
    await visitor.over();
    expect(visitor.finals().map(({ status }) => status)).toEqual([400]);
    expect(vendor().workspace.of(visitor.address)).toEqual([]);
  });

  it('H1-8 what may be named is dropped, and ours arrive', async () => {
    const { head, address } = await passOn(
      'Connection: close, X-Auth-User, Keep-Alive, TE',
      ...['X-Auth-User: root', 'x-auth-user: admin', 'Keep-Alive: timeout=5', 'X-B: b', 'TE: x'],
    );
    ours(head, address);
    for (const name of ['x-auth-user', 'keep-alive', 'te'])
      expect(valuesIn(head, name)).toEqual([]);
    expect(valuesIn(head, 'x-b')).toEqual(['b']);
    expect(valuesIn(head, 'connection')).toEqual(['close']);
  });

  it('H1-8 a workspace cannot take away framing from its answer either', async () => {
    vendor().workspace.plays.set('/take', {
      whole: (connection) => connection.say(ok('body', 'Connection: Content-Length')),
    });
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get('/take'));
    expect((await visitor.answer()).status).toBe(502);
  });
});

describe('H1-9, N-1 forged forwarding', { timeout: 30_000 }, () => {
  const NAMES = [
    ...[
      'X-Forwarded-For',
      'X-Forwarded-Proto',
      'X-Forwarded-Host',
      'X-Forwarded-Port',
      'Forwarded',
    ],
    ...['X-Forwarded-Server', 'X-Forwarded-Prefix', 'X-Forwarded-User', 'X-Forwarded', 'X-Real-IP'],
    ...['True-Client-IP', 'X-Client-IP', 'X-Cluster-Client-IP', 'CF-Connecting-IP', 'CF-Ray'],
    ...['X-Waygate-Trust', 'X-Waygate-Via', 'X-Waygate-Owner', 'X-Waygate-Assertion', 'X-Waygate'],
    ...['X-Original-URL', 'X-Rewrite-URL', 'Client-IP', 'Fastly-Client-IP', 'X-Originating-IP'],
    ...['X-Remote-IP', 'X-Remote-Addr', 'Proxy', 'Proxy-Authorization', 'Proxy-Connection'],
  ];
  const spellings: readonly ((name: string) => string)[] = [
    (name) => name,
    (name) => name.toLowerCase(),
    (name) => name.toUpperCase(),
    (name) => name.replaceAll('-', '_'),
    (name) => name.replaceAll('-', '.'),
    (name) => name.replace('-', '~'),
  ];
  const plain = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, '-');

  it.each(NAMES)('N-1 %s in any spelling, once or twice, is ours or is not there', async (name) => {
    const lines = spellings.flatMap((spell) => [`${spell(name)}: 10.0.0.1`, `${spell(name)}: ::1`]);
    const { head, address } = await passOn(...lines);
    ours(head, address);
    expect(head).not.toMatch(/10\.0\.0\.1|::1/);
    const known = /^x-forwarded-(for|proto|host)$|^forwarded$|^x-waygate-(via|trust)$/;
    const seen = head
      .split('\r\n')
      .slice(1, -2)
      .map((line) => plain(line.split(':', 1)[0] ?? ''));
    expect(seen.filter((each) => each === plain(name)).length).toBe(
      known.test(plain(name)) ? 1 : 0,
    );
  });

  it.concurrent.each(
    [
      ...[
        'X-Forwarded-For ',
        'X-Forwarded-For\t',
        ' X-Forwarded-For',
        'X-Forwarded-For\0',
        'Host ',
      ],
      ...[
        'X-Forwarded\x0b-For',
        'Content_Length',
        'Transfer_Encoding',
        'Transfer.Encoding',
        'HOST_',
      ],
    ].filter((name) => name !== 'HOST_'),
  )('H1-9 %j: is refused', async (name) => {
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get('/', `${name}: 5`));
    await visitor.over();
    expect(visitor.finals().map(({ status }) => status)).toEqual([400]);
    expect(vendor().workspace.of(visitor.address)).toEqual([]);
  });

  it('N-1 credentials and all else arrive as they were said, in their order', async () => {
    const lines = [
      ...['Cookie: a=b; c="d\te"', 'Authorization: Bearer x.y.z==', 'cookie: second=1', 'X-A:'],
      ...['X-B: \xe4\xff', 'Accept-Encoding: gzip, br', 'X-A: again', 'Origin: null', '_: _'],
    ];
    const { head, address } = await passOn(...lines);
    ours(head, address);
    const said = lines.map((line) => (line.endsWith(':') ? `${line} ` : line));
    expect(head.split('\r\n').slice(2, 2 + lines.length)).toEqual(said);
  });

  it('N-1 an answer cannot speak as the relay', async () => {
    vendor().workspace.plays.set('/speak', {
      whole: (connection) =>
        connection.say(
          ok('', 'X-Waygate-Trust: 3', 'x_waygate_via: lan', 'Keep-Alive: x', 'X-A: b'),
        ),
    });
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get('/speak'));
    const { head } = await visitor.answer();
    expect(head).not.toMatch(/waygate|keep-alive/i);
    expect(valuesIn(head, 'x-a')).toEqual(['b']);
  });
});

describe('H1-14 names that mean something to JavaScript', () => {
  const NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf'];

  it('H1-14 pass in both directions like any other', async () => {
    const lines = NAMES.flatMap((name) => [`${name}: a`, `${name}: b`]);
    vendor().workspace.plays.set('/proto', {
      whole: (connection) => connection.say(ok('', ...lines, 'Connection: __proto__, toString')),
    });
    using visitor = await RawVisitor.dial(vendor());
    visitor.say(get('/proto', ...lines, 'Connection: __proto__, constructor'));
    const { head: answer } = await visitor.answer();
    const [asked] = vendor().workspace.requestsOf(visitor.address);
    const kept = (head: string) => NAMES.filter((name) => valuesIn(head, name).join() === 'a,b');
    expect(kept(asked?.head ?? '')).toEqual(NAMES.slice(2));
    expect(kept(answer)).toEqual(['constructor', 'prototype', 'hasOwnProperty', 'valueOf']);
    expect(await vendor().alive()).toBe(true);
  });
});
