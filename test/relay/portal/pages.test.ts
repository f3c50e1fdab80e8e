// The owners' pages against what is not sent by their forms: every field wrong in every way, other sites,
// nobody signed in, names of others. Each gets a page that says what is wrong, and nothing has changed.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PortalStand } from '../../world/portal-stand.ts';
import type { PortalAnswer, PortalVisitor } from '../../world/portal-visitor.ts';

/** What each form sends when all is well, but for what is right. */
const FORMS: readonly (readonly [path: string, fields: Readonly<Record<string, string>>])[] = [
  ['/claim', { code: '0000-0000' }],
  ['/claim/approve', { code: '0000-0000', choice: '', name: 'brand-new' }],
  ['/claim/deny', { code: '0000-0000' }],
  ['/names/alices-box/rename', { to: 'brand-new' }],
  ['/names/alices-box/release', { confirm: 'alices-box' }],
  ['/names/alices-box/transfer', { toEmail: 'bob@example.org' }],
  ['/names/alices-box/transfer/withdraw', {}],
  ['/transfer', { code: 'WT-0' }],
  ['/domains', { name: 'alices-box', domain: 'new.example.org', workspace: '', wildcard: 'yes' }],
  ['/domains/app.example.org/check', {}],
  ['/domains/app.example.org/remove', { confirm: 'app.example.org' }],
  ['/recoveries/nobody-knows/veto', {}],
  ['/recoveries/nobody-knows/withdraw', {}],
];
const PAGES = [
  '/',
  '/claim',
  '/claim?code=AB12-CD34',
  '/names/alices-box',
  '/transfer',
  '/sessions',
  '/domains',
  '/domains/app.example.org',
  '/domains/app.example.org/remove?name=alices-box',
];

const WRONG = [
  '',
  'x'.repeat(300),
  '\u0000',
  '<script>alert(1)</script>',
  'a b',
  '../..',
  '-',
  'WWW',
];

let stand: PortalStand;
let before: unknown;
const strangers: PortalVisitor[] = [];

beforeAll(async () => {
  stand = await PortalStand.open();
  const alice = await stand.signedIn('alice@example.org');
  const { code } = await stand.claimant();
  await alice.form('/claim/approve', { code, choice: '', name: 'alices-box' });
  await alice.form('/domains', { name: 'alices-box', domain: 'app.example.org' });
  for (const _ of FORMS)
    strangers.push(await stand.signedIn(`stranger-${strangers.length}@example.org`));
  before = await stand.state();
});

afterAll(async () => {
  expect(await stand.state()).toEqual(before);
  expect(stand.log.filter((line) => JSON.parse(line).level >= 50)).toEqual([]);
  await stand[Symbol.asyncDispose]();
});

function strangerOf(path: string): PortalVisitor {
  const visitor = strangers[FORMS.findIndex(([each]) => each === path)];
  if (visitor === undefined) throw new Error(`nobody for ${path}`);
  return visitor;
}

/** A page for a person, which repeats nothing as markup. */
function expectPage(answer: PortalAnswer, ...statuses: number[]): void {
  expect(statuses, answer.body.slice(-500)).toContain(answer.status);
  expect(answer.headers['content-type']).toBe('text/html; charset=utf-8');
  expect(answer.body).toContain('<h1>');
  expect(answer.body).not.toContain('<script');
}

describe('a page', () => {
  it.each(PAGES)(
    '%s leads somebody who is not signed in to where he can be, and back',
    async (path) => {
      const { status, headers } = await stand.visitor().get(path);
      expect(status).toBe(303);
      const to = path === '/' ? '/sign-in' : `/sign-in?to=${encodeURIComponent(path)}`;
      expect(headers.location).toBe(to);
    },
  );

  it.each([
    '/claim?code=<b>',
    '/?done=<b>',
    '/?done=constructor',
    '/names/%00',
    '/names/al%2Fice',
    '/domains?done=<b>',
    '/domains/%00',
    '/domains/nonsense',
    '/domains/app.example.org?name=%00',
    '/domains/app.example.org?still=no',
    '/sign-in?x=1',
  ])('%s is refused', async (path) => {
    expectPage(await strangerOf('/claim').get(path), 303, 400, 404, 422);
  });

  it('of a name of somebody else is the same as of one that nobody has', async () => {
    const stranger = strangerOf('/transfer');
    const taken = await stranger.get('/names/alices-box');
    const free = await stranger.get('/names/nobodys-box');
    expectPage(taken, 404);
    expect(free.body.replaceAll('nobodys-box', 'alices-box')).toBe(taken.body);
  });

  it('of a domain of somebody else is the same as of one that nobody has', async () => {
    const stranger = strangerOf('/transfer');
    const taken = await stranger.get('/domains/app.example.org');
    const free = await stranger.get('/domains/new.example.org');
    expectPage(taken, 404);
    expect(free.body.replaceAll('new.example', 'app.example')).toBe(taken.body);
  });
});

describe('a form', () => {
  it.each(FORMS)('%s does nothing for who is not signed in', async (path, fields) => {
    const answer = await stand.visitor().form(path, fields);
    expectPage(answer, 401);
    expect(answer.body).toContain('href="/');
  });

  it.each(FORMS)('CSRF: %s does nothing for a page of another site', async (path, fields) => {
    const alice = await stand.signedIn('alice@example.org');
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const body = `${new URLSearchParams(fields)}`;
    for (const origin of ['https://evil.example', 'null', 'https://alices-box.vendor.test']) {
      expectPage(
        await alice.ask(path, { method: 'POST', headers: { ...type, origin }, body }),
        403,
      );
    }
    expectPage(await alice.ask(path, { method: 'POST', headers: type, body }), 403);
    const text = { 'content-type': 'text/plain', origin: stand.origin };
    expectPage(await alice.ask(path, { method: 'POST', headers: text, body }), 415);
    expectPage(await alice.get(path), 200, 404);
  });

  it.each(FORMS)(
    '%s does nothing with a name, a code or an id of somebody else',
    async (path, fields) => {
      const answer = await strangerOf(path).form(path, fields);
      expectPage(answer, 404);
    },
  );

  it.each(FORMS)('%s refuses wrong fields', { timeout: 30_000 }, async (path, fields) => {
    const stranger = strangerOf(path);
    for (const key of Object.keys(fields)) {
      for (const value of WRONG) {
        expectPage(await stranger.form(path, { ...fields, [key]: value }), 400, 404, 409, 422, 429);
      }
      const twice = [...Object.entries(fields), [key, 'twice']]
        .map(([k, v]) => `${k}=${v}`)
        .join('&');
      const headers = {
        'content-type': 'application/x-www-form-urlencoded',
        origin: stand.origin,
      };
      expectPage(await stranger.ask(path, { method: 'POST', headers, body: twice }), 400);
    }
    expectPage(await stranger.form(path, { ...fields, more: '1' }), 400);
    expectPage(await stranger.form(path, { ...fields, more: 'x'.repeat(17_000) }), 413);
  });
});
