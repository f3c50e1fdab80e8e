// Own domains on the portal, from nothing to live and gone again: by the API, where every answer is as the
// document promises, and by the pages, without scripts; with a DNS and an authority that are real.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DomainChange } from '../../../relay/domains/report.ts';
import { registerRelay } from '../../../relay/registry/deeds/relay-alive.ts';
import { countLetters } from '../../../relay/registry/letters.ts';
import { answerFault, type Document, operations } from '../../world/openapi.ts';
import { OrgDomains } from '../../world/org-domains.ts';
import { PortalStand } from '../../world/portal-stand.ts';
import type { PortalAnswer, PortalVisitor } from '../../world/portal-visitor.ts';

type Owner = Awaited<ReturnType<PortalStand['signedIn']>>;

let org: OrgDomains;
let stand: PortalStand;
let document: Document;
let alice: Owner;

beforeAll(async () => {
  org = await OrgDomains.open();
  stand = await PortalStand.open({}, org);
  await stand.registry.perform(registerRelay({ id: 'here', addresses: ['127.0.0.1'] }));
  document = JSON.parse((await stand.visitor().get('/openapi.json')).body);
  alice = await owner('alice', 'alices-box');
});
afterAll(async () => {
  expect(stand.log.filter((line) => JSON.parse(line).level >= 50)).toEqual([]);
  await stand[Symbol.asyncDispose]();
  await org[Symbol.asyncDispose]();
});

/** Somebody who is signed in and has this name. */
async function owner(who: string, name: string): Promise<Owner> {
  const found = await stand.signedIn(`${who}@example.com`);
  await named(found, name);
  return found;
}

async function named(visitor: PortalVisitor, name: string): Promise<void> {
  const { code } = await stand.claimant();
  expect((await visitor.api('POST', '/v1/claims/approve', { code, name })).status).toBe(200);
}

/** The answer of a route, which is as the document promises. */
async function act(who: PortalVisitor, route: string, path: string, body?: unknown) {
  const [method = ''] = route.split(' ');
  const answer = await who.api(method, path, body);
  const operation = operations(document).find((each) => `${each.method} ${each.path}` === route);
  if (operation === undefined) throw new Error(`${route} is not in the document`);
  const type = answer.headers['content-type'];
  expect(answerFault(operation, { status: answer.status, type, body: answer.body })).toBe('');
  return answer;
}

interface Entry {
  readonly type: string;
  readonly owner: string;
  readonly value: string;
  readonly needed: string;
}

function entriesOf(answer: PortalAnswer): Entry[] {
  return JSON.parse(answer.body).entries;
}

/** As a person enters it: the proof, and the way by address. */
function enter(domain: string, entries: readonly Entry[]): void {
  const chosen = entries.filter(({ type, needed }) => needed !== 'one-of' || type === 'A');
  org.enter(
    domain,
    chosen.map(({ type, owner: at, value }) => [at, type, type === 'CNAME' ? `${value}.` : value]),
  );
}

const ADD = 'POST /v1/domains';
const ONE = 'GET /v1/domains/{domain}';
const CHECK = 'POST /v1/domains/{domain}/check';
const REMOVE = 'DELETE /v1/domains/{domain}';

describe('the API', () => {
  it('leads an own domain from nothing to live, and away again', async () => {
    const path = '/v1/domains/example-a.org';
    const wanted = { name: 'alices-box', domain: 'Example-A.org.', workspace: 'code' };
    const added = await act(alice, ADD, '/v1/domains', wanted);
    expect(added.status).toBe(201);
    expect(added.json()).toMatchObject({
      domain: 'example-a.org',
      url: `https://example-a.org:${stand.port}/`,
      name: 'alices-box',
      workspace: 'code',
      wildcard: false,
      state: 'pending',
      live: false,
      checkedAt: null,
    });
    const entries = entriesOf(added);
    expect(entries.map(({ type, owner: at, needed }) => [type, at, needed])).toEqual([
      ['TXT', '_waygate.example-a.org', 'yes'],
      // At the top of a registered domain no CNAME can be.
      ['A', 'example-a.org', 'yes'],
    ]);
    expect(entriesOf(await act(alice, ADD, '/v1/domains', wanted))).toEqual(entries);
    const states = async () => {
      const { live, steps } = JSON.parse((await act(alice, CHECK, `${path}/check`, {})).body);
      return [live, ...steps.map((step: { state: string }) => step.state)];
    };
    expect(await states()).toEqual([false, 'wrong', 'wrong', 'ok', 'waiting', 'waiting']);
    enter('example-a.org', entries);
    expect(await states()).toEqual([false, 'ok', 'ok', 'ok', 'waiting', 'waiting']);
    await org.certify('example-a.org');
    expect(await states()).toEqual([true, 'ok', 'ok', 'ok', 'ok', 'ok']);
    const one = await act(alice, ONE, path);
    expect(one.json()).toMatchObject({ live: true, state: 'proven' });
    const all = await act(alice, 'GET /v1/domains', '/v1/domains');
    expect(all.json()).toEqual({ domains: [one.json()] });
    expect((await act(alice, REMOVE, path)).status).toBe(204);
    expect((await act(alice, ONE, path)).status).toBe(404);
    expect((await act(alice, REMOVE, path)).status).toBe(404);
  });

  it('tells of the CNAME first, and of addresses besides, where it is no registered domain', async () => {
    const wanted = { name: 'alices-box', domain: 'app.example-h.co.uk' };
    const added = await act(alice, ADD, '/v1/domains', wanted);
    expect(entriesOf(added).map(({ type, owner: at, needed }) => [type, at, needed])).toEqual([
      ['TXT', '_waygate.app.example-h.co.uk', 'yes'],
      ['CNAME', 'app.example-h.co.uk', 'one-of'],
      ['A', 'app.example-h.co.uk', 'one-of'],
    ]);
    await act(alice, REMOVE, '/v1/domains/app.example-h.co.uk');
  });

  it.each(['co.uk', 'github.io', 'Foo.CK.'])(
    '%s, a public suffix, is nobody’s own',
    async (text) => {
      const before = await stand.state();
      const wanted = { name: 'alices-box', domain: text };
      const { status, body } = await act(alice, ADD, '/v1/domains', wanted);
      const domain = text.toLowerCase().replace(/\.$/, '');
      expect(status).toBe(422);
      expect(JSON.parse(body)).toMatchObject({
        detail:
          `That domain cannot be used: below ${domain} everybody can register a domain, so it is ` +
          "nobody's own (the Public Suffix List has it).",
        next: `Take one of yours, such as example.${domain}.`,
      });
      expect(await stand.state()).toEqual(before);
    },
  );

  it('tells which of two names is meant that have the same domain', async () => {
    const carol = await owner('carol', 'carols-box');
    await named(carol, 'carols-den');
    const add = async (name: string) =>
      entriesOf(await act(carol, ADD, '/v1/domains', { name, domain: 'two.example-c.org' }));
    const [box, den] = [await add('carols-box'), await add('carols-den')];
    expect(box).not.toEqual(den);
    const path = '/v1/domains/two.example-c.org';
    expect(entriesOf(await act(carol, ONE, `${path}?name=carols-den`))).toEqual(den);
    expect(entriesOf(await act(carol, CHECK, `${path}/check?name=carols-den`))).toEqual(den);
    expect((await act(carol, REMOVE, `${path}?name=carols-den`)).status).toBe(204);
    expect(entriesOf(await act(carol, ONE, path))).toEqual(box);
    expect((await act(carol, ONE, `${path}?name=carols-den`)).status).toBe(404);
  });

  it.each([
    ['domain', 'https://app.example.org/', 'the domain alone, without https://'],
    ['domain', '*.example.org', 'without the star'],
    ['domain', 'localhost', 'must have a dot'],
    ['domain', '192.0.2.1', 'is an address'],
    ['domain', 'bücher.example', 'in ASCII: xn--bcher-kva.example'],
    ['domain', 'app.vendor.test', 'belongs to the vendor'],
    ['domain', 'vendor.test', 'belongs to the vendor'],
    ['domain', 'test', 'must have a dot'],
    ['domain', 'a.b.c.d.e.f.g.h.i.example.org', 'at most 237 characters and 10 parts'],
    ['workspace', 'a--b', 'two hyphens in a row'],
    ['workspace', 'lan', 'reserved'],
    ['name', 'x', '3 to 32 characters'],
    ['name', 'www', 'reserved'],
  ])('a bad %s, %s: says what is wrong, and nothing has changed', async (key, value, words) => {
    const before = await stand.state();
    const body = { name: 'alices-box', domain: 'app.example-b.org', [key]: value };
    const { status, body: text } = await act(alice, ADD, '/v1/domains', body);
    expect(status).toBe(422);
    expect(JSON.parse(text).detail).toContain(words);
    expect(await stand.state()).toEqual(before);
  });

  it('ATTACK: a stranger learns nothing of a domain, and changes nothing of it', async () => {
    const mallory = await owner('mallory', 'mallorys-box');
    const domain = 'secret.example-m.org';
    await act(alice, ADD, '/v1/domains', { name: 'alices-box', domain });
    const before = await stand.state();
    for (const [route, rest] of [
      [ONE, ''],
      [CHECK, '/check'],
      [REMOVE, ''],
    ] as const) {
      const taken = await act(mallory, route, `/v1/domains/${domain}${rest}`);
      const free = await act(mallory, route, `/v1/domains/nobodys.example-m.org${rest}`);
      expect(taken.status).toBe(404);
      expect(free.body.replaceAll('nobodys', 'secret')).toBe(taken.body);
    }
    const stolen = await act(mallory, ADD, '/v1/domains', { name: 'alices-box', domain });
    expect(stolen.status).toBe(404);
    expect(await stand.state()).toEqual(before);
    await act(alice, REMOVE, `/v1/domains/${domain}`);
  });
});

describe('the pages', () => {
  it('lead the same way: add, enter, check, live, remove', async () => {
    const bob = await owner('bob', 'bobs-box');
    const empty = await bob.get('/domains');
    expect(empty.body).toContain('<option value="bobs-box">bobs-box.vendor.test</option>');
    const form = { name: 'bobs-box', domain: ' Example-D.org ', workspace: '', wildcard: 'yes' };
    const added = await bob.form('/domains', form);
    const page = '/domains/example-d.org?name=bobs-box';
    expect([added.status, added.headers.location]).toEqual([303, `${page}&done=added`]);
    const shown = await bob.get(`${page}&done=added`);
    expect(shown.body).toContain('role="status"');
    // Without the notice, and not for long.
    expect(shown.body).toContain(`http-equiv="refresh" content="15; url=${page}"`);
    for (const { owner: at, value } of entriesOf(await bob.get('/v1/domains/example-d.org'))) {
      expect(shown.body).toContain(`<code class="take">${at}</code>`);
      expect(shown.body).toContain(`<code class="take">${value}</code>`);
    }
    const still = await bob.get(`${page}&still=yes`);
    expect(still.body).not.toContain('http-equiv="refresh"');

    const entries = entriesOf(await bob.get('/v1/domains/example-d.org'));
    enter('example-d.org', entries);
    await org.certify('example-d.org');
    const checked = await bob.form('/domains/example-d.org/check?name=bobs-box');
    expect([checked.status, checked.headers.location]).toEqual([303, `${page}&done=checked`]);
    const live = await bob.get(page);
    expect(live.body).toContain('It works');
    expect(live.body).toContain(`href="https://example-d.org:${stand.port}/"`);
    expect(live.body).not.toContain('http-equiv="refresh"');
    expect((await bob.get('/domains')).body).toContain('<span class="state good">live</span>');

    const remove = '/domains/example-d.org/remove?name=bobs-box';
    expect((await bob.get(remove)).body).not.toContain('http-equiv="refresh"');
    const mistyped = await bob.form(remove, { confirm: 'example-e.org' });
    expect(mistyped.status).toBe(422);
    expect(mistyped.body).toContain('Nothing has changed.');
    expect((await bob.get(page)).status).toBe(200);
    const removed = await bob.form(remove, { confirm: ' EXAMPLE-D.org ' });
    expect([removed.status, removed.headers.location]).toEqual([303, '/domains?done=removed']);
    expect((await bob.get(page)).status).toBe(404);
  });

  it('say how long ago somebody has looked, and show the next look, as the API does', async () => {
    await using busy = await PortalStand.open({}, org, { againAfterMs: 600_000 });
    const eve = await busy.signedIn('eve@example.com');
    const { code } = await busy.claimant();
    await eve.api('POST', '/v1/claims/approve', { code, name: 'eves-box' });
    const typed = { name: 'eves-box', domain: 'example-j.org', workspace: '' };
    expect((await eve.form('/domains', typed)).status).toBe(303);
    const page = '/domains/example-j.org?name=eves-box';
    const press = async () =>
      (await eve.form('/domains/example-j.org/check?name=eves-box')).headers.location;
    expect(await press()).toBe(`${page}&done=checked`);
    busy.clock.aheadMs += 3_000;
    expect(await press()).toBe(`${page}&done=joined`);
    const { body } = await eve.get(`${page}&done=joined`);
    expect(body).toContain('Somebody had just looked.');
    expect(body).toMatch(/UTC<\/time>, [3-9] seconds ago\./);
    expect(body).toContain(`http-equiv="refresh" content="6; url=${page}"`);
    expect((await eve.get(`${page}&done=joined&still=yes`)).body).not.toContain('http-equiv');
    const api = (await eve.api('POST', '/v1/domains/example-j.org/check', {})).json();
    expect(api).toMatchObject({
      secondsAgo: expect.closeTo(6, -1),
      againInSeconds: expect.closeTo(597, -1),
    });
  });

  it('keep what was typed when it is refused, and say why', async () => {
    const typed = { name: 'alices-box', domain: '<b>.org', workspace: 'code', wildcard: 'yes' };
    const refused = await alice.form('/domains', typed);
    expect(refused.status).toBe(422);
    expect(refused.body).toContain('role="alert"');
    expect(refused.body).toContain('value="&lt;b&gt;.org"');
    expect(refused.body).toContain('value="code"');
    expect(refused.body).toMatch(/value="alices-box" selected/);
    expect(refused.body).toMatch(/value="yes" checked/);
  });

  it('say to whom has no name that a domain needs one', async () => {
    const dora = await stand.signedIn('dora@example.com');
    const page = await dora.get('/domains');
    expect(page.body).toContain('you have none yet');
    expect(page.body).not.toContain('action="/domains"');
  });
});

describe('the owner of a domain', () => {
  const steps: DomainChange['steps'] = [
    {
      step: 'proof',
      state: 'wrong',
      found: 'There is no TXT record.',
      expected: 'TXT "abc"',
      next: 'Enter it.',
    },
  ];

  it.each([
    ['failing', 'app.example.org fails its checks', /ends on 2026-11-21 14:36 UTC.*no TXT record/s],
    ['suspended', 'app.example.org is not served any more', /no TXT record.*\/domains\/app\.ex/s],
    ['back', 'app.example.org is served again', /passes its checks again/],
    ['lost', 'app.example.org belongs to another account now', /Somebody else has proven/],
  ] as const)('is told that it is %s, with what to do', async (kind, subject, words) => {
    const untilMs = Date.UTC(2026, 10, 21, 14, 36);
    const change: DomainChange = { kind, domain: 'app.example.org', name: 'alices-box', steps };
    const { registry, portal } = stand;
    const told = kind === 'failing' ? { ...change, untilMs } : change;
    await registry.write(portal.notices.domain(told));
    const letter = await stand.letter('alice@example.com', subject);
    expect(letter).toMatch(words);
    expect(letter).toContain('alices-box.vendor.test');
    expect(letter).toContain(`${stand.origin}/domains`);
  });

  it('is nobody, where the name has no owner: nothing is sent, and nothing fails', async () => {
    const { registry, portal } = stand;
    const back = { kind: 'back', domain: 'a.org', name: 'none', steps: [] } as const;
    await registry.write(portal.notices.domain(back));
    expect(await registry.read(countLetters())).toMatchObject({ waiting: 0 });
    expect(stand.log.join('')).not.toContain('a.org is served again');
  });
});
