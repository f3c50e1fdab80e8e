// An owner's way through the portal: by its pages with a browser that has no scripts, and by its API,
// where every answer is as the document promises.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answerFault, type Document, operations } from '../../world/openapi.ts';
import { PortalStand } from '../../world/portal-stand.ts';
import type { PortalVisitor } from '../../world/portal-visitor.ts';

let stand: PortalStand;

beforeAll(async () => {
  stand = await PortalStand.open();
});

afterAll(async () => {
  await stand[Symbol.asyncDispose]();
});

describe('an owner', () => {
  it('signs in by a link that was mailed, adds a device, renames it', async () => {
    const alice = stand.visitor();
    const begin = await alice.get('/');
    expect([begin.status, begin.headers.location]).toEqual([303, '/sign-in']);
    expect((await alice.get('/sign-in')).body).toContain('Send me a link');
    const asked = await alice.form('/sign-in/mail', { email: 'Alice@Example.org', to: '/claim' });
    expect([asked.status, asked.headers.location]).toEqual([303, '/sign-in/sent']);
    const [link = ''] = await stand.signInLinks('alice@example.org', 1);
    const { pathname, search, searchParams } = new URL(link);
    const confirm = await alice.get(pathname + search);
    expect(confirm.body).toContain('alice@example.org');
    const token = searchParams.get('token') ?? '';
    const signedIn = await alice.form('/sign-in/link', { token, to: '/claim' });
    expect([signedIn.status, signedIn.headers.location]).toEqual([303, '/claim']);
    expect(alice.cookies.has('__Host-waygate')).toBe(true);

    const device = await stand.claimant('alice');
    const seen = await alice.form('/claim', { code: device.code.toLowerCase() });
    expect(seen.status).toBe(200);
    expect(seen.body).toContain(device.key.thumbprint);
    expect(seen.body).toContain('203.0.113.7');
    const fields = { code: device.code, choice: '', name: 'alice' };
    const bound = await alice.form('/claim/approve', fields);
    expect(bound.headers.location).toBe('/names/alice?done=bound');
    expect((await alice.get('/names/alice?done=bound')).body).toContain('has its name now');

    const renamed = await alice.form('/names/alice/rename', { to: 'wonder' });
    expect(renamed.headers.location).toBe('/names/wonder?done=renamed');
    const names = await alice.api('GET', '/v1/names');
    expect(names.json()).toMatchObject({
      names: [
        { name: 'alice', state: 'former', successor: 'wonder' },
        { name: 'wonder', state: 'held', device: device.key.thumbprint },
      ],
    });
  });

  it('does the same with a program, and each answer is as promised', async () => {
    const document: Document = JSON.parse((await stand.visitor().get('/openapi.json')).body);
    const bob = await stand.signedIn('bob@example.org');
    const carol = await stand.signedIn('carol@example.org');
    const act = async (who: PortalVisitor, route: string, path: string, body?: unknown) => {
      const [method = ''] = route.split(' ');
      const operation = operations(document).find(
        (each) => `${each.method} ${each.path}` === route,
      );
      if (operation === undefined) throw new Error(`no ${route}`);
      const answer = await who.api(method, path, body);
      const type = answer.headers['content-type'];
      const { status } = answer;
      expect(answerFault(operation, { status, type, body: answer.body })).toBe('');
      expect(status, `${route} ${answer.body}`).toBeLessThan(300);
      return answer.body === '' ? {} : answer.json();
    };
    const [first, second, third] = [
      await stand.claimant('bobs-box'),
      await stand.claimant(),
      await stand.claimant(),
    ];
    const seen = await act(bob, 'POST /v1/claims/look', '/v1/claims/look', { code: first.code });
    expect(seen).toMatchObject({ device: first.key.thumbprint, wantedName: 'bobs-box' });
    const approve = ({ code }: { code: string }) =>
      act(bob, 'POST /v1/claims/approve', '/v1/claims/approve', { code, name: 'bobs-box' });
    expect(await approve(first)).toEqual({ state: 'bound', name: 'bobs-box' });
    await act(bob, 'POST /v1/claims/deny', '/v1/claims/deny', { code: third.code });
    expect(await approve(second)).toMatchObject({ state: 'recovering' });
    const { recoveries } = await act(bob, 'GET /v1/recoveries', '/v1/recoveries');
    const [{ id }] = recoveries as [{ id: string }];
    const withdraw = 'POST /v1/recoveries/{id}/withdraw';
    await act(bob, withdraw, `/v1/recoveries/${id}/withdraw`);
    const rename = 'POST /v1/names/{name}/rename';
    await act(bob, rename, '/v1/names/bobs-box/rename', { to: 'better-box' });
    const offer = 'POST /v1/names/{name}/transfer';
    const unwanted = { toEmail: 'dave@example.org' };
    await act(bob, offer, '/v1/names/better-box/transfer', unwanted);
    await act(bob, 'DELETE /v1/names/{name}/transfer', '/v1/names/better-box/transfer');
    const wanted = { toEmail: 'Carol@Example.org' };
    const { code } = await act(bob, offer, '/v1/names/better-box/transfer', wanted);
    const offered = await act(bob, 'GET /v1/names/{name}', '/v1/names/better-box');
    expect(offered).toMatchObject({ transfer: { toEmail: 'carol@example.org' } });
    const accept = 'POST /v1/transfers/accept';
    expect(await act(carol, accept, '/v1/transfers/accept', { code })).toEqual({
      name: 'better-box',
    });
    const history = 'GET /v1/names/{name}/history';
    const told = await act(carol, history, '/v1/names/better-box/history');
    // What was before she had it is not hers to see.
    expect(told['history']).toMatchObject([{ what: 'transferred', by: 'you' }]);
    const release = 'POST /v1/names/{name}/release';
    await act(carol, release, '/v1/names/better-box/release', { confirm: 'better-box' });
    const { names } = await act(carol, 'GET /v1/names', '/v1/names');
    expect(names).toMatchObject([
      { name: 'better-box', state: 'quarantined' },
      { name: 'bobs-box', state: 'quarantined' },
    ]);
    await act(carol, 'DELETE /v1/sessions', '/v1/sessions');
    expect((await act(bob, 'GET /v1/names', '/v1/names'))['names']).toEqual([]);
  });

  it('sees a refusal with the form, and may correct it', async () => {
    const erin = await stand.signedIn('erin@example.org');
    const device = await stand.claimant();
    const { code } = device;
    for (const name of ['www', 'x', 'bobs-box', 'wonder', 'w0nder']) {
      const refused = await erin.form('/claim/approve', { code, choice: '', name });
      expect([409, 422]).toContain(refused.status);
      expect(refused.body).toContain('role="alert"');
      expect(refused.body).toContain(device.key.thumbprint);
    }
    const wrong = await erin.form('/claim', { code: '<b>"0"</b>' });
    expect(wrong.status).toBe(404);
    expect(wrong.body).toContain('&lt;b&gt;&quot;0&quot;&lt;/b&gt;');
    expect((await erin.form('/transfer', { code: 'WT-0' })).body).toContain('role="alert"');
    const bound = await erin.form('/claim/approve', { code, choice: '', name: 'erins-box' });
    expect(bound.status).toBe(303);
  });
});
