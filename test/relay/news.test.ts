// Which devices are told what, and how often: on a real registry, with tunnels that only listen.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type DeviceName, parseDeviceName } from '../../dns/name.ts';
import { News } from '../../relay/news.ts';
import { generateKey } from '../../relay/protocol/key.ts';
import { LIMITS } from '../../relay/protocol/limits.ts';
import { parseWelcome, type Welcome } from '../../relay/protocol/welcome.ts';
import { openRegistry, type Registry } from '../../relay/registry/registry.ts';
import { until } from '../world/visits.ts';
import { hostname } from './protocol/hello-fixture.ts';

const log = pino({ level: 'silent' });
const folder = mkdtempSync(join(tmpdir(), 'waygate-news-'));
const device = generateKey('device').publicKey;
const other = generateKey('device').publicKey;
let registry: Registry;
let news: News;
let renewals: DeviceName[] = [];
let told: { readonly thumbprint: string; readonly welcome: Welcome | undefined }[] = [];

const name = (text: string) => {
  const parsed = parseDeviceName(text);
  if (parsed === undefined) throw new Error(`${text} is no name`);
  return parsed;
};
const enroll = (text: string, deviceKey = device) =>
  registry.enroll({ name: name(text), deviceKey, actor: 'test' });

beforeAll(async () => {
  const database = { kind: 'sqlite', file: join(folder, 'registry.sqlite') } as const;
  registry = await openRegistry({ database, log });
  news = new News({
    zone: hostname('vendor.dev'),
    snapshot: () => registry.snapshot,
    renewalsOf: () => renewals,
    log,
    tunnels: {
      connected: () => [device.thumbprint],
      isConnected: (thumbprint) => thumbprint === device.thumbprint,
      tell: (thumbprint, newsOf) =>
        void told.push({ thumbprint, welcome: parseWelcome(newsOf(7)) }),
    },
  });
  registry.onChange(news.changed);
});
beforeEach(() => {
  told = [];
});
afterAll(async () => {
  news.stop();
  await registry.close();
  rmSync(folder, { recursive: true });
});

describe('a connected device', () => {
  it('is told at once when its names change, and then not too often: the last state says it all', async () => {
    await enroll('alice');
    expect(told).toMatchObject([
      { thumbprint: device.thumbprint, welcome: { epoch: 7, names: ['alice'], recoveries: [] } },
    ]);
    const startedAtMs = performance.now();
    for (const more of ['anna', 'anton', 'arthur']) await enroll(more);
    expect(told).toHaveLength(1);
    await until(() => told.length === 2, 10_000, 'the second news');
    expect(performance.now() - startedAtMs).toBeGreaterThan(LIMITS.newsEveryMs / 2);
    expect(told[1]?.welcome?.names.toSorted()).toEqual(['alice', 'anna', 'anton', 'arthur']);
    await pause(LIMITS.newsEveryMs * 1.2);
    expect(told).toHaveLength(2);
  });

  it('is told which certificates to ask about, of names that it has', async () => {
    await pause(LIMITS.newsEveryMs * 1.2);
    renewals = [name('alice'), name('nobody')];
    told = [];
    news.tell(device.thumbprint);
    expect(told).toMatchObject([{ welcome: { renewals: ['alice'] } }]);
  });

  it('is not told what happens to others', async () => {
    await enroll('otto', other);
    await registry.revoke({ thumbprint: other.thumbprint, actor: 'test' });
    expect(told).toEqual([]);
  });
});
