// Letters through a real SMTP server: what owners get, and what becomes of letters that are stored nowhere
// when the server is down, refuses for now, or refuses for ever. Those that are kept: post.test.ts.
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Lapses } from '../../../relay/lapses.ts';
import { openMail } from '../../../relay/portal/mail.ts';
import { SecretMail } from '../../../relay/portal/secret-mail.ts';
import { keepLetter } from '../../../relay/registry/letters.ts';
import { freePort } from '../../world/free-port.ts';
import { PortalStand } from '../../world/portal-stand.ts';
import { Postbox } from '../../world/postbox.ts';
import { hostname } from '../protocol/hello-fixture.ts';

async function until<Value>(look: () => Value | undefined): Promise<Value> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const value = look();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error('waited too long');
    await new Promise((next) => setTimeout(next, 5));
  }
}

let postbox: Postbox;
let port: number;
let stand: PortalStand;

function smtp(at: number) {
  return { host: '127.0.0.1', port: at, secure: false, from: 'Names <names@vendor.test>' };
}

beforeAll(async () => {
  port = await freePort();
  postbox = new Postbox();
  await postbox.listen(port);
  stand = await PortalStand.open({ mail: { smtp: smtp(port) } });
});

afterAll(async () => {
  await stand[Symbol.asyncDispose]();
  await postbox[Symbol.asyncDispose]();
});

const HOUR_MS = 3_600_000;
const TOLD = { recoveries: [{ name: 'home-box', waitsForMail: false }] };

describe('owners are told', () => {
  it('the link to sign in, which is in no log', async () => {
    const visitor = stand.visitor();
    await visitor.form('/sign-in/mail', { email: 'alice@example.org' });
    const letter = await postbox.letter('alice@example.org', /sign in/);
    const [link = ''] = /https:\/\/\S+/.exec(letter) ?? [];
    const token = new URL(link).searchParams.get('token') ?? '';
    expect((await visitor.form('/sign-in/link', { token })).status).toBe(303);
    expect(stand.log.join('')).not.toContain(token);
  });

  it('that a name moves to another device, with the way to stop it; and how it ended', async () => {
    const alice = await stand.signedIn('alice@example.org');
    const [old, next, last] = [
      await stand.claimant(),
      await stand.claimant(),
      await stand.claimant(),
    ];
    const approve = (code: string) =>
      alice.api('POST', '/v1/claims/approve', { code, name: 'home-box' });
    await approve(old.code);
    expect((await approve(next.code)).json()).toMatchObject({
      state: 'recovering',
      name: 'home-box',
    });
    // A browser that has not heard the answer says it again; one letter is enough.
    expect((await approve(next.code)).status).toBe(200);
    const begun = await postbox.letter('alice@example.org', /home-box is about to move/);
    expect(begun).toContain(`${stand.origin}/names/home-box`);
    const page = await alice.get('/names/home-box');
    expect(page.body).toContain('about to move to another device');
    const [, id = ''] = /\/recoveries\/([\w-]+)\/veto/.exec(page.body) ?? [];
    const shown = async () => (await alice.api('GET', '/v1/recoveries')).json();
    const isNoted = async () => expect(await shown()).toMatchObject(TOLD);
    await vi.waitFor(isNoted, { timeout: 30_000, interval: 50 });
    // As though the mail server had not taken it.
    const { registry } = stand;
    const letter = { to: 'alice@example.org', subject: 'x', text: 'x', recovery: id };
    await registry.write(keepLetter(letter, Date.now() + HOUR_MS));
    expect(await shown()).toMatchObject({ recoveries: [{ waitsForMail: true }] });
    const waits = (await alice.get('/names/home-box')).body;
    expect(waits).toMatch(/Not before .* a time that is still open/);
    expect(waits).toContain('has not taken the letter about it yet');
    expect((await alice.form(`/recoveries/${id}/veto`)).headers.location).toBe('/?done=vetoed');
    await postbox.letter('alice@example.org', /was stopped/);
    expect(postbox.letters.filter(({ text }) => /home-box is about to/.test(text))).toHaveLength(1);
    const again = await approve(last.code);
    expect([again.status, again.json()['type']]).toEqual([
      409,
      'urn:waygate:problem:recovery-cooling',
    ]);
    expect(stand.registry.snapshot.namesOf(old.key.thumbprint)).toEqual(['home-box']);
  });

  it('what time has done: a recovery that nobody stopped', async () => {
    const bob = await stand.signedIn('bob@example.org');
    const [old, next] = [await stand.claimant(), await stand.claimant()];
    for (const { code } of [old, next]) {
      await bob.api('POST', '/v1/claims/approve', { code, name: 'bobs-box' });
    }
    await stand.registry.write(async (db) => {
      await db
        .updateTable('recoveries')
        .set({ due_at: Date.now() - 1 })
        .where('name', '=', 'bobs-box')
        .execute();
    });
    const { registry } = stand;
    const log = pino({ level: 'silent' });
    const { notices } = stand.portal;
    const lapsed = notices.lapsed.bind(notices);
    // Two relays at once do it once.
    const both = [1, 2].map(() => new Lapses({ registry, log, notices: lapsed, everyMs: 10 }));
    await postbox.letter('bob@example.org', /has moved to the new device/);
    await Promise.all(both.map((each) => each.stop()));
    expect(postbox.letters.filter(({ text }) => /bobs-box has moved/.test(text))).toHaveLength(1);
    expect(registry.snapshot.namesOf(next.key.thumbprint)).toEqual(['bobs-box']);
  });

  it('of a rename, and of a transfer both sides', async () => {
    const carol = await stand.signedIn('carol@example.org');
    const { code } = await stand.claimant();
    await carol.api('POST', '/v1/claims/approve', { code, name: 'carols-box' });
    await carol.api('POST', '/v1/names/carols-box/rename', { to: 'shared-box' });
    await postbox.letter('carol@example.org', /carols-box is called shared-box now/);
    const offered = await carol.form('/names/shared-box/transfer', { toEmail: 'dave@example.org' });
    expect(offered.status).toBe(200);
    const letter = await postbox.letter('dave@example.org', /offers it to you/);
    const [secret = ''] = /WT(-[0-9A-Z]{5}){4}/.exec(letter) ?? [];
    expect(offered.body).toContain(secret);
    const mallory = await stand.signedIn('mallory@example.org');
    expect((await mallory.form('/transfer', { code: secret })).status).toBe(404);
    const dave = await stand.signedIn('dave@example.org');
    const accepted = await dave.form('/transfer', { code: secret.toLowerCase() });
    expect(accepted.headers.location).toBe('/names/shared-box?done=accepted');
    await postbox.letter('carol@example.org', /has a new owner/);
    expect((await carol.get('/names/shared-box')).status).toBe(404);
    const wrong = await dave.form('/names/shared-box/release', { confirm: 'other' });
    expect(wrong.status).toBe(422);
    await dave.form('/names/shared-box/release', { confirm: 'shared-box' });
    expect((await dave.get('/')).body).toContain('given up');
  });
});

describe('a mail server that does not do its part, and a letter that is stored nowhere', () => {
  async function queue(at: number): Promise<{ mail: SecretMail; lines: string[] }> {
    const lines: string[] = [];
    const log = pino({}, { write: (line: string) => void lines.push(line) });
    const portal = hostname('my.vendor.test');
    const deliver = await openMail({ config: { smtp: smtp(at) }, hostname: portal, log });
    if (deliver === undefined) throw new Error('no mail');
    return { mail: new SecretMail(deliver, log, [20, 40]), lines };
  }
  const letter = { to: 'eve@example.org', subject: 'Hello', text: 'A text.\n', secret: {} };

  it('for a while: the letter is tried again', async () => {
    const at = await freePort();
    const { mail } = await queue(at);
    mail.send(letter);
    await using late = new Postbox();
    late.refusals.push(451);
    await late.listen(at);
    await late.letter('eve@example.org', /A text/);
    await mail.close();
  });

  it('for ever: the letter is given up, and the log names no address', async () => {
    await using strict = new Postbox();
    const at = await freePort();
    await strict.listen(at);
    strict.refusals.push(550);
    const { mail, lines } = await queue(at);
    mail.send(letter);
    await until(() => lines.find((line) => line.includes('was not delivered')));
    expect(strict.attempts).toBe(1);
    const gone = await queue(await freePort());
    gone.mail.send(letter);
    await until(() => gone.lines.find((line) => line.includes('was not delivered')));
    expect([...lines, ...gone.lines].join()).not.toContain('eve@');
    await Promise.all([mail.close(), gone.mail.close()]);
  });
});
