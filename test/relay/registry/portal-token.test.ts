import { describe, expect, test } from 'vitest';
import {
  endSession,
  endSessionsOf,
  findSession,
  issueToken,
  redeemToken,
  renewSession,
  SESSION_LIMITS,
  startSession,
  sweepTokens,
} from '../../../relay/registry/portal-token.ts';
import { DeedWorld, ENGINES, HOUR } from './deeds/deed-world.ts';

const link = { kind: 'mail-link', subject: 'ann@example.org', ttlMs: HOUR, nowMs: 0 } as const;

describe.each(ENGINES)('on $engine, a link', (engine) => {
  test('is redeemed once, in its time, as what it is', async () => {
    const { registry } = await DeedWorld.of(engine);
    const token = await registry.write(issueToken(link));
    const redeem = (kind: 'mail-link' | 'oidc', text: string, nowMs: number) =>
      registry.write(redeemToken({ kind, token: text, nowMs }));
    expect(await redeem('oidc', token, 1)).toBeUndefined();
    expect(await redeem('mail-link', `${token}x`, 1)).toBeUndefined();
    expect(await redeem('mail-link', token, HOUR - 1)).toBe('ann@example.org');
    expect(await redeem('mail-link', token, HOUR - 1)).toBeUndefined();
    const late = await registry.write(issueToken(link));
    expect(await redeem('mail-link', late, HOUR)).toBeUndefined();
    const stored = await registry.read((db) =>
      db.selectFrom('portal_tokens').selectAll().execute(),
    );
    expect(JSON.stringify(stored)).not.toContain(token);
  });

  test('A-10 that a hundred try to redeem at once is one sign-in', async () => {
    const world = await DeedWorld.of(engine);
    const registries = [world.registry, await world.another(), await world.another()];
    const token = await world.registry.write(issueToken(link));
    const redeem = redeemToken({ kind: 'mail-link', token, nowMs: 1 });
    const got = await Promise.all(
      Array.from({ length: 100 }, (_, at) => registries[at % 3]?.write(redeem)),
    );
    expect(got.filter((subject) => subject !== undefined)).toEqual(['ann@example.org']);
  });

  test('that has expired is swept away, a bounded part at a time', async () => {
    const { registry } = await DeedWorld.of(engine);
    await registry.write(async (db) => {
      const token = issueToken({ ...link, kind: 'oidc' });
      for (let at = 0; at < SESSION_LIMITS.sweepRows + 5; at += 1) await token(db);
    });
    const ownerId = 'x';
    await registry.write(startSession({ ownerId, nowMs: 0 }));
    expect(await registry.write(sweepTokens(HOUR - 1))).toBe(0);
    expect(await registry.write(sweepTokens(HOUR))).toBe(SESSION_LIMITS.sweepRows);
    expect(await registry.write(sweepTokens(HOUR))).toBe(5);
    expect(await registry.write(sweepTokens(HOUR))).toBe(0);
  });
});

describe.each(ENGINES)('on $engine, a session', (engine) => {
  const { idleMs, absoluteMs, renewMs } = SESSION_LIMITS;
  const begin = async () => {
    const world = await DeedWorld.of(engine);
    const ownerId = await world.owner('ann@example.org');
    const { registry } = world;
    const token = await registry.write(startSession({ ownerId, nowMs: 0 }));
    const find = (nowMs: number, text = token) =>
      registry.read(findSession({ token: text, nowMs }));
    const renew = (nowMs: number) => registry.write(renewSession({ token, nowMs }));
    return { registry, ownerId, token, find, renew };
  };

  test('ends when its owner stays away, and not while he comes', async () => {
    const { ownerId, find, renew } = await begin();
    const found = { owner: { id: ownerId, email: 'ann@example.org' }, renewalDue: false };
    expect(await find(renewMs - 1)).toMatchObject(found);
    expect(await find(renewMs)).toMatchObject({ renewalDue: true });
    await renew(renewMs);
    expect(await find(renewMs)).toMatchObject({ ...found, expiresAtMs: renewMs + idleMs });
    expect(await find(renewMs + idleMs - 1)).toBeDefined();
    expect(await find(renewMs + idleMs)).toBeUndefined();
    await renew(renewMs + idleMs);
    expect(await find(renewMs + idleMs)).toBeUndefined();
  });

  test('ends some day, however often he comes', async () => {
    const { find, renew } = await begin();
    let nowMs = 0;
    for (; await find(nowMs); nowMs += idleMs - HOUR) await renew(nowMs);
    expect(nowMs).toBeGreaterThanOrEqual(absoluteMs);
    await renew(nowMs);
    expect(await find(nowMs)).toBeUndefined();
  });

  test('ends when he signs out, here or everywhere', async () => {
    const { registry, ownerId, token, find } = await begin();
    const others = [1, 2].map(() => registry.write(startSession({ ownerId, nowMs: 0 })));
    const [second = '', third = ''] = await Promise.all(others);
    await registry.write(endSession(token));
    expect(await find(1)).toBeUndefined();
    expect(await find(1, second)).toBeDefined();
    await registry.write(endSessionsOf(ownerId));
    expect(await find(1, second)).toBeUndefined();
    expect(await find(1, third)).toBeUndefined();
  });

  test('is no link, and a link is no session', async () => {
    const { registry, token, find } = await begin();
    for (const kind of ['mail-link', 'oidc'] as const) {
      expect(await registry.write(redeemToken({ kind, token, nowMs: 1 }))).toBeUndefined();
    }
    const text = await registry.write(issueToken(link));
    expect(await find(1, text)).toBeUndefined();
    await registry.write(endSession(text));
    expect(await registry.write(redeemToken({ kind: 'mail-link', token: text, nowMs: 1 }))).toBe(
      'ann@example.org',
    );
    expect(await find(1)).toBeDefined();
  });
});
