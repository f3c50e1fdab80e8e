// Signing in by mail, and sessions: what works once works once, what others send does not count, and
// nobody learns who is an owner.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PortalStand } from '../../world/portal-stand.ts';
import type { PortalVisitor } from '../../world/portal-visitor.ts';

const DAY_MS = 86_400_000;

let stand: PortalStand;

beforeAll(async () => {
  stand = await PortalStand.open();
});

afterAll(async () => {
  expect(stand.log.filter((line) => JSON.parse(line).level >= 50)).toEqual([]);
  await stand[Symbol.asyncDispose]();
});

async function linkFor(email: string): Promise<{ token: string; path: string }> {
  await stand.visitor().form('/sign-in/mail', { email });
  const link = new URL((await stand.signInLinks(email, 1)).at(-1) ?? '');
  return { token: link.searchParams.get('token') ?? '', path: link.pathname + link.search };
}

function isSignedIn(visitor: PortalVisitor): Promise<boolean> {
  return visitor.api('GET', '/v1/me').then(({ status }) => status === 200);
}

async function later<Value>(ms: number, work: () => Promise<Value>): Promise<Value> {
  stand.clock.aheadMs = ms;
  try {
    return await work();
  } finally {
    stand.clock.aheadMs = 0;
  }
}

describe('a link by mail', () => {
  it('is not used up by programs that follow links, works once, and in any browser', async () => {
    const { token, path } = await linkFor('once@example.org');
    for (let time = 0; time < 3; time += 1) {
      const page = await stand.visitor().get(path);
      expect([page.status, page.headers['set-cookie']]).toEqual([200, undefined]);
    }
    const owner = stand.visitor();
    expect((await owner.form('/sign-in/link', { token })).status).toBe(303);
    expect(await isSignedIn(owner)).toBe(true);
    const thief = stand.visitor();
    expect((await thief.form('/sign-in/link', { token })).status).toBe(410);
    expect((await thief.get(path)).status).toBe(410);
    expect(await isSignedIn(thief)).toBe(false);
  });

  it('of ten browsers that use it at once, one is signed in', async () => {
    const { token } = await linkFor('race@example.org');
    const all = Array.from({ length: 10 }, () => stand.visitor());
    const answers = await Promise.all(all.map((each) => each.form('/sign-in/link', { token })));
    const statuses = answers.map(({ status }) => status).toSorted();
    expect(statuses).toEqual([303, ...Array.from({ length: 9 }, () => 410)]);
  });

  it('ends after a quarter of an hour', async () => {
    const { token, path } = await linkFor('late@example.org');
    const visitor = stand.visitor();
    await later(15 * 60_000 + 1_000, async () => {
      expect((await visitor.get(path)).status).toBe(410);
      expect((await visitor.form('/sign-in/link', { token })).status).toBe(410);
    });
    expect(await isSignedIn(visitor)).toBe(false);
  });

  it('signs nobody in when another site sends its form', async () => {
    const { token } = await linkFor('csrf@example.org');
    const victim = stand.visitor();
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      origin: 'https://evil.example',
    };
    const answer = await victim.ask('/sign-in/link', {
      method: 'POST',
      headers,
      body: `token=${token}`,
    });
    expect([answer.status, victim.cookies.size]).toEqual([403, 0]);
  });

  it('is sent three times at most while none is used, whoever asks', async () => {
    const email = 'impatient@example.org';
    for (let time = 0; time < 6; time += 1) {
      expect((await stand.visitor().form('/sign-in/mail', { email })).status).toBe(303);
    }
    // The wishes are fulfilled in their order, so this one's letter is behind all others.
    await linkFor('behind-impatient@example.org');
    expect(await stand.signInLinks(email, 3)).toHaveLength(3);
  });

  it('leads back to pages of the portal only', async () => {
    for (const to of [
      'https://evil.example',
      '//evil.example',
      '/\\evil',
      '/v1/me',
      '/claim?code=<>',
    ]) {
      const { token } = await linkFor(`to-${Buffer.from(to).toString('hex')}@example.org`);
      const visitor = stand.visitor();
      const answer = await visitor.form('/sign-in/link', { token, to });
      expect(answer.headers.location).toBe('/');
    }
  });

  it.each([
    '',
    'alice',
    'a@b@c',
    'a b@example.org',
    'a@b\r\nBcc: x@example.org',
    '<a@example.org>',
    `${'a'.repeat(250)}@b.cc`,
  ])('is not sent to %j', async (email) => {
    const answer = await stand.visitor().form('/sign-in/mail', { email });
    expect(answer.status).toBe(400);
  });
});

describe('who is an owner', () => {
  it('R-2 is not told: the same answer, as fast, for addresses that are known and that are not', async () => {
    await stand.owner('known@example.org');
    const times: Record<string, number[]> = { known: [], unknown: [] };
    const answers = new Set<string>();
    for (let round = 0; round < 30; round += 1) {
      for (const kind of ['known', 'unknown']) {
        const email = kind === 'known' ? 'known@example.org' : `unknown-${round}@example.org`;
        const visitor = stand.visitor();
        const startMs = performance.now();
        const { status, headers, body } = await visitor.form('/sign-in/mail', { email });
        times[kind]?.push(performance.now() - startMs);
        answers.add(JSON.stringify([status, headers.location, body]));
      }
    }
    expect(answers.size).toBe(1);
    const [known = 0, unknown = 0] = [median(times['known']), median(times['unknown'])];
    expect(Math.max(known, unknown) / Math.min(known, unknown)).toBeLessThan(2);
  }, 30_000);

  it('R-2 wrong, used, expired and foreign codes get the same answer', async () => {
    const visitor = await stand.signedIn('guesser@example.org');
    const used = await stand.claimant();
    await visitor.api('POST', '/v1/claims/approve', { code: used.code, name: 'guessed-right' });
    const answers = new Set<string>();
    for (const code of [
      used.code,
      '0000-0000',
      'ZZZZZZZZ',
      'not a code',
      'WG-00000-00000-00000-00000',
    ]) {
      const { status, body } = await visitor.api('POST', '/v1/claims/look', { code });
      answers.add(`${status} ${body}`);
    }
    expect([...answers]).toHaveLength(1);
    expect([...answers][0]).toMatch(/^404 .*wrong-code/);
    // Five wrong ones within an hour: the right one is as good as wrong.
    const right = await stand.claimant();
    const locked = await visitor.api('POST', '/v1/claims/look', { code: right.code });
    expect(`${locked.status} ${locked.body}`).toBe([...answers][0]);
  });
});

describe('a session', () => {
  it('fixation: is a new one at each sign-in, and the one before is over', async () => {
    const visitor = await stand.signedIn('mallory@example.org');
    const planted = visitor.cookies.get('__Host-waygate') ?? '';
    const { token } = await linkFor('victim@example.org');
    await visitor.form('/sign-in/link', { token });
    expect(visitor.cookies.get('__Host-waygate')).not.toBe(planted);
    const mallory = stand.visitor();
    mallory.cookies.set('__Host-waygate', planted);
    expect(await isSignedIn(mallory)).toBe(false);
  });

  it('is a cookie that only this host can set and no script can read', async () => {
    const { token } = await linkFor('cookie@example.org');
    const answer = await stand.visitor().form('/sign-in/link', { token });
    const [cookie = ''] = answer.headers['set-cookie'] ?? [];
    expect(cookie).toMatch(
      /^__Host-waygate=[\w-]{43}; Max-Age=2592000; Path=\/; Secure; HttpOnly; SameSite=Lax$/,
    );
  });

  it('P-2 of a sibling host counts for nothing: two cookies of the name are none', async () => {
    const visitor = await stand.signedIn('sibling@example.org');
    const own = visitor.cookies.get('__Host-waygate') ?? '';
    const mallory = await stand.signedIn('mallory2@example.org');
    const tossed = mallory.cookies.get('__Host-waygate') ?? '';
    for (const cookie of [
      `__Host-waygate=${tossed}; __Host-waygate=${own}`,
      `__Host-waygate=${own};__Host-waygate=${tossed}`,
      `waygate=${own}`,
      `__host-waygate=${own}`,
      `__Host-waygate="${own}"`,
    ]) {
      expect((await stand.visitor().get('/v1/me', { cookie })).status).toBe(401);
    }
    expect(
      (await stand.visitor().get('/v1/me', { cookie: `a=1; __Host-waygate=${own}` })).status,
    ).toBe(200);
  });

  it('ends after a week without use, after thirty days with it, and by its owner', async () => {
    const visitor = await stand.signedIn('ends@example.org');
    expect(await later(7 * DAY_MS + 60_000, () => isSignedIn(visitor))).toBe(false);
    for (let day = 6; day < 30; day += 6) {
      expect(await later(day * DAY_MS, () => isSignedIn(visitor))).toBe(true);
    }
    expect(await later(30 * DAY_MS + 60_000, () => isSignedIn(visitor))).toBe(false);

    const [home, work] = [
      await stand.signedIn('two@example.org'),
      await stand.signedIn('two@example.org'),
    ];
    const { sessions } = (await home.api('GET', '/v1/sessions')).json() as {
      sessions: { id: string; current: boolean }[];
    };
    expect(sessions.filter(({ current }) => current)).toHaveLength(1);
    expect((await home.get('/sessions')).body).toContain('this browser');
    const other = sessions.find(({ current }) => !current)?.id ?? '';
    expect((await home.api('DELETE', `/v1/sessions/${other}`)).status).toBe(204);
    expect([await isSignedIn(home), await isSignedIn(work)]).toEqual([true, false]);
    const third = await stand.signedIn('two@example.org');
    expect((await home.form('/sessions/end-others')).status).toBe(303);
    expect([await isSignedIn(home), await isSignedIn(third)]).toEqual([true, false]);
    await home.form('/sign-out');
    expect(await isSignedIn(home)).toBe(false);
  });

  it('leaves no secret of a sign-in in the log but the link that is printed', async () => {
    const { token } = await linkFor('logged@example.org');
    const visitor = stand.visitor();
    await visitor.get(`/sign-in/link?token=${token}`);
    await visitor.form('/sign-in/link', { token });
    await visitor.get('/claim?code=SECR-ET00');
    const session = visitor.cookies.get('__Host-waygate') ?? '';
    const lines = stand.log.filter((line) => !line.includes('"signInLink"')).join('');
    expect(lines).toContain('/sign-in/link');
    for (const secret of [token, session, 'SECR-ET00', 'logged@'])
      expect(lines).not.toContain(secret);
  });
});

describe('too many requests', () => {
  it('of one address to sign in get 429 with Retry-After, and others go on', async () => {
    const visitor = stand.visitor();
    const statuses: number[] = [];
    for (let time = 0; time < 12; time += 1) {
      const answer = await visitor.form('/sign-in/mail', { email: `many-${time}@example.org` });
      statuses.push(answer.status);
      if (answer.status === 429) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    }
    expect(statuses).toEqual([...Array.from({ length: 10 }, () => 303), 429, 429]);
    expect(
      (await stand.visitor().form('/sign-in/mail', { email: 'other@example.org' })).status,
    ).toBe(303);
  });

  it('of one owner with codes, and with anything', async () => {
    const visitor = await stand.signedIn('busy@example.org');
    for (let time = 0; time < 20; time += 1) {
      await visitor.api('POST', '/v1/transfers/accept', { code: 'WT-00000-00000-00000-00000' });
    }
    const refused = await visitor.api('POST', '/v1/transfers/accept', { code: 'WT-0' });
    expect([refused.status, refused.json()['type']]).toEqual([
      429,
      'urn:waygate:problem:too-many-requests',
    ]);
    let status = 200;
    for (let time = 0; time < 240 && status === 200; time += 1) {
      ({ status } = await visitor.api('GET', '/v1/me'));
    }
    expect(status).toBe(429);
  }, 30_000);
});

function median(values: readonly number[] = []): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
